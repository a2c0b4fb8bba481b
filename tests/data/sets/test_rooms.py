from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from cen_cli.data.rooms import RoomsSettings, prepare, render_view
from cen_cli.data.sets.rooms import SPECS, Rooms, domains_of
from cen_cli.errors import DataError, UsageError

ALL = tuple(SPECS)


def test_views_are_sorted_by_room_and_view(write_rooms):
    data = Rooms(write_rooms(rooms=12), "train")
    assert [view.name for view in data.views[:3]] == ["0000_0", "0000_1", "0001_0"]
    assert data.views[-1].name == "0011_1"
    assert len(data) == 24


def test_every_domain_can_be_an_input(write_rooms):
    sample = Rooms(write_rooms(), "train", ALL)[0]
    assert tuple(sample.inputs) == ALL
    assert all(image.shape == (3, 16, 16) and image.isfinite().all() for image in sample.inputs.values())


def test_depth_is_the_depth_camera_in_metres(write_rooms):
    root = write_rooms()
    sample = Rooms(root, "train")[1]
    stored = np.asarray(Image.open(root / "train/depth_sensor/0000_1.png"))
    assert (stored == 65535).any()
    metres = np.where(stored == 65535, 0, stored.astype(np.float64) / 512)
    np.testing.assert_array_equal(sample.inputs["depth"][0].numpy(), metres)
    np.testing.assert_array_equal(sample.valid["depth"][0].numpy(), stored != 65535)
    assert sample.files["depth"] == str(root / "train/depth_sensor/0000_1.png")


def test_images_lie_in_plus_minus_one(write_rooms):
    sample = Rooms(write_rooms(), "train", ["reshading", "edge_texture"])[0]
    for image in sample.inputs.values():
        assert -1 <= image.min() < -0.9
        assert 0.9 < image.max() <= 1


def test_labels_and_class_names(write_rooms):
    root = write_rooms()
    data = Rooms(root, "train", ["rgb"])
    np.testing.assert_array_equal(data[0].target.numpy(), np.asarray(Image.open(root / "train/labels/0000_0.png")))
    assert len(data.class_names) == 14
    assert data.class_names[:3] == ("wall", "floor", "ceiling")


def test_domains_to_render():
    assert domains_of(["rgb", "depth"]) == ("rgb", "depth_sensor", "labels")


def test_other_files_in_the_folders_are_passed_over(write_rooms):
    root = write_rooms()
    (root / "train/rgb/.0000_9.png.tmp").touch()
    (root / "train/rgb/notes.txt").touch()
    assert len(Rooms(root, "train")) == 6


class TestTranslation:
    def test_any_domain_can_be_the_target(self, write_rooms):
        root = write_rooms()
        domains = tuple(name for name in ALL if name != "depth")
        for target in domains:
            inputs = [name for name in domains if name not in (target, "rgb_clean" if target == "rgb" else "")]
            data = Rooms(root, "train", inputs, target)
            sample = data[0]
            assert sample.target.shape == (3, 16, 16)
            assert all(-1 <= image.min() < image.max() <= 1 for image in (sample.target, *sample.inputs.values()))
            assert list(sample.inputs) == inputs
            assert (data.target.name, data.class_names) == (target, ())

    def test_depth_is_the_true_one_and_its_logarithm(self, write_rooms):
        root = write_rooms()
        sample = Rooms(root, "train", ["rgb"], "depth")[1]
        units = np.asarray(Image.open(root / "train/depth_euclidean/0000_1.png")).astype(np.float64)
        expected = np.where(units == 65535, 0, 2 * np.log1p(units / 512) / np.log(11) - 1)
        np.testing.assert_allclose(sample.target[0].numpy(), expected, atol=1e-5)
        np.testing.assert_array_equal(sample.target_valid[0].numpy(), units != 65535)
        twin = Rooms(root, "train", ["depth"], "rgb")[1]
        assert torch.equal(twin.inputs["depth"], sample.target)
        assert torch.equal(twin.valid["depth"], sample.target_valid)

    def test_the_colours_to_be_predicted_have_no_noise_those_given_have(self, write_rooms):
        root = write_rooms()
        target = Rooms(root, "train", ["shade"], "rgb")[0]
        clean = np.asarray(Image.open(root / "train/rgb_clean/0000_0.png")).transpose(2, 0, 1)
        np.testing.assert_allclose(target.target.numpy(), clean / 127.5 - 1, atol=1e-6)
        assert target.files["target"] == str(root / "train/rgb_clean/0000_0.png")
        given = Rooms(root, "train", ["rgb"], "normal")[0]
        assert given.files["rgb"] == str(root / "train/rgb/0000_0.png")

    def test_labels_are_not_needed(self, write_rooms):
        root = write_rooms()
        shutil.rmtree(root / "train/labels")
        assert len(Rooms(root, "train", ["shade"], "rgb")) == 6

    def test_domains_to_render(self):
        assert domains_of(["shade", "texture"], "rgb") == ("reshading", "edge_texture", "rgb_clean")
        assert domains_of(["rgb", "edge"], "depth") == ("rgb", "edge_occlusion", "depth_euclidean")
        assert domains_of(["shade", "depth"]) == ("reshading", "depth_sensor", "labels")

    def test_short_names_are_understood_for_segmentation_too(self, write_rooms):
        root = write_rooms()
        sample, full = (Rooms(root, "train", [name])[0] for name in ("shade", "reshading"))
        assert torch.equal(sample.inputs["shade"], full.inputs["reshading"])
        assert Rooms(root, "train", ["shade"], normalize={"reshading": (0.0, 1.0)})[0].inputs["shade"].min() >= 0

    @pytest.mark.parametrize(
        ("inputs", "target", "message"),
        [
            (["shade", "rgb"], "rgb", "the target 'rgb' is one of the inputs$"),
            (
                ["shade"],
                "reshading",
                r"the target 'reshading' is one of the inputs \(shade and reshading are the same\)",
            ),
            (["shade", "rgb_clean"], "rgb", "the target 'rgb' is read from rgb_clean, which is one of the inputs"),
            (["shade", "reshading"], "rgb", "shade and reshading are the same"),
            (["depth", "depth_euclidean"], "rgb", "depth and depth_euclidean are the same"),
            (["rgb"], "labels", "unknown target 'labels'"),
        ],
    )
    def test_names_that_do_not_go_together(self, write_rooms, inputs, target, message):
        with pytest.raises(UsageError, match=message):
            Rooms(write_rooms(), "train", inputs, target)


