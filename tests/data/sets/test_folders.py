"""Data of one's own: patterns, encodings, label maps, how views are divided, and everything that is refused."""

from __future__ import annotations

import dataclasses
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cen_cli.data.modality import LabelEncoding
from cen_cli.data.normalization import denormalize
from cen_cli.data.patterns import Pattern, ViewKey, find_together
from cen_cli.data.sets.folders import Division, FolderLabels, FolderModality, Folders, divided
from cen_cli.data.tensors import DepthMap
from cen_cli.data.transforms import TrainTransform
from cen_cli.errors import DataError, IncompleteError, UsageError
from cen_cli.results import VOID
from tests.own import NAMES, save, scene, write_folder

RGB = FolderModality("rgb/{stem}.jpg", "photograph", 3)
NIR = FolderModality("nir/{stem}.png", "image", 1, "uint16", (0.0, 4095.0))
HEIGHT = FolderModality("height/{stem}.tif", "measurement", 1, "float32", (-2.0, 10.0), unit="m", invalid=(-9999.0,))
MODALITIES = {"rgb": RGB, "nir": NIR, "height": HEIGHT}
LABELS = FolderLabels("masks/{stem}.png", NAMES, LabelEncoding((1, 2, 3), (0,)))
EVERYTHING = Division(shares=(0.6, 0.2, 0.2))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "own")


def folders(root: Path, split: str = "train", inputs: tuple[str, ...] = ("rgb", "nir", "height"), **options) -> Folders:
    given = {"modalities": MODALITIES, "labels": LABELS, "division": EVERYTHING, **options}
    return Folders(root, split, inputs, given.pop("target", None), **given)


def one(root: Path, modality: FolderModality, **options) -> Folders:
    """All views of one modality, without labels, as far as they fall into train."""
    return Folders(root, "train", ("a",), modalities={"a": modality}, division=EVERYTHING, **options)


def write_one(root: Path, values: np.ndarray, name: str = "a/{}.npy", **options) -> Path:
    for number in range(3):
        save(root / name.format(number), values, **options)
    return root


# --- patterns ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "path", "key"),
    [
        ("rgb/{stem}.png", "rgb/a_1.png", ViewKey("", "", "a_1")),
        ("rgb/{stem}.png", "rgb/b/a_1.png", None),
        ("rgb/{stem}.png", "rgb/a_1xpng", None),
        ("{group}/x_{stem}.png", "s1/x_7.png", ViewKey("", "s1", "7")),
        ("{group}_{stem}.png", "kitchen_01_7.png", ViewKey("", "kitchen_01", "7")),
        ("{split}/{group}/{stem}_*.png", "Validation/s/7_12.5.png", ViewKey("val", "s", "7")),
        ("{split}/{stem}.png", "other/7.png", None),
        ("{split}_{stem}.png", "train_a_1.png", ViewKey("train", "", "a_1")),
        ("{split}*/rgb/{stem}.png", "validation_set/rgb/1.png", ViewKey("val", "", "1")),
        ("a[1]/{stem}.png", "a[1]/7.png", ViewKey("", "", "7")),
    ],
)
def test_a_pattern_says_which_view_a_path_belongs_to(pattern: str, path: str, key: ViewKey | None) -> None:
    assert Pattern(pattern).key(path) == key


def test_find_takes_special_characters_as_they_are_and_leaves_hidden_files(tmp_path: Path) -> None:
    for name in ("a[1]/7.png", "a[1]/.8.png", "a1/9.png"):
        save(tmp_path / name, np.zeros((2, 2), np.uint8))
    assert Pattern("a[1]/{stem}.png").find(tmp_path) == {ViewKey("", "", "7"): "a[1]/7.png"}


def test_views_are_sorted_by_their_numbers(tmp_path: Path) -> None:
    for number in (10, 9, 1):
        save(tmp_path / f"train/x{number}.npy", np.zeros((2, 2), np.uint8))
    save(tmp_path / "val/x2.npy", np.zeros((2, 2), np.uint8))
    data = one(tmp_path, FolderModality("{split}/{stem}.npy", "image", 1))
    assert [view.name for view in data.views] == ["x1", "x9", "x10"]


def test_a_pattern_without_files_says_what_is_there(root: Path) -> None:
    with pytest.raises(
        DataError, match=r"no file matches the pattern 'rbg/\{stem\}\.jpg': no folder .*rbg; of "
    ) as caught:
        Pattern("rbg/{stem}.jpg").find(root)
    assert "it holds height/, masks/, nir/, rgb/" in caught.value.message
    assert caught.value.hint == "did you mean 'rgb/{stem}.jpg'?"
    with pytest.raises(
        DataError, match=r"no file matches the pattern 'rgb/\{stem\}\.png' in .*: it holds field_000\.jpg"
    ):
        Pattern("rgb/{stem}.png").find(root)


