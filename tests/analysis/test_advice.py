"""Which fusion to take, in words, from rows with known scores and costs."""

from __future__ import annotations

import pytest

from cen_cli.analysis.advice import fusion_advice
from cen_cli.analysis.sweeps import RowPlan, sweep_rows
from cen_cli.reporting import scores
from cen_cli.results import MemberOutcome, NetworkCost
from tests.analysis.test_sweeps import outcome

IOU = "ensemble.mean_iou"


def said(values: dict[str, list[float]], macs: dict[str, int] | None = None) -> tuple[str, ...]:
    """The advice on rows with these values by seed; names that begin with `only` are of one modality."""
    outcomes: list[MemberOutcome] = []
    for name, by_seed in values.items():
        for seed, value in enumerate(by_seed):
            made = outcome(name, seed, value)
            cost = None if macs is None else NetworkCost(1_000_000, macs[name])
            outcomes.append(MemberOutcome(**{**vars(made), "cost": cost}))
    plans = [RowPlan("", name, name, {}, name.startswith("only")) for name in values]
    return fusion_advice(sweep_rows(plans, outcomes, [IOU], next(iter(values))), scores.written)


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
    assert said({"concat": [0.5, 0.6], "exchange": [0.4]})[-1] == "Rows that fell behind have 1 of 2 seeds."


@pytest.mark.parametrize("rows", [{"only rgb": [0.5]}, {"concat": []}])
def test_without_a_fused_row_there_is_nothing_to_advise(rows: dict[str, list[float]]) -> None:
    assert said(rows)[0].startswith("Nothing to advise yet")
