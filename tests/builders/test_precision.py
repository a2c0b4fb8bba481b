"""What train.precision = "auto" decides, by measuring the network itself, and that what it decided stays."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch

from cen_cli.builders import load, precision
from cen_cli.builders.precision import decide_precision, in_precision_of_run
from cen_cli.builders.scoring import checkpoint_scorer
from cen_cli.recipe import Recipe, load_recipe

CPU = torch.device("cpu")


@pytest.fixture
def bf16_ratio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A CPU with bf16, and what is measured on it, one number after the other; an empty cache."""
    ratios: list[float] = []
    monkeypatch.setattr(precision, "computes_bf16", lambda device: True)
    monkeypatch.setattr(precision, "_measured", lambda recipe, device: ratios.pop(0))
    monkeypatch.setattr(precision.platformdirs, "user_cache_path", lambda name: tmp_path / name)
    return ratios


def auto(recipe: Path | str = "rooms", **changes: object) -> Recipe:
    return load_recipe(recipe, {"train.precision": "auto", **changes}, None)


def test_bf16_is_taken_where_a_step_is_faster_by_it_and_remembered(bf16_ratio: list[float]) -> None:
    bf16_ratio += [0.94, 0.96, 0.5]
    assert decide_precision(auto(), CPU) == ("bf16", 0.94)
    assert decide_precision(auto("rooms-depth"), CPU) == ("fp32", 0.96)  # another network
    assert decide_precision(auto(), CPU) == ("bf16", 0.94)
    assert decide_precision(auto(**{"model.fusion": "concat"}), CPU) == ("bf16", 0.94)  # one architecture, one answer
    assert bf16_ratio == [0.5]


def test_a_deep_u_net_is_measured_on_images_that_it_can_halve() -> None:
    deep = {"unet.levels": 9, "unet.filters": 4, "data.crop": [512, 512], "data.rooms.size": 512, "train.batch": 1}
    assert precision._measured(auto("rooms-translate", **deep), CPU) > 0


def test_a_damaged_answer_is_measured_again(bf16_ratio: list[float], tmp_path: Path) -> None:
    bf16_ratio += [0.5, 0.6]
    assert decide_precision(auto(), CPU) == ("bf16", 0.5)
    (file,) = tmp_path.glob("cen/precision/*.json")
    file.write_text('{"bf16_over_fp32": "half"}')
    assert decide_precision(auto(), CPU) == ("bf16", 0.6)


def test_nothing_is_measured_without_need(bf16_ratio: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    assert decide_precision(load_recipe("rooms", {"train.precision": "bf16"}, None), CPU) == ("bf16", None)
    monkeypatch.setattr(precision.ranks, "launched", lambda: True)
    assert decide_precision(auto(), CPU) == ("fp32", None)
    monkeypatch.undo()
    monkeypatch.setattr(precision, "computes_bf16", lambda device: False)
    assert decide_precision(auto(), CPU) == ("fp32", None)


@pytest.mark.parametrize("task", ["tiny_recipe", "tiny_translation_recipe"])
def test_measuring_moves_no_generator(task: str, request: pytest.FixtureRequest) -> None:
    recipe = auto(request.getfixturevalue(task))
    before = torch.get_rng_state()
    ratio = precision._measured(recipe, CPU)
    assert 0 < ratio < 1000
    assert torch.equal(torch.get_rng_state(), before)


def test_a_run_is_scored_in_the_precision_that_it_was_trained_in(tiny_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    environment = json.loads((run / "environment.json").read_text())
    (run / "environment.json").write_text(json.dumps({**environment, "precision": "bf16"}))
    recipe = auto(run / "recipe.toml")
    scorer = checkpoint_scorer(recipe, CPU, run / "checkpoints" / "last" / "model.safetensors")
    assert scorer.args[0].precision == "bf16"
    loaded = load(run)
    assert loaded.precision(recipe) == "bf16"
    assert loaded.precision(load_recipe(run / "recipe.toml", {"train.precision": "fp32"}, None)) == "fp32"
    assert dataclasses.replace(loaded, engine="onnx").precision(recipe) == "fp32"
    (run / "environment.json").write_text("damaged")
    assert in_precision_of_run(recipe, run / "checkpoints" / "last" / "model.safetensors", CPU) == recipe
