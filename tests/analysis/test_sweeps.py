"""Means, spreads, paired differences, verdicts and advice of a sweep, from rows with known scores and costs."""

from __future__ import annotations

import dataclasses
import math

import pytest
from scipy import stats

from cen_cli.analysis.sweeps import Claim, RowPlan, fusion_advice, paired_test, score, sweep_rows, sweep_verdicts
from cen_cli.reporting import scores
from cen_cli.results import (
    Evaluation,
    MemberOutcome,
    NetworkCost,
    ReplacedCount,
    SegmentationScores,
    TranslationScores,
    commonest_metric,
)

METRIC = "ensemble.mean_iou"


def evaluation(value: float, branches: tuple[str, ...] = ("rgb", "depth", "ensemble")) -> Evaluation:
    scores = {name: SegmentationScores(0.0, 0.0, value, (), ()) for name in branches}
    return Evaluation("segmentation", "test", "strict", 1, scores, {})


def outcome(variant: str, seed: int, value: float | None, replaced: int = 0, group: str = "") -> MemberOutcome:
    counts = (ReplacedCount("rgb", replaced, 10, 20), ReplacedCount("depth", 0, 10, 20)) if replaced else ()
    done = value is not None
    return MemberOutcome(
        group, variant, seed, "run", "done" if done else "new", evaluation(value) if done else None, counts, 1.0
    )


def test_rows_hold_mean_spread_and_the_difference_to_the_reference() -> None:
    outcomes = [outcome("a", seed, value, 5) for seed, value in enumerate((0.5, 0.6, 0.7))]
    outcomes += [outcome("b", seed, value) for seed, value in enumerate((0.4, 0.45, 0.65))]
    plans = [RowPlan("", "a", "row a", {METRIC: 0.511}), RowPlan("", "b", "row b", {})]
    a, b = sweep_rows(plans, outcomes, [METRIC], "a")
    assert (a.label, a.members, a.done, a.replaced) == ("row a", 3, 3, 0.25)
    assert a.cells[0].mean == pytest.approx(0.6)
    assert a.cells[0].std == pytest.approx(0.1)
    assert a.cells[0].paper == 0.511
    assert b.cells[0].paper is None
    assert math.isnan(b.replaced)
    assert b.cells[0].difference == pytest.approx(-0.1)
    wanted = stats.ttest_rel([0.4, 0.45, 0.65], [0.5, 0.6, 0.7]).pvalue
    assert b.cells[0].p_value == pytest.approx(wanted)


def test_only_common_seeds_are_compared() -> None:
    outcomes = [outcome("a", 0, 0.5), outcome("a", 1, 0.9), outcome("b", 0, 0.4), outcome("b", 2, 0.1)]
    outcomes += [outcome("b", 1, None)]
    _, b = sweep_rows([RowPlan("", "a", "a", {}), RowPlan("", "b", "b", {})], outcomes, [METRIC], "a")
    assert b.cells[0].values == {0: 0.4, 2: 0.1}
    assert (b.done, b.members) == (2, 3)
    assert b.cells[0].difference == pytest.approx(-0.1)
    assert math.isnan(b.cells[0].p_value)


def test_groups_are_held_against_their_own_reference() -> None:
    outcomes = [outcome(v, 0, value, group=g) for g, v, value in (("x", "a", 0.1), ("x", "b", 0.3), ("y", "a", 0.9))]
    plans = [RowPlan(group, variant, variant, {}) for group in ("x", "y") for variant in ("a", "b")]
    rows = {(row.group, row.variant): row for row in sweep_rows(plans, outcomes, [METRIC], "a")}
    assert rows["x", "b"].cells[0].difference == pytest.approx(0.2)
    assert math.isnan(rows["y", "b"].cells[0].mean)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((0.5, 0.6, 0.7), "holds, 3 of 3 seeds"),
        ((0.5, 0.1, 0.7), "open, 2 of 3 seeds"),
        ((0.2001, 0.2002, 0.201), "open, 3 of 3 seeds"),
        ((0.2, 0.2, 0.2), "open, 0 of 3 seeds"),
        ((0.1, 0.1, 0.1), "does not hold, 0 of 3 seeds"),
        ((0.5, None, None), "one seed, no verdict"),
        ((None, None, None), "open, no seed has both scores"),
    ],
)
def test_verdicts_count_seeds(values: tuple[float | None, ...], words: str) -> None:
    outcomes = [outcome("a", seed, value) for seed, value in enumerate(values)]
    outcomes += [outcome("b", seed, 0.2) for seed in range(3)]
    (verdict,) = sweep_verdicts([Claim("a > b", METRIC, "a", "b")], outcomes, [""])
    assert verdict.words == words


