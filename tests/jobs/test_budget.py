"""Which rows get another seed where time is short."""

from __future__ import annotations

import math

import pytest

from cen_cli.analysis.sweeps import RowPlan, sweep_rows
from cen_cli.errors import UsageError
from cen_cli.jobs import budget
from cen_cli.results import Listener
from tests.analysis.test_sweeps import outcome

SCORES = {"alone": 0.1, "worst": 0.2, "good": 0.4, "best": 0.5}
ROWS = [("", name) for name in SCORES]


@pytest.fixture(autouse=True)
def nothing_goes_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "BESIDE", 0.0)


class Notes(Listener):
    def __init__(self) -> None:
        self.said: list[str] = []

    def on_note(self, text: str) -> None:
        self.said.append(text)


def nothing_is_done(row: budget.Row, index: int) -> bool:
    return False


def untrained(row: budget.Row, index: int) -> float:
    return 0.0


def trained(
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    overhead: float = 1.0,
    estimate: float = 10.0,
    jobs: int = 1,
    beside: float = 0.0,
    before: float = 0.0,
) -> tuple[list[list[str]], list[str]]:
    """What is trained within so many seconds, round by round, where every training takes ten of them.

    Every first seed has `before` of them behind it.
    """
    now, done, heard = [0.0], list[list[str]](), Notes()
    monkeypatch.setattr(budget.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(budget, "BESIDE", beside)

    def train(rows, index) -> None:
        assert index == len(done)
        done.append([name for _, name in rows])
        now[0] += (10 if index else 10 - before) * overhead * math.ceil(len(rows) / jobs)

    def is_done(row, index) -> bool:
        return index < len(done) and row[1] in done[index]

    def so_far(row, index) -> float:
        return 10.0 if is_done(row, index) else 0.0 if index else before

    plans = [RowPlan("", name, name, {}, name == "alone") for name in SCORES]
    table = sweep_rows(
        plans, [outcome(name, 0, value) for name, value in SCORES.items()], ["ensemble.mean_iou"], "best"
    )
    budget.train_within(
        seconds,
        [ROWS] * 3,
        lambda row: 10.0 if done else estimate,
        so_far,
        is_done,
        train,
        lambda: table,
        heard,
        jobs,
    )
    return done, heard.said


def test_all_seeds_are_trained_where_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert trained(monkeypatch, 120) == ([list(SCORES)] * 3, [])


def test_the_first_round_reckons_with_what_goes_beside_a_training(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="one seed of every row takes about 2 minutes"):
        trained(monkeypatch, 75, beside=15.0)
    assert trained(monkeypatch, 120, beside=15.0) == ([list(SCORES)] * 3, []), "as it took no longer than the trainings"


def test_the_better_half_and_the_best_alone_get_another_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    done, said = trained(monkeypatch, 75)
    assert done == [list(SCORES), ["best", "good", "alone"]]
    assert said[0] == "budget: seed 2 for the better 3 of 4 rows: best, good, alone"
    assert said[1] == "budget: no time for seed 3 of even two rows"


def test_rows_that_fell_behind_stay_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the third seed costs nothing."""
    names = "abcdefgh"
    values = {name: 0.5 - 0.01 * place for place, name in enumerate(names)}
    now, done, heard = [0.0], list[list[str]](), Notes()
    monkeypatch.setattr(budget.time, "monotonic", lambda: now[0])

    def train(rows, index) -> None:
        done.append([name for _, name in rows])
        now[0] += 10 * len(rows)

    def table():
        outcomes = [outcome(name, seed, values[name]) for seed, round_ in enumerate(done) for name in round_]
        return sweep_rows([RowPlan("", name, name, {}) for name in names], outcomes, ["ensemble.mean_iou"], "a")

    rows = [("", name) for name in names]
    budget.train_within(
        140, [rows] * 3, lambda row: 10.0, untrained, lambda row, index: index == 2, train, table, heard
    )
    assert done == [list(names), list("abcd"), list("abcd")]


@pytest.mark.parametrize(("seconds", "second"), [(80, 4), (60, 2), (50, 0)])
def test_every_group_keeps_a_row_or_all_end(monkeypatch: pytest.MonkeyPatch, seconds: float, second: int) -> None:
    now, done, heard = [0.0], list[int](), Notes()
    monkeypatch.setattr(budget.time, "monotonic", lambda: now[0])
    rows = [(group, variant) for group in ("one", "two") for variant in ("alone", "fused")]

    def train(chosen, index) -> None:
        done.append(len(chosen))
        now[0] += 10 * len(chosen)

    plans = [RowPlan(group, variant, variant, {}, variant == "alone") for group, variant in rows]
    scores = [outcome(variant, 0, 0.1 * place, group=group) for place, (group, variant) in enumerate(rows)]
    table = sweep_rows(plans, scores, ["ensemble.mean_iou"], "fused")
    budget.train_within(seconds, [rows] * 2, lambda row: 10.0, untrained, nothing_is_done, train, lambda: table, heard)
    assert done == [4, second][: 1 + bool(second)]


def test_what_a_round_really_took_is_reckoned_with(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(trained(monkeypatch, 75, overhead=1.5)[0]) == 1


def test_a_half_trained_seed_costs_what_is_left_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [len(rows) for rows in trained(monkeypatch, 20, before=9.0)[0]] == [4], "4 seconds, and no time for 20 more"
    assert [len(rows) for rows in trained(monkeypatch, 44, before=9.0)[0]] == [4, 4], (
        "at their own pace, not at a tenth"
    )
    with pytest.raises(UsageError, match="one seed of every row"):
        trained(monkeypatch, 3, before=9.0)


def test_an_estimate_that_was_too_low_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert trained(monkeypatch, 120, estimate=5.0) == ([list(SCORES)] * 3, [])
    assert len(trained(monkeypatch, 185, overhead=1.5, estimate=5.0)[0][2]) == len(SCORES)


@pytest.mark.parametrize(
    ("trainings", "jobs", "elapsed"),
    [([4, 4, 4], 1, 12), ([4, 4, 4], 2, 8), ([4, 1, 1, 1], 2, 4), ([9], 8, 9), ([], 2, 0)],
)
def test_trainings_side_by_side_end_with_the_last(trainings: list[float], jobs: int, elapsed: float) -> None:
    assert budget._elapsed(trainings, jobs) == elapsed


def test_a_round_of_fewer_rows_than_jobs_takes_as_long_as_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [len(rows) for rows in trained(monkeypatch, 19, jobs=4)[0]] == [4]
    assert [len(rows) for rows in trained(monkeypatch, 29, jobs=4)[0]] == [4, 4]
    with pytest.raises(UsageError, match="one seed of every row"):
        trained(monkeypatch, 19, jobs=3)


def test_less_than_one_seed_is_refused_with_what_would_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="one seed of every row takes about 1 minutes, and there are 0") as refused:
        trained(monkeypatch, 20)
    assert "about 50% of the epochs" in refused.value.hint
