"""What is wrong with the keys of data of one's own, in words."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from cen_cli.builders.data import _labels
from cen_cli.errors import RecipeError
from cen_cli.recipe import dump_toml, folders, load_recipe, parse_recipe
from tests.own import RECIPE, write_recipe


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    return str(write_recipe(tmp_path / "own.toml", tmp_path / "data"))


def problems(name: str, *settings: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        load_recipe(name, settings)
    assert caught.value.exit_code == 2
    return [problem.removesuffix(" [from an option]") for problem in caught.value.problems]


def test_recipe_is_read_and_written_back(recipe: str) -> None:
    read = load_recipe(recipe)
    assert read.data.folders.modalities["height"].invalid == (-9999,)
    assert read.data.folders.labels.classes == ("soil", "plant", "roof")
    assert parse_recipe(dump_toml(read), "again") == read


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        (
            "data.folders.modalities.nir.pattern=nir/*.png",
            'data.folders.modalities.nir.pattern = "nir/*.png": a path within data.root that holds {stem} once, such '
            'as "rgb/{stem}.png"; {split} may stand in it once, {group} once and more, and * for anything within a '
            "name",
        ),
        ("data.folders.modalities.nir.pattern=/nir/{stem}.png", "a path within data.root"),
        ("data.folders.modalities.nir.pattern=../nir/{stem}.png", "a path within data.root"),
        ("data.folders.modalities.nir.pattern=nir/{stem}_{stem}.png", "{stem} once"),
        ("data.folders.modalities.nir.pattern=nir/{name}_{stem}.png", "{stem} once"),
        ("data.folders.modalities.nir.pattern=**/{stem}.png", "* for anything within a name"),
        ("data.folders.modalities.nir.pattern=", 'pattern = "": text, not empty'),
        (
            "data.folders.modalities.nir.pattern={group}/nir/{stem}.png",
            "has no {group}, and data.folders.modalities.nir",
        ),
        ("data.folders.modalities.nir.channels=2", "data.folders.modalities.nir.channels = 2: 1 or 3"),
        (
            "data.folders.modalities.nir.stored=uint12",
            'stored = "uint12": "uint8", "uint16", "int16" or "float32" (did you mean',
        ),
        ("data.folders.modalities.rgb.bands=[1, 2]", "bands = [1, 2]: one for each of channels = 3, all different"),
        ("data.folders.modalities.rgb.bands=[1, 2, 2]", "one for each of channels = 3, all different"),
        ("data.folders.modalities.nir.convert=true", 'convert = true: with stored = "uint8", and it is "uint16"'),
        ("data.folders.labels.tolerance=20", 'tolerance = 20: for two classes with stored = "index"'),
        ("data.folders.modalities.nir.kind=photo", "\"measurement\" (did you mean 'photograph'?)"),
        ("data.folders.modalities.nir.kid=photo", "no such key (did you mean 'data.folders.modalities.nir.kind'?)"),
        (
            "data.folders.modalities.nir.range=[0, 70000]",
            "data.folders.modalities.nir.range = [0, 70000]: stored values, between 0 and 65535 with stored",
        ),
        ("data.folders.modalities.nir.range=[9, 3]", "two numbers [lowest, highest], the lowest first"),
        (
            "data.folders.modalities.nir.range=[3, 3]",
            "data.folders.modalities.nir.range = [3, 3]: two different numbers",
        ),
        (
            "data.folders.modalities.nir.scale=1000",
            'data.folders.modalities.nir.scale = 1000: read only with kind = "measurement", and it is "image"',
        ),
        ("data.folders.modalities.nir.invalid=[0]", 'nir.invalid = [0]: read only with kind = "measurement"'),
        ("data.folders.modalities.nir.kind=measurement", None),
        (
            "data.folders.modalities.rgb.kind=measurement",
            "data.folders.modalities.rgb.range: missing; a measurement needs its [lowest, highest], in its unit",
        ),
        (
            "data.folders.modalities.rgb={kind='measurement', channels=3, range=[0, 1]}",
            "rgb.channels = 3: 1 with kind =",
        ),
        (
            "data.folders.modalities.nir.kind=normals",
            'data.folders.modalities.nir.channels = 1: 3 with kind = "normals"',
        ),
        (
            'data.inputs=["rgb", "nirr"]',
            "\"nirr\" is not one of [data.folders.modalities]: rgb, nir, height (did you mean 'nir'?)",
        ),
        (
            "data.folders.modalities.labels={pattern='x/{stem}.png', kind='image', channels=1}",
            "means something else here",
        ),
        (
            "data.folders.modalities.sparsity={pattern='x/{stem}.png', kind='image', channels=1}",
            "means something else here",
        ),
        ('data.folders.modalities."a/b"={pattern="x/{stem}.png", kind="image", channels=1}', "a name of letters"),
        (
            "data.folders.shares=[0.5, 0.2, 0.2]",
            "data.folders.shares = [0.5, 0.2, 0.2]: three shares [train, val, test] that sum to 1, train and val above "
            "0",
        ),
        ("data.folders.shares=[0.0, 0.5, 0.5]", "train and val above 0"),
        ("data.folders.shares=[1.5, -0.5, 0.0]", "a list of 3, each a number >= 0 and <= 1"),
        ("data.folders.labels.pattern=", 'data.folders.labels.pattern: missing; such as "masks/{stem}.png"'),
        ("data.folders.labels.classes=[]", "data.folders.labels.classes: missing; the names of the classes, in order"),
        ('data.folders.labels.classes=["a", "a"]', "a list of class names, each named once, at most 255"),
        (r'data.folders.labels.classes=["a", "b\nmetrics: c=1"]', "of one line each"),
        (
            "data.folders.labels.values=[1, 2, 3]",
            "data.folders.labels.values = [1, 2, 3]: beside data.folders.labels.first = 1; remove one of them",
        ),
        (
            "data.folders.labels.void=[0, 2]",
            'data.folders.labels.void = [0, 2]: 2 is the stored value of a class, "plant"',
        ),
        (
            "data.folders.labels.colors=[[1, 2, 3]]",
            "data.folders.labels.colors = [[1, 2, 3]]: 1 colours; one for each of the 3 classes",
        ),
        ("loss.class_weights=[1, 2]", "loss.class_weights = [1, 2]: 2 numbers; one for each of the 3 classes"),
        ("data.folders.labels.void_colors=[[1, 2, 3]]", 'read only with data.folders.labels.stored = "color"'),
        (
            "data.train_list=train.txt",
            "data.val_list: missing; data.train_list is given, and train and val belong together",
        ),
        ("data.test_list=test.txt", "data.train_list: missing; data.test_list is given"),
        ("data.target=nir", 'data.target = "nir": read only with task = "translation"'),
    ],
)
def test_every_mistake_has_its_words(recipe: str, setting: str, problem: str | None) -> None:
    if problem is None:
        assert load_recipe(recipe, [setting])
    else:
        assert any(problem in text for text in problems(recipe, setting)), problems(recipe, setting)


def test_all_mistakes_come_at_once(recipe: str) -> None:
    settings = ["data.folders.modalities.nir.channels=2", "data.folders.labels.classes=[]", 'data.inputs=["rgb"]']
    found = problems(recipe, *settings, "data.folders.modalities.height.stored=float")
    assert len(found) == 4, found  # one input has nothing to exchange with


def test_values_that_are_not_one_a_class(recipe: str, tmp_path: Path) -> None:
    path = tmp_path / "values.toml"
    path.write_text(RECIPE.format(root="data").replace("first = 1", "values = [1, 1, 4]"))
    assert problems(str(path)) == [
        "data.folders.labels.values = [1, 1, 4]: one for each of the 3 classes, all different"
    ]


def test_a_misspelt_key_is_the_one_mistake(tmp_path: Path) -> None:
    path = tmp_path / "misspelt.toml"
    path.write_text(RECIPE.format(root="data").replace("first = 1", "frist = 1"))
    (problem,) = problems(str(path))
    assert problem.endswith("no such key (did you mean 'data.folders.labels.first'?)")


def test_colours_of_colour_maps(tmp_path: Path) -> None:
    path = tmp_path / "colours.toml"
    text = RECIPE.format(root="data").replace("first = 1\nvoid = [0]", 'stored = "color"')
    path.write_text(text)
    assert problems(str(path)) == ["data.folders.labels.colors = []: 0 colours; one for each of the 3 classes"]
    colours = "data.folders.labels.colors=[[0, 0, 0], [0, 0, 0], [1, 1, 1]]"
    (problem,) = problems(str(path), colours)
    assert problem.endswith(": [0, 0, 0] is named twice")
    colours = "data.folders.labels.colors=[[0, 0, 0], [2, 2, 2], [1, 1, 1]]"
    assert (
        "[2, 2, 2] is the colour of a class"
        in problems(str(path), colours, "data.folders.labels.void_colors=[[2, 2, 2]]")[0]
    )
    assert "each a whole number >= 0 and <= 255" in problems(str(path), colours.replace("2, 2, 2", "2, 2, 256"))[0]


def test_split_in_patterns_leaves_no_room_for_lists(recipe: str) -> None:
    settings = [
        f"data.folders.modalities.{name}.pattern={{split}}/{name}/{{stem}}.png" for name in ("rgb", "nir", "height")
    ]
    settings += ["data.folders.labels.pattern={split}/masks/{stem}.png"]
    assert load_recipe(recipe, settings)
    (problem,) = problems(recipe, *settings, "data.train_list=a.txt", "data.val_list=b.txt")
    assert problem.startswith('data.train_list = "a.txt": the patterns have {split}, which divides the views already')


def test_translation_needs_no_labels_but_a_target_among_the_modalities(tmp_path: Path) -> None:
    path = tmp_path / "translation.toml"
    text = RECIPE.format(root="data").partition("[data.folders.labels]")[0].replace("segmentation", "translation")
    rest = '[model]\narch = "unet"\n[unet]\nlevels = 5\n[optimizer]\nencoder_lr = 1e-3\ndecoder_lr = 1e-3\n'
    rest += "[train]\nepochs = 1\nbatch = 1\n[gan]\nlayers = 1\n"
    path.write_text(text.replace('"rgb", "nir", "height"', '"rgb", "height"') + rest)
    assert load_recipe(str(path), ["data.target=nir"]).data.folders.labels.pattern == ""
    assert any(
        text == "data.target = \"nri\": one of [data.folders.modalities]: rgb, nir, height (did you mean 'nir'?)"
        for text in problems(str(path), "data.target=nri")
    )


def test_folders_need_modalities(recipe: str, tmp_path: Path) -> None:
    path = tmp_path / "none.toml"
    before, _, after = RECIPE.format(root="data").partition("[data.folders.modalities.rgb]")
    path.write_text(before + "[data.folders.labels]" + after.partition("[data.folders.labels]")[2])
    assert problems(str(path)) == [
        "[data.folders.modalities]: missing; one table a modality, such as [data.folders.modalities.rgb]"
    ]


def test_other_kinds_do_not_read_these_keys() -> None:
    (problem,) = problems("rooms", "data.folders.split_seed=3")
    assert problem.startswith('data.folders.split_seed = 3: read only with data.kind = "folders"')


def test_near_a_class_no_value_is_void_unless_it_is_named() -> None:
    table = partial(folders.FolderLabels, pattern="masks/{stem}.jpg", classes=("no", "yes"), values=(0, 200))
    for settings, void in (({}, (255,)), ({"tolerance": 99}, ()), ({"tolerance": 9, "void": (255,)}, (255,))):
        assert _labels(table(**settings)).encoding.void == void


def test_bands_are_not_converted_and_tolerance_keeps_classes_apart(recipe: str) -> None:
    name = "data.folders.modalities.rgb"
    (only,) = problems(recipe, f"{name}.bands=[1, 2, 3]", f"{name}.convert=true")
    assert "beside convert = true" in only
    labels = "data.folders.labels"
    two = (f'{labels}.classes=["no", "yes"]', f"{labels}.first=0", f"{labels}.void=[]")
    (only,) = problems(recipe, *two, f"{labels}.tolerance=1")
    assert "less than half of what lies between the classes' values [0, 1]" in only
