"""`cen eval`: the same scores as validation, what the recipe expects, pictures, what may be set."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cen_cli.analysis import pictures
from cen_cli.scoring import segmentation as scoring
from cen_cli.scoring.segmentation import segment_views
from cen_cli.scoring.test_time_augmentation import MultiScaleFlip
from tests.cli.conftest import Cen


def evaluate(cen: Cen, checkpoint: Path, *words: object, code: int = 0, settings: tuple[str, ...] = ()):
    return cen("eval", checkpoint, "--device", "cpu", *words, code=code, settings=settings)


@pytest.mark.parametrize("which", ["last", "best"])
def test_scores_are_those_of_the_validation(cen: Cen, tiny_run: Path, which: str) -> None:
    expected = json.loads((tiny_run / "metrics.json").read_text())[which]
    obtained = evaluate(cen, tiny_run / "checkpoints" / which, "--split", "val", "--json").document["evaluation"]
    file = tiny_run / "checkpoints" / which / "model.safetensors"
    assert obtained == expected | {"checkpoint": str(file)}
    assert list(obtained["scores"]) == ["rgb", "depth", "ensemble"]
    assert obtained["samples"] == 4


def test_a_run_directory_stands_for_its_best_checkpoint(cen: Cen, tiny_run: Path) -> None:
    best = json.loads((tiny_run / "metrics.json").read_text())["best"]["scores"]
    assert evaluate(cen, tiny_run, "--split", "val", "--json").document["evaluation"]["scores"] == best


def test_the_table_names_the_checkpoint_where_the_best_one_is_away(cen: Cen, tiny_run: Path, tmp_path: Path) -> None:
    """Beside a training that is just replacing it, or after one that was killed while it was."""
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    checkpoints = run / "checkpoints"
    best = evaluate(cen, run, "--split", "val").out
    assert f"checkpoint: {checkpoints / 'best' / 'model.safetensors'}" in best
    (checkpoints / "best").rename(checkpoints / "best.old")
    assert f"checkpoint: {checkpoints / 'best.old' / 'model.safetensors'}" in evaluate(cen, run).out
    shutil.rmtree(checkpoints / "best.old")
    assert f"checkpoint: {checkpoints / 'last' / 'model.safetensors'}" in evaluate(cen, run).out


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


def test_pictures_that_cannot_be_written_cost_no_numbers(cen: Cen, tiny_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    for folder in ("images", "plots"):
        (run / folder).write_text("a file in the place of the folder")
    ended = cen("eval", run, "--save-images", 1, "--device", "cpu")
    assert "mean IoU" in ended.out
    assert f"not written: could not write {run / 'images'}" in ended.err
    assert cen("eval", run, "--save-images", 1, "--out", run / "images", "--device", "cpu", code=1).out == ""
    ended = cen("eval", run, "--robustness", "--fill", "zero", "--json")
    assert ended.document["plot"] is None
    assert f"not written: could not write {run / 'plots'}" in ended.err


def test_the_confusion_matrix_is_written_in_numbers_and_as_a_picture(
    cen: Cen, tiny_run: Path, tiny_translation_run: Path, tmp_path: Path
) -> None:
    file = tmp_path / "confusion.csv"
    evaluation = cen("eval", tiny_run, "--confusion", file, "--json").document["evaluation"]
    rows = [line.split(",") for line in file.read_text().splitlines()]
    assert rows[0][1:] == evaluation["class_names"]
    assert [[int(cell) for cell in row[1:]] for row in rows[1:]] == evaluation["confusion"]
    correct, every = (
        sum(row[i] for i, row in enumerate(evaluation["confusion"])),
        sum(map(sum, evaluation["confusion"])),
    )
    assert correct / every == evaluation["scores"]["ensemble"]["pixel_accuracy"]
    assert file.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    words = ("--confusion", tmp_path / "t.csv", "--set", "eval.distances=false")
    assert "no classes to confuse" in cen("eval", tiny_translation_run, *words, code=2).err


def test_a_row_begins_with_the_views_photograph(cen: Cen, tiny_run: Path, tiny_root: Path, tmp_path: Path) -> None:
    out = evaluate(cen, tiny_run, "--save-images", 2, "--out", tmp_path, "--json").document["images"]
    gap, text = 6, 18
    for row, stem in enumerate(("001000", "001001")):
        top = gap + 2 * text + row * (text + 3 * 32 + gap)  # small pictures are drawn three times as large
        with Image.open(out) as panel, Image.open(tiny_root / "rgb" / f"{stem}.png") as stored:
            drawn = np.asarray(panel.crop((gap, top, gap + 3 * 40, top + 3 * 32)))
            np.testing.assert_array_equal(drawn[::3, ::3], np.asarray(stored))
            np.testing.assert_array_equal(drawn[2::3, 2::3], np.asarray(stored))


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


# ---- several looks at a view ----


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[MultiScaleFlip]:
    """How every batch, and every view of a picture, was looked at."""
    noted: list[MultiScaleFlip] = []

    def note(model, inputs, specs, size, augmentation, **options):
        noted.append(augmentation)
        return segment_views(model, inputs, specs, size, augmentation, **options)

    for module in (scoring, pictures):
        monkeypatch.setattr(module, "segment_views", note)
    return noted


def test_scales_mirror_images_and_windows_are_used_and_named(
    cen: Cen, tiny_run: Path, looks: list[MultiScaleFlip], tmp_path: Path
) -> None:
    plain = evaluate(cen, tiny_run, "--json").document["evaluation"]
    assert plain["notes"] == []
    assert evaluate(cen, tiny_run, "--scales", "1", "--no-flip", "--json").document["evaluation"] == plain
    assert set(looks) == {MultiScaleFlip()}
    looks.clear()
    words = ("--scales", "0.75,1,1.25", "--flip", "--save-images", 2, "--out", tmp_path, "--json")
    averaged = evaluate(cen, tiny_run, *words, settings=("eval.window=[24,24]",)).document["evaluation"]
    assert averaged["notes"] == [
        "scales 0.75, 1, 1.25, each with its mirror image, in windows of 24 x 24: mean of softmax probabilities"
    ]
    assert averaged["weights"] == plain["weights"]
    assert set(looks) == {MultiScaleFlip(scales=(0.75, 1.0, 1.25), flip=True, window=(24, 24))}
    assert len(looks) == 2 + 2  # batches that were scored, views of the picture
    assert "note: scales 1, each with its mirror image" in evaluate(cen, tiny_run, "--flip").out


@pytest.mark.parametrize(
    ("words", "settings", "message"),
    [
        (("--scales", "a,b"), (), 'eval.scales = "a,b": a list of at least one, each a number > 0'),
        (("--scales", "1,1.0"), (), "a list of numbers, each named once"),
        (("--scales", "0"), (), "eval.scales = [0.0]: a list of at least one, each a number > 0"),
        (("--scales", ""), (), "a list of at least one"),
        ((), ("eval.stride=[4,4]",), "eval.stride = [4, 4]: steps of eval.window, which is absent"),
        (
            (),
            ("eval.window=[8,8]", "eval.stride=[4,9]"),
            "eval.stride = [4, 9]: at most eval.window = [8, 8], or pixels would be left out",
        ),
    ],
)
def test_impossible_looks_are_refused(
    cen: Cen, tiny_run: Path, words: tuple[str, ...], settings: tuple[str, ...], message: str
) -> None:
    assert message in evaluate(cen, tiny_run, *words, settings=settings, code=2).err


def test_a_translation_is_not_looked_at_several_times(cen: Cen, tiny_translation_run: Path) -> None:
    text = evaluate(cen, tiny_translation_run, "--flip", code=2).err
    assert 'eval.flip = true: read only with task = "segmentation"' in text


def test_validations_take_one_scale_in_the_recipes_windows_and_predictions_all(
    cen: Cen, train: Cen, tiny_root: Path, looks: list[MultiScaleFlip], tmp_path: Path
) -> None:
    settings = ("train.epochs=1", "eval.scales=[0.5,1]", "eval.flip=true", "eval.window=[24,32]")
    run = tmp_path / "run"
    train("--out", run, "--json", settings=settings)
    assert set(looks) == {MultiScaleFlip(window=(24, 32))}
    looks.clear()
    files = [f"{name}={tiny_root / name / '001000.png'}" for name in ("rgb", "depth")]
    cen("predict", run, "--input", files[0], "--input", files[1], "--out", tmp_path / "labels", "--json")
    assert looks == [MultiScaleFlip(scales=(0.5, 1.0), flip=True, window=(24, 32))]


def test_onnx_runtime_gives_the_scores_of_torch(cen: Cen, tiny_run: Path) -> None:
    asked = ["eval", tiny_run, "--split", "val", "--set", "eval.size=[64,80]", "--json"]
    torchs, onnxs = (cen(*asked, "--engine", engine).document["evaluation"] for engine in ("torch", "onnx"))
    assert onnxs == torchs
    refused = cen("eval", tiny_run, "--split", "val", "--engine", "onnx", code=2).err
    assert "its graph takes 33 x 33 pixels or more, not 32 x 40" in refused
    assert "torch, or on the CPU onnx" in cen("eval", tiny_run, "--engine", "tflite", code=2).err
