"""Recipes: reading, extending, overriding, and writing back."""

from __future__ import annotations

from pathlib import Path

import pytest

from cen_cli.errors import RecipeError, UsageError
from cen_cli.models.exchange import THRESHOLD
from cen_cli.models.settings import StreamSettings
from cen_cli.recipe import changed_from_defaults, dump_toml, load_recipe, parse_recipe
from cen_cli.recipe.load import differences, override
from cen_cli.recipe.schema import Exchange

MINIMAL = """
task = "segmentation"
[data]
kind = "rooms"
inputs = ["rgb", "normal"]
crop = [64, 48]
[model]
backbone = "resnet18"
[optimizer]
encoder_lr = 1e-3
decoder_lr = 1
[train]
epochs = 2
batch = 4
"""


def write(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.fixture
def minimal(tmp_path: Path) -> str:
    return write(tmp_path, "minimal.toml", MINIMAL)


def problems_of(name: str, overrides: list[str] | None = None) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        load_recipe(name, overrides or [])
    return list(caught.value.problems)


def test_minimal_recipe_takes_its_name_from_the_file_and_whole_numbers_for_real_ones(minimal: str) -> None:
    recipe = load_recipe(minimal)
    assert recipe.name == "minimal"
    assert recipe.data.crop == (64, 48)
    assert recipe.optimizer.decoder_lr == 1
    assert recipe.exchange.threshold == 1e-2
    assert recipe.train.best_by == ""


@pytest.mark.parametrize("source", [3, None, ["rooms"]])
def test_what_cannot_be_a_recipe_is_refused(source: object) -> None:
    with pytest.raises(UsageError, match="a recipe is a name, a path, a dict of tables or a Recipe, not "):
        load_recipe(source)


def test_recipe_is_frozen(minimal: str) -> None:
    recipe = load_recipe(minimal)
    with pytest.raises(ValueError, match="frozen"):
        recipe.train.epochs = 3  # type: ignore[misc]


def test_changed_from_defaults_lists_keys_without_default_and_changed_ones(minimal: str) -> None:
    changed = changed_from_defaults(load_recipe(minimal, ["train.seed=0", "train.log_every=5"]))
    assert changed == {
        "data.kind": "rooms",
        "data.inputs": ["rgb", "normal"],
        "data.crop": [64, 48],
        "model.backbone": "resnet18",
        "optimizer.encoder_lr": 1e-3,
        "optimizer.decoder_lr": 1,
        "train.epochs": 2,
        "train.batch": 4,
        "train.log_every": 5,
    }


def test_dump_of_a_recipe_with_quoted_keys_and_normalisation_reads_back_equal(minimal: str) -> None:
    settings = [
        "data.normalize.rgb={mean=[0.5, 0.4, 0.3], std=0.2}",
        'expected."ensemble.mean_iou"={value=0.5, tolerance=0.1, source="a \\"quoted\\" source"}',
        "data.resize=[70, 60]",
        "optimizer.clip_norm=1.5",
    ]
    recipe = load_recipe(minimal, settings)
    assert recipe.data.normalize["rgb"].mean == (0.5, 0.4, 0.3)
    again = parse_recipe(dump_toml(recipe), "checkpoint")
    assert again == recipe
    assert differences(again, recipe) == []
    elsewhere = load_recipe(minimal, ["data.root='elsewhere'", "data.workers=1", "train.channels_last=false"])
    assert differences(load_recipe(minimal), elsewhere) == [], "how a machine has the data makes no other recipe"


def test_differences_name_the_keys(minimal: str) -> None:
    assert differences(load_recipe(minimal), load_recipe(minimal, ["train.seed=3", "data.resize=[9, 9]"])) == [
        "train.seed",
        "data.resize",
    ]


# ---- overrides ----


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("model.weights=imagenet", "imagenet"),
        ('model.weights="imagenet"', "imagenet"),
        ("model.weights = /data/resnet18.pth", "/data/resnet18.pth"),
        ("model.weights=a=b", "a=b"),
        ("model.weights=C:\\weights\nx = 1", "C:\\weights\nx = 1"),
    ],
)
def test_text_may_be_set_with_or_without_quotes(minimal: str, text: str, value: str) -> None:
    assert load_recipe(minimal, [text]).model.weights == value


