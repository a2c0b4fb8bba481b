"""Sweeps: the grid that a file stands for, and everything that can be wrong with one."""

from __future__ import annotations

from pathlib import Path

import pytest

from cen_cli.errors import RecipeError, UsageError
from cen_cli.recipe import Recipe, catalog
from cen_cli.recipe.load import load_recipe
from cen_cli.recipe.sweeps import load_sweep, members, on_recipe, paper_numbers

SWEEP = """
title = "t"
base = "rooms"
seeds = [3, 4]
metrics = ["ensemble.mean_iou"]
reference = "on"

[set.train]
epochs = 2

[variants.on]

[variants.off]
label = "no exchange"
set = { exchange.choose = "none", exchange.sparsity = 0.0 }
seeds = [3]

[paper.on]
"ensemble.mean_iou" = 0.511

[orderings."on > off"]
metric = "ensemble.mean_iou"
better = "on"
worse = "off"
"""


@pytest.fixture
def write(tmp_path: Path):
    def written(text: str) -> Path:
        path = tmp_path / "my-sweep.toml"
        path.write_text(text)
        return path

    return written


def grid(path: Path, *overrides: str, data_root: str | None = None):
    return members(load_sweep(str(path)), path, overrides, data_root)


def test_members_are_recipes_seed_by_seed(write) -> None:
    found = grid(write(SWEEP))
    assert [member.name for member in found] == ["on/seed-3", "off/seed-3", "on/seed-4"]
    assert [member.recipe.train.seed for member in found] == [3, 3, 4]
    assert {member.recipe.train.epochs for member in found} == {2}
    assert [member.recipe.exchange.choose for member in found] == ["gamma", "none", "gamma"]
    assert found[1].recipe.name == "off"


def test_options_go_before_the_file(write) -> None:
    found = grid(write(SWEEP), "train.epochs=5", data_root="/somewhere")
    assert {(member.recipe.train.epochs, member.recipe.data.root) for member in found} == {(5, "/somewhere")}


def test_groups_have_a_base_and_paper_numbers_each(write) -> None:
    text = SWEEP.replace('base = "rooms"\n', "").replace("[paper.on]", "[groups.a.paper.on]")
    text += '[groups.a]\nbase = "rooms"\n[groups.b]\nbase = "rooms"\nset = { train.batch = 4 }\n'
    path = write(text)
    found = grid(path)
    assert [member.name for member in found[:4]] == ["a/on/seed-3", "a/off/seed-3", "b/on/seed-3", "b/off/seed-3"]
    assert [member.recipe.train.batch for member in found[:4]] == [8, 8, 4, 4]
    sweep = load_sweep(str(path))
    assert paper_numbers(sweep, "a", "on") == {"ensemble.mean_iou": 0.511}
    assert paper_numbers(sweep, "b", "on") == {}


def test_an_extending_sweep_leaves_out_rows_and_groups(write, tmp_path: Path) -> None:
    write(SWEEP + "[variants.gone]\n[groups.a]\nset = { train.batch = 4 }\n")
    path = tmp_path / "extending.toml"
    path.write_text('extends = "my-sweep.toml"\nvariants.gone = false\ngroups.a = false\n')
    found = grid(path)
    assert [member.name for member in found] == ["on/seed-3", "off/seed-3", "on/seed-4"]
    assert {member.recipe.train.batch for member in found} == {8}


def test_what_is_left_out_must_be_there(write, tmp_path: Path) -> None:
    write(SWEEP)
    path = tmp_path / "extending.toml"
    path.write_text('extends = "my-sweep.toml"\nvariants.of = false\ngroups.a = false\n')
    with pytest.raises(RecipeError) as caught:
        grid(path)
    assert caught.value.problems == (
        "variants.of = false: there is none to leave out (did you mean 'off'?)",
        "groups.a = false: there is none to leave out",
    )


def test_a_base_is_found_beside_the_file_that_names_it(write, tmp_path: Path) -> None:
    path = write(SWEEP.replace('base = "rooms"', 'base = "own.toml"'))
    (path.parent / "own.toml").write_text('extends = "rooms"\n[train]\nbatch = 2\n')
    deep = tmp_path / "deep" / "other.toml"
    deep.parent.mkdir()
    deep.write_text('extends = "../my-sweep.toml"\n')
    (deep.parent / "own.toml").write_text('extends = "rooms"\n[train]\nbatch = 3\n')
    assert {member.recipe.train.batch for member in grid(deep)} == {2}


