"""NYUDv2 in folders of images, in the layouts that others use; the plain one is in test_nyudv2.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cen_cli.data.modality import IMAGENET_MEAN, IMAGENET_STD
from cen_cli.data.sets.nyudv2 import NYUDv2
from cen_cli.errors import DataError, UsageError
from tests.realistic import blocks, picture, save

SIZE = (18, 26)
Writer = Callable[..., Path]


@pytest.fixture
def write_named(tmp_path: Path) -> Writer:
    """Write RGB/, HHA/, Depth/, Label/, train.txt (4 views) and test.txt (2) as CMX and DFormer have them."""

    def writer(*, rgb: str = "jpg", hha: str = "jpg", line: str = "{}", start: int = 1) -> Path:
        root, random = tmp_path / "NYUDepthv2", np.random.default_rng(2)
        for number in range(6):
            save(root / f"RGB/{number}.{rgb}", picture(random, SIZE))
            save(root / f"HHA/{number}.{hha}", picture(random, SIZE))
            save(root / f"Depth/{number}.png", random.integers(0, 50000, SIZE).astype(np.uint16))
            labels = blocks(random, SIZE, [*range(41)]) if start else blocks(random, SIZE, [*range(40), 255])
            save(root / f"Label/{number}.png", labels.astype(np.uint8))
        for name, numbers in (("train.txt", range(4)), ("test.txt", range(4, 6))):
            (root / name).write_text("".join(line.format(number) + "\n" for number in numbers))
        return root

    return writer


class TestNamedAlike:
    @pytest.mark.parametrize(("rgb", "hha"), [("jpg", "jpg"), ("png", "jpg"), ("jpg", "png")])
    def test_a_view_is_what_the_files_hold(self, write_named, rgb, hha):
        root = write_named(rgb=rgb, hha=hha)
        sample = NYUDv2(root, "train", ["rgb", "hha", "depth"])[1]
        for name, folder, suffix in (("rgb", "RGB", rgb), ("hha", "HHA", hha)):
            stored = np.asarray(Image.open(root / f"{folder}/1.{suffix}")) / 255
            expected = ((stored - IMAGENET_MEAN) / IMAGENET_STD).transpose(2, 0, 1)
            np.testing.assert_allclose(sample.inputs[name].numpy(), expected, atol=1e-5)
        units = np.asarray(Image.open(root / "Depth/1.png")).astype(np.float32)
        np.testing.assert_array_equal(sample.inputs["depth"][0].numpy(), units / np.float32(5000))
        stored = np.asarray(Image.open(root / "Label/1.png")).astype(int)
        np.testing.assert_array_equal(sample.target.numpy(), np.where(stored == 0, 255, stored - 1))

    @pytest.mark.parametrize("line", ["{}", "RGB/{0}.jpg Label/{0}.png", "RGB/{}.jpg"])
    def test_lists_name_views_or_their_files(self, write_named, line):
        root = write_named(line=line)
        assert [view.name for view in NYUDv2(root, "train").views] == ["0", "1", "2", "3"]
        assert [view.name for view in NYUDv2(root, "val").views] == ["4", "5"]
        assert NYUDv2(root, "test").views == NYUDv2(root, "val").views

    def test_a_folder_that_is_missing(self, write_named):
        root = write_named()
        (root / "HHA").rename(root / "other")
        assert len(NYUDv2(root, "train", ["rgb", "depth"])) == 4
        with pytest.raises(DataError, match=r"NYUDv2: no folder .*HHA; of .*: it holds Depth/, Label/, RGB/, other/"):
            NYUDv2(root, "train", ["rgb", "hha"])

    def test_a_file_that_is_missing(self, write_named):
        root = write_named()
        (root / "HHA/2.jpg").unlink()
        with pytest.raises(DataError, match=r"train\.txt: 1 of 12 listed files are not there, the first: .*HHA/2\.png"):
            NYUDv2(root, "train", ["rgb", "hha"])

    def test_two_files_of_one_view_are_refused(self, write_named):
        root = write_named()
        save(root / "HHA/2.png", np.zeros((*SIZE, 3), np.uint8))
        with pytest.raises(DataError, match=r"HHA: 2\.jpg and 2\.png are of one view"):
            NYUDv2(root, "train", ["rgb", "hha"])

    def test_a_view_is_listed_once(self, write_named):
        root = write_named()
        (root / "train.txt").write_text((root / "train.txt").read_text() * 2)
        with pytest.raises(DataError, match=r"train\.txt, line 5: .* names what line 1 names already"):
            NYUDv2(root, "train", ["rgb", "hha"])

    def test_depth_stretched_to_8_bits_is_refused(self, write_named):
        root = write_named()
        save(root / "Depth/0.png", np.zeros(SIZE, np.uint8))
        with pytest.raises(DataError, match=r"Depth/0\.png: the depth image is 8-bit grey, expected 16-bit grey"):
            NYUDv2(root, "train")[0]


def test_columns_have_no_hha(write_nyudv2):
    with pytest.raises(DataError, match=r"train\.txt: lists name files of rgb, masks and depth, and none of hha"):
        NYUDv2(write_nyudv2(), "train", ["rgb", "hha"])


def test_folders_have_one_depth(write_nyudv2):
    with pytest.raises(UsageError, match=r'data\.depth = "raw": a folder of images has one depth'):
        NYUDv2(write_nyudv2(), "train", depth="raw")


class TestWhereLabelsStart:
    def masks(self, root: Path, *maps: np.ndarray) -> None:
        for number, values in enumerate(maps, start=1):
            save(root / f"masks/{number:06d}.png", np.resize(values, SIZE).astype(np.uint8))

    @pytest.mark.parametrize(
        ("maps", "start"),
        [
            (([0, 39, 255],), 0),
            (([0, 1, 40],), 1),
            (([1, 2, 3], [0, 5], [40, 0]), 1),
            (([1, 2, 3], [0, 5], [0, 255]), 0),
        ],
    )
    def test_40_and_255_tell(self, write_nyudv2, maps, start):
        root = write_nyudv2()
        self.masks(root, *map(np.array, maps))
        target = NYUDv2(root, "train")[0].target.unique().tolist()
        assert target == sorted({255 if start and value == 0 else value - start for value in maps[0]})

    def test_neither_of_them_needs_a_word(self, write_nyudv2):
        root = write_nyudv2()
        self.masks(root, *[np.array([0, 1, 39])] * 6)
        with pytest.raises(
            DataError, match=r"do labels start at 0 or at 1\? The first 6 label maps hold neither"
        ) as caught:
            NYUDv2(root, "train")
        assert caught.value.hint == "say it in the recipe: data.label_start = 0 or 1"
        assert NYUDv2(root, "train", label_start=0)[0].target.unique().tolist() == [0, 1, 39]
        assert NYUDv2(root, "train", label_start=1)[0].target.unique().tolist() == [0, 38, 255]

    @pytest.mark.parametrize("label_start", [None, 0])
    def test_a_map_that_counts_otherwise_is_found_when_it_is_read(self, write_nyudv2, label_start):
        root = write_nyudv2()
        self.masks(root, np.array([0, 255]), np.array([0, 40]))
        with pytest.raises(DataError, match=r"000002\.png: label 40 is none of the 40 classes"):
            NYUDv2(root, "train", label_start=label_start)[1]

    def test_a_value_beyond_the_classes(self, write_nyudv2):
        root = write_nyudv2()
        self.masks(root, np.array([0, 40]), np.array([0, 41, 255]))
        with pytest.raises(DataError, match=r"000002\.png: the label map holds 41, expected values from 0 to 255"):
            NYUDv2(root, "train")[1]

    def test_a_damaged_map_is_reported_when_it_is_read(self, write_nyudv2):
        root = write_nyudv2()
        (root / "masks/000001.png").write_bytes(b"nothing")
        data = NYUDv2(root, "train")
        data[1]
        with pytest.raises(DataError, match=r"masks/000001\.png: not an image file"):
            data[0]

    def test_labels_are_not_looked_at_where_they_are_not_read(self, write_nyudv2):
        root = write_nyudv2()
        self.masks(root, *[np.array([0, 1])] * 6)
        assert len(NYUDv2(root, "train", ["rgb"], "depth")) == 6