def test_overrides_are_typed_and_the_last_one_wins(minimal: str) -> None:
    recipe = load_recipe(minimal, ["train.epochs=7", "train.compile=true", "train.epochs=8", "data.crop=[32, 32]"])
    assert (recipe.train.epochs, recipe.train.compile, recipe.data.crop) == (8, True, (32, 32))


@pytest.mark.parametrize("value", ["none", None])
def test_a_key_that_may_be_absent_can_be_taken_away(minimal: str, value: str | None) -> None:
    changes = {"exchange.choose": "gamma", "exchange.budget": 0.3, "train.ema": 0.9}
    recipe = load_recipe(load_recipe(minimal, changes), {"exchange.budget": value, "train.ema": value})
    assert (recipe.exchange.budget, recipe.train.ema) == (None, None)
    with pytest.raises(RecipeError, match=r"exchange.threshold = "):
        load_recipe(minimal, {"exchange.threshold": value})


def test_equals_sign_inside_a_quoted_key_belongs_to_the_key(minimal: str) -> None:
    (problem,) = problems_of(minimal, ['expected."a=b".value=0.5', 'expected."a=b".tolerance=0.5'])
    assert problem.startswith('expected."a=b".source: missing')


@pytest.mark.parametrize("text", ["train.epochs", "=3", "train..epochs=3", "", "[train]\nepochs=3", "a b=1"])
def test_unreadable_override_is_reported_with_an_example(minimal: str, text: str) -> None:
    assert problems_of(minimal, [text]) == [f"--set {text!r}: table.key=value, for example --set train.epochs=10"]


@pytest.mark.parametrize("text", ["data.inputs=[rgb,depth]", "data.inputs = [rgb]"])
def test_a_list_that_lost_its_quotes_to_the_shell_is_named(minimal: str, text: str) -> None:
    (problem,) = problems_of(minimal, [text])
    assert "quotes" in problem
    assert """--set 'data.inputs=["rgb", "depth"]'""" in problem


def test_problems_of_file_and_overrides_come_together(tmp_path: Path) -> None:
    path = write(tmp_path, "bad.toml", MINIMAL.replace("epochs = 2", "epochs = 0"))
    assert problems_of(path, ["train.batch=x", "nonsense"]) == [
        "--set 'nonsense': table.key=value, for example --set train.epochs=10",
        "train.epochs = 0: a whole number >= 1",
        'train.batch = "x": a whole number >= 1 [from an option]',
    ]


def test_data_root_goes_before_the_file_and_an_override_before_both(tmp_path: Path) -> None:
    path = write(tmp_path, "rooted.toml", MINIMAL.replace('kind = "rooms"', 'kind = "rooms"\nroot = "file"'))
    assert load_recipe(path).data.root == "file"
    assert load_recipe(path, data_root="option").data.root == "option"
    assert load_recipe(path, ["data.root=set"], data_root="option").data.root == "set"


def test_override_of_a_trained_recipe_changes_evaluation_and_refuses_the_rest(minimal: str) -> None:
    recipe = load_recipe(minimal)
    assert override(recipe, ["eval.batch=3"], data_root="there", source="ckpt").eval.batch == 3
    assert override(recipe, [], data_root="there", source="ckpt").data.root == "there"
    with pytest.raises(RecipeError, match=r"model\.width: fixed by the trained checkpoint"):
        override(recipe, ["model.width=8"], source="ckpt")


@pytest.mark.parametrize(
    ("overrides", "kept"),
    [
        ([], True),
        (["train.seed=3", "data.root=there", "eval.batch=2"], True),
        (["train.epochs=2", "eval.flip=false"], True),  # what the file says, and a default
        (["train.epochs=3"], False),
        (["eval.split=val"], False),
    ],
)
def test_a_recipe_that_an_override_changes_expects_nothing(tmp_path: Path, overrides: list[str], kept: bool) -> None:
    expected = '[expected."ensemble.mean_iou"]\nvalue = 0.5\ntolerance = 0.1\nsource = "x"\n'
    path = write(tmp_path, "expecting.toml", f"{MINIMAL}\n{expected}")
    assert bool(load_recipe(path, overrides).expected) == kept
    if not any(word.startswith("train.") for word in overrides):
        assert bool(override(load_recipe(path), overrides, source="ckpt").expected) == kept
    own = 'expected."rgb.mean_iou"={value=0.1, tolerance=0.1, source="mine"}'
    names = {"rgb.mean_iou", "ensemble.mean_iou"} if kept else {"rgb.mean_iou"}
    assert set(load_recipe(path, [*overrides, own]).expected) == names