def test_two_files_of_one_view_are_refused(tmp_path: Path) -> None:
    for name in ("a/1_x.png", "a/1_y.png"):
        save(tmp_path / name, np.zeros((2, 2), np.uint8))
    with pytest.raises(
        DataError, match=r"a/1_x\.png and a/1_y\.png are both view '1' by the pattern 'a/\{stem\}_\*\.png'"
    ):
        Pattern("a/{stem}_*.png").find(tmp_path)


# --- views ------------------------------------------------------------------------------------------------------------


def test_a_view_holds_every_modality_as_it_is_stated(root: Path) -> None:
    data = folders(root)
    view = data.view(0)
    true = scene(int(view.name.removeprefix("field_")))
    rgb, nir, height = (view.inputs[name] for name in ("rgb", "nir", "height"))
    assert rgb.dtype == torch.uint8
    assert rgb.shape == (3, 40, 48)
    assert np.abs(rgb.permute(1, 2, 0).numpy().astype(int) - true["rgb"]).mean() < 10  # a JPEG
    np.testing.assert_allclose(nir.numpy()[0], true["nir"] / np.float32(4095), rtol=1e-6)
    assert isinstance(height, DepthMap)
    assert (height.numpy()[0, :3] == 0).all()
    np.testing.assert_allclose(height.numpy()[0, 3:], true["height"][3:] + 2, rtol=1e-5)
    assert np.array_equal(view.target.numpy()[0], true["labels"])
    assert data.class_names == NAMES
    assert len({data.fingerprint(), folders(root, labels=None).fingerprint()}) == 2


def test_a_sample_is_normalised_by_what_each_modality_is(root: Path) -> None:
    sample = folders(root)[0]
    rgb, nir, height = (sample.inputs[name] for name in ("rgb", "nir", "height"))
    assert rgb.min() < -1.5  # ImageNet's statistics
    assert -1 <= nir.min() < nir.max() <= 1
    assert sample.valid["height"][0, :3].sum() == 0
    assert sample.valid["height"][0, 3:].all()
    assert (height[:, :3] == 0).all()
    view = folders(root).view(0)
    metres = view.inputs["height"].numpy()[0, 3:] - 2
    np.testing.assert_allclose(height[0, 3:].numpy(), (metres - 4) / 6, atol=1e-5)


def test_a_measurement_may_be_normalised_in_its_unit(root: Path) -> None:
    data = folders(root, normalize={"height": (1.0, 2.0)})
    metres = data.view(0).inputs["height"].numpy()[0, 3:] - 2
    np.testing.assert_allclose(data[0].inputs["height"][0, 3:].numpy(), (metres - 1) / 2, atol=1e-5)


def test_the_lowest_measured_value_still_counts_and_what_lies_outside_is_brought_in(tmp_path: Path) -> None:
    values = np.array([[0.0, -5.0, 3.0, 99.0, np.nan, np.inf]], np.float32)
    view = one(
        write_one(tmp_path, values), FolderModality("a/{stem}.npy", "measurement", 1, "float32", (0.0, 10.0))
    ).view(0)
    depth = view.inputs["a"].numpy()[0, 0]
    assert (depth[:2] > 0).all()
    assert (depth[:2] < 1e-4).all()
    assert depth[2:].tolist() == [3.0, 10.0, 0.0, 0.0]


def test_scale_and_several_invalid_values(tmp_path: Path) -> None:
    modality = FolderModality(
        "a/{stem}.png", "measurement", 1, "uint16", (0.5, 8.0), scale=1000.0, invalid=(0.0, 65535.0)
    )
    values = np.array([[0, 65535, 500, 2500, 8000]], np.uint16)
    view = one(write_one(tmp_path, values, "a/{}.png"), modality).view(0)
    np.testing.assert_allclose(view.inputs["a"].numpy()[0, 0], [0, 0, 7.5e-6, 2.0, 7.5], rtol=1e-5)


