"""A sweep from Python: what would be trained, what was, and which members are taken."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from cen_cli.builders import LoadedNetwork, dataset, load, network
from cen_cli.errors import UsageError
from cen_cli.jobs import sweep as sweeping
from cen_cli.jobs.compare import compare
from cen_cli.jobs.evaluate import evaluate, replaced_channels
from cen_cli.jobs.members import MemberRun
from cen_cli.jobs.sweep import plan, sweep
from cen_cli.models.cost import macs
from cen_cli.models.exchange import exchange_layers
from cen_cli.recipe import load_recipe
from cen_cli.recipe.sweeps import load_sweep
from cen_cli.results import Evaluation, Listener, MemberOutcome, SegmentationScores
from tests.own import write_folder, write_recipe

SWEEP = """
title = "two rows"
base = "{base}"
seeds = [0]
split = "val"
metrics = ["ensemble.mean_iou"]
reference = "on"
[variants.on]
[variants.off]
set = {{ exchange.choose = "none" }}
"""


class Ended(Listener):
    """Notes which members have ended."""

    def __init__(self) -> None:
        self.members: list[tuple[str, str, int]] = []

    def on_member(self, outcome: MemberOutcome, *, metric: str, ended: int, total: int) -> None:
        self.members.append((outcome.variant, outcome.state, total))


@pytest.fixture
def grid(tmp_path: Path, tiny_recipe: Path) -> Path:
    path = tmp_path / "grid.toml"
    path.write_text(SWEEP.format(base=tiny_recipe))
    return path


def test_a_grid_is_trained_and_reported(
    grid: Path, tiny_recipe: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    heard, ways = Ended(), {"out": tmp_path / "runs", "changes": {"train.epochs": 1}, "device": "cpu"}
    (planned,) = plan(grid, only=["on/*"], time=True, **ways)
    assert planned.member.state == "new"
    assert planned.expected_seconds > 0
    report = sweep(grid, listener=heard, shard=(1, 2), **ways)
    assert heard.members == [("on", "done", 1)]
    assert {row.variant: row.done for row in report.rows} == {"on": 1, "off": 0}
    assert report.failed == ()
    (cell,) = report.rows[0].cells
    scored = evaluate(tmp_path / "runs" / "on" / "seed-0" / "checkpoints" / "last", split="val", device="cpu")
    assert cell.values == {0: scored.evaluation.metric("ensemble.mean_iou")}
    trained = load(tmp_path / "runs" / "on" / "seed-0").network
    cost = report.rows[0].cost
    assert cost.parameters == sum(parameter.numel() for parameter in trained.parameters())
    assert cost.macs == macs(lambda: trained(torch.zeros(2, 3, 32, 40))), "of a view as it is scored"
    assert report.rows[1].cost is None
    windows = {(99, 99): ((32, 40), 1), (32, 20): ((32, 20), 3)}  # of the second, two thirds apart
    for window, (size, count) in windows.items():
        split = load_recipe(tiny_recipe, {"eval.window": list(window)})
        in_windows = sweeping._cost(load(tmp_path / "runs" / "on" / "seed-0"), split, (32, 40)).macs
        assert in_windows == count * macs(lambda size=size: trained(torch.zeros(2, 3, *size)))
    assert sweep(grid, show=True, **ways) == report
    assert capfd.readouterr() == ("", "")

    run = tmp_path / "runs" / "on" / "seed-0"
    compared = compare([f"{run}/checkpoints/best", f"{run}/checkpoints/last"], split="val", device="cpu")
    assert [row.done for row in compared.rows] == [1, 1], "two checkpoints of one run are two networks"


def test_a_member_that_was_done_since_it_was_planned_is_left_alone(
    grid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by another sweep on the same folder, which had it first."""
    ways = {"out": tmp_path / "runs", "changes": {"train.epochs": 1}, "device": "cpu", "only": ["on/*"]}
    sweep(grid, **ways)
    run = tmp_path / "runs" / "on" / "seed-0"
    before = {path: path.stat().st_mtime_ns for path in (run / "outcome.json", run.with_name("seed-0.log"))}
    found, heard = sweeping.outcome_of, Ended()
    states = iter(["new"] * 4)  # as data are looked at, of itself and of all, and it is planned; later as it is

    def as_planned(member: MemberRun) -> MemberOutcome:
        outcome = found(member)
        return dataclasses.replace(outcome, state=next(states, outcome.state))

    monkeypatch.setattr(sweeping, "outcome_of", as_planned)
    assert sweep(grid, listener=heard, **ways).failed == ()
    assert heard.members == [("on", "done", 1)]
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_gates_that_mix_to_the_end_replace_nothing_that_is_counted(tiny_recipe: Path) -> None:
    gates = {"exchange.choose": "gate"}
    for changes, counted in (({}, 2), (gates, 0), ({**gates, "exchange.budget": 0.3}, 2)):
        recipe = load_recipe(tiny_recipe, changes)
        made = LoadedNetwork(network(recipe, 5), recipe, (), (), None)
        for layer in exchange_layers(made.network).values():
            if layer.choice is not None:
                layer.choice.revise(layer, 75, 100)  # where gates with a budget are hardened
        assert len(replaced_channels(made)) == counted
    assert replaced_channels(dataclasses.replace(made, compact=True)) == ()