# ---- extends ----


def test_extends_merges_tables_replaces_lists_and_inherits_neither_name_nor_expected(tmp_path: Path) -> None:
    expected = '[expected."ensemble.mean_iou"]\nvalue = 0.5\ntolerance = 0.1\nsource = "x"\n'
    write(tmp_path, "base.toml", f'name = "base-name"\n{MINIMAL}\n{expected}')
    (tmp_path / "sub").mkdir()
    child = write(tmp_path / "sub", "child.toml", 'extends = "../base.toml"\n[data]\ninputs = ["rgb", "depth", "x"]\n')
    recipe = load_recipe(child)
    assert recipe.name == "child"
    assert recipe.data.inputs == ("rgb", "depth", "x")
    assert recipe.data.crop == (64, 48)
    assert recipe.expected == {}
    assert "extends" not in dump_toml(recipe)


def test_extends_a_shipped_recipe_by_name(tmp_path: Path) -> None:
    child = write(tmp_path, "child.toml", 'extends = "rooms"\n[train]\nepochs = 99\n')
    assert load_recipe(child).train.epochs == 99
    assert load_recipe(child).model == load_recipe("rooms").model


def test_problem_in_an_extended_recipe_names_that_file(tmp_path: Path) -> None:
    base = write(tmp_path, "base.toml", MINIMAL.replace("batch = 4", "batch = -4"))
    child = write(tmp_path, "child.toml", 'extends = "base.toml"')
    assert problems_of(child) == [f"train.batch = -4: a whole number >= 1 [from {base}]"]


def test_extends_in_a_circle_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "a.toml", 'extends = "b.toml"')
    b = write(tmp_path, "b.toml", 'extends = "a.toml"')
    assert problems_of(b) == ['extends = "b.toml": files in a circle: b.toml -> a.toml -> b.toml']


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("3", "extends = 3: the name of a shipped one, or a path relative to this file"),
        ('"romms"', "extends = \"romms\": no recipe 'romms'"),
    ],
)
def test_extends_something_impossible(tmp_path: Path, value: str, message: str) -> None:
    (problem,) = problems_of(write(tmp_path, "child.toml", f"extends = {value}"))
    assert problem.startswith(message)


def test_a_stored_recipe_may_not_extend() -> None:
    with pytest.raises(RecipeError, match=r'extends = "rooms": no such key'):
        parse_recipe(f'extends = "rooms"\nname = "x"\n{MINIMAL}', "checkpoint")


# ---- keys that are read only beside others ----


def test_switching_exchange_off_drops_what_was_inherited_for_it(tmp_path: Path) -> None:
    write(tmp_path, "base.toml", f"{MINIMAL}\n[exchange]\nthreshold = 0.3\n")
    base = str(tmp_path / "base.toml")
    recipe = load_recipe(base, ["model.fusion=none"])
    assert recipe.exchange.threshold == 1e-2
    assert "[exchange]" not in dump_toml(recipe)
    assert parse_recipe(dump_toml(recipe), "again") == recipe
    child = write(tmp_path, "child.toml", 'extends = "base.toml"\n[model]\nfusion = "none"\n')
    assert load_recipe(child, ["model.fusion=exchange"]).exchange.threshold == 0.3


def test_key_without_effect_is_refused_where_it_is_set_beside_its_switch(minimal: str) -> None:
    message = 'read only with model.fusion = "exchange", and it is "none"; remove one of them [from an option]'
    assert problems_of(minimal, ["model.fusion=none", "exchange.threshold=1", "exchange.region=all"]) == [
        f"exchange.threshold = 1: {message}",
        f'exchange.region = "all": {message}',
    ]


@pytest.mark.parametrize(
    ("setting", "switch"),
    [
        ("data.train_list=a.txt", 'data.kind = "nyudv2"'),
        ("optimizer.betas=[0.5, 0.9]", 'optimizer.kind = "adam"'),
        ("schedule.power=2", 'schedule.kind = "poly"'),
        ("schedule.stage_epochs=[2]", 'schedule.kind = "staged"'),
    ],
)
def test_every_key_without_effect_names_its_switch(minimal: str, setting: str, switch: str) -> None:
    (problem,) = problems_of(minimal, [setting])
    assert f"read only with {switch}" in problem


