"""fp16: what reads gradients sees them unscaled, a step whose gradients overflow changes nothing, resuming is exact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import cen_cli
from cen_cli.builders import TrainingJob, training_job
from cen_cli.engine.task import NetworkTask
from cen_cli.errors import DivergedError, Interrupted, UsageError
from cen_cli.models.exchange import exchange_layers
from cen_cli.recipe import load_recipe
from tests.engine.test_training_options import Stopping
from tests.tiny import write_nyudv2, write_recipe, write_translation_recipe

WATCHED = (
    "train.ema=0.75",
    "exchange.choose=gain",
    "exchange.budget=0.3",
    "train.accumulate=2",
    "train.batch=4",
    "optimizer.clip_norm=1.0",
)
SCALED = ("train.ema=0.75", "exchange.sparsity_scale=layer", "optimizer.clip_norm=1.0")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fp16")
    return write_recipe(folder / "tiny.toml", write_nyudv2(folder / "data", train=8))


@pytest.fixture(scope="module")
def translation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fp16-translation")
    return write_translation_recipe(folder / "tiny.toml", folder / "rooms")


def job(recipe: Path, *changes: str, precision: str = "fp16") -> TrainingJob:
    return training_job(load_recipe(recipe, (f"train.precision={precision}", *changes)), device_name="cpu")


def scaled(task: NetworkTask, scale: float) -> None:
    for scaler in task.scalers.values():
        scaler.load_state_dict(scaler.state_dict() | {"scale": scale})


def scales(task: NetworkTask) -> set[float]:
    return {state["scale"] for state in task.scaler_states().values()}


def learned(task: NetworkTask) -> dict[str, Any]:
    """All that steps move, but for the running statistics of norms."""
    networks = {"model": task.model, "kept": task.kept, **task.auxiliaries}
    tensors = {
        f"{name}.{key}": value for name, network in networks.items() for key, value in network.state_dict().items()
    }
    kept = {key: value.clone() for key, value in tensors.items() if "running" not in key}
    return kept | {f"{name} steps": len(optimizer.state) for name, optimizer in task.optimizers.items()}


def same(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    return [name for name in one if torch.equal(torch.as_tensor(one[name]), torch.as_tensor(other[name]))]


@pytest.mark.parametrize("changes", [WATCHED, SCALED, None], ids=["gains", "scaled penalty", "translation"])
def test_an_overflow_changes_nothing_but_the_scale(
    recipe: Path, translation: Path, changes: tuple[str, ...] | None
) -> None:
    made = job(translation if changes is None else recipe, *(changes or ()))
    task, batch = made.task, next(made.batches(workers=0))
    scaled(task, 256.0)
    task.step(batch, 0)
    before = learned(task)
    scaled(task, 2.0**100)
    terms = task.step(batch, 1)
    assert task.skipped
    assert scales(task) == {2.0**99}
    assert terms["total"].isfinite()
    assert same(before, learned(task)) == list(before)
    scaled(task, 256.0)
    task.step(batch, 2)
    assert not task.skipped
    assert scales(task) == {256.0}
    moved = set(before) - set(same(before, learned(task)))
    assert {name.split(".")[0] for name in moved} == {"model", "kept", *task.auxiliaries}


@pytest.mark.parametrize(("changes", "buffer"), [(WATCHED, "choice.gain"), (SCALED, "gradient_square")])
def test_what_follows_gradients_sees_them_without_the_scale(
    recipe: Path, changes: tuple[str, ...], buffer: str
) -> None:
    def followed(precision: str) -> tuple[Tensor, Tensor]:
        made = job(recipe, *changes, "train.freeze_bn=true", "model.dropout=0.0", precision=precision)
        scaled(made.task, 512.0)
        made.task.step(next(made.batches(workers=0)), 0)
        layers = exchange_layers(made.task.model).values()
        seen = torch.cat([layer.get_buffer(buffer).flatten() for layer in layers])
        return seen, torch.cat([layer.norm.weight.grad.flatten() for layer in layers])

    for half, full in zip(followed("fp16"), followed("fp32"), strict=True):
        assert full.norm() > 0
        assert (half - full).norm() < 0.05 * full.norm()


def test_gates_are_hardened_in_a_step_that_is_skipped(recipe: Path) -> None:
    made = job(recipe, "exchange.choose=gate", "exchange.budget=0.3")
    batch, total = next(made.batches(workers=0)), made.task.schedule.total_steps
    scaled(made.task, 2.0**100)
    made.task.step(batch, int(0.75 * total))
    assert made.task.skipped
    assert not any(layer.mixes for layer in exchange_layers(made.task.model).values())


def test_gradients_that_no_scale_makes_finite_end_the_run(recipe: Path) -> None:
    made = job(recipe)
    scaled(made.task, 1.0)
    next(made.task.model.parameters()).register_hook(lambda gradient: gradient * torch.inf)
    with pytest.raises(DivergedError, match=r"model: gradients are not finite in fp16, however small") as caught:
        made.task.step(next(made.batches(workers=0)), 0)
    assert "train.precision" in str(caught.value.hint)


def test_a_run_resumes_to_the_bit_and_is_evaluated(recipe: Path, tmp_path: Path) -> None:
    changes = ("train.precision=fp16", "train.log_every=1", "train.ema=0.9")
    cen_cli.train(recipe, changes=changes, out=tmp_path / "straight", device="cpu")
    with pytest.raises(Interrupted):
        cen_cli.train(recipe, changes=changes, out=tmp_path / "stopped", device="cpu", listener=Stopping())
    resumed = cen_cli.resume(tmp_path / "stopped", device="cpu")
    for name in ("events.jsonl", "checkpoints/last/model.safetensors", "checkpoints/last/training.safetensors"):
        assert (tmp_path / "straight" / name).read_bytes() == (tmp_path / "stopped" / name).read_bytes(), name
    states = [
        json.loads((tmp_path / run / "checkpoints/last/state.json").read_text()) for run in ("straight", "stopped")
    ]
    assert states[0]["scalers"] == states[1]["scalers"] != {}
    assert states[0]["progress"]["skipped"] == states[1]["progress"]["skipped"] > 0
    lines = [json.loads(line) for line in (tmp_path / "stopped" / "events.jsonl").read_text().splitlines()]
    health = {line["step"] for line in lines if line["kind"] == "health"}
    steps = [line for line in lines if line["kind"] == "step"]
    assert len(health) == len(steps) - steps[-1]["skipped"]  # of skipped steps there is nothing to say
    assert {"loss_scales", "skipped"} <= steps[0].keys()
    assert all(0 < part["gradient"] < 10 for line in lines if line["kind"] == "health" for part in line["parts"])
    shown = cen_cli.evaluate(tmp_path / "stopped" / "checkpoints" / "last", split="val", device="cpu")
    assert repr(shown.evaluation.scores) == repr(resumed.last.scores)


def test_it_is_refused_where_it_cannot_train(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cen_cli.builders.jobs.resolve_device", lambda _: torch.device("mps"))
    with pytest.raises(UsageError, match=r'train.precision = "fp16" trains on CUDA devices and the CPU, not on mps'):
        job(recipe)