def test_lower_is_better_where_the_metric_says_so() -> None:
    def translated(variant: str, mae: float) -> MemberOutcome:
        scores = {"fused": TranslationScores(mae, 0.0, 0.0, 0.0)}
        found = Evaluation("translation", "test", "strict", 1, scores, {})
        return MemberOutcome("", variant, 0, "run", "done", found)

    outcomes = [translated("a", 0.1), translated("b", 0.3)]
    (verdict,) = sweep_verdicts([Claim("a beats b", "ensemble.mae", "a", "b")], outcomes, [""])
    assert (verdict.holds, verdict.seeds) == (1, 1)
    assert verdict.difference == pytest.approx(0.2)


def test_a_branch_that_a_network_has_not_is_no_score() -> None:
    assert math.isnan(score(evaluation(0.5, ("fused",)), "rgb.mean_iou"))
    assert score(evaluation(0.5, ("fused",)), METRIC) == 0.5


def test_differences_without_spread() -> None:
    assert paired_test({0: 1.0, 1: 2.0}, {0: 1.0, 1: 2.0}) == (0.0, 1.0)
    assert paired_test({0: 1.0, 1: 2.0}, {0: 0.0, 1: 1.0}) == (1.0, 0.0)
    assert all(math.isnan(value) for value in paired_test({0: 1.0}, {1: 1.0}))


IOU = "ensemble.mean_iou"


def said(values: dict[str, list[float]], macs: dict[str, int] | None = None) -> tuple[str, ...]:
    """The advice on rows with these values by seed; names that begin with `only` are of one modality."""
    outcomes: list[MemberOutcome] = []
    for name, by_seed in values.items():
        for seed, value in enumerate(by_seed):
            made = outcome(name, seed, value)
            cost = None if name not in (macs or {}) else NetworkCost(1_000_000, macs[name])
            outcomes.append(MemberOutcome(**{**vars(made), "cost": cost}))
    plans = [RowPlan("", name, name, {}, name.startswith("only")) for name in values]
    return fusion_advice(sweep_rows(plans, outcomes, [IOU], next(iter(values))), scores.written)


def test_of_rows_at_one_cost_the_better_is_taken() -> None:
    values, average = {"concat": [0.5, 0.55], "average": [0.51, 0.53]}, 1_240_000_000
    for concat, taken in (
        (1_240_000_001, "Take concat (52.50): the best row"),
        (1_300_000_000, "Take average (52.00)"),
    ):
        words = said(values, {"concat": concat, "average": average})
        assert words[0].startswith(taken)


def test_nothing_is_called_cheaper_than_a_row_of_unknown_cost() -> None:
    values = {"concat": [0.5, 0.55], "average": [0.51, 0.53]}
    assert said(values, {"average": 10**9})[0].startswith("Take concat (52.50): the best row")
    assert said(values, {"concat": 10**9})[0].startswith("Take concat (52.50): the best row")


def test_rows_without_a_run_are_named() -> None:
    words = said({"concat": [0.5, 0.52], "exchange": [], "input": [], "only rgb": [0.4, 0.41]})
    assert words[-1] == "Not trained yet, so nothing is said of them: exchange, input."


