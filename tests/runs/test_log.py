"""What a run logged, read back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from cen_cli.errors import CheckpointError
from cen_cli.results import RunLog
from cen_cli.runs.directory import RunDirectory
from cen_cli.runs.log import read_log, read_progress


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> RunDirectory:
    (tmp_path / "run").mkdir()
    shutil.copy(tiny_run / "events.jsonl", tmp_path / "run")
    return RunDirectory(tmp_path / "run")


def test_the_log_holds_what_the_run_wrote(tiny_run: Path, run: RunDirectory) -> None:
    log = read_log(run)
    metrics = json.loads((tiny_run / "metrics.json").read_text())
    assert [(step.epoch, step.step) for step in log.steps] == [(1, 2), (1, 4), (2, 6), (2, 8)]
    assert set(log.steps[0].losses) == {"rgb", "depth", "ensemble", "sparsity", "total"}
    assert [count.modality for count in log.steps[-1].replaced] == ["rgb", "depth"]
    assert log.steps_per_epoch == 4
    best = log.validation_at(read_progress(RunDirectory(tiny_run), 2).best_step)
    assert best is not None
    assert best.step == metrics["best_step"]
    assert best.evaluation.metric("ensemble.mean_iou") == metrics["best"]["scores"]["ensemble"]["mean_iou"]


def test_a_line_that_was_cut_off_is_left_out(run: RunDirectory) -> None:
    whole = read_log(run)
    with run.events.open("a") as file:
        file.write('{"kind": "step", "epo')
    assert read_log(run) == whole


def test_a_run_that_has_not_logged_anything_has_an_empty_log(tmp_path: Path) -> None:
    log = read_log(RunDirectory(tmp_path))
    assert log == RunLog()
    assert log.steps_per_epoch is None
    assert log.validation_at(0) is None


@pytest.mark.parametrize(
    "line",
    [
        '{"kind": "step", "epoch": "one", "step": 1, "losses": {}, "learning_rates": {}, "replaced": []}',
        '{"kind": "step", "epoch": 1, "step": 1e999, "losses": {}, "learning_rates": {}, "replaced": []}',
        '{"kind": "step", "epoch": 1, "step": 1, "losses": {"total": NaN}, "learning_rates": {}, "replaced": []}',
        "[" * 100_000,
        "1" * 5000,
        "nonsense",
        '{"kind": "step", "epoch": 1}',
        "[]",
        '{"kind": "validation"}',
        '{"kind": "health", "step": 1}',
    ],
)
def test_a_line_that_is_no_event_is_named(run: RunDirectory, line: str) -> None:
    with run.events.open("a") as file:
        file.write(f"{line}\n")
    number = run.events.read_text().count("\n")
    with pytest.raises(CheckpointError, match=rf"events\.jsonl, line {number}: not an event of a training run"):
        read_log(run)
