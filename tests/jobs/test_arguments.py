"""The functions of `cen_cli` take what their commands take, and refuse what those refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import cen_cli
from cen_cli.errors import RecipeError, UsageError
from cen_cli.recipe import load_recipe
from cen_cli.results import Fill


@pytest.mark.parametrize("without", ["depth", ["depth"]])
@pytest.mark.parametrize("fill", ["mean", Fill.MEAN])
def test_a_missing_modality_and_its_fill_by_their_words(tiny_run: Path, without: Any, fill: str) -> None:
    report = cen_cli.evaluate(tiny_run, without=without, fill=fill, device="cpu")
    assert report.evaluation.missing == {"depth": "mean"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"without": ["depth"], "fill": "mena"}, "--fill mena: one of zero, mean, noise, other"),
        ({"without": ["depth"], "pictures": 2}, "--save-images shows whole inputs"),
        ({"fill": "mean"}, "--fill is read only with --without"),
        ({"seed": 0}, "--seed is read only with --without"),
    ],
)
def test_what_would_do_nothing_is_refused(tiny_run: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        cen_cli.evaluate(tiny_run, device="cpu", **options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda run: cen_cli.compare(run), "cen compare takes two or more runs"),
        (lambda run: cen_cli.compare([run, run], images=-1), "images = -1: a whole number, at least 0"),
        (lambda run: cen_cli.evaluate(run, pictures=1.5), "pictures = 1.5: a whole number, at least 0"),
        (lambda run: cen_cli.report(run, images=-1), "images = -1: a whole number, at least 0"),
        (lambda run: cen_cli.resume(run, workers=-1), "workers = -1: a whole number, at least 0"),
        (lambda run: cen_cli.sweep("table7-rooms", jobs=0), "jobs = 0: a whole number, at least 1"),
        (
            lambda run: cen_cli.compare([run, run / "checkpoints/last"], by="darkest"),
            "--by, --branches and --out are of",
        ),
        (
            lambda run: cen_cli.compare([run, run / "checkpoints/last"], branches=True),
            "--by, --branches and --out are of",
        ),
        (lambda run: cen_cli.compare([run], by="dark", images=1), "--by dark: one of"),
        (lambda run: cen_cli.sweep("table7-rooms", show=True, budget=60.0), "--budget is for training"),
        (
            lambda run: cen_cli.compare([run, run / "checkpoints/last"], out="a.png"),
            "--by, --branches and --out are of",
        ),
        (lambda run: cen_cli.analyze(run, split="test"), "--split is where other thresholds are scored"),
        (lambda run: cen_cli.analyze(run, changes=["eval.split=test"]), "--set is of the data, which none but"),
        (lambda run: cen_cli.sweep("table7-rooms", only="shred/*"), "--only 'shred/\\*' matches none"),
        (lambda run: cen_cli.sweep("table7-rooms", show=True, only="shared/*"), "--show reports on all"),
        (lambda run: cen_cli.sweep("table7-rooms", show=True, shard=(1, 2)), "--show reports on all"),
        (lambda run: cen_cli.translate("a.png", inputs="shad"), "--inputs shad: no such domain"),
        (lambda run: cen_cli.translate(inputs="shade", count=-1), "count"),
        (lambda run: cen_cli.predict(run, {"rgb": run, "depth": run}), "predict_views|a folder, and one file"),
    ],
)
def test_a_text_is_one_name_and_not_its_letters(tiny_run: Path, call: Callable[[Path], Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call(tiny_run)


def test_changes_are_a_text_or_values_of_any_type_of_number(tiny_recipe: Path) -> None:
    assert load_recipe(tiny_recipe, "train.epochs=3").train.epochs == 3
    changes = {"train.epochs": np.int64(5), "exchange.threshold": np.float32(0.5), "data.root": Path("/x")}
    recipe = load_recipe(tiny_recipe, changes)
    assert (recipe.train.epochs, recipe.exchange.threshold, recipe.data.root) == (5, 0.5, "/x")
    with pytest.raises(RecipeError, match=r"train\.epochs = \"<object"):
        load_recipe(tiny_recipe, {"train.epochs": object()})


def test_tensors_are_given_by_name(tiny_run: Path) -> None:
    x = torch.zeros(1, 3, 64, 64)
    with pytest.raises(TypeError, match=r"expected inputs by name, .* rgb, depth, or a stack of them, not a list"):
        cen_cli.load(tiny_run)([x, x])
    with pytest.raises(TypeError, match=r"torch\.from_numpy"):
        cen_cli.metrics.confusion_matrix(np.zeros((2, 2), int), np.zeros((2, 2), int), classes=3)