def test_the_best_is_taken_where_it_is_better_for_sure() -> None:
    rows = {"only rgb": [0.30, 0.31], "only depth": [0.2, 0.22], "concat": [0.50, 0.52], "exchange": [0.40, 0.45]}
    sentences = said(rows, {"only rgb": 10**9, "only depth": 10**9, "concat": 3 * 10**9, "exchange": 2 * 10**9})
    assert sentences[0].startswith("Of the modalities, only rgb (30.50) is 9.50 better than only depth (21.00), p = ")
    assert sentences[1].startswith("The best fusion, concat (51.00), is 20.50 better than only rgb (30.50), p = ")
    assert sentences[2] == "Take concat (51.00): the best row; 3 G MACs a view and 1 M parameters."
    assert len(sentences) == 3


def test_the_cheapest_within_a_standard_error_is_taken_alone_too() -> None:
    rows = {"only rgb": [0.49, 0.52, 0.47], "concat": [0.50, 0.51, 0.48], "exchange": [0.40, 0.41, 0.42]}
    sentences = said(rows, {"only rgb": 10**9, "concat": 3 * 10**9, "exchange": 2 * 10**9})
    assert "worse" not in sentences[0]
    assert sentences[1] == (
        "Take only rgb (49.33): within a standard error of the best, concat (49.67), and cheaper; 1 G MACs a view and "
        "1 M parameters, where concat takes 3 G MACs a view and 1 M parameters."
    )


def test_one_seed_is_called_a_guess_and_fewer_seeds_are_told_of() -> None:
    assert said({"concat": [0.5], "exchange": [0.4]})[-1].startswith("One seed: this is a guess.")
    assert said({"concat": [0.5, 0.6, 0.5], "exchange": [0.4, 0.5]})[-1] == "Some rows have 2 of 3 seeds."
    assert said({"concat": [0.5, 0.6], "exchange": [0.4]})[-1].startswith(
        "One seed in common with other rows: this is a"
    )


@pytest.mark.parametrize(
    ("seeds", "ending"),
    [
        ((0, 1), "Take concat (55.00): the best row."),
        ((1, 2), "One seed in common with other rows: this is a guess."),
        ((2, 3), "No seed in common with other rows: this is a guess."),
    ],
)
def test_rows_of_other_seeds_are_told_of(seeds: tuple[int, ...], ending: str) -> None:
    outcomes = [outcome("concat", seed, value) for seed, value in enumerate((0.5, 0.6))]
    outcomes += [outcome("exchange", seed, 0.3) for seed in seeds]
    plans = [RowPlan("", name, name, {}) for name in ("concat", "exchange")]
    assert fusion_advice(sweep_rows(plans, outcomes, [IOU], "concat"), scores.written)[-1].startswith(ending)


def test_advice_goes_by_a_score_that_the_most_rows_have() -> None:
    both = ("rgb", "ensemble")
    outcomes = [
        MemberOutcome("", name, seed, name, "done", evaluation(value, branches))
        for name, value, branches in (("only rgb", 0.3, ("rgb",)), ("exchange", 0.4, both), ("concat", 0.9, ("fused",)))
        for seed in (0, 1)
    ]
    plans = [RowPlan("", name, name, {}, name == "only rgb") for name in ("only rgb", "exchange", "concat")]
    rows = sweep_rows(plans, outcomes, [IOU, "rgb.mean_iou"], "exchange")
    sentences = fusion_advice(rows, scores.written)
    assert commonest_metric(rows) == IOU
    assert any(sentence.startswith("Take concat (90.00)") for sentence in sentences)
    assert commonest_metric(rows[:2]) == "rgb.mean_iou"
    assert commonest_metric(sweep_rows(plans, [], [IOU], "exchange")) == ""
    without = fusion_advice(sweep_rows(plans, outcomes, ["rgb.mean_iou"], "exchange"), scores.written)
    assert without[-1] == "concat has no rgb.mean_iou: nothing is said of it."


def test_a_row_that_fell_behind_is_not_the_best_for_an_easy_seed() -> None:
    sentences = said({"concat": [0.60, 0.50], "input": [0.59, 0.49], "exchange": [0.58]})
    assert sentences[0] == "Take concat (55.00): the best row."


def test_further_seeds_decide_among_the_rows_that_have_them() -> None:
    sentences = said({"concat": [0.62, 0.58, 0.58], "random": [0.61, 0.62, 0.621], "average": [0.50]})
    assert sentences[0] == "Take random (61.70): the best row."