def test_a_measurement_as_target_lies_in_its_range_and_comes_back(root: Path) -> None:
    data = folders(root, inputs=("rgb", "nir"), target="height", labels=LABELS)
    assert data.class_names == ()
    assert data.target is not None
    assert data.target.name == "height"
    sample = data[0]
    assert sample.target.shape == (3, 40, 48)
    assert sample.target.abs().max() <= 1
    assert not sample.target_valid[0, :3].any()
    back = denormalize(sample.target, data.target)
    np.testing.assert_allclose(back[0, 3:].numpy(), data.view(0).target.numpy()[0, 3:], atol=1e-5)


def test_colour_jitter_changes_photographs_alone_and_normals_turn_over_with_the_picture(tmp_path: Path) -> None:
    values = np.zeros((4, 4, 3), np.uint8)
    values[..., 0] = 200
    root = write_one(tmp_path, values)
    normals = one(root, FolderModality("a/{stem}.npy", "normals", 3))
    assert not normals.specs[0].jitter
    assert one(root, FolderModality("a/{stem}.npy", "photograph", 3)).specs[0].jitter
    turned = 0
    for seed in range(8):
        generator = torch.Generator().manual_seed(seed)
        sample = TrainTransform((4, 4))(normals.view(0), normals.specs, generator).normalized()
        red = round(float(sample.inputs["a"][0, 0, 0]) * 127.5 + 127.5)
        assert red in (200, 55)
        turned += red == 55
    assert 0 < turned < 8


@pytest.mark.parametrize(
    ("stored", "channels", "values", "suffix", "most"),
    [
        ("uint8", 1, np.full((3, 4), 51, np.uint8), "png", 51 / 255),
        ("uint8", 3, np.full((3, 4, 3), 51, np.uint8), "tif", 51 / 255),
        ("uint16", 1, np.full((3, 4), 6553, np.uint16), "tif", 6553 / 65535),
        ("uint16", 1, np.full((3, 4), 6553, np.int64), "npy", 6553 / 65535),
        ("uint16", 3, np.full((3, 4, 3), 6553, np.uint16), "npy", 6553 / 65535),
        ("float32", 1, np.full((3, 4), 0.2, np.float32), "tif", 0.2),
        ("float32", 1, np.full((3, 4, 1), 0.2, np.float64), "npy", 0.2),
        ("float32", 3, np.full((3, 4, 3), 0.2, np.float16), "npy", 0.2),
    ],
)
def test_all_types_are_read(
    tmp_path: Path, stored: str, channels: int, values: np.ndarray, suffix: str, most: float
) -> None:
    data = one(
        write_one(tmp_path, values, f"a/{{}}.{suffix}"),
        FolderModality(f"a/{{stem}}.{suffix}", "image", channels, stored),
    )
    image = data.view(0).inputs["a"]
    assert image.shape == (channels, 3, 4)
    np.testing.assert_allclose(image.float().numpy() / (255 if image.dtype == torch.uint8 else 1), most, rtol=1e-3)


@pytest.mark.parametrize(
    ("stored", "channels", "values", "suffix", "message"),
    [
        ("uint16", 1, np.zeros((3, 4), np.uint8), "png", "the image is 8-bit grey, expected 16-bit grey"),
        ("uint8", 1, np.zeros((3, 4), np.uint16), "png", "the image is 16-bit grey, expected 8-bit grey"),
        ("uint8", 1, np.zeros((3, 4, 3), np.uint8), "png", "the image is 8-bit RGB colours, expected 8-bit grey"),
        ("uint8", 3, np.zeros((3, 4), np.uint8), "jpg", "the image is 8-bit grey, expected 8-bit RGB"),
        ("float32", 1, np.zeros((3, 4), np.uint16), "tif", "the image is 16-bit grey, expected 32-bit float"),
        ("float32", 1, np.zeros((3, 4, 3), np.float32), "npy", "32-bit float RGB colours, expected 32-bit float"),
        (
            "float32",
            1,
            np.zeros((3, 4, 5), np.float32),
            "npy",
            r"the array is float32 \[3, 4, 5\], expected \[H, W\] or",
        ),
        ("float32", 1, np.zeros(3, np.float32), "npy", r"the array is float32 \[3\], expected"),
        ("uint16", 1, np.full((3, 4), 70000, np.int64), "npy", r"the array is int64 \[3, 4\], expected"),
        ("uint8", 1, np.zeros((3, 4), np.complex64), "npy", r"the array is complex64 \[3, 4\], expected"),
    ],
)
def test_other_types_are_refused(
    tmp_path: Path, stored: str, channels: int, values: np.ndarray, suffix: str, message: str
) -> None:
    data = one(
        write_one(tmp_path, values, f"a/{{}}.{suffix}"),
        FolderModality(f"a/{{stem}}.{suffix}", "image", channels, stored),
    )
    with pytest.raises(DataError, match=message) as caught:
        data.view(0)
    assert str(tmp_path / "a") in caught.value.message
    assert caught.value.exit_code == 1


