"""`check_data`: what was seen, and every suspicion on data that deserve it; nothing on data that do not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cen_cli.data.inspect.check import check_data
from cen_cli.data.inspect.split_statistics import sample
from cen_cli.data.modality import LabelEncoding
from cen_cli.data.sets.folders import Division, FolderLabels, FolderModality, Folders
from cen_cli.data.sets.nyudv2 import NYUDv2
from cen_cli.data.sets.taskonomy import Taskonomy
from cen_cli.results.datasets import DataCheck, Finding
from tests.own import NAMES, SIZE, save, scene, write_folder
from tests.realistic import nyu_frames, write_nyu_mat

MODALITIES = {
    "rgb": FolderModality("rgb/{stem}.jpg", "photograph", 3),
    "nir": FolderModality("nir/{stem}.png", "image", 1, "uint16", (0.0, 4095.0)),
    "height": FolderModality("height/{stem}.tif", "measurement", 1, "float32", (-2.0, 10.0), None, "m", (-9999.0,)),
}
LABELS = FolderLabels("masks/{stem}.png", NAMES, LabelEncoding((1, 2, 3), (0,)))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "own", views=20)


def check(
    root: Path,
    modalities: dict[str, FolderModality] = MODALITIES,
    *,
    labels: FolderLabels | None = LABELS,
    target: str | None = None,
    multiple: int = 1,
    wanted: int | None = None,
    **division: object,
) -> DataCheck:
    """Of all modalities but the target; 16 views train and 4 are val and test, unless `division` says otherwise."""
    given = Division(**{"shares": (0.8, 0.2, 0.0), **division})
    inputs = [name for name in modalities if name != target]
    return check_data(
        "own",
        lambda split: Folders(root, split, inputs, target, modalities=modalities, labels=labels, division=given),
        multiple=multiple,
        wanted=wanted,
    )


def finding(found: DataCheck, text: str) -> Finding:
    """The one finding of train (or of all) whose text holds these words."""
    (only,) = [one for one in found.findings if text in one.text and one.split in ("", "train")]
    return only


def rewrite(root: Path, pattern: str, change: Callable[[np.ndarray], np.ndarray], suffix: str = "") -> None:
    """Write the files again with other values, perhaps in another format."""
    from cen_cli.data.decoding import decode

    for path in sorted(root.glob(pattern)):
        values = change(decode(path).values)
        path.unlink()
        save(path.with_suffix(suffix or path.suffix), values)


def test_good_data_raise_no_suspicion_and_are_described(root: Path) -> None:
    found = check(root)
    assert found.findings == ()
    assert found.errors == 0
    assert [(part.split, part.views, part.opened) for part in found.splits] == [("train", 16, 16), ("val", 4, 4)]
    facts = {part.name: part for part in found.splits[0].modalities}
    assert list(facts) == ["rgb", "nir", "height", "labels"]
    assert facts["nir"].stored == ("16-bit grey",)
    assert facts["nir"].sizes == (SIZE,)
    assert facts["height"].low == -9999
    assert facts["height"].invalid == pytest.approx(3 / 40)
    assert facts["height"].expected == "-2 to 10 m"
    assert facts["labels"].low == 1
    labels = np.concatenate([scene(int(p.stem[-3:]))["labels"] for p in _train_files(root)])
    expected = np.bincount(labels.ravel()) / labels.size
    assert [part.class_name for part in found.splits[0].labels] == list(NAMES)
    np.testing.assert_allclose([part.share for part in found.splits[0].labels], expected)


def _train_files(root: Path) -> list[Path]:
    data = Folders(root, "train", ("rgb",), modalities=MODALITIES, division=Division(shares=(0.8, 0.2, 0.0)))
    return [Path(data.files(index)["rgb"]) for index in range(len(data))]


def test_a_sample_is_spread_in_runs_of_neighbours(root: Path) -> None:
    assert sample(100, 8) == [0, 1, 2, 3, 96, 97, 98, 99]
    assert sample(100, 12)[4:8] == [48, 49, 50, 51]
    assert sample(3, 8) == [0, 1, 2]
    assert sample(100, 1) == [0]
    assert len(sample(10, 9)) <= 9
    assert check(root, wanted=4).splits[0].opened == 4


def test_missing_partners_are_counted_by_modality(root: Path) -> None:
    for path in _train_files(root)[:3]:
        (root / "nir" / f"{path.stem}.png").unlink()
    found = check(root)
    only = finding(found, "3 of 16 views have no file of nir")
    assert (only.severity, only.split, only.modality) == ("error", "train", "nir")
    assert only.views == tuple(path.stem for path in _train_files(root)[:3])
    assert found.splits[0].split == "val"


def test_what_no_split_can_open_is_said_once(root: Path) -> None:
    modalities = {**MODALITIES, "nir": dataclasses.replace(MODALITIES["nir"], pattern="nri/{stem}.png")}
    found = check(root, modalities)
    (only,) = found.findings
    assert only.severity == "error"
    assert "no folder" in only.text
    assert only.hint == "did you mean 'nir/{stem}.png'?"


def test_wrong_types_are_one_finding_with_all_views(root: Path) -> None:
    rewrite(root, "nir/*.png", lambda values: (values >> 4).astype(np.uint8))
    only = finding(check(root), "the image is 8-bit grey, expected 16-bit grey")
    assert only.severity == "error"
    assert only.text.startswith("16 views cannot be read, the first: ")
    assert len(only.views) == 16


def test_labels_outside_the_classes(root: Path) -> None:
    labels = dataclasses.replace(LABELS, encoding=LabelEncoding((0, 1, 2), (255,)))
    only = finding(check(root, labels=labels), "label 3 is none of the 3 classes and not void")
    assert only.severity == "error"
    assert only.hint == "labels seem to start at 1: data.folders.labels.first = 1"


def test_labels_that_start_at_1_within_the_classes(root: Path) -> None:
    names = (*NAMES, "sky")
    labels = FolderLabels(LABELS.pattern, names, LabelEncoding((0, 1, 2, 3), (255,)))
    found = check(root, labels=labels)
    only = finding(found, "labels start at 1: class 0 ('soil') is never shown")
    assert only.severity == "warning"
    assert finding(found, "1 of 4 classes never shown: soil").modality == "labels"
    assert found.errors == 0


def test_names_shifted_by_one_against_the_masks(root: Path) -> None:
    paths = sorted(root.glob("masks/*.png"))
    contents = [path.read_bytes() for path in paths]
    for path, content in zip(paths, [*contents[1:], contents[0]], strict=True):
        path.write_bytes(content)
    (root / "train.txt").write_text("".join(f"{path.stem}\n" for path in paths[:16]))
    (root / "val.txt").write_text("".join(f"{path.stem}\n" for path in paths[16:]))
    found = check(root, train_list="train.txt", val_list="val.txt")
    shifted = [one for one in found.findings if "file names shifted by one against labels" in one.text]
    assert {one.modality for one in shifted} == {"rgb", "nir", "height"}
    assert {one.severity for one in shifted} == {"error"}
    assert "fit those of the next view's rgb" in shifted[0].text
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    assert check(root, train_list="train.txt", val_list="val.txt").findings == ()


def test_values_outside_the_declared_range(root: Path) -> None:
    modalities = {**MODALITIES, "height": dataclasses.replace(MODALITIES["height"], scale=1000.0)}
    assert check(root, modalities).errors == 0  # -0.5 .. 6 mm are within -2 .. 10 m
    modalities["height"] = dataclasses.replace(MODALITIES["height"], range=(2.0, 10.0))
    only = finding(check(root, modalities), "of the values lie outside 2 to 10 m and are cut off")
    assert only.severity == "error"
    modalities["height"] = dataclasses.replace(MODALITIES["height"], range=(-2.0, 5.0))
    only = finding(check(root, modalities), "of the values lie outside -2 to 5 m")
    assert only.severity == "warning"
    assert only.hint == "is the range right, and the scale?"


def test_depth_that_looks_like_8_bit(root: Path, tmp_path: Path) -> None:
    for number in range(20):
        values = np.random.default_rng(number).integers(0, 256, (64, 64)).astype(np.uint8)
        values[0, :2] = 0, 255
        save(tmp_path / f"d/{number}.png", values)
    modality = {"d": FolderModality("d/{stem}.png", "measurement", 1, "uint8", (0.0, 255.0))}
    only = finding(
        check(tmp_path, modality, labels=None), "looks like 8-bit min-max: every file spans exactly 0 to 255"
    )
    assert only.severity == "warning"
    rewrite(tmp_path, "d/*.png", lambda values: values.astype(np.uint16) * (30 + values[1, 1] // 16))
    modality["d"] = FolderModality("d/{stem}.png", "measurement", 1, "uint16", (0.0, 65535.0))
    assert finding(check(tmp_path, modality, labels=None), "8-bit in origin").severity == "warning"


def test_a_sensor_s_own_steps_are_not_8_bits(root: Path, tmp_path: Path) -> None:
    modality = {"d": FolderModality("d/{stem}.png", "measurement", 1, "uint16", (0.0, 65535.0))}
    for number in range(20):
        disparities = np.random.default_rng(number).integers(20, 170, (64, 64))
        disparities[0, :2] = 20, 169
        save(tmp_path / f"d/{number}.png", np.round(800_000 / disparities).astype(np.uint16))
    assert not [each for each in check(tmp_path, modality, labels=None).findings if "8-bit" in each.text]


def test_constant_modalities_and_single_constant_files(root: Path) -> None:
    first = _train_files(root)[0].stem
    save(root / f"nir/{first}.png", np.full(SIZE, 7, np.uint16))
    only = finding(check(root), f"1 of 16 files have one value everywhere: {first}")
    assert (only.severity, only.views) == ("warning", (first,))
    rewrite(root, "nir/*.png", lambda values: np.full(values.shape, 7, np.uint16))
    only = finding(check(root), "every pixel of every file is 7: nothing can be learned from it")
    assert (only.severity, only.modality) == ("error", "nir")


def test_files_without_a_measured_pixel(root: Path) -> None:
    first = _train_files(root)[0].stem
    values = np.full(SIZE, -9999, np.float32)
    values[0] = np.nan
    save(root / f"height/{first}.tif", values)
    only = finding(check(root), f"1 of 16 files have no pixel that counts, all are invalid: {first}")
    assert only.severity == "warning"
    rewrite(root, "height/*.tif", lambda values: np.full(values.shape, np.nan, np.float32))
    assert finding(check(root), "all pixels of all files are invalid").severity == "error"
    rewrite(root, "masks/*.png", np.zeros_like)
    assert finding(check(root), "all pixels of all files are void").modality == "labels"


def test_zeros_that_may_mean_nothing(root: Path) -> None:
    rewrite(root, "height/*.tif", lambda values: np.where(values < -100, 0, values).astype(np.float32))
    only = finding(check(root), "8% of the pixels are 0: does that mean that nothing was measured?")
    assert (only.severity, only.hint) == ("warning", "invalid = [0] in [data.folders.modalities.height] would say so")


def test_identical_files_in_two_modalities(root: Path) -> None:
    modalities = {**MODALITIES, "red": dataclasses.replace(MODALITIES["rgb"], pattern="red/{stem}.jpg")}
    (root / "red").mkdir()
    for path in root.glob("rgb/*.jpg"):
        (root / "red" / path.name).write_bytes(path.read_bytes())
    only = finding(check(root, modalities), "rgb and red are identical files in every view")
    assert only.severity == "error"
    rewrite(root, "red/field_*.jpg", lambda values: 255 - values)
    assert check(root, modalities).errors == 0
    same = {**MODALITIES, "again": MODALITIES["rgb"]}
    assert check(root, same).findings == ()  # one file that two modalities are made of


def test_views_that_train_and_val_share(root: Path) -> None:
    stems = sorted(path.stem for path in root.glob("rgb/*.jpg"))
    (root / "train.txt").write_text("\n".join(stems[:16]))
    (root / "val.txt").write_text("\n".join(stems[14:]))
    found = check(root, train_list="train.txt", val_list="val.txt")
    (only,) = [one for one in found.findings if "share" in one.text]
    assert (only.severity, only.split, only.text) == ("error", "val", "train and val share 2 of 6 views")
    (root / "val.txt").write_text("\n".join(stems[16:]))
    for folder in ("rgb", "nir", "height"):
        (path,) = (root / folder).glob(f"{stems[16]}.*")
        path.write_bytes((root / folder / f"{stems[0]}{path.suffix}").read_bytes())
    found = check(root, train_list="train.txt", val_list="val.txt")
    (only,) = [one for one in found.findings if "hold the same images" in one.text]
    assert (only.severity, only.views) == ("warning", (stems[16],))


def test_one_class_that_is_nearly_everything(root: Path) -> None:
    rewrite(root, "masks/*.png", np.ones_like)
    found = check(root)
    assert finding(found, "100.0% of the labelled pixels are 'soil'").severity == "warning"
    assert finding(found, "2 of 3 classes never shown: plant, roof").severity == "warning"


def test_files_of_several_types(write_taskonomy: Callable[..., Path]) -> None:
    root = write_taskonomy()
    path = root / "reshading/point_0_view_0_domain_reshading.png"
    save(path, np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, -1))
    found = check_data("t", lambda split: Taskonomy(root, split, ["rgb"], "reshading"), multiple=1)
    assert finding(found, "files of several types: 5 8-bit grey, 1 8-bit RGB colours").severity == "warning"


def test_sizes_that_the_network_does_not_take(root: Path) -> None:
    assert check(root, labels=None, target="rgb", multiple=8).errors == 0
    found = check(root, labels=None, target="rgb", multiple=32)
    (only,) = found.findings
    assert (only.severity, only.split, only.text) == (
        "error",
        "val",
        "views of 40 x 48: the network takes multiples of 32",
    )


def test_taskonomys_missing_domains(write_taskonomy: Callable[..., Path]) -> None:
    root = write_taskonomy()
    (root / "normal/point_0_view_0_domain_normal.png").unlink()
    found = check_data("t", lambda split: Taskonomy(root, split, ["rgb", "normal"], "reshading"), multiple=1)
    only = finding(found, "1 of 6 views have no file of normal: point_0_view_0")
    assert (only.severity, only.views) == ("error", ("point_0_view_0",))


def test_depth_in_another_unit_than_the_data_sets(write_nyudv2: Callable[..., Path]) -> None:
    from cen_cli.data.sets.nyudv2 import NYUDv2

    root = write_nyudv2()
    rewrite(root, "depth/*.png", lambda values: values // 500)
    found = check_data("n", lambda split: NYUDv2(root, split), multiple=1)
    only = finding(found, "are these files in 5000 steps a metre?")
    assert (only.severity, only.modality) == ("error", "depth")


@pytest.mark.nyudv2
def test_the_real_images_pass_and_a_shift_of_their_masks_is_found(nyudv2_root: Path, tmp_path: Path) -> None:
    from cen_cli.data.sets.nyudv2 import NYUDv2

    lines = [line.split("\t") for line in (nyudv2_root / "train.txt").read_text().splitlines()[:24]]
    for shift, errors in ((0, 0), (1, 2)):
        moved = [(rgb, lines[(number + shift) % 24][1], depth) for number, (rgb, _, depth) in enumerate(lines)]
        (tmp_path / "list.txt").write_text("".join("\t".join(line).strip() + "\n" for line in moved))
        found = check_data(
            "nyudv2",
            lambda split: NYUDv2(nyudv2_root, split, list_file=str(tmp_path / "list.txt"), resize=(120, 160)),
            multiple=1,
        )
        shifted = [one for one in found.findings if "file names shifted by one against labels" in one.text]
        assert len([one for one in shifted if one.split == "train"]) == errors
        assert any("8-bit in origin" in one.text for one in found.findings)


def test_parts_of_a_matlab_file_are_measured_as_they_are_read(tmp_path: Path) -> None:
    mat = write_nyu_mat(tmp_path / "nyu_depth_v2_labeled.mat", nyu_frames(count=7))
    found = check_data("nyudv2", lambda split: NYUDv2(mat, split), multiple=1)
    facts = {part.name: part for part in found.splits[0].modalities}
    assert facts["depth"].stored == ("float32, in the data set's file",)
    assert (facts["depth"].expected, facts["rgb"].expected) == ("metres", "0 to 255")
    depth = NYUDv2(mat, "train").view(0).inputs["depth"]
    assert facts["depth"].low <= float(depth.min())
    assert facts["depth"].high >= float(depth.max())
    assert facts["rgb"].sizes == (tuple(depth.shape[-2:]),)
    assert facts["labels"].high == 255


def test_files_that_are_not_stored_upright_are_named(root: Path) -> None:
    path = _train_files(root)[0]
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(np.array(Image.open(path)))).save(path, exif=exif)
    found = check(root)
    only = finding(found, "1 files are turned or mirrored on reading")
    assert (only.severity, only.modality, only.views) == ("warning", "rgb", (path.stem,))
    assert found.errors == 0
