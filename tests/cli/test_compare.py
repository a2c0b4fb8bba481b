"""`cen compare`: scores beside each other, pictures with frames, and runs that do not compare."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import cen_cli
from cen_cli.errors import UsageError
from cen_cli.jobs import pictures
from cen_cli.jobs.compare import _network_names, _sizes_of_same_views
from cen_cli.recipe.load import load_recipe
from tests import own
from tests.cli.conftest import Cen


@pytest.fixture
def others(train: Cen, tmp_path: Path) -> dict[str, Path]:
    """Two more short runs: another seed of the tiny recipe, and a baseline."""
    one = ("train.epochs=1",)
    settings = {
        "seed": ("train.seed=1", "data.workers=1", "train.log_every=3"),
        "fused": ("model.fusion=concat", "name=concat"),
    }
    for name, changed in settings.items():
        train("--out", tmp_path / name, settings=(*one, *changed) if name == "fused" else changed)
    return {name: tmp_path / name for name in settings}


def test_runs_side_by_side(cen: Cen, tiny_run: Path, others: dict[str, Path], tmp_path: Path) -> None:
    words = (tiny_run, others["seed"], others["fused"], "--split", "val", "--device", "cpu")
    document = cen("compare", *words, "--json").document
    rows = {row["variant"]: row for row in document["rows"]}
    assert {name: row["done"] for name, row in rows.items()} == {"tiny": 2, "concat": 1}
    for run, name, seed in ((tiny_run, "tiny", "0"), (others["seed"], "tiny", "1"), (others["fused"], "concat", "0")):
        scored = cen("eval", run, "--split", "val", "--json", "--device", "cpu").document["evaluation"]["scores"]
        cell = rows[name]["cells"][-1]
        assert cell["metric"] == "ensemble.mean_iou"
        assert cell["values"][seed] == [*scored.values()][-1]["mean_iou"]

    picture = tmp_path / "new" / "compared.png"
    ended = cen("compare", *words, "--images", "2", "--out", picture)
    assert "3 runs of 2 networks" in ended.out
    assert "paper" not in ended.out  # which says nothing about these
    assert f"picture: {picture}" in ended.err
    pixels = np.asarray(Image.open(picture).convert("RGB"))
    assert pixels.shape[1] > 5 * 40  # rgb, depth, truth, tiny, concat


def test_translations_side_by_side(cen: Cen, tiny_translation_run: Path, tmp_path: Path) -> None:
    picture = tmp_path / "compared.png"
    run = str(tiny_translation_run)
    best, last = f"{run}/checkpoints/best", f"{run}/checkpoints/last"
    ended = cen("compare", best, last, "--split", "val", "--images", "1", "--out", picture, "--device", "cpu")
    assert "MAE" in ended.out
    assert picture.is_file()


def test_networks_of_different_inputs_and_their_branches(cen: Cen, train: Cen, tiny_run: Path, tmp_path: Path) -> None:
    alone = (
        'data.inputs=["depth"]',
        "model.fusion=none",
        "name=alone",
        "train.epochs=1",
        "train.best_by=depth.mean_iou",
    )
    train("--out", tmp_path / "alone", settings=alone)
    widths = []
    for words in ((), ("--branches",)):
        picture = tmp_path / f"compared{len(words)}.png"
        shown = ("--images", "1", "--out", picture, "--split", "val", "--device", "cpu", *words)
        cen("compare", tmp_path / "alone", tiny_run, *shown)
        widths.append(np.asarray(Image.open(picture)).shape[1])
    assert widths[1] > 1.3 * widths[0]  # two branches beside both inputs, the truth and two networks


def test_views_by_name_and_by_light(cen: Cen, tiny_run: Path, tmp_path: Path) -> None:
    """The darkest and the brightest view are those whose files are, and drawn as the views of these names."""
    root = Path(cen_cli.load(tiny_run).recipe.data.root)
    weights = np.array([0.2126, 0.7152, 0.0722])
    light = {f"00100{i}": (np.asarray(Image.open(root / "rgb" / f"00100{i}.png")) @ weights).mean() for i in range(4)}
    dark, bright = min(light, key=light.__getitem__), max(light, key=light.__getitem__)
    runs = (f"{tiny_run}/checkpoints/best", f"{tiny_run}/checkpoints/last", "--split", "val", "--device", "cpu")

    def drawn(*words: str) -> np.ndarray:
        picture = tmp_path / "picture.png"
        assert f"picture: {picture}" in cen("compare", *runs, *words, "--out", picture).err
        return np.asarray(Image.open(picture).convert("RGB"))

    lit = drawn("--by", "darkest", "--by", "brightest", "--images", "1")
    named = drawn("--views", dark, "--views", bright)
    rows = [slice(42, 42 + 32), slice(42 + 32 + 24, 42 + 32 + 24 + 32)]  # below captions and each row's name
    for row in rows:
        assert (lit[row] == named[row]).all()
    assert (lit[rows[0]] != lit[rows[1]]).any()

    assert "no view '00100' among the 4 of the split" in cen("compare", *runs, "--views", "00100", code=2).err
    refusals = {
        ("--by", "dark", "--images", "1"): "--by dark: one of difference, darkest, brightest",
        ("--views", dark, "--images", "1"): "leave out one of them",
        ("--by", "darkest"): "--by, --branches and --out are of the picture",
    }
    for words, said in refusals.items():
        assert said in cen("compare", *runs, *words, code=2).err


def test_other_views_are_not_compared_and_other_sizes_and_ways_are_told_of(
    cen: Cen, train: Cen, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = {"large": "data.resize=[64, 64]", "flipped": "eval.flip=true"}
    for name, setting in runs.items():
        train("--out", tmp_path / name, settings=(setting, "train.epochs=1", f"name={name}"))
    words = ("--split", "val", "--device", "cpu")
    ended = cen("compare", tiny_run, tmp_path / "large", *words)
    assert f"{tiny_run}: views of 32 x 40 pixels" in ended.out
    assert f"{tmp_path / 'large'}: views of 64 x 64 pixels" in ended.out
    refused = cen("compare", tiny_run, tmp_path / "large", *words, "--images", "1", "--out", tmp_path / "a.png", code=2)
    assert "sees views as 64 x 64 pixels" in refused.err
    ways: list[bool] = []
    drawn = pictures.labelled_row
    monkeypatch.setattr(
        pictures,
        "labelled_row",
        lambda *given, augmentation, **more: (
            ways.append(augmentation.flip) or drawn(*given, augmentation=augmentation, **more)
        ),
    )
    shown = ("--images", "1", "--out", tmp_path / "b.png")
    ended = cen("compare", tiny_run, tmp_path / "flipped", *words, *shown)
    assert "flipped: scales 1, each with its mirror image" in ended.out
    assert set(ways) == {False, True}, "each is drawn as it is scored"

    other = tmp_path / "other"
    shutil.copytree(Path(cen_cli.load(tiny_run).recipe.data.root), other)
    mask = sorted((other / "masks").iterdir())
    (labels, *_) = [path for path in mask if path.stem == "001000"]
    Image.fromarray(np.roll(np.asarray(Image.open(labels)), 1)).save(labels)
    train("--out", tmp_path / "moved", "--data-root", other, settings=("train.epochs=1", "name=moved"))
    assert (
        f"{tmp_path / 'moved'}: scored on other views"
        in cen("compare", tiny_run, tmp_path / "moved", *words, code=2).err
    )


def test_seeds_of_one_network_read_the_same_files(tmp_path: Path) -> None:
    recipe = own.write_recipe(tmp_path / "own.toml", own.write_folder(tmp_path / "own"))
    first = load_recipe(str(recipe))
    again = load_recipe(str(recipe), {"train.seed": 1, "eval.batch": 1, "data.cache": not first.data.cache})
    other = load_recipe(str(recipe), {"train.seed": 1, "data.folders.modalities.rgb.pattern": "blurred/{stem}.jpg"})
    assert len(set(_network_names({"a": first, "b": again}).values())) == 1
    assert len(set(_network_names({"a": first, "b": other}).values())) == 2


def test_rooms_of_another_seed_and_size_are_not_compared() -> None:
    recipe = load_recipe("rooms", {"data.rooms.size": 32})
    own = SimpleNamespace(names=("a",), view=lambda _: SimpleNamespace(target=torch.zeros(4, 4), size=(4, 4)))
    large = SimpleNamespace(names=("a",), view=lambda _: SimpleNamespace(target=torch.zeros(8, 8), size=(8, 8)))
    others = {"data.rooms.size": 64}, {"data.rooms.size": 64, "data.rooms.seed": 1}
    same, another = (load_recipe("rooms", changes) for changes in others)
    assert len(_sizes_of_same_views({"a": own, "b": large}, {"a": recipe, "b": same}, drawn=False)) == 2
    with pytest.raises(UsageError, match="b: scored on other views than a"):
        _sizes_of_same_views({"a": own, "b": large}, {"a": recipe, "b": another}, drawn=False)


def test_one_run_is_not_compared(cen: Cen, tiny_run: Path) -> None:
    assert "two or more runs" in cen("compare", tiny_run, code=2).err


def test_two_checkpoints_of_one_run_are_two_networks(cen: Cen, tiny_run: Path) -> None:
    last = tiny_run / "checkpoints" / "last"
    ended = cen("compare", tiny_run, last, "--split", "val", "--device", "cpu", "--json")
    assert [(row["variant"], row["done"]) for row in ended.document["rows"]] == [
        (tiny_run.name, 1),
        (f"{tiny_run.name}, last", 1),
    ]
    for again in (tiny_run, tiny_run / "checkpoints" / "best"):
        assert "the same checkpoint as" in cen("compare", tiny_run, last, again, code=2).err


def test_runs_of_different_tasks_are_refused(cen: Cen, tiny_run: Path, tiny_translation_run: Path) -> None:
    ended = cen("compare", tiny_run, tiny_translation_run, "--device", "cpu", code=2)
    assert f"{tiny_translation_run}: it does not learn what {tiny_run} learns" in ended.err