def test_arrays_with_python_objects_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    data = one(write_one(tmp_path, np.zeros((2, 2), np.uint8)), FolderModality("a/{stem}.npy", "image", 1))
    path = Path(data.files(0)["a"])
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="not a NumPy array that can be read"):
        data.view(0)
    path.write_bytes(b"\x93NUMPY\x01")
    with pytest.raises(DataError, match="not a NumPy array that can be read"):
        data.view(0)
    path.unlink()
    with pytest.raises(DataError, match="no such file"):
        data.view(0)


# --- label maps -------------------------------------------------------------------------------------------------------


def labelled(root: Path, encoding: LabelEncoding, values: np.ndarray, suffix: str = "png", **options) -> np.ndarray:
    write_one(root, np.zeros(values.shape[:2], np.uint8))
    write_one(root, values, f"m/{{}}.{suffix}", **options)
    labels = FolderLabels(f"m/{{stem}}.{suffix}", tuple("abc")[: len(encoding.values)], encoding)
    target = one(root, FolderModality("a/{stem}.npy", "image", 1), labels=labels).view(0).target
    assert target is not None
    return target.numpy()[0]


def test_stored_values_become_classes_and_void(tmp_path: Path) -> None:
    values = np.array([[7, 300, 11, 255]], np.uint16)
    assert labelled(tmp_path, LabelEncoding((11, 7, 300), (255,)), values).tolist() == [[1, 2, 0, VOID]]


@pytest.mark.parametrize("dtype", ["int16", "int64", "float32"])
def test_void_may_be_below_0(tmp_path: Path, dtype: str) -> None:
    values = np.array([[0, -1, 1]], dtype)
    assert labelled(tmp_path, LabelEncoding((0, 1), (-1,)), values, "npy").tolist() == [[0, VOID, 1]]


def test_black_and_white_masks_are_labels(tmp_path: Path) -> None:
    assert labelled(tmp_path, LabelEncoding((0, 255)), np.array([[0, 255]], np.uint8)).tolist() == [[0, 1]]
    values = np.array([[False, True]])
    assert labelled(tmp_path, LabelEncoding((0, 1)), values, "npy").tolist() == [[0, 1]]


def test_palette_maps_count_by_index(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[2, 1]], np.uint8)).copy()
    image.putpalette([9, 9, 9] * 256)
    labelled(tmp_path, LabelEncoding((1, 2)), np.array([[2, 1]], np.uint8))
    for number in range(3):
        image.save(tmp_path / f"m/{number}.png")
    labels = FolderLabels("m/{stem}.png", ("a", "b"), LabelEncoding((1, 2)))
    view = one(tmp_path, FolderModality("a/{stem}.npy", "image", 1), labels=labels).view(0)
    assert view.target.numpy().tolist() == [[[1, 0]]]


def test_colours_become_classes(tmp_path: Path) -> None:
    encoding = LabelEncoding((0x800000, 0x008000), (0,), color=True)
    values = np.array([[[0, 128, 0], [128, 0, 0], [0, 0, 0]]], np.uint8)
    assert labelled(tmp_path, encoding, values).tolist() == [[1, 0, VOID]]
    values[0, 0] = (1, 128, 0)
    with pytest.raises(DataError, match=r"colour \[1, 128, 0\] is none of the 2 classes and not void") as caught:
        labelled(tmp_path, encoding, values)
    assert caught.value.hint == "colors and void_colors in [data.folders.labels] say what is stored"


