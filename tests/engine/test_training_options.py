"""Accumulated gradients, averaged weights and early stopping: each does what it says, and resumes to the bit."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from torch import Tensor

import cen_cli
from cen_cli.builders import TrainingJob, training_job
from cen_cli.engine.profiling import profile_step
from cen_cli.errors import Interrupted, UsageError
from cen_cli.models.exchange import exchange_layers
from cen_cli.recipe import load_recipe
from cen_cli.results import SILENT, StepReport
from cen_cli.runs.checkpoint import read_tensors
from tests.tiny import write_nyudv2, write_recipe

EXACT = ("train.freeze_bn=true", "optimizer.kind=sgd", "model.dropout=0.0", "train.batch=4")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("options")
    return write_recipe(folder / "tiny.toml", write_nyudv2(folder / "data", train=8))


def job(recipe: Path, *changes: str) -> TrainingJob:
    return training_job(load_recipe(recipe, changes), device_name="cpu")


def trained(job: TrainingJob, steps: int) -> tuple[dict[str, Tensor], list[dict[str, Tensor]]]:
    batches = list(job.batches(workers=0))
    terms = [job.task.step(batches[step % len(batches)], step) for step in range(steps)]
    return {name: value.clone() for name, value in job.task.model.state_dict().items()}, terms


@pytest.mark.parametrize("changes", [(), ("loss.class_weights=median", "loss.focal_gamma=2.0")], ids=["plain", "loss"])
def test_a_batch_in_parts_is_the_batch(recipe: Path, changes: tuple[str, ...]) -> None:
    whole, whole_terms = trained(job(recipe, *EXACT, *changes), 3)
    parts, parts_terms = trained(job(recipe, *EXACT, *changes, "train.accumulate=4"), 3)
    start = job(recipe, *EXACT, *changes).task.model.state_dict()
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-4, atol=1e-6, msg=name)
    assert any((start[name] - value).abs().max() > 1e-3 for name, value in whole.items())
    for one, other in zip(whole_terms, parts_terms, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_checkpointed_activations_change_no_bit(recipe: Path, precision: str) -> None:
    changes = (f"train.precision={precision}", "train.batch=4", "train.accumulate=2")
    plain, plain_terms = trained(job(recipe, *changes), 2)
    found, terms = trained(job(recipe, *changes, "train.checkpoint_activations=true"), 2)
    assert all(torch.equal(found[name], value) for name, value in plain.items())
    assert terms == plain_terms
    dry = [
        profile_step(made.task, next(made.batches(workers=0)), made.plan)
        for made in (job(recipe), job(recipe, "train.checkpoint_activations=true"))
    ]
    assert dry[1].activation_bytes < dry[0].activation_bytes


def test_a_dry_run_counts_one_part(recipe: Path) -> None:
    made = [job(recipe, *EXACT, f"train.accumulate={parts}") for parts in (1, 4)]
    whole, part = (profile_step(each.task, next(each.batches(workers=0)), each.plan) for each in made)
    assert part.activation_bytes < 0.3 * whole.activation_bytes


def test_a_dry_run_counts_the_average_and_the_gradients(recipe: Path) -> None:
    plain, averaged = (
        profile_step(each.task, next(each.batches(workers=0)), each.plan)
        for each in (job(recipe), job(recipe, "train.ema=0.9"))
    )
    assert averaged.parameter_bytes == 2 * plain.parameter_bytes
    assert averaged.gradient_bytes == plain.gradient_bytes == plain.parameter_bytes


def test_weights_of_the_discriminator_are_no_activations(tiny_translation_recipe: Path) -> None:
    large = job(tiny_translation_recipe, "gan.filters=64", "gan.layers=2", "train.batch=1")
    weights = sum(each.nbytes for network in large.task.auxiliaries.values() for each in network.parameters())
    assert profile_step(large.task, next(large.batches(workers=0)), large.plan).activation_bytes < weights / 2


def test_parts_divide_the_batch(recipe: Path) -> None:
    with pytest.raises(UsageError, match=r"train.accumulate.*equal parts of a batch, and 4 views"):
        job(recipe, *EXACT, "train.accumulate=3")


def test_the_average_is_that_of_the_weights_of_every_step(recipe: Path) -> None:
    made = job(recipe, "train.ema=0.75")
    model, kept = made.task.model, made.task.kept
    assert kept is not model
    batches = list(made.batches(workers=0))
    expected: dict[str, Tensor] = {}
    for step in range(4):
        made.task.step(batches[step], step)
        gammas = {f"{name}.norm.weight" for name in exchange_layers(model)}  # what is replaced goes by them
        for name, weight in model.named_parameters():
            averaged = step and name not in gammas
            expected[name] = 0.75 * expected[name] + 0.25 * weight if averaged else weight.detach().clone()
    for name, weight in kept.named_parameters():
        torch.testing.assert_close(weight, expected[name], rtol=1e-5, atol=1e-7)
    for (name, own), (_, other) in zip(kept.named_buffers(), model.named_buffers(), strict=True):
        assert torch.equal(own, other), name
    assert any(not torch.equal(own, other) for own, other in zip(kept.parameters(), model.parameters(), strict=True))
    assert job(recipe).task.kept is not None
    plain = job(recipe)
    assert plain.task.kept is plain.task.model


class Stopping(type(SILENT)):  # type: ignore[misc]
    """Asks for a stop after one step."""

    def on_step(self, report: StepReport) -> None:
        if report.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)


def test_an_average_resumes_to_the_bit(recipe: Path, tmp_path: Path) -> None:
    changes = ("train.ema=0.9", "train.log_every=1", "train.batch=4", "train.accumulate=2")
    cen_cli.train(recipe, changes=changes, out=tmp_path / "straight", device="cpu")
    with pytest.raises(Interrupted):
        cen_cli.train(recipe, changes=changes, out=tmp_path / "stopped", device="cpu", listener=Stopping())
    resumed = cen_cli.resume(tmp_path / "stopped", device="cpu")
    for file in ("model", "training"):
        straight, stopped = (
            read_tensors(tmp_path / run / "checkpoints" / "last" / f"{file}.safetensors")[0]
            for run in ("straight", "stopped")
        )
        assert straight.keys() == stopped.keys()
        assert all(torch.equal(straight[name], stopped[name]) for name in straight)
    shown = cen_cli.evaluate(tmp_path / "stopped" / "checkpoints" / "last", split="val", device="cpu")
    assert repr(shown.evaluation.scores) == repr(resumed.last.scores)  # what was validated is what was saved


def test_training_ends_where_nothing_gets_better(recipe: Path, tmp_path: Path) -> None:
    still = ("train.epochs=6", "train.patience=2", "optimizer.encoder_lr=1e-12", "optimizer.decoder_lr=1e-12")
    frozen = ("train.freeze_bn=true", "exchange.sparsity=0.0", "train.log_every=5")
    summary = cen_cli.train(recipe, changes=(*still, *frozen), out=tmp_path / "run", device="cpu")
    assert (summary.epochs, summary.steps) == (3, 12)
    events = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    assert [event["step"] for event in events if event["kind"] == "step"] == [5, 10, 12]
    assert cen_cli.resume(tmp_path / "run", device="cpu").epochs == 3
    assert not cen_cli.report(tmp_path / "run", images=0).headline.startswith("Not finished")
