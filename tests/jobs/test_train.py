"""Training from Python: every way to name a recipe, who is told, and what comes back."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tomllib
from pathlib import Path

import pytest

from cen_cli.engine import fit
from cen_cli.errors import Interrupted, UsageError
from cen_cli.jobs.train import dry_run, resume, train
from cen_cli.recipe import load_recipe, parse_recipe
from cen_cli.results import Listener, StepReport, TrainingPlan


class Heard(Listener):
    """Notes what it is told, and may ask the process to stop."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.plans: list[TrainingPlan] = []
        self.steps: list[int] = []
        self.notes: list[str] = []
        self.stop_at = stop_at

    def on_note(self, text: str) -> None:
        self.notes.append(text)

    def on_start(self, plan: TrainingPlan) -> None:
        self.plans.append(plan)

    def on_step(self, report: StepReport) -> None:
        self.steps.append(report.step)
        if report.step == self.stop_at:
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_recipe_is_a_path_tables_or_itself(
    tiny_recipe: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tables = tomllib.loads(tiny_recipe.read_text())
    summaries = [
        train(source, changes={"train.epochs": 1}, out=tmp_path / str(index), device="cpu")
        for index, source in enumerate((tiny_recipe, tables, load_recipe(tiny_recipe)))
    ]
    assert len({summary.best.metric("ensemble.mean_iou") for summary in summaries}) == 1
    recipes = {(Path(summary.run) / "recipe.toml").read_text() for summary in summaries}
    assert len(recipes) == 1
    assert parse_recipe(recipes.pop(), "a test").train.epochs == 1
    assert summaries[0].epochs == 1
    assert capfd.readouterr() == ("", ""), "a job prints nothing"
    with pytest.raises(UsageError, match="nothing is overwritten"):
        train(tables, out=tmp_path / "0", device="cpu")


def test_who_listens_is_told_and_a_stopped_run_goes_on(tiny_recipe: Path, tmp_path: Path) -> None:
    whole = train(tiny_recipe, out=tmp_path / "whole", device="cpu")
    stopped = Heard(stop_at=4)
    with pytest.raises(Interrupted):
        train(tiny_recipe, out=tmp_path / "stopped", device="cpu", listener=stopped)
    assert [plan.run for plan in stopped.plans] == [str(tmp_path / "stopped")]
    assert stopped.steps == [2, 4]
    again = Heard()
    summary = resume(tmp_path / "stopped", device="cpu", listener=again)
    assert again.notes == ["continuing after step 4 of 8"]
    assert again.steps == [6, 8]
    assert summary.last == whole.last
    with pytest.raises(UsageError, match="its own recipe"):
        resume(tmp_path / "stopped", changes={"train.epochs": 9})
    with pytest.raises(UsageError, match=r"train.epochs differ"):
        resume(tmp_path / "stopped", recipe=tiny_recipe, changes={"train.epochs": 9}, device="cpu")


def test_a_run_goes_on_with_fewer_loading_workers(
    tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, seen, loader = tmp_path / "run", [], fit.training_loader

    def noted(data: object, *, workers: int, **options: object) -> object:
        seen.append(workers)
        return loader(data, workers=workers, **options)

    monkeypatch.setattr(fit, "training_loader", noted)
    with pytest.raises(Interrupted):
        train(tiny_recipe, changes={"data.workers": 1}, out=run, device="cpu", listener=Heard(stop_at=4))
    resume(run, recipe=run / "recipe.toml", changes={"data.workers": 0}, device="cpu")
    assert seen == [1, 0]
    assert "workers = 1" in (run / "recipe.toml").read_text()


def test_a_run_goes_on_without_the_weights_that_it_started_from(tiny_recipe: Path, tmp_path: Path) -> None:
    train(tiny_recipe, changes={"train.epochs": 1}, out=tmp_path / "first", device="cpu")
    changes = {"model.weights": str(tmp_path / "first")}
    with pytest.raises(Interrupted):
        train(tiny_recipe, changes=changes, out=tmp_path / "second", device="cpu", listener=Heard(stop_at=4))
    shutil.rmtree(tmp_path / "first")
    heard = Heard()
    resume(tmp_path / "second", device="cpu", listener=heard)
    assert heard.steps == [6, 8]
    assert [(plan.resumed, plan.start) for plan in heard.plans] == [(True, "")]


def test_a_resumed_run_keeps_the_precision_that_auto_has_meant(
    tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cen_cli.builders.precision._cache", lambda recipe: tmp_path / "measured.json")
    run = tmp_path / "run"
    train(tiny_recipe, changes={"train.epochs": 1, "train.precision": "auto"}, out=run, device="cpu")
    environment = json.loads((run / "environment.json").read_text())
    for device, precision in ((environment["device"], "bf16"), ("cuda:0 (some card)", environment["precision"])):
        changed = {**environment, "device": device, "precision": "bf16"}
        (run / "environment.json").write_text(json.dumps(changed))
        heard = Heard()
        resume(run, device="cpu", listener=heard)
        assert heard.plans[0].precision == precision


def test_a_dry_run_writes_nothing(tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    dry = dry_run(tiny_recipe, device="cpu")
    assert dry.plan.total_steps == 8
    assert dry.macs > 0
    assert sorted(tmp_path.iterdir()) == before