@pytest.mark.parametrize(
    ("encoding", "values", "suffix", "message", "hint"),
    [
        (
            LabelEncoding((0, 1)),
            [[0, 5]],
            "png",
            "label 5 is none of the 2 classes and not void",
            "first, values and void",
        ),
        (
            LabelEncoding((0, 1), (255,)),
            [[1, 2]],
            "png",
            "label 2 is none",
            "labels seem to start at 1: data.folders.labels.first = 1",
        ),
        (LabelEncoding((0, 1)), [[0, 1]], "jpg", "is a JPEG file, which changes labels", "store it as a PNG"),
        (LabelEncoding((0, 1), color=True), [[0, 1]], "png", "is 8-bit grey, expected 8-bit RGB", '"index" reads'),
        (
            LabelEncoding((0, 1)),
            [[[0, 0, 0]]],
            "png",
            "is 8-bit RGB colours, expected grey or palette",
            '"color" reads',
        ),
    ],
)
def test_other_labels_are_refused(
    tmp_path: Path, encoding: LabelEncoding, values: list, suffix: str, message: str, hint: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        labelled(tmp_path, encoding, np.array(values, np.uint8), suffix)
    assert hint in (caught.value.hint or "")


# --- how views are divided --------------------------------------------------------------------------------------------


def test_the_rule_of_the_split_is_what_the_page_says() -> None:
    parts = divided([f"g{number}" for number in range(10)], (0.5, 0.2, 0.3), seed=4)
    assert Counter(parts.values()) == {"train": 5, "val": 2, "test": 3}
    assert parts == divided([f"g{number}" for number in reversed(range(10))], (0.5, 0.2, 0.3), seed=4)
    assert parts != divided([f"g{number}" for number in range(10)], (0.5, 0.2, 0.3), seed=5)
    assert [name for name, part in divided("abcde", (0.6, 0.2, 0.2), seed=0).items() if part == "val"] == ["c"]


def test_every_part_gets_something_or_there_are_too_few() -> None:
    assert Counter(divided("abc", (0.98, 0.01, 0.01), seed=0).values()) == {"train": 1, "val": 1, "test": 1}
    assert Counter(divided("ab", (0.9, 0.1, 0.0), seed=0).values()) == {"train": 1, "val": 1}
    with pytest.raises(DataError, match="2 groups of views cannot be divided into train, val and test"):
        divided("ab", (0.8, 0.1, 0.1), seed=0)


def test_splits_are_disjoint_and_complete(root: Path) -> None:
    parts = {split: {view.name for view in folders(root, split).views} for split in ("train", "val", "test")}
    assert {split: len(names) for split, names in parts.items()} == {"train": 6, "val": 2, "test": 2}
    assert len(set.union(*parts.values())) == 10
    whole = Division(shares=(0.8, 0.2, 0.0))
    assert folders(root, "test", division=whole).views == folders(root, "val", division=whole).views


def test_groups_are_never_divided(tmp_path: Path) -> None:
    for group in range(6):
        for number in range(group + 1):
            save(tmp_path / f"scene{group}/a/{number}.npy", np.zeros((2, 2), np.uint8))
    modality = FolderModality("{group}/a/{stem}.npy", "image", 1)
    found: dict[str, set[str]] = {}
    for split in ("train", "val", "test"):
        data = Folders(tmp_path, split, ("a",), modalities={"a": modality}, division=EVERYTHING)
        found[split] = {view.name.partition("/")[0] for view in data.views}
    assert sorted(group for groups in found.values() for group in groups) == [f"scene{group}" for group in range(6)]


def test_folders_of_splits(tmp_path: Path) -> None:
    for split, count in (("train", 3), ("Valid", 2)):
        for number in range(count):
            save(tmp_path / split / f"a/{number}.npy", np.zeros((2, 2), np.uint8))
    data = {
        split: Folders(tmp_path, split, ("a",), modalities={"a": FolderModality("{split}/a/{stem}.npy", "image", 1)})
        for split in ("train", "val", "test")
    }
    assert {split: len(part) for split, part in data.items()} == {"train": 3, "val": 2, "test": 2}
    assert data["val"].views[0].files == {"a": "Valid/a/0.npy"}
    for number in range(3):
        (tmp_path / f"train/a/{number}.npy").unlink()
    with pytest.raises(DataError, match=r"by \{split\} in the patterns there are views of val, none of train"):
        Folders(tmp_path, "train", ("a",), modalities={"a": FolderModality("{split}/a/{stem}.npy", "image", 1)})


def test_lists_name_views_or_files(root: Path) -> None:
    (root / "train.txt").write_text("field_003\nnir/field_001.png\n\n")
    (root / "val.txt").write_text("field_002\n")
    lists = Division("train.txt", "val.txt")
    assert [view.name for view in folders(root, division=lists).views] == ["field_003", "field_001"]
    assert [view.name for view in folders(root, "test", division=lists).views] == ["field_002"]
    lists = dataclasses.replace(lists, test_list="train.txt")
    assert len(folders(root, "test", division=lists)) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "train.txt: the list is empty"),
        ("field_001\nfield_999\n", "train.txt, line 2: 'field_999' is no view"),
        ("field_001\n,,\n", "train.txt, line 2: ',,' is no view"),
        ("field_001\nrgb/field_001.jpg\n", "train.txt, line 2: 'rgb/field_001.jpg' names what line 1 names"),
        (None, "no list .*train.txt; of .*: it holds"),
    ],
)
def test_bad_lists_are_refused(root: Path, text: str | None, message: str) -> None:
    if text is not None:
        (root / "train.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        folders(root, division=Division("train.txt", "val.txt"))


def test_views_without_partner_are_named_or_left_out(root: Path) -> None:
    train = [view.name for view in folders(root).views]
    (root / f"nir/{train[1]}.png").unlink()
    (root / f"masks/{train[2]}.png").unlink()
    message = f"2 of 6 train views lack a file, of nir: {train[1]}; labels: {train[2]}"
    with pytest.raises(IncompleteError, match=message) as caught:
        folders(root)
    assert caught.value.lacking == {"nir": (train[1],), "labels": (train[2],)}
    assert "data.skip_incomplete = true leaves them out" in (caught.value.hint or "")
    assert [view.name for view in folders(root, skip_incomplete=True).views] == [train[0], *train[3:]]
    assert [view.name for view in folders(root, inputs=("rgb",), labels=None).views] == train


def test_patterns_whose_stems_do_not_meet(root: Path) -> None:
    other = {**MODALITIES, "nir": dataclasses.replace(NIR, pattern="nir/field_{stem}.png")}
    with pytest.raises(IncompleteError, match="views lack a file") as caught:
        folders(root, modalities=other, skip_incomplete=True)
    assert caught.value.hint == "the files of one view need the same {stem}"


@pytest.mark.parametrize(
    ("folder", "message"), [("", "no folder given"), ("nowhere", r"no folder nowhere \(it does not")]
)
def test_a_root_that_is_not_there(folder: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Folders(folder, "train", ("rgb",), modalities=MODALITIES)


def test_names_are_checked(root: Path) -> None:
    with pytest.raises(UsageError, match="unknown input 'nri'") as caught:
        folders(root, inputs=("nri",))
    assert caught.value.hint == "did you mean 'nir'?"
    with pytest.raises(DataError, match="unknown split 'dev': there are train, val, test"):
        folders(root, "dev")


def test_sizes_of_a_view_must_agree(root: Path) -> None:
    first = folders(root).views[0].name
    save(root / f"nir/{first}.png", np.zeros((20, 24), np.uint16))
    with pytest.raises(
        DataError, match=rf"sizes differ: .*masks/{first}\.png is 40 x 48, .*nir/{first}\.png is 20 x 24"
    ):
        folders(root).view(0)


def test_numbers_may_be_padded_differently(tmp_path: Path) -> None:
    for number in (2, 11):
        save(tmp_path / f"a/top_{number}.npy", np.zeros((2, 2), np.uint8))
        save(tmp_path / f"b/dsm_{number:03d}.npy", np.zeros((2, 2), np.uint8))
    patterns = {"a": Pattern("a/top_{stem}.npy"), "b": Pattern("b/dsm_{stem}.npy")}
    found = find_together(tmp_path, patterns)
    assert {key.stem for key in found["b"]} == {key.stem for key in found["a"]} == {"002", "011"}
    save(tmp_path / "a/top_02.npy", np.zeros((2, 2), np.uint8))
    assert {key.stem for key in find_together(tmp_path, patterns)["b"]} == {"002", "011"}


def of_names(root: Path, inputs: str, *, skip: bool = False) -> dict[str, list[str]]:
    modalities = {name: FolderModality(f"{name}/{{stem}}.npy", "image", 1) for name in "ab"}
    labels = dataclasses.replace(LABELS, pattern="m/{stem}.npy")
    given = {"modalities": modalities, "labels": labels, "skip_incomplete": skip}
    splits = {split: Folders(root, split, tuple(inputs), **given) for split in ("train", "val", "test")}
    return {split: [view.files["labels"] for view in data.views] for split, data in splits.items()}


def test_views_are_divided_alike_whatever_the_inputs_and_their_padding(tmp_path: Path) -> None:
    for number in range(1, 21):
        for name in (f"a/top_{number}", f"b/top_{number:02d}", f"m/top_{number:02d}"):
            save(tmp_path / f"{name}.npy", np.zeros((2, 2), np.uint8))
    parts = of_names(tmp_path, "ab")
    assert of_names(tmp_path, "ba") == of_names(tmp_path, "b") == parts
    assert {split: len(views) for split, views in parts.items()} == {"train": 16, "val": 2, "test": 2}


def test_views_without_labels_have_no_say_in_how_the_others_are_divided(tmp_path: Path) -> None:
    for number in range(60):
        for name in ("a", "b", "m") if number % 2 else ("a",):
            save(tmp_path / f"{name}/{number:02d}.npy", np.zeros((2, 2), np.uint8))
    parts = of_names(tmp_path, "ab", skip=True)
    assert of_names(tmp_path, "a", skip=True) == of_names(tmp_path, "b", skip=True) == parts
    assert {split: len(views) for split, views in parts.items()} == {"train": 24, "val": 3, "test": 3}


def test_lists_call_views_by_any_padding(tmp_path: Path) -> None:
    for number in range(1, 5):
        for name in (f"a/{number}", f"b/{number:03d}", f"m/{number:03d}"):
            save(tmp_path / f"{name}.npy", np.zeros((2, 2), np.uint8))
    modalities = {name: FolderModality(f"{name}/{{stem}}.npy", "image", 1) for name in "ab"}
    labels = dataclasses.replace(LABELS, pattern="m/{stem}.npy")
    for lines in ("1\n2\n", "001\n02\n", "a/1.npy\nb/002.npy\n"):
        (tmp_path / "list").write_text(lines)
        listed = {"modalities": modalities, "labels": labels, "division": Division("list", "list")}
        assert [view.name for view in Folders(tmp_path, "train", ("a", "b"), **listed).views] == ["001", "002"]


def test_the_share_of_train_that_is_val_is_the_same_whatever_the_inputs(tmp_path: Path) -> None:
    for number in range(60):
        for name in ("a", "m", *(["b"] if number % 3 == 0 else [])):
            save(tmp_path / f"train/{name}/{number:02d}.npy", np.zeros((2, 2), np.uint8))
    modalities = {name: FolderModality(f"{{split}}/{name}/{{stem}}.npy", "image", 1) for name in "ab"}
    labels = dataclasses.replace(LABELS, pattern="{split}/m/{stem}.npy")
    given = {"modalities": modalities, "labels": labels, "skip_incomplete": True}
    names = {
        inputs: {view.name for view in Folders(tmp_path, "val", tuple(inputs), **given).views} for inputs in ("a", "ab")
    }
    assert names["ab"] < names["a"]


def test_the_arrangement_tells_which_files_belong_together(tmp_path: Path) -> None:
    for name in ("a/1", "a/2"):
        save(tmp_path / f"{name}.npy", np.zeros((2, 2), np.uint8))
    modality = FolderModality("a/{stem}.npy", "image", 1)
    found = []
    for lines in ("1\n2\n", "2\n1\n"):
        (tmp_path / "list").write_text(lines)
        found.append(Folders(tmp_path, "train", "a", modalities={"a": modality}, division=Division("list", "list")))
    assert found[0].fingerprint() == found[1].fingerprint()
    assert found[0].arrangement() != found[1].arrangement()


def test_scenes_within_scenes_are_one_group(tmp_path: Path) -> None:
    save(tmp_path / "house/room/a/1.npy", np.zeros((2, 2), np.uint8))
    (key,) = Pattern("{group}/{group}/a/{stem}.npy").find(tmp_path)
    assert (key.group, key.stem) == ("house/room", "1")


def test_val_is_a_share_of_train_where_folders_have_none(tmp_path: Path) -> None:
    for number in range(10):
        save(tmp_path / f"train/{number}.npy", np.zeros((2, 2), np.uint8))
        save(tmp_path / f"test/{number}.npy", np.zeros((2, 2), np.uint8))
    modalities = {"a": FolderModality("{split}/{stem}.npy", "image", 1)}
    files = {
        split: {view.files["a"] for view in Folders(tmp_path, split, ("a",), modalities=modalities).views}
        for split in ("train", "val", "test")
    }
    assert {split: len(names) for split, names in files.items()} == {"train": 9, "val": 1, "test": 10}
    assert files["train"].isdisjoint(files["val"])
    assert files["train"] | files["val"] == {f"train/{number}.npy" for number in range(10)}
    assert files["test"] == {f"test/{number}.npy" for number in range(10)}


def test_a_test_without_its_files_is_left_out_and_val_stands_in(tmp_path: Path) -> None:
    for number in range(10):
        save(tmp_path / f"train/a/{number}.npy", np.zeros((2, 2), np.uint8))
        save(tmp_path / f"train/b/{number}.npy", np.zeros((2, 2), np.uint8))
        save(tmp_path / f"test/a/{number}.npy", np.zeros((2, 2), np.uint8))
    modalities = {name: FolderModality(f"{{split}}/{name}/{{stem}}.npy", "image", 1) for name in "ab"}
    data = {
        split: Folders(tmp_path, split, "ab", modalities=modalities, skip_incomplete=True) for split in ("val", "test")
    }
    assert data["test"].views == data["val"].views
    assert data["val"].views[0].files["a"].startswith("train/")


def test_sizes_that_differ_are_brought_to_the_one_asked_for(tmp_path: Path) -> None:
    save(tmp_path / "a/1.npy", np.arange(32, dtype=np.uint8).reshape(4, 8))
    save(tmp_path / "b/1.npy", np.arange(128, dtype=np.float32).reshape(8, 16))
    modalities = {
        "a": FolderModality("a/{stem}.npy", "image", 1),
        "b": FolderModality("b/{stem}.npy", "measurement", 1, "float32", (0.0, 200.0)),
    }
    (tmp_path / "list").write_text("1\n")
    lists = Division("list", "list")
    view = Folders(tmp_path, "train", "ab", modalities=modalities, division=lists, resize=(4, 8)).view(0)
    assert {name: tuple(image.shape) for name, image in view.inputs.items()} == {"a": (1, 4, 8), "b": (1, 4, 8)}
    assert view.inputs["b"][0, 0].tolist() == list(range(17, 33, 2))
    with pytest.raises(DataError, match="sizes differ") as caught:
        Folders(tmp_path, "train", "ab", modalities=modalities, division=lists).view(0)
    assert "data.resize" in (caught.value.hint or "")
    save(tmp_path / "b/1.npy", np.zeros((8, 8), np.float32))
    with pytest.raises(DataError, match="shapes differ"):
        Folders(tmp_path, "train", "ab", modalities=modalities, division=lists, resize=(4, 8)).view(0)


@pytest.mark.parametrize(
    "lines",
    [
        "1\n2\n",
        "\ufeffa/1.npy\r\n\r\n# two\r\na/2.npy\r\n",
        "/a/1.npy\n./a/2.npy\n",
        "a\\\\1.npy\na\\\\2.npy\n",
        "1.npy\n2.npy\n",
        "a/1.npy b/x1.npy\na/2.npy\tb/x2.npy\n",
        "a/1.npy,b/x1.npy,7\na/2.npy, b/x2.npy, 1\n",
        "{root}/a/1.npy\n{root}/a/2.npy\n",
    ],
)
def test_lists_are_taken_as_people_write_them(tmp_path: Path, lines: str) -> None:
    for number in (1, 2, 3):
        save(tmp_path / f"a/{number}.npy", np.zeros((2, 2), np.uint8))
        save(tmp_path / f"b/x{number}.npy", np.zeros((2, 2), np.uint8))
    (tmp_path / "list").write_text(lines.replace("{root}", str(tmp_path)).replace("\\\\", "\\"), encoding="utf-8")
    modalities = {"a": FolderModality("a/{stem}.npy", "image", 1), "b": FolderModality("b/x{stem}.npy", "image", 1)}
    lists = Division("list", "list")
    views = Folders(tmp_path, "train", "ab", modalities=modalities, division=lists).views
    assert [view.name for view in views] == ["1", "2"]
    (tmp_path / "list").write_text("a/1.npy b/x2.npy")
    with pytest.raises(DataError, match="names files of two views, 1 and 2"):
        Folders(tmp_path, "train", "ab", modalities=modalities, division=lists)


@pytest.mark.parametrize("inputs", ["a", "b", "ab"])
def test_lists_of_files_serve_any_inputs(tmp_path: Path, inputs: str) -> None:
    for number in (1, 2, 3):
        for name in ("a", "b", "c"):
            save(tmp_path / f"{name}/0{number}.npy", np.zeros((2, 2), np.uint8))
    (tmp_path / "list").write_text("a/01.npy b/01.npy c/01.npy\nc/09.npy a/02.npy b/02.npy\n")
    modalities = {name: FolderModality(f"{name}/{{stem}}.npy", "image", 1) for name in "ab"}
    read = partial(Folders, tmp_path, "train", inputs, modalities=modalities, division=Division("list", "list"))
    with pytest.raises(DataError, match=r"line 2: .* names a file that is none of a view, c/09\.npy"):
        read()
    (tmp_path / "list").write_text("a/01.npy b/01.npy c/01.npy\nc/02.npy a/02.npy b/02.npy\n")
    assert [view.name for view in read().views] == ["01", "02"]
    (tmp_path / "list").write_text("a/01.npy b/02.npy")
    with pytest.raises(DataError, match="names files of two views"):
        read()