def test_seeds_are_those_of_the_sweep(write) -> None:
    path = write(SWEEP + "\n[variants.third]\nset = { train.seed = 1 }\n")
    with pytest.raises(RecipeError, match=r"variants\.third\.set\.train\.seed: a sweep's `seeds` decide"):
        grid(path)


@pytest.mark.parametrize("metric", ["dpeth.mean_iou", "ensemble.mae", "fused.mean_iou"])
def test_scores_that_no_row_has_are_named(write, metric: str) -> None:
    path = write(
        SWEEP.replace(
            "[variants.on]", f'[orderings."a > b"]\nmetric = "{metric}"\nbetter = "on"\nworse = "off"\n[variants.on]'
        )
    )
    with pytest.raises(RecipeError, match="no row has such a score"):
        grid(path)


def test_a_base_beside_the_file_goes_before_a_shipped_one(write) -> None:
    path = write(SWEEP.replace('base = "rooms"', 'base = "own.toml"'))
    (path.parent / "own.toml").write_text('extends = "rooms"\n[train]\nbatch = 2\n')
    assert {member.recipe.train.batch for member in grid(path)} == {2}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'reference = "on"',
            'reference = "onn"',
            "reference = \"onn\": one of the variants on, off (did you mean 'on'?)",
        ),
        ('better = "on"', 'better = "of"', "one of the variants on, off (did you mean 'off'?)"),
        ("[paper.on]", "[paper.un]", 'paper = "un": one of the variants'),
        (
            'metrics = ["ensemble.mean_iou"]',
            'metrics = ["ensemble.miou"]',
            'metrics = "ensemble.miou": a branch, a dot',
        ),
        ('base = "rooms"\n', "", "base: missing"),
        ("seeds = [3, 4]", "seeds = [3, 3]", "a list of numbers, each named once"),
        ("seeds = [3, 4]", "seed = [3, 4]", "no such key (did you mean 'seeds'?)"),
        ("[variants.on]", '[variants."on/off"]\n[variants.on]', "it names a folder: letters, digits"),
        ('title = "t"', "title = 3", "title = 3: text"),
        ('label = "no exchange"', 'label = "on"', 'label = "on": of 2 variants'),
        (
            'title = "t"',
            'title = "t"\nfigure = { keys = ["model.arch"], metrics = ["rgb.mae"] }',
            "a key of recipes that holds",
        ),
    ],
)
def test_what_is_wrong_is_named(write, old: str, new: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_sweep(str(write(SWEEP.replace(old, new, 1))))
    assert message in caught.value.message


def test_rows_that_are_no_recipes_are_all_named(write) -> None:
    text = SWEEP.replace("epochs = 2", "epochs = 0").replace('choose = "none"', 'choose = "noone"')
    with pytest.raises(RecipeError) as caught:
        grid(write(text))
    assert any(text.startswith("variant on: train.epochs = 0: a whole number >= 1") for text in caught.value.problems)
    assert any(text.startswith('variant off: exchange.choose = "noone"') for text in caught.value.problems)


def test_a_sweep_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load_sweep("table7-room")
    assert "no sweep 'table7-room'" in caught.value.message
    assert "table7-rooms" in str(caught.value.hint)


@pytest.mark.parametrize("name", list(catalog.shipped_sweeps()))
def test_shipped_sweeps_are_valid_and_say_how_to_run_them(name: str) -> None:
    path = catalog.shipped_sweeps()[name]
    text = path.read_text(encoding="utf-8")
    assert f"cen sweep {name}" in text.partition("\n\n")[0]
    found = members(load_sweep(name), path)
    assert len({member.name for member in found}) == len(found)


def test_a_setting_that_makes_two_rows_one_is_refused(write) -> None:
    path = write(SWEEP)
    with pytest.raises(RecipeError) as caught:
        grid(path, "exchange.choose='all'", "exchange.sparsity=0")
    assert caught.value.problems == ("with these --set the variants on and off are the same",)


def test_rows_with_seeds_of_their_own_are_made_one_too(write) -> None:
    rows = "[variants.on]\nseeds = [0, 1]\n[variants.off]\nseeds = [1, 2]\nset = { exchange.threshold = 0.2 }"
    path = write('title = "t"\nbase = "rooms"\nmetrics = ["ensemble.mean_iou"]\nreference = "on"\n' + rows)
    with pytest.raises(RecipeError) as caught:
        grid(path, "exchange.threshold=0.3")
    assert caught.value.problems == ("with these --set the variants on and off are the same",)


def test_rows_alone_are_those_of_a_sweep_that_advises(write) -> None:
    path = write(SWEEP.replace('label = "no exchange"', "alone = true"))
    with pytest.raises(RecipeError) as caught:
        load_sweep(str(path))
    assert caught.value.problems == ("variants.off.alone: read only with advice = true",)


def test_a_sweep_that_extends_a_broken_one_has_its_own_rows(write, tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text("variants = 3")
    assert list(load_sweep(str(write(f'extends = "base.toml"\n{SWEEP}'))).variants) == ["on", "off"]


def test_a_sweep_that_advises_has_a_row_of_each_modality_and_leaves_the_recipe_s_own_fusion_aside() -> None:
    source = catalog.find_sweep("fusions")
    recipe = load_recipe("rooms", {"exchange.choose": "random", "exchange.share": 0.5, "exchange.sparsity": 0.0})
    sweep, base = on_recipe(load_sweep("fusions"), source, recipe)
    found = {member.variant: member.recipe for member in members(sweep, source, base=base)}
    assert list(found)[:3] == ["alone-rgb", "alone-depth", "none"]
    assert found["alone-depth"].data.inputs == ("depth",)
    assert sweep.variants["alone-rgb"].label == "rgb alone"
    assert found["exchange"].exchange.budget == 0.3
    assert (found["paper"].exchange.choose, found["paper"].penalty) == ("gamma", 3e-4)
    assert found["concat"].model.width == recipe.model.width
    with pytest.raises(UsageError, match=r"one modality .rgb. has nothing to be fused with"):
        on_recipe(load_sweep("fusions"), source, load_recipe("rooms-rgb"))
    with pytest.raises(UsageError, match="--recipe: the groups of this sweep have base recipes of their own"):
        on_recipe(load_sweep("fig13"), source, recipe)


def test_single_modalities_drop_none_whatever_the_recipe_or_a_setting_says() -> None:
    source = catalog.find_sweep("fusions")
    sweep, base = on_recipe(load_sweep("fusions"), source, "rooms-dropout")
    found = {each.variant: each for each in members(sweep, source, {"train.modality_dropout": 0.1}, base=base)}
    assert {name: member.recipe.train.modality_dropout for name, member in found.items()} == {
        name: 0.0 if name.startswith("alone") else 0.1 for name in found
    }
    assert found["alone-rgb"].unread == ("train.modality_dropout=0.1",)


def test_seeds_are_the_sweep_s(write) -> None:
    with pytest.raises(RecipeError) as caught:
        grid(write(SWEEP), "train.seed=7")
    assert caught.value.problems == ("--set 'train.seed=7': a sweep's `seeds` decide",)


def test_a_setting_may_mend_a_row(write) -> None:
    path = write(SWEEP.replace("epochs = 2", "epochs = 0"))
    assert {member.recipe.train.epochs for member in grid(path, "train.epochs=3")} == {3}


RANDOM = {"exchange.choose": "random", "exchange.sparsity": 0.0}


@pytest.mark.parametrize(
    ("name", "changes", "sparsity", "gamma_lr"),
    [
        ("rooms", RANDOM, 3e-4, None),
        ("rooms", {"exchange.sparsity": 2e-3}, 2e-3, None),
        ("rooms", {"exchange.choose": "gain", "exchange.budget": 0.3}, 3e-4, None),
        ("rooms-translate", RANDOM, 1e-2, None),
        ("nyudv2-lite0", RANDOM | {"optimizer.gamma_lr": 7e-4}, 1.5e-4, 5e-3),
        ("nyudv2-lite0-concat", {}, 1.5e-4, 5e-3),
        ("rooms", {"model.fusion": "concat"}, 3e-4, None),
        (
            "nyudv2-lite0",
            RANDOM
            | {"schedule.kind": "staged", "schedule.stage_epochs": [10, 10]}
            | {key: [1e-3, 1e-4] for key in ("optimizer.encoder_lr", "optimizer.decoder_lr", "optimizer.gamma_lr")},
            1.5e-4,
            (5e-3, 5e-3),
        ),
    ],
)
def test_the_paper_s_row_presses_gammas_where_the_recipe_presses_none(name, changes, sparsity, gamma_lr) -> None:
    source = catalog.find_sweep("fusions")
    sweep, base = on_recipe(load_sweep("fusions"), source, load_recipe(name, changes))
    found = {member.variant: member.recipe for member in members(sweep, source, base=base)}
    assert found["paper"].exchange.sparsity == sparsity
    assert found["paper"].optimizer.gamma_lr == gamma_lr
    assert found["paper"].exchange.gamma_init == (0.2 if name == "rooms" else found["exchange"].exchange.gamma_init)
    assert found["exchange"].optimizer.gamma_lr == (
        tuple(own) if isinstance(own := changes.get("optimizer.gamma_lr"), list) else own
    )


@pytest.mark.parametrize("name", ["rooms-translate", "nyudv2-lite0", "nyudv2-small-none", "nyudv2-pspnet"])
def test_every_kind_of_recipe_can_be_asked_for_its_fusion(name: str) -> None:
    source = catalog.find_sweep("fusions")
    sweep, base = on_recipe(load_sweep("fusions"), source, name)
    assert len(members(sweep, source, base=base)) == 3 * 9


def of_rows(name: str, changes: dict[str, object], sweep_name: str = "fusions") -> dict[str, Recipe]:
    """The first seed of each row of a sweep on a recipe."""
    source = catalog.find_sweep(sweep_name)
    sweep, base = on_recipe(load_sweep(sweep_name), source, load_recipe(name, changes))
    return {each.variant: each.recipe for each in members(sweep, source, base=base) if each.seed == 0}


@pytest.mark.parametrize(
    "changes",
    [
        {"sharing.private_stages": 2},
        {"sharing.decoder": "private"},
        {"sharing.conv": "private", "sharing.decoder": "shared"},
        {"exchange.sparsity_scale": "layer"},
        {"exchange.region": "all"},
        {"exchange.replace": "anywhere"},
    ],
)
def test_rows_are_what_their_labels_say_whatever_the_recipe_fuses_by(changes: dict[str, object]) -> None:
    assert of_rows("rooms", changes) == of_rows("rooms", {})


@pytest.mark.parametrize("changes", [RANDOM | {"exchange.budget": 0.3}, {"model.fusion": "concat"}])
def test_a_table_of_the_paper_presses_its_gammas_on_any_recipe(changes: dict[str, object]) -> None:
    found = of_rows("rooms", changes, "table7-rooms")
    lambdas = {name: recipe.penalty for name, recipe in found.items() if recipe.model.fusion == "exchange"}
    assert lambdas == {
        name: recipe.penalty
        for name, recipe in of_rows("rooms", {}, "table7-rooms").items()
        if recipe.model.fusion == "exchange"
    }
    assert all(recipe.exchange.choose in ("gamma", "none") for recipe in found.values())
    assert found.keys() == of_rows("rooms", {}, "table7-rooms").keys()
    assert len(of_rows("own-data", {"data.root": "there"}, "controls-rooms")) == 6


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("rooms", {"model.fusion": "none"}, (3e-4, 0.2, None)),
        ("rooms", RANDOM | {"exchange.budget": 0.3}, (3e-4, 0.2, None)),
        ("nyudv2-lite0-random", {"optimizer.gamma_lr": 7e-4}, (1.5e-4, 1.0, 5e-3)),
    ],
)
def test_a_row_by_gamma_presses_its_gammas_though_it_does_not_say_so(name, changes, expected) -> None:
    row = of_rows(name, changes, "fusions-nyudv2-lite0")["exchange"]
    assert (row.exchange.sparsity, row.exchange.gamma_init, row.optimizer.gamma_lr) == expected