def test_the_best_fusion_is_the_best_of_those_with_more_seeds() -> None:
    rows = {"only rgb": [0.7, 0.71, 0.7], "concat": [0.6, 0.5, 0.5], "random": [0.59, 0.62, 0.63], "average": [0.4]}
    assert said(rows)[0].startswith("The best fusion, random (61.33), is 9.00 worse than only rgb (70.33), p = ")


def test_the_best_fusion_is_the_row_that_is_taken() -> None:
    outcomes = [outcome("only", seed, value) for seed, value in enumerate((0.6, 0.16, 0.5))]
    outcomes += [outcome("concat", seed, value) for seed, value in enumerate((0.41, 0.56, 0.91))]
    outcomes += [outcome("attention", 0, 0.45), *(outcome("exchange", n, v) for n, v in enumerate((0.28, 0.3, 0.05)))]
    plans = [RowPlan("", name, name, {}, name == "only") for name in ("only", "concat", "attention", "exchange")]
    first, second, *_ = fusion_advice(sweep_rows(plans, outcomes, [IOU], "concat"), scores.written)
    assert first.startswith("The best fusion, concat (62.67), is ")
    assert second == "Take concat (62.67): the best row."


def test_a_row_without_its_last_seed_may_be_the_best() -> None:
    rows = {"only rgb": [0.2, 0.2, 0.2], "concat": [0.5, 0.5, 0.5], "exchange": [0.6, 0.6]}
    assert any(sentence.startswith("Take exchange (60.00): the best row") for sentence in said(rows))


def test_nothing_is_said_of_rows_without_a_common_seed() -> None:
    outcomes = [outcome("only rgb", 0, 0.2), outcome("concat", 1, 0.5)]
    plans = [RowPlan("", name, name, {}, name.startswith("only")) for name in ("only rgb", "concat")]
    sentences = fusion_advice(sweep_rows(plans, outcomes, [IOU], "concat"), scores.written)
    assert sentences[0] == "Take concat (50.00): the best row."


def test_a_row_that_exchanged_nothing_is_named() -> None:
    plans = [RowPlan("", name, name, {}) for name in ("gamma", "random", "concat")]
    outcomes = [outcome("gamma", 0, 0.4), outcome("random", 0, 0.5, replaced=3), outcome("concat", 0, 0.6)]
    idle, *others = sweep_rows(plans, outcomes, [IOU], "concat")
    sentences = fusion_advice([dataclasses.replace(idle, replaced=0.0), *others], scores.written)
    assert [sentence for sentence in sentences if "replaced no channel" in sentence] == [
        "gamma replaced no channel in these runs: its row says nothing of exchanging."
    ]


def test_rows_without_a_difference_are_neither_better_nor_worse() -> None:
    first, second, *_ = said({"only rgb": [0.3, 0.31], "only depth": [0.3, 0.31], "concat": [0.3, 0.31]})
    assert (
        first
        == "Of the modalities, only rgb (30.50) is no better than only depth (30.50) and no worse, p = 1 over 2 seeds."
    )
    assert "worse than" not in second


def test_a_row_of_one_seed_is_a_guess_beside_others_of_more() -> None:
    sentences = said({"only rgb": [0.3, 0.31], "only depth": [0.2, 0.21], "concat": [0.6]})
    assert sentences[-1].startswith("One seed: this is a guess.")


def test_a_difference_over_fewer_seeds_than_the_means_says_so() -> None:
    first, second, *_ = said({"only rgb": [0.3, 0.31], "only depth": [0.2, 0.23, 0.5], "concat": [0.6, 0.62, 0.64]})
    assert first.startswith("Of the modalities, only rgb (30.50) is 9.00 better than only depth (31.00), p = ")
    assert first.endswith(" over 2 common seeds.")
    assert second.endswith(" over 2 common seeds.")


@pytest.mark.parametrize("rows", [{"only rgb": [0.5]}, {"concat": []}])
def test_without_a_fused_row_there_is_nothing_to_advise(rows: dict[str, list[float]]) -> None:
    assert said(rows)[0].startswith("Nothing to advise yet")