def test_a_note_that_is_not_of_all_rows_names_its_own(grid: Path) -> None:
    def scored(row: str, *notes: str) -> MemberOutcome:
        scores = {"ensemble": SegmentationScores(0, 0, 0, (), ())}
        evaluation = Evaluation("segmentation", "val", "strict", 1, scores, {}, notes=notes)
        return MemberOutcome("", row, 0, row, "done", evaluation)

    outcomes = [scored("on", "windows", "mirrored"), scored("off", "windows")]
    assert sweeping._notes(load_sweep(str(grid)), outcomes) == ("windows", "on: mirrored")


def test_what_no_member_is_is_refused(grid: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--budget gives the rows their seeds itself"):
        sweep(grid, out=tmp_path / "runs", budget=100, shard=(1, 2))
    with pytest.raises(UsageError, match="matches none"):
        plan(grid, only=["nowhere"], out=tmp_path)
    with pytest.raises(UsageError, match="2/4"):
        plan(grid, shard=(3, 2), out=tmp_path)


def test_rows_that_would_be_scored_on_different_views_are_refused(tmp_path: Path) -> None:
    """A modality lacks a file of a test view, which rows without that modality keep."""
    root = write_folder(tmp_path / "own", 12)
    recipe = write_recipe(tmp_path / "own.toml", root)
    name, *others = dataset(load_recipe(recipe), "test").names
    assert others
    (root / "height" / f"{name}.tif").unlink()
    changes = {"data.skip_incomplete": True, "train.epochs": 1}
    with pytest.raises(UsageError, match="would be scored on different views: 2 and 1, 1 of them the same"):
        sweep("fusions", recipe=recipe, changes=changes, out=tmp_path / "runs", device="cpu")
    assert not (tmp_path / "runs").exists()

    grid = tmp_path / "grid.toml"
    alone = '[variants.off]\nset = { data.inputs = ["rgb"], model.fusion = "none" }\n'
    grid.write_text(SWEEP.format(base=recipe).replace('"val"', '"test"').partition("[variants.off]")[0] + alone)
    ways = {"changes": changes, "out": tmp_path / "runs", "device": "cpu"}
    sweep(grid, only="off/*", **ways)
    with pytest.raises(UsageError, match=r"row on would be scored on other views, or other truths, than .*off"):
        sweep(grid, **ways)


def test_rows_that_were_scored_on_different_views_are_told_of(grid: Path) -> None:
    scores = {"ensemble": SegmentationScores(0, 0, 0, (), ())}
    evaluation = Evaluation("segmentation", "val", "strict", 1, scores, {})
    outcomes = [
        MemberOutcome("", row, 0, f"runs/{row}", "done", evaluation, truths=truths)
        for row, truths in (("on", "a"), ("off", "b"), ("old", ""))
    ]
    (note,) = sweeping._notes(load_sweep(str(grid)), outcomes)
    assert note == "runs/off: scored on other views, or other truths, than runs/on"
    assert sweeping._notes(load_sweep(str(grid)), [outcomes[0], outcomes[2]]) == ()