def test_a_sweep_over_something_else_keeps_the_recipe_s_choice() -> None:
    found = of_rows("rooms", RANDOM | {"exchange.budget": 0.3}, "losses-rooms")
    assert {recipe.exchange.budget for recipe in found.values()} == {0.3}


def test_a_setting_that_the_rows_decide_is_refused() -> None:
    source = catalog.find_sweep("fusions")
    sweep, base = on_recipe(load_sweep("fusions"), source, "rooms")
    with pytest.raises(RecipeError) as caught:
        members(sweep, source, {"exchange.budget": 0.5}, base=base)
    assert caught.value.problems == ("--set 'exchange.budget=0.5': the rows of this sweep decide it",)
    with pytest.raises(RecipeError) as caught:
        members(sweep, source, ["exchange={budget = 0.5, threshold = 0.1}", "train={seed = 7}"], base=base)
    assert caught.value.problems == (
        "--set 'exchange.budget=0.5': the rows of this sweep decide it",
        "--set 'train.seed=7': a sweep's `seeds` decide",
    )


def test_the_normalisation_of_a_modality_goes_to_the_rows_that_take_it() -> None:
    source = catalog.find_sweep("fusions")
    sweep, base = on_recipe(load_sweep("fusions"), source, "rooms")
    found = members(sweep, source, {"data.normalize.depth": {"mean": 0.5, "std": 0.25}}, base=base)
    assert {each.variant for each in found if each.unread} == {"alone-rgb"}
    assert all(("depth" in each.recipe.data.normalize) is not bool(each.unread) for each in found)