# ---- files ----


def test_toml_error_gives_line_and_column(tmp_path: Path) -> None:
    (problem,) = problems_of(write(tmp_path, "x.toml", 'task = "segmentation"\nname = oops\n'))
    assert problem.startswith("not valid TOML")
    assert "line 2, column 8" in problem


def test_text_that_is_not_utf8_gives_the_line(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(b'task = "segmentation"\nname = "\xff"\n')
    assert problems_of(str(path)) == ["line 2: not UTF-8 text"]


def test_empty_file_lists_what_is_missing(tmp_path: Path) -> None:
    assert problems_of(write(tmp_path, "empty.toml", "")) == [
        'task: missing; "segmentation" or "translation"',
        "[data]: missing table; it needs kind, inputs, crop",
        "[model]: missing table",
        "[optimizer]: missing table; it needs encoder_lr, decoder_lr",
        "[train]: missing table; it needs epochs, batch",
    ]


def test_missing_file_names_the_nearest_recipes() -> None:
    with pytest.raises(UsageError, match="no recipe 'nyudv'") as caught:
        load_recipe("nyudv")
    assert caught.value.hint is not None
    assert "'nyudv2'" in caught.value.hint
    assert caught.value.exit_code == 2


def test_name_like_no_other_points_at_the_list() -> None:
    with pytest.raises(UsageError) as caught:
        load_recipe("zzz.toml")
    assert "cen recipes ls" in str(caught.value.hint)


def test_folder_is_no_recipe_and_a_run_directory_points_at_its_own(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder") as caught:
        load_recipe(str(tmp_path))
    assert "cen recipes ls" in str(caught.value.hint)
    write(tmp_path, "recipe.toml", MINIMAL)
    with pytest.raises(UsageError, match="is a folder") as caught:
        load_recipe(str(tmp_path))
    assert caught.value.hint == f"did you mean {tmp_path / 'recipe.toml'}?"


def test_unreadable_file_says_why(minimal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(UsageError, match=r"minimal\.toml: cannot be read: Permission denied"):
        load_recipe(minimal)


def test_theta_and_lambda_are_the_supplements_where_nothing_is_said() -> None:
    exchange = Exchange()
    assert (exchange.threshold, exchange.sparsity) == (1e-2, 1e-3)
    assert exchange.threshold == THRESHOLD == StreamSettings().threshold


@pytest.mark.parametrize("digits", [20, 5000])
def test_numbers_beyond_64_bits_are_named(tmp_path, digits):
    path = tmp_path / "huge.toml"
    path.write_text(f'extends = "rooms"\n[train]\nseed = {"9" * digits}\n')
    with pytest.raises(RecipeError, match=r"too large|not valid TOML"):
        load_recipe(str(path))
    with pytest.raises(RecipeError, match=r"too large|--set"):
        load_recipe("rooms", [f"train.seed={'9' * digits}"])


@pytest.mark.parametrize(
    "change", ["data.crop=[1, 1000000000000]", "optimizer.encoder_lr=1e300", "train.epochs=4000000000"]
)
def test_numbers_that_nothing_can_mean_are_named(change):
    with pytest.raises(RecipeError, match=f"{change.partition('=')[0]}: too large"):
        load_recipe("rooms", [change])


def test_a_huge_file_is_not_read(tmp_path):
    path = tmp_path / "huge.toml"
    path.write_bytes(b"# " * (1 << 20))
    with pytest.raises(UsageError, match="larger than 1 MiB"):
        load_recipe(str(path))


def test_views_are_scored_at_the_size_of_the_recipe_or_of_the_rooms() -> None:
    assert load_recipe("rooms", {"data.rooms.size": 64}).scored_size == (64, 64)
    assert load_recipe("rooms", {"eval.size": [32, 48]}).scored_size == (32, 48)
    assert load_recipe("nyudv2-lite0").scored_size == (180, 240)
    assert load_recipe("nyudv2-lite0").evaluation_size == (180, 240)
    assert load_recipe("rooms").evaluation_size is None, "rooms are rendered at it"