class TestWhatIsRefused:
    def test_edges_of_8_bits(self, write_rooms, write):
        root = write_rooms()
        write(root / "train/edge_texture/0000_0.png", np.zeros((16, 16), np.uint8))
        with pytest.raises(DataError, match=r"edge_texture/0000_0\.png: .*8-bit grey, expected 16-bit grey"):
            Rooms(root, "train", ["texture"])[0]

    def test_missing_partner_names_both_files(self, write_rooms):
        root = write_rooms()
        (root / "train/depth_sensor/0001_1.png").unlink()
        with pytest.raises(DataError, match=r"1 of 6 train views lack a file, of depth: 0001_1"):
            Rooms(root, "train")

    def test_missing_first_partner(self, write_rooms):
        root = write_rooms()
        (root / "train/rgb/0002_0.png").unlink()
        with pytest.raises(DataError, match=r"1 of 6 train views lack a file, of rgb: 0002_0"):
            Rooms(root, "train")

    def test_missing_folder(self, tmp_path):
        with pytest.raises(DataError, match=r"no folder .*none/val; of .*none: it does not exist"):
            Rooms(tmp_path / "none", "val")

    def test_missing_domain_says_what_is_there(self, write_rooms):
        root = write_rooms()
        shutil.rmtree(root / "train/depth_sensor")
        with pytest.raises(DataError, match=r"no folder .*train/depth_sensor; .*it holds depth_euclidean/"):
            Rooms(root, "train")

    def test_folder_without_views(self, write_rooms):
        root = write_rooms()
        for path in (root / "train/rgb").iterdir():
            path.unlink()
        with pytest.raises(DataError, match=r"train/rgb: it is empty"):
            Rooms(root, "train")

    def test_unknown_split(self, write_rooms):
        with pytest.raises(DataError, match="unknown split 'dev': there are train, val, test"):
            Rooms(write_rooms(), "dev")

    def test_unknown_input(self, write_rooms):
        with pytest.raises(UsageError, match="unknown input 'normals'") as caught:
            Rooms(write_rooms(), "train", ["normals"])
        assert caught.value.hint == "did you mean 'normal'?"

    def test_label_outside_the_classes(self, write_rooms, write):
        root = write_rooms()
        write(root / "train/labels/0000_0.png", np.full((16, 16), 17, np.uint8))
        with pytest.raises(DataError, match=r"labels/0000_0\.png: label 17 is none of the 14 classes 0 \.\. 13"):
            Rooms(root, "train")[0]

    def test_8_bit_depth(self, write_rooms, write):
        root = write_rooms()
        write(root / "train/depth_sensor/0000_0.png", np.zeros((16, 16), np.uint8))
        with pytest.raises(DataError, match=r"depth_sensor/0000_0\.png: the depth image is 8-bit grey"):
            Rooms(root, "train")[0]

    def test_depth_of_another_size_is_not_cut(self, write_rooms, write):
        root = write_rooms()
        write(root / "train/depth_sensor/0000_0.png", np.zeros((18, 18), np.uint16))
        with pytest.raises(DataError, match=r"labels/0000_0\.png is 16 x 16, .*depth_sensor/0000_0\.png is 18 x 18"):
            Rooms(root, "train")[0]


def test_resize(write_rooms):
    sample = Rooms(write_rooms(), "train", resize=(8, 8))[0]
    assert sample.target.shape == (8, 8)
    assert sample.inputs["depth"].dtype == torch.float32


def test_what_the_renderer_stores_is_what_is_read(tmp_path):
    settings = RoomsSettings(size=24, train_rooms=1, val_rooms=0, test_rooms=0, views=1)
    domains = domains_of(ALL)
    folder = prepare(settings, tmp_path, domains=domains)
    data, rendered = Rooms(folder, "train", ALL), render_view(settings, "train", 0, 0)
    view = data.view(0)
    np.testing.assert_array_equal(view.target[0].numpy(), rendered["labels"])
    for name, image in view.inputs.items():
        stored = rendered[domains_of([name])[0]]
        if name.startswith("depth"):
            np.testing.assert_allclose(image[0].numpy(), stored, atol=0.5 / 512)
            np.testing.assert_array_equal(image[0].numpy() > 0, stored > 0)
        elif name.startswith("edge"):
            np.testing.assert_allclose(image[0].numpy(), stored, atol=0.51 / 11355)
        elif name.startswith("rgb"):
            np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), stored)
