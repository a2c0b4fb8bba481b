"""What a folder that nobody prepared is taken for: which files belong together, and what they are."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from cen_cli.data.inspect.discovery import infer_dataset
from cen_cli.data.inspect.file_groups import group_files
from cen_cli.data.patterns import Pattern
from cen_cli.errors import DataError
from cen_cli.results.datasets import InferredDataset, InferredModality
from tests.own import SIZE, save, scene, write_folder

NUMBERS = [f"{number:04d}" for number in range(1, 8)]


def guess(found: InferredDataset, name: str) -> InferredModality:
    return next(modality for modality in found.modalities if modality.name == name)


# --- which files belong together --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paths", "patterns"),
    [
        ([f"{m}/{n}.png" for n in NUMBERS for m in ("rgb", "depth")], {"rgb/{stem}.png", "depth/{stem}.png"}),
        (
            [f"{n}_{m}.png" for n in NUMBERS for m in ("rgb", "depth", "gt_mask")],
            {"{stem}_rgb.png", "{stem}_depth.png", "{stem}_gt_mask.png"},
        ),
        ([f"{n}{end}" for n in NUMBERS for end in (".jpg", "_mask.png")], {"{stem}.jpg", "{stem}_mask.png"}),
        (
            [f"{s}/{m}/{n}.png" for n in NUMBERS for m in ("a", "b") for s in ("train", "val")],
            {"{split}/a/{stem}.png", "{split}/b/{stem}.png"},
        ),
        (
            [f"{m}/{s}/{n}.png" for n in NUMBERS for m in ("rgb", "nir") for s in ("kitchen", "office")],
            {"rgb/{group}/{stem}.png", "nir/{group}/{stem}.png"},
        ),
        (
            [f"{s}/{n}_{m}.png" for n in NUMBERS for m in ("rgb", "nir") for s in ("kitchen", "office")],
            {"{group}/{stem}_rgb.png", "{group}/{stem}_nir.png"},
        ),
        (
            [f"scene{s}/{m}/{n}.png" for n in NUMBERS for m in ("x", "y") for s in range(4)],
            {"{group}/x/{stem}.png", "{group}/y/{stem}.png"},
        ),
        (
            [f"images/img_{n}.png" for n in NUMBERS] + [f"masks/mask_{n}.png" for n in NUMBERS],
            {"images/img_{stem}.png", "masks/mask_{stem}.png"},
        ),
        (
            [f"images/{n}_{m}.png" for n in NUMBERS for m in ("rgb", "nir")] + [f"masks/{n}.png" for n in NUMBERS],
            {"images/{stem}_rgb.png", "images/{stem}_nir.png", "masks/{stem}.png"},
        ),
        (
            [f"{r}_{n}_{m}.png" for n in NUMBERS for m in ("rgb", "depth") for r in ("kitchen", "bath")],
            {"{stem}_rgb.png", "{stem}_depth.png"},
        ),
        (
            [f"{d}/point_{n}_view_0_domain_{d}.png" for n in NUMBERS for d in ("rgb", "normal", "depth_zbuffer")],
            {
                "rgb/{stem}_rgb.png",
                "normal/{stem}_normal.png",
                "depth_zbuffer/{stem}_depth_zbuffer.png",
            },
        ),
        (
            [f"leftImg8bit/{s}/{c}/{c}_{n}_leftImg8bit.png" for n in NUMBERS for s in ("train", "val") for c in "ab"]
            + [f"gtFine/{s}/{c}/{c}_{n}_gtFine_labelIds.png" for n in NUMBERS for s in ("train", "val") for c in "ab"],
            {
                "leftImg8bit/{split}/{group}/{stem}_leftImg8bit.png",
                "gtFine/{split}/{group}/{stem}_gtFine_labelIds.png",
            },
        ),
    ],
)
def test_groups_are_told_by_folders_and_names(paths: list[str], patterns: set[str]) -> None:
    found, left = group_files(paths)
    assert {group.pattern for group in found} == patterns
    assert sum(len(group.files) for group in found) == len(paths)
    assert left == []
    keys = [set(group.files) for group in found]
    assert all(part == keys[0] for part in keys)


def test_a_few_files_of_another_kind_are_left_over() -> None:
    paths = [f"{m}/{n}.png" for n in NUMBERS for m in ("rgb", "depth")]
    found, left = group_files([*paths, "overview.png"])
    assert {group.pattern for group in found} == {"rgb/{stem}.png", "depth/{stem}.png"}
    assert left == ["overview.png"]


# --- what they are ----------------------------------------------------------------------------------------------------


def test_label_maps_may_be_few() -> None:
    paths = [f"{m}/{n:04d}.png" for n in range(40) for m in ("rgb", "depth")]
    found, left = group_files([*paths, "labels/0003.png", "labels/0007.png"])
    assert {group.pattern for group in found} == {"rgb/{stem}.png", "depth/{stem}.png", "labels/{stem}.png"}
    assert left == []


def test_a_folder_of_three_modalities_and_label_maps(tmp_path: Path) -> None:
    found = infer_dataset(write_folder(tmp_path / "own"))
    assert [modality.name for modality in found.modalities] == ["rgb", "height", "nir"]
    rgb, height, nir = (modality.meaning for modality in found.modalities)
    assert (rgb.kind, guess(found, "rgb").channels, guess(found, "rgb").stored) == ("photograph", 3, "uint8")
    assert (nir.kind, nir.range, guess(found, "nir").stored) == ("image", (0.0, 4095.0), "uint16")
    assert (height.kind, height.invalid, height.scale) == ("measurement", (-9999.0,), None)
    assert height.range is not None
    assert -1.5 < height.range[0] < -0.5
    assert 6 < height.range[1] < 7
    assert any("7.5% of the pixels are -9999, apart from all others" in text for text in height.evidence)
    labels = found.labels
    assert labels is not None
    assert (labels.pattern, labels.first, labels.values) == ("masks/{stem}.png", 1, ())
    assert labels.classes == ("class_1", "class_2", "class_3")
    assert "labels start at 1" in labels.evidence
    assert sum(labels.shares) == pytest.approx(1)
    assert (found.views, found.complete, found.groups, found.splits, found.size) == (10, 10, 0, (), SIZE)


@pytest.mark.parametrize(
    ("invalid", "units", "scale"),
    [
        ((0,), 1000, 1000.0),
        ((65535,), 1000, 1000.0),
        ((65535,), 512, 512.0),
        ((0, 65535), 5000, 5000.0),
        ((), 1000, 1000.0),
    ],
)
def test_depth_its_unit_and_its_invalid_values(
    tmp_path: Path, invalid: tuple[int, ...], units: int, scale: float
) -> None:
    name = "depth_zbuffer" if units == 512 else "depth"
    for number in range(4):
        maps = scene(number)
        depth = (np.clip(maps["height"], -1, None) + 2.5) * units
        for position, value in enumerate(invalid):
            depth[position] = value
        save(tmp_path / f"{number}_rgb.png", maps["rgb"])
        save(tmp_path / f"{number}_{name}.png", depth.astype(np.uint16))
        save(tmp_path / f"{number}_labels.png", maps["labels"])
    meaning = infer_dataset(tmp_path).modalities[1].meaning
    assert (meaning.kind, meaning.unit, meaning.scale) == ("measurement", "m", scale)
    assert meaning.invalid == invalid
    assert meaning.range is not None
    assert meaning.range[0] == 0
    assert 8 < meaning.range[1] < 10


def label_guess(tmp_path: Path, maps: list[np.ndarray]) -> InferredDataset:
    for number, values in enumerate(maps):
        save(tmp_path / f"rgb/{number}.png", scene(number)["rgb"])
        save(tmp_path / f"x/{number}.png", values)
    return infer_dataset(tmp_path)


def blocks(values: list[int]) -> np.ndarray:
    """The values as flat areas."""
    return np.array(values).repeat(-(-SIZE[1] // len(values)))[: SIZE[1]][None].repeat(SIZE[0], 0)


def test_255_beside_other_labels_is_void(tmp_path: Path) -> None:
    labels = label_guess(tmp_path, [blocks([0, 1, 2, 255]).astype(np.uint8)] * 3).labels
    assert labels is not None
    assert (labels.classes, labels.first, labels.values) == (("class_0", "class_1", "class_2"), 0, ())
    assert any(text.startswith("255 (25.0% of the pixels) is taken for void") for text in labels.evidence)
    assert any("0 (25.0% of the pixels) is taken for a class" in text for text in labels.evidence)


def test_black_and_white_is_two_classes_and_scattered_values_are_listed(tmp_path: Path) -> None:
    labels = label_guess(tmp_path / "a", [blocks([0, 255]).astype(np.uint8)] * 3).labels
    assert labels is not None
    assert (labels.classes, labels.values) == (("class_0", "class_255"), (0, 255))
    labels = label_guess(tmp_path / "b", [blocks([7, 26, 100]).astype(np.uint8)] * 3).labels
    assert labels is not None
    assert (labels.classes, labels.values) == (("class_7", "class_26", "class_100"), (7, 26, 100))


def test_a_class_that_only_one_file_shows_is_found(tmp_path: Path) -> None:
    maps = [blocks([0, 1]).astype(np.uint8) for _ in range(40)]
    maps[7][:5] = 3
    labels = label_guess(tmp_path, maps).labels
    assert labels is not None
    assert len(labels.classes) == 4
    assert "never shown: 2" in labels.evidence


def test_flat_colours_are_label_maps(tmp_path: Path) -> None:
    colours = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0]], np.uint8)
    labels = label_guess(tmp_path, [colours[blocks([0, 1, 2])]] * 3).labels
    assert labels is not None
    assert labels.color
    assert labels.colors == ((0, 0, 0), (0, 128, 0), (128, 0, 0))


def test_palette_images_are_label_maps_and_jpegs_are_not(tmp_path: Path) -> None:
    for number in range(3):
        random = np.random.default_rng(number)
        save(tmp_path / f"rgb/{number}.png", scene(number)["rgb"])
        save(tmp_path / f"flat/{number}.jpg", blocks([0, 1]).astype(np.uint8))
        image = Image.fromarray(random.integers(0, 5, SIZE, dtype=np.uint8)).copy()
        image.putpalette([0, 1, 2] * 256)
        (tmp_path / "x").mkdir(exist_ok=True)
        image.save(tmp_path / f"x/{number}.png")
    labels = infer_dataset(tmp_path).labels
    assert labels is not None
    assert labels.pattern == "x/{stem}.png"


def test_the_lowest_of_coarse_values_is_a_value(tmp_path: Path) -> None:
    """Whole degrees, of which the lowest is as near to the next as all others."""
    for number in range(4):
        save(tmp_path / f"rgb/{number}.png", scene(number)["rgb"])
        degrees = np.random.default_rng(number).integers(-6, 6, SIZE).astype(np.int16)
        (tmp_path / "thermal").mkdir(exist_ok=True)
        np.save(tmp_path / f"thermal/{number}.npy", degrees)
    meaning = guess(infer_dataset(tmp_path), "thermal").meaning
    assert meaning.invalid == ()
    assert meaning.range is not None
    assert meaning.range[0] <= -6


def test_values_far_above_0_have_a_range_of_their_own(tmp_path: Path) -> None:
    """Hundredths of kelvins; of a range from 0 they would take a fiftieth."""
    for number in range(4):
        save(tmp_path / f"rgb/{number}.png", scene(number)["rgb"])
        kelvins = np.random.default_rng(number).integers(28918, 29525, SIZE).astype(np.float32)
        (tmp_path / "thermal").mkdir(exist_ok=True)
        np.save(tmp_path / f"thermal/{number}.npy", kelvins)
    found = guess(infer_dataset(tmp_path), "thermal").meaning.range
    assert found is not None
    assert 28700 < found[0] < 28918
    assert 29524 < found[1] < 29700


def test_files_beside_images_are_none_of_a_modality(tmp_path: Path) -> None:
    for number in range(4):
        save(tmp_path / f"rgb/{number}.{'png' if number % 2 else 'jpg'}", scene(number)["rgb"])
        (tmp_path / f"rgb/{number}.txt").write_text("0 0.5 0.5 0.1 0.1")
        save(tmp_path / f"labels/{number}.png", scene(number)["labels"])
    found = infer_dataset(tmp_path)
    assert (guess(found, "rgb").pattern, found.complete) == ("rgb/{stem}.*", 4)
    assert len(Pattern("rgb/{stem}.*").find(tmp_path)) == 4


def test_colours_of_16_bits_with_a_full_transparency_are_one_modality(tmp_path: Path) -> None:
    for number in range(4):
        values = np.random.default_rng(number).integers(0, 60000, (*SIZE, 4)).astype(np.uint16)
        values[..., 3] = 65535
        (tmp_path / "rgb").mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / f"rgb/{number}.tif", values)
        save(tmp_path / f"labels/{number}.png", scene(number)["labels"])
    (rgb,) = infer_dataset(tmp_path).modalities
    assert (rgb.name, rgb.bands) == ("rgb", (1, 2, 3))


def test_normals_are_told_by_their_length(tmp_path: Path) -> None:
    for number in range(3):
        vectors = np.random.default_rng(number).normal(size=(*SIZE, 3))
        vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
        save(tmp_path / f"n/{number}.png", (127.5 + 127.5 * vectors).round().astype(np.uint8))
        save(tmp_path / f"rgb/{number}.png", scene(number)["rgb"])
    found = infer_dataset(tmp_path)
    assert guess(found, "n").meaning.kind == "normals"
    assert guess(found, "rgb").meaning.kind == "photograph"
    assert found.labels is None


@pytest.mark.parametrize(
    ("stored", "expected"),
    [("signed", (-1.0, 1.0)), ("shares", (0.0, 1.0)), ("uint16", (0.0, 65535.0))],
)
def test_normals_of_more_than_8_bits_are_told_too(tmp_path: Path, stored: str, expected: tuple[float, float]) -> None:
    for number in range(3):
        vectors = np.random.default_rng(number).normal(size=(*SIZE, 3))
        vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
        shares = (vectors + 1) / 2
        (tmp_path / "n").mkdir(exist_ok=True)
        if stored == "uint16":
            tifffile.imwrite(
                tmp_path / f"n/{number}.tif", (65535 * shares).round().astype(np.uint16), photometric="rgb"
            )
        else:
            np.save(tmp_path / f"n/{number}.npy", (vectors if stored == "signed" else shares).astype(np.float32))
        save(tmp_path / f"rgb/{number}.png", scene(number)["rgb"])
    meaning = guess(infer_dataset(tmp_path), "n").meaning
    assert (meaning.kind, meaning.range) == ("normals", expected)


@pytest.mark.parametrize(
    ("dtype", "far"), [("float32", 1e10), ("float32", 9999.0), ("int16", 32767), ("uint16", 60000), ("uint16", 65535)]
)
def test_a_frequent_value_far_above_all_others_is_no_measurement(tmp_path: Path, dtype: str, far: float) -> None:
    for number in range(6):
        values = np.random.default_rng(number).uniform(1500, 4500, SIZE)
        values[:4] = far
        (tmp_path / "depth").mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / f"depth/{number}.tif", values.astype(dtype))
        save(tmp_path / f"rgb/{number}.png", scene(number)["rgb"])
    meaning = guess(infer_dataset(tmp_path), "depth").meaning
    assert meaning.invalid == (far,)
    assert meaning.range is not None
    assert meaning.range[1] * (meaning.scale or 1) < 6000


def test_raw_values_far_from_0_have_their_own_range(tmp_path: Path) -> None:
    for number in range(4):
        values = np.random.default_rng(number).uniform(29457, 29895, SIZE).round().astype(np.uint16)
        (tmp_path / "flir").mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / f"flir/{number}.tif", values)
        save(tmp_path / f"rgb/{number}.png", scene(number)["rgb"])
    meaning = guess(infer_dataset(tmp_path), "flir").meaning
    assert meaning.range is not None
    assert 29000 < meaning.range[0] < 29457
    assert 29895 < meaning.range[1] < 30500


def test_accents_are_one_sign_or_two(tmp_path: Path) -> None:
    for number in range(4):
        save(tmp_path / "rgb" / unicodedata.normalize("NFD", f"forêt {number}.png"), scene(number)["rgb"])
        save(tmp_path / "nir" / unicodedata.normalize("NFC", f"forêt {number}.png"), scene(number)["nir"])
    found = infer_dataset(tmp_path)
    assert {modality.name for modality in found.modalities} == {"rgb", "nir"}


def test_a_far_wall_is_measured(tmp_path: Path) -> None:
    for number in range(6):
        values = np.random.default_rng(number).uniform(0.5, 3.0, SIZE).astype(np.float32)
        values[:4] = 8.0
        (tmp_path / "depth").mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / f"depth/{number}.tif", values)
        save(tmp_path / f"rgb/{number}.png", scene(number)["rgb"])
    assert guess(infer_dataset(tmp_path), "depth").meaning.invalid == ()


def test_views_without_all_their_files_and_what_cannot_be_read_are_said(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "own")
    (root / "masks/field_003.png").unlink()
    for number in range(10):
        (root / "odd").mkdir(exist_ok=True)
        np.save(root / f"odd/field_{number:03d}.npy", np.zeros((*SIZE, 5), np.uint16))
    found = infer_dataset(root)
    assert (found.views, found.complete) == (10, 9)
    (note,) = found.notes
    assert "odd/{stem}.npy is left out: files are 16-bit of 5 bands; `bands`" in note


def test_files_without_a_value_and_files_of_zeros(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / f"rgb/{number}.png", scene(number)["rgb"])
        save(tmp_path / f"nothing/{number}.tif", np.full(SIZE, np.nan, np.float32))
        save(tmp_path / f"zero/{number}.tif", np.zeros(SIZE, np.float32))
    found = infer_dataset(tmp_path)
    assert found.notes == ("nothing/{stem}.tif is left out: files hold nothing but NaN and infinity",)
    assert guess(found, "zero").meaning.range == (0.0, 1.0)


@pytest.mark.parametrize(
    ("files", "message", "hint"),
    [
        ([], "no image files", "give a folder of images"),
        (["a/1.png", "a/2.png", "a/3.png"], "1 modality and no label maps: nothing to learn", "a segmentation needs"),
        (["a.png", "b/c.png"], "the 2 image files do not form series; the first: a.png", "need a folder, or an ending"),
        (["a/x1.png", "a/x2.png", "b/y3.png", "b/y4.png"], "no view has a file of each of", "the same name or number"),
    ],
)
def test_folders_with_nothing_to_learn_from(tmp_path: Path, files: list[str], message: str, hint: str) -> None:
    for number, name in enumerate(files):
        save(tmp_path / name, scene(number)["rgb"])
    with pytest.raises(DataError) as caught:
        infer_dataset(tmp_path)
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: it does not exist"):
        infer_dataset(tmp_path / "nowhere")


def test_ranges_are_within_what_files_can_hold(tmp_path: Path) -> None:
    for number in NUMBERS:
        values = np.random.default_rng(int(number)).integers(-30000, 32700, (*SIZE, 3)).astype(np.int16)
        values[0, 0], values[0, 1] = -30000, 32700
        save(tmp_path / f"iq/{number}.npy", values)
        save(tmp_path / f"rgb/{number}.png", scene(int(number), SIZE)["rgb"])
    found = guess(infer_dataset(tmp_path), "iq")
    assert found.meaning.range == (-31000.0, 32767.0)


def test_labels_that_span_more_than_can_be_told_apart_are_listed(tmp_path: Path) -> None:
    for number in NUMBERS:
        labels = np.repeat(np.r_[0:250, 300].astype(np.uint16)[:, None], 4, axis=1)
        save(tmp_path / f"masks/{number}.png", labels)
        save(tmp_path / f"rgb/{number}.png", np.zeros((*labels.shape, 3), np.uint8))
    found = infer_dataset(tmp_path).labels
    assert found is not None
    assert found.values == (*range(250), 300)


def test_negative_labels_are_called_so(tmp_path: Path) -> None:
    for number in NUMBERS:
        maps = scene(int(number), SIZE)
        save(tmp_path / f"labels/{number}.npy", np.tile(np.int64([-1, 0, 1, 2]), (SIZE[0], SIZE[1] // 4)))
        save(tmp_path / f"rgb/{number}.png", maps["rgb"])
        save(tmp_path / f"nir/{number}.png", maps["nir"])
    assert any("they hold negative numbers" in note for note in infer_dataset(tmp_path).unread_labels)
