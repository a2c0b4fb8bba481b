"""Changes to a recipe: text as `--set` takes it, keys with values, and options on top."""

from __future__ import annotations

import pytest

from cen_cli.errors import RecipeError
from cen_cli.recipe import load_recipe
from cen_cli.recipe.overrides import parse_overrides, with_options


@pytest.mark.parametrize("changes", [["data.crop=[32,64]"], {"data.crop": (32, 64)}, [("data.crop", [32, 64])]])
def test_text_and_values_say_the_same(changes: object) -> None:
    assert parse_overrides(changes) == ({"data": {"crop": [32, 64]}}, [])


def test_options_that_are_given_win() -> None:
    changes = with_options(["train.seed=1", "eval.split=val"], train__seed=7, eval__split=None)
    recipe = load_recipe("rooms", changes)
    assert (recipe.train.seed, recipe.eval.split) == (7, "val")


def test_tables_extend_a_shipped_recipe() -> None:
    recipe = load_recipe({"extends": "rooms", "train": {"epochs": 3}}, {"train.batch": 5})
    assert (recipe.train.epochs, recipe.train.batch, recipe.expected) == (3, 5, {})
    assert recipe.model == load_recipe("rooms").model


def test_values_are_checked_as_the_file_is() -> None:
    with pytest.raises(RecipeError, match=r"train\.epochs"):
        load_recipe("rooms", {"train.epochs": "ten"})
    with pytest.raises(RecipeError, match="epochs"):
        load_recipe(load_recipe("rooms"), {"train.epoch": 2})
