"""`cen eval`: the same scores as validation, what the recipe expects, pictures, what may be set."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Cen


def evaluate(cen: Cen, checkpoint: Path, *words: object, code: int = 0, settings: tuple[str, ...] = ()):
    return cen("eval", checkpoint, "--device", "cpu", *words, code=code, settings=settings)


@pytest.mark.parametrize("which", ["last", "best"])
def test_scores_are_those_of_the_validation(cen: Cen, tiny_run: Path, which: str) -> None:
    expected = json.loads((tiny_run / "metrics.json").read_text())[which]
    obtained = evaluate(cen, tiny_run / "checkpoints" / which, "--split", "val", "--json").document["evaluation"]
    assert obtained == expected
    assert list(obtained["scores"]) == ["rgb", "depth", "ensemble"]
    assert obtained["samples"] == 4


def test_a_run_directory_stands_for_its_best_checkpoint(cen: Cen, tiny_run: Path) -> None:
    best = json.loads((tiny_run / "metrics.json").read_text())["best"]["scores"]
    assert evaluate(cen, tiny_run, "--split", "val", "--json").document["evaluation"]["scores"] == best


def test_tables_per_branch_and_class_with_the_convention(cen: Cen, tiny_run: Path) -> None:
    shown = evaluate(cen, tiny_run).out
    assert "test split, 4 samples, strict protocol" in shown
    assert "classes absent from the truth are" in shown
    assert "left out of the means; void never counts" in shown
    for word in ("rgb", "depth", "ensemble", "wall", "floor"):
        assert f"\n {word} " in shown
    assert "metrics: split=test protocol=strict samples=4 ensemble.pixel_accuracy=" in shown


def test_pictures_are_written(cen: Cen, tiny_run: Path, tmp_path: Path) -> None:
    evaluate(cen, tiny_run, "--save-images", 2, "--out", tmp_path / "pictures")
    (picture,) = (tmp_path / "pictures").iterdir()
    assert picture.name == "test.png"
    with Image.open(picture) as image:
        width, height = image.size
    assert width >= 6 * 40  # inputs, truth, two branches, ensemble
    assert height >= 2 * 32


def test_a_row_begins_with_the_views_photograph(cen: Cen, tiny_run: Path, tiny_root: Path, tmp_path: Path) -> None:
    out = evaluate(cen, tiny_run, "--save-images", 2, "--out", tmp_path, "--json").document["images"]
    gap, text = 6, 18
    for row, stem in enumerate(("001000", "001001")):
        top = gap + 2 * text + row * (text + 32 + gap)
        with Image.open(out) as panel, Image.open(tiny_root / "rgb" / f"{stem}.png") as stored:
            np.testing.assert_array_equal(np.asarray(panel.crop((gap, top, gap + 40, top + 32))), np.asarray(stored))


def test_a_file_alone_is_enough(cen: Cen, tiny_run: Path, tmp_path: Path) -> None:
    file = shutil.copy(tiny_run / "checkpoints" / "best" / "model.safetensors", tmp_path / "net.safetensors")
    best = json.loads((tiny_run / "metrics.json").read_text())["best"]["scores"]
    assert evaluate(cen, Path(file), "--json").document["evaluation"]["scores"] == best


@pytest.mark.parametrize(("value", "code"), [(0.0, 0), (1.0, 1)])
def test_expected_scores_decide_the_exit_code(cen: Cen, tiny_run: Path, value: float, code: int) -> None:
    key = 'expected."rgb.pixel_accuracy"'
    settings = (f"{key}.value={value}", f"{key}.tolerance=0.0", f"{key}.source=a test")
    ended = evaluate(cen, tiny_run, settings=settings, code=code)
    assert "a test" in ended.out
    assert ("below what the recipe expects: rgb.pixel_accuracy" in ended.err) == bool(code)


def test_what_the_checkpoint_fixes_cannot_be_set(cen: Cen, tiny_run: Path) -> None:
    text = evaluate(cen, tiny_run, settings=("model.width=8", "exchange.threshold=0.1"), code=2).err
    assert "model.width: fixed by the trained checkpoint" in text
    assert "exchange.threshold: fixed by the trained checkpoint" in text


def test_an_unknown_split_is_refused(cen: Cen, tiny_run: Path) -> None:
    assert 'eval.split = "valid": "train", "val" or "test"' in evaluate(cen, tiny_run, "--split", "valid", code=2).err


def test_data_may_lie_elsewhere(cen: Cen, tiny_run: Path, tiny_root: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(tiny_root, tmp_path / "moved")
    (moved / "val.txt").write_text("".join((moved / "val.txt").read_text().splitlines(keepends=True)[:3]))
    assert evaluate(cen, tiny_run, "--data-root", moved, "--json").document["evaluation"]["samples"] == 3
    text = evaluate(cen, tiny_run, "--data-root", tmp_path / "nowhere", code=1).err
    assert f"no folder {tmp_path / 'nowhere'}" in text
