"""The shipped recipes, all of them, and the reference page."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from cen_cli.recipe import catalog, dump_toml, load_recipe, parse_recipe
from cen_cli.recipe.load import differences
from cen_cli.recipe.sweeps import load_sweep, members

ROOT = Path(__file__).parents[2]
refreshed = runpy.run_path(str(ROOT / "docs" / "generate_recipes.py"))["refreshed"]
NAMES = sorted(path.stem for path in (ROOT / "recipes").glob("*.toml"))


def test_catalog_finds_the_folder() -> None:
    assert list(catalog.shipped()) == NAMES
    assert {"rooms", "rooms-rgb", "rooms-depth", "rooms-none", "nyudv2", "nyudv2-small"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_shipped_recipe_is_valid_named_after_its_file_and_reads_back_equal(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert parse_recipe(dump_toml(recipe), name) == recipe
    assert load_recipe(str(ROOT / "recipes" / f"{name}.toml")) == recipe


@pytest.mark.parametrize("name", NAMES)
def test_shipped_recipe_begins_with_what_it_is_needs_and_how_it_is_run(name: str) -> None:
    path = catalog.shipped()[name]
    opening = path.read_text(encoding="utf-8").partition("\n\n")[0].splitlines()
    assert all(line.startswith("#") for line in opening)
    assert len(catalog.summary(path)) > 20
    assert any(line.startswith("# Needs: ") for line in opening)
    (command,) = (line.removeprefix("# Run:   ") for line in opening if line.startswith("# Run:   "))
    assert command.split()[:2] == ["cen", "train"]
    assert load_recipe(command.split()[2]).name == name


def test_recipe_path_of_the_checkout_works_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_recipe("recipes/nyudv2.toml").name == "nyudv2"
    assert load_recipe("nyudv2").name == "nyudv2"


def test_nyudv2_is_the_papers_experiment() -> None:
    recipe = load_recipe("nyudv2")
    assert recipe.data.augment.scale == (0.5, 2.0)
    assert recipe.optimizer.encoder_lr == (5e-4, 2.5e-4, 1e-4)
    assert recipe.optimizer.decoder_lr == (3e-3, 1.5e-3, 7e-4)
    assert recipe.exchange.sparsity == pytest.approx(3 * 2e-4)
    assert {name: line.value for name, line in recipe.expected.items()} == {
        "ensemble.pixel_accuracy": 0.762,
        "ensemble.mean_accuracy": 0.628,
        "ensemble.mean_iou": 0.511,
    }


@pytest.mark.parametrize("base", ["rooms", "nyudv2-small", "rooms-translate"])
def test_recipe_without_exchange_differs_in_nothing_else(base: str) -> None:
    changed = differences(load_recipe(base), load_recipe(f"{base}-none"))
    changed = [key for key in changed if not key.startswith("expected.")]
    assert sorted(changed) == ["exchange.choose", "exchange.sparsity", "name"]


def test_a_penalty_acts_where_gammas_choose() -> None:
    assert load_recipe("rooms").penalty == load_recipe("rooms").exchange.sparsity > 0
    assert load_recipe("rooms-rgb").penalty == 0, "no exchange"
    assert load_recipe("rooms", ["exchange.choose=gate", "exchange.budget=0.3"]).penalty == 0, "gates choose"


def test_rooms_dropout_drops_modalities_and_differs_in_nothing_else() -> None:
    changed = differences(load_recipe("rooms"), load_recipe("rooms-dropout"))
    assert {key for key in changed if not key.startswith("expected.")} == {"name", "train.modality_dropout"}


@pytest.mark.parametrize("name", ["robustness-rooms", "robustness-nyudv2-small"])
def test_robustness_sweeps_train_each_network_with_and_without_modality_dropout(name: str) -> None:
    path = catalog.find_sweep(name)
    recipes = {member.variant: member.recipe for member in members(load_sweep(name), path) if member.seed == 0}
    for variant in ("exchange", "concat", "none"):
        changed = differences(recipes[variant], recipes[f"{variant}-dropout"])
        assert set(changed) == {"name", "train.modality_dropout"}
    assert [recipe.model.fusion for recipe in recipes.values()][::2] == ["exchange", "concat", "exchange"]
    assert recipes["none"].exchange.choose == "none"


@pytest.mark.parametrize(
    ("base", "which"),
    [
        *((base, which) for base in ("rooms", "nyudv2-small") for which in ("rgb", "depth")),
        *(("rooms-translate", which) for which in ("shade", "texture")),
    ],
)
def test_recipe_of_one_modality_trains_twice_as_long(base: str, which: str) -> None:
    one, two = load_recipe(f"{base}-{which}"), load_recipe(base)
    assert len(one.data.inputs) == 1
    assert set(one.data.inputs) < set(two.data.inputs)
    assert one.model.fusion == "none"
    assert one.train.epochs == 2 * two.train.epochs


def test_reference_page_says_what_the_schema_says() -> None:
    page = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    assert refreshed(page) == page, "run: python docs/generate_recipes.py"
    assert "| `threshold` | a number > 0 | `0.01` |" in page
    assert '## `[data.rooms]`\n\nThe built-in rendered rooms. Read only with `data.kind = "rooms"`.' in page


def test_reference_needs_its_marks() -> None:
    with pytest.raises(ValueError, match="the page needs the lines"):
        refreshed("# Recipes\n")


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("taskonomy-")])
def test_taskonomy_recipes_are_named_after_what_they_translate_and_set_as_the_paper_says(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.data.target is not None
    assert name == "-".join(["taskonomy", *recipe.data.inputs, recipe.data.target])
    assert (recipe.train.epochs, recipe.train.batch, recipe.eval.size) == (300, 1, (256, 256))
    assert (recipe.optimizer.encoder_lr, recipe.optimizer.betas) == (2e-4, (0.5, 0.999))
    assert (recipe.exchange.threshold, recipe.exchange.sparsity) == (1e-2, 1e-3)
    assert recipe.train.best_by == ("ensemble.fid" if recipe.data.target == "rgb" else "ensemble.mae")


def test_the_deeper_networks_differ_from_nyudv2_in_network_and_epochs_alone() -> None:
    base, deeper, pspnet = (load_recipe(name) for name in ("nyudv2", "nyudv2-resnet152", "nyudv2-pspnet"))
    without = {"name", "expected"}
    changed = {key for key in differences(base, deeper) if key.split(".")[0] not in without}
    assert changed == {"model.backbone", "schedule.stage_epochs", "train.epochs"}
    assert (deeper.model.backbone, deeper.schedule.stage_epochs) == ("resnet152", (150, 150, 150))
    assert [line.value for line in deeper.expected.values()] == [0.770, 0.644, 0.516]
    changed = {key for key in differences(deeper, pspnet) if key.split(".")[0] not in without}
    assert changed == {
        "model.arch",
        "model.width",
        "model.dropout",
        "model.auxiliary_weight",
        "model.light",
        "model.classifier",
        "model.decoder_norm",
    }
    assert (pspnet.model.width, pspnet.model.dropout, pspnet.model.auxiliary_weight) == (512, 0.1, 0.4)
    assert {name: line.value for name, line in pspnet.expected.items()} == {"ensemble.mean_iou": 0.525}


@pytest.mark.parametrize("name", ["fusion-nyudv2", "fusion-sunrgbd", "fusion-cityscapes"])
def test_fusion_sweeps_are_the_papers_networks(name: str) -> None:
    recipes = {each.variant: each.recipe for each in members(load_sweep(name), catalog.find_sweep(name))}
    assert len(recipes) == 14
    assert {recipe.model.backbone for recipe in recipes.values()} == {"resnet101"}
    arch = "pspnet" if name == "fusion-cityscapes" else "refinenet"
    assert {recipe.model.arch for recipe in recipes.values()} == {arch}


def test_figure_13_is_the_papers_grid() -> None:
    found = members(load_sweep("fig13"), catalog.find_sweep("fig13"))
    settings = {(each.recipe.exchange.sparsity, each.recipe.exchange.threshold) for each in found}
    over_lambda = {(value, 1e-2) for value in (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)}
    assert settings == over_lambda | {(1e-3, value) for value in (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)}
    assert {each.seed for each in found} == set(range(5))


SIZES = re.compile(r"\d+ ?(x \d|px|steps|epochs)|twice")


@pytest.mark.parametrize("path", sorted((ROOT / "recipes" / "sweeps").glob("*.toml")), ids=lambda path: path.stem)
def test_no_row_of_a_sweep_is_another_one_and_no_name_states_what_may_be_changed(path: Path) -> None:
    sweep = load_sweep(str(path))
    assert members(sweep, path, ("train.batch=2",), data_root="/data")
    for words in (sweep.title, *(each.label for each in (*sweep.groups.values(), *sweep.variants.values()))):
        assert not SIZES.search(words), words


@pytest.mark.parametrize("name", ["fig8", "fig8-rooms"])
def test_figures_8_to_10_show_each_input_alone(name: str) -> None:
    found = [each.recipe for each in members(load_sweep(name), catalog.find_sweep(name)) if each.variant == "alone"]
    assert [recipe.data.target for recipe in found] == ["rgb", "depth", "normal", "shade"]
    for recipe in found:
        assert (recipe.sharing.conv, recipe.sharing.norm) == ("private", "private")
        assert (recipe.exchange.choose, recipe.exchange.sparsity) == ("none", 0)
    assert load_sweep(name).panel.branches == ("alone",)
