"""A training job has the rates, the decay and the penalty that the recipe says, group by group."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cen_cli.builders import training_job
from cen_cli.builders.jobs import TrainingJob
from cen_cli.models.exchange import exchange_layers
from cen_cli.recipe import load_recipe
from tests.tiny import write_translation_recipe

RATES = {
    "optimizer.encoder_lr": [1e-2, 1e-2],
    "optimizer.decoder_lr": [2e-2, 3e-3],
    "schedule.kind": "staged",
    "schedule.stage_epochs": [1, 1],
    "optimizer.weight_decay": 1e-4,
}


def job(recipe: Path, **changes: object) -> TrainingJob:
    named = {key.replace("__", "."): value for key, value in changes.items()}
    return training_job(load_recipe(recipe, {**RATES, **named}), device_name="cpu")


def groups(made: TrainingJob, optimizer: str = "model") -> dict[str, dict]:
    return {group["name"]: group for group in made.task.optimizers[optimizer].param_groups}


def test_each_group_has_its_rate_stage_by_stage(tiny_recipe: Path) -> None:
    made = job(tiny_recipe)
    first, later = made.task.learning_rates(0), made.task.learning_rates(made.plan.steps_per_epoch)
    assert first == {"encoder": 1e-2, "decoder": 2e-2, "gamma": 1e-2, "ensemble": 2e-2}
    assert later == {"encoder": 1e-2, "decoder": 3e-3, "gamma": 1e-2, "ensemble": 3e-3}
    own = job(tiny_recipe, optimizer__gamma_lr=[5e-2, 5e-2]).task.learning_rates(0)
    assert own == {**first, "gamma": 5e-2}


def test_rates_decay_from_stage_to_stage(tiny_recipe: Path) -> None:
    made = job(tiny_recipe, optimizer__layer_decay=0.5)
    rates = made.task.learning_rates(0)
    stages = {f"encoder.stage{number}": 1e-2 * 0.5 ** (4 - number) for number in (1, 2, 3, 4)}
    assert rates == {**stages, "decoder": 2e-2, "gamma": 1e-2, "ensemble": 2e-2}
    trained = {name: {id(p) for p in group["params"]} for name, group in groups(made).items()}
    network = made.task.model
    assert trained["encoder.stage1"] >= {id(p) for p in network.encoder.conv1.parameters()}
    assert trained["encoder.stage4"] == {id(p) for p in network.encoder.layer4.parameters()} - trained["gamma"]
    assert set().union(*trained.values()) == {id(p) for p in network.parameters()}


def test_each_group_has_its_decay(tiny_recipe: Path) -> None:
    decays = {name: group["weight_decay"] for name, group in groups(job(tiny_recipe)).items()}
    assert decays == {"encoder": 1e-4, "decoder": 1e-4, "gamma": 1e-4, "ensemble": 0.0}
    own = groups(job(tiny_recipe, optimizer__gamma_weight_decay=0.0))
    assert {name: group["weight_decay"] for name, group in own.items()} == {**decays, "gamma": 0.0}


def test_each_parameter_is_trained_in_one_group(tiny_recipe: Path) -> None:
    made = job(tiny_recipe)
    trained = {name: {id(p) for p in group["params"]} for name, group in groups(made).items()}
    network = made.task.model
    assert trained["gamma"] == {id(layer.norm.weight) for layer in exchange_layers(network).values()}
    assert trained["ensemble"] == {id(p) for p in network.ensemble.parameters()}
    assert trained["encoder"] == {id(p) for p in network.encoder.parameters()} - trained["gamma"]
    assert trained["decoder"] == {id(p) for p in network.decoder.parameters()}


def test_the_penalty_is_lambda_times_the_pressed_gammas(tiny_recipe: Path) -> None:
    made = job(tiny_recipe, exchange__sparsity=7e-3)
    network = made.task.model
    (penalty,) = made.task.penalties.values()
    pressed = sum(layer.gamma[layer.pressed].abs().sum().item() for layer in exchange_layers(network).values())
    assert penalty(network).item() == pytest.approx(7e-3 * pressed, rel=1e-5)
    penalty(network).backward()
    reached = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    gammas = {id(layer.norm.weight) for layer in exchange_layers(network).values()}
    assert reached == {name for name, parameter in network.named_parameters() if id(parameter) in gammas}
    assert job(tiny_recipe, exchange__sparsity=0.0).task.penalties == {}


def test_the_penalty_of_alignment_has_a_weight_of_its_own(tiny_recipe: Path) -> None:
    made = job(tiny_recipe, model__fusion="align", model__alignment=0.3)
    (term,) = made.task.penalties
    assert term == "alignment"


def test_a_discriminator_has_an_optimiser_and_a_rate_of_its_own(tmp_path: Path) -> None:
    recipe = write_translation_recipe(tmp_path / "tiny.toml", tmp_path / "rooms")
    made = training_job(load_recipe(recipe, {"optimizer.discriminator_lr": 7e-3}), device_name="cpu")
    (trained,) = groups(made, "discriminator").values()
    discriminator = made.task.auxiliaries["discriminator"]
    assert {id(p) for p in trained["params"]} == {id(p) for p in discriminator.parameters()}
    rates = made.task.learning_rates(0)
    assert rates["discriminator"] == 7e-3
    assert rates["encoder"] != 7e-3
    assert all(isinstance(p, torch.Tensor) for p in trained["params"])
