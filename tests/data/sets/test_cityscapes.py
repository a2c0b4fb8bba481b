"""Cityscapes: folders, disparity and the depth that follows from it, label ids and train ids."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from cen_cli.data.modality import IMAGENET_MEAN, IMAGENET_STD
from cen_cli.data.sets.cityscapes import CLASS_NAMES, CLASSES, PALETTE, Cityscapes
from cen_cli.data.stereo import camera_file, read_stereo_depth
from cen_cli.errors import DataError, UsageError
from tests.realistic import CAMERA, save, write_cityscapes

FIRST = "train/aachen/aachen_000000_000019"


@pytest.fixture
def root(tmp_path):
    return write_cityscapes(tmp_path / "cityscapes")


def stored(root, kind, name=FIRST):
    return np.asarray(Image.open(root / kind.split("_")[0] / f"{name}_{kind}.png")).astype(np.int64)


def store(root, kind, values, name=FIRST):
    save(root / kind.split("_")[0] / f"{name}_{kind}.png", values)


def test_the_classes_are_the_19_for_training():
    assert len(CLASS_NAMES) == len(PALETTE) == len(set(PALETTE)) == 19
    assert [CLASSES[name][0] for name in CLASS_NAMES] == [
        *(7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
    ]


def test_a_view_is_what_the_files_hold(root):
    data = Cityscapes(root, "train", ["rgb", "depth", "disparity"])
    sample = data[0]
    rgb = ((stored(root, "leftImg8bit") / 255 - IMAGENET_MEAN) / IMAGENET_STD).transpose(2, 0, 1)
    np.testing.assert_allclose(sample.inputs["rgb"].numpy(), rgb, atol=1e-5)
    values = stored(root, "disparity")
    disparity = np.where(values > 1, (values - 1) / 256, np.where(values == 1, 1 / 512, 0))
    np.testing.assert_allclose(sample.inputs["disparity"][0].numpy(), disparity, rtol=1e-6)
    with np.errstate(divide="ignore"):
        metres = np.where(values > 0, np.minimum(0.209313 * 2262.52 / disparity, 300), 0)
    np.testing.assert_allclose(sample.inputs["depth"][0].numpy(), metres, rtol=1e-5)
    ids = stored(root, "gtFine_labelIds")
    expected = np.full_like(ids, 255)
    for label, name in enumerate(CLASS_NAMES):
        expected[ids == CLASSES[name][0]] = label
    np.testing.assert_array_equal(sample.target.numpy(), expected)
    assert set(range(19)) | {255} == set(sample.target.unique().tolist())
    assert sample.files["depth"].endswith(f"disparity/{FIRST}_disparity.png")


def test_views_are_those_of_all_cities_in_order(root):
    assert [view.name for view in Cityscapes(root, "train").views] == [
        f"{city}_000000_{frame:06d}" for city in ("aachen", "zurich") for frame in (19, 20)
    ]
    names = ["frankfurt_000000_000019", "frankfurt_000000_000020"]
    assert [view.name for view in Cityscapes(root, "val").views] == names
    assert [view.name for view in Cityscapes(root, "test").views] == names


class TestDisparity:
    def test_0_is_not_measured_and_1_is_far_away(self, root):
        sample = Cityscapes(root, "train", ["depth", "disparity"])[0]
        assert stored(root, "disparity")[0, :4].tolist() == [0, 1, 2, 257]
        for name in ("depth", "disparity"):
            assert sample.valid[name][0, 0, :4].tolist() == [False, True, True, True]
            assert torch.isfinite(sample.inputs[name]).all()
        assert sample.inputs["depth"][0, 0, :4].tolist() == [0, 300, 300, 300]
        assert sample.inputs["disparity"][0, 0, :4].tolist() == [0, 1 / 512, 1 / 256, 1]

    def test_near_things_have_their_metres(self, root):
        values = np.full((32, 64), 32257, np.uint16)  # 126 pixels: the largest of the data set
        store(root, "disparity", values)
        depth = Cityscapes(root, "train")[0].inputs["depth"]
        np.testing.assert_allclose(depth.numpy(), 0.209313 * 2262.52 / 126, rtol=1e-6)

    def test_each_view_has_its_own_camera(self, root):
        other = {"extrinsic": {"baseline": 0.222126}, "intrinsic": {"fx": 2268.36}}
        (root / "camera/train/aachen/aachen_000000_000020_camera.json").write_text(json.dumps(other))
        for name in ("19", "20"):
            store(root, "disparity", np.full((32, 64), 2561, np.uint16), f"train/aachen/aachen_000000_0000{name}")
        data = Cityscapes(root, "train", ["depth"])
        first, second = (float(data[index].inputs["depth"].max()) for index in range(2))
        assert first == pytest.approx(0.209313 * 226.252)
        assert second == pytest.approx(0.222126 * 226.836)

    def test_8_bits_are_refused(self, root):
        store(root, "disparity", np.zeros((32, 64), np.uint8))
        for name in ("depth", "disparity"):
            with pytest.raises(
                DataError, match=r"_disparity\.png: the depth image is 8-bit grey, expected 16-bit grey"
            ):
                Cityscapes(root, "train", [name])[0]

    @pytest.mark.parametrize("name", ["mine_disparity.png", "mine.png"])
    def test_a_file_of_ones_own_has_its_camera_beside_it(self, tmp_path, name):
        (tmp_path / "mine_camera.json").write_text(json.dumps(CAMERA))
        save(tmp_path / name, np.full((4, 4), 2561, np.uint16))
        depth = read_stereo_depth(tmp_path / name)
        assert float(depth.max()) == pytest.approx(0.209313 * 226.252)

    def test_the_camera_is_found_by_the_last_folder_of_that_name(self):
        path = camera_file("/data/disparity/city/disparity/val/bonn/bonn_0_1_disparity.png")
        assert path.as_posix() == "/data/disparity/city/camera/val/bonn/bonn_0_1_camera.json"


class TestCamera:
    PATH = f"camera/{FIRST}_camera.json"

    def test_only_depth_needs_it(self, root):
        (root / self.PATH).unlink()
        assert Cityscapes(root, "train", ["rgb", "disparity"])[0].inputs["disparity"].max() > 0
        with pytest.raises(DataError, match=rf"1 of 16 listed files are not there, the first: .*{self.PATH}"):
            Cityscapes(root, "train", ["rgb", "depth"])

    def test_one_that_vanishes(self, root):
        data = Cityscapes(root, "train")
        (root / self.PATH).unlink()
        with pytest.raises(DataError, match=rf"{self.PATH}: no such file; depth in metres needs the camera") as caught:
            data[0]
        assert 'the input "disparity" needs none' in str(caught.value.hint)

    @pytest.mark.parametrize("content", ["", "[]", "{}", '{"extrinsic": {"baseline": "wide"}, "intrinsic": {"fx": 1}}'])
    def test_one_that_is_none(self, root, content):
        (root / self.PATH).write_text(content)
        with pytest.raises(DataError, match=rf"{self.PATH}: no camera with extrinsic\.baseline and intrinsic\.fx"):
            Cityscapes(root, "train")[0]

    def test_one_without_a_baseline(self, root):
        (root / self.PATH).write_text('{"extrinsic": {"baseline": 0}, "intrinsic": {"fx": 2262.52}}')
        with pytest.raises(DataError, match=r"baseline times intrinsic\.fx is 0, and must be above 0"):
            Cityscapes(root, "train")[0]

    def test_the_fingerprint_covers_it(self, root):
        before = [Cityscapes(root, "train", ["rgb", name]).fingerprint() for name in ("depth", "disparity")]
        with (root / self.PATH).open("a") as file:
            file.write("\n")
        after = [Cityscapes(root, "train", ["rgb", name]).fingerprint() for name in ("depth", "disparity")]
        assert before[0] != after[0]
        assert before[1] == after[1]


class TestLabels:
    def test_train_ids_are_taken_where_there_are_no_ids(self, root):
        expected = [Cityscapes(root, "train")[index].target for index in range(4)]
        for path in list((root / "gtFine").rglob("*_labelIds.png")):
            ids = np.asarray(Image.open(path))
            train_ids = np.full_like(ids, 255)
            for label, name in enumerate(CLASS_NAMES):
                train_ids[ids == CLASSES[name][0]] = label
            save(path.with_name(path.name.replace("labelIds", "labelTrainIds")), train_ids)
        both = Cityscapes(root, "train")
        assert both[0].files["labels"].endswith("_labelIds.png")
        for path in list((root / "gtFine").rglob("*_labelIds.png")):
            path.unlink()
        data = Cityscapes(root, "train")
        assert data[0].files["labels"].endswith("_labelTrainIds.png")
        assert all(torch.equal(data[index].target, expected[index]) for index in range(4))

    def test_a_licence_plate_is_void(self, root):
        ids = np.full((32, 64), 26, np.uint8)
        ids[:4] = 255  # -1 in 8 bits
        store(root, "gtFine_labelIds", ids)
        assert Cityscapes(root, "train")[0].target.unique().tolist() == [13, 255]

    def test_ids_under_the_name_of_train_ids(self, root):
        for path in list((root / "gtFine").rglob("*_labelIds.png")):
            path.rename(path.with_name(path.name.replace("labelIds", "labelTrainIds")))
        with pytest.raises(
            DataError, match=r"labelTrainIds\.png: label 19, 20, 21, 22, 23, and \d+ more is none of the 19 classes"
        ):
            Cityscapes(root, "train")[0]

    def test_an_id_that_does_not_exist(self, root):
        store(root, "gtFine_labelIds", np.full((32, 64), 34, np.uint8))
        with pytest.raises(DataError, match=r"labelIds\.png: the label map holds 34, expected values from 0 to 255"):
            Cityscapes(root, "train")[0]

    def test_colours_are_refused(self, root):
        store(root, "gtFine_labelIds", np.zeros((32, 64, 3), np.uint8))
        with pytest.raises(DataError, match=r"labelIds\.png: the label map is 8-bit RGB colours"):
            Cityscapes(root, "train")[0]


class TestWhatIsRefused:
    def test_no_folder_given(self):
        with pytest.raises(DataError, match=r"no folder given for Cityscapes: set data\.root"):
            Cityscapes("", "train")

    def test_another_folder(self, tmp_path):
        (tmp_path / "gtFine").mkdir()
        with pytest.raises(DataError, match=r"no folder .*leftImg8bit; of .*: it holds gtFine/") as caught:
            Cityscapes(tmp_path, "train")
        assert "https://www.cityscapes-dataset.com" in str(caught.value.hint)

    def test_no_images(self, tmp_path):
        (tmp_path / "leftImg8bit/train/aachen").mkdir(parents=True)
        with pytest.raises(DataError, match=r"_leftImg8bit\.png. in .*: it holds aachen/"):
            Cityscapes(tmp_path, "train")

    def test_no_labels(self, root):
        for path in list((root / "gtFine").rglob("*.png")):
            path.rename(path.with_name(path.name.replace("labelIds", "color")))
        with pytest.raises(DataError, match=r"neither .*_gtFine_labelIds\.png nor .*_gtFine_labelTrainIds\.png"):
            Cityscapes(root, "train")

    def test_missing_files_are_counted(self, root):
        (root / f"disparity/{FIRST}_disparity.png").unlink()
        with pytest.raises(DataError, match=r"1 of 12 listed files are not there, the first: .*disparity/train/aachen"):
            Cityscapes(root, "train", ["rgb", "disparity"])

    def test_unknown_split_and_input(self, root):
        with pytest.raises(DataError, match="unknown split 'dev': there are train, val, test"):
            Cityscapes(root, "dev")
        with pytest.raises(UsageError, match="unknown input 'disparty'") as caught:
            Cityscapes(root, "train", ["rgb", "disparty"])
        assert caught.value.hint == "did you mean 'disparity'?"

    def test_sizes_that_differ(self, root):
        store(root, "disparity", np.ones((16, 32), np.uint16))
        with pytest.raises(DataError, match=r"labelIds\.png is 32 x 64, .*_disparity\.png is 16 x 32"):
            Cityscapes(root, "train")[0]
