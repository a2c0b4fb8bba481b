from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cen_cli.data.edges import edge_texture
from cen_cli.data.loading import training_loader, without_target
from cen_cli.data.modality import IMAGENET_MEAN, IMAGENET_STD
from cen_cli.data.sets.nyudv2 import CLASS_NAMES, NYUDv2
from cen_cli.data.transforms import TrainTransform
from cen_cli.errors import DataError, UsageError


@pytest.mark.parametrize(("suffix", "palette"), [("png", True), ("jpg", False)])
def test_a_view_is_what_the_files_hold(write_nyudv2, suffix, palette):
    root = write_nyudv2(suffix=suffix, palette=palette)
    data = NYUDv2(root, "train")
    assert len(data) == 6
    sample = data[2]
    rgb = np.asarray(Image.open(root / f"rgb/000003.{suffix}")) / 255
    expected = ((rgb - IMAGENET_MEAN) / IMAGENET_STD).transpose(2, 0, 1)
    np.testing.assert_allclose(sample.inputs["rgb"].numpy(), expected, atol=1e-5)
    metres = np.asarray(Image.open(root / "depth/000003.png")).astype(np.float32) / np.float32(5000)
    np.testing.assert_array_equal(sample.inputs["depth"].numpy(), np.stack([metres] * 3))
    np.testing.assert_array_equal(sample.target.numpy(), np.asarray(Image.open(root / "masks/000003.png")))
    assert sample.name == "000003"
    assert sample.files == {
        "rgb": str(root / f"rgb/000003.{suffix}"),
        "depth": str(root / "depth/000003.png"),
        "labels": str(root / "masks/000003.png"),
    }


def test_inputs_keep_their_order(write_nyudv2):
    data = NYUDv2(write_nyudv2(), "train", ("depth", "rgb"))
    assert list(data[0].inputs) == ["depth", "rgb"]
    assert [spec.name for spec in data.specs] == ["depth", "rgb"]


def test_test_is_val(write_nyudv2):
    root = write_nyudv2()
    assert len(NYUDv2(root, "val")) == 2
    assert [NYUDv2(root, "test")[i].name for i in range(2)] == ["000007", "000008"]


def test_another_list_takes_the_place_of_the_split(write_nyudv2):
    root = write_nyudv2()
    (root / "few.txt").write_text("rgb/000002.png\tmasks/000002.png\tdepth/000002.png\n\n")
    assert [view.name for view in NYUDv2(root, "train", list_file="few.txt").views] == ["000002"]


def test_a_view_is_listed_once(write_nyudv2):
    root = write_nyudv2()
    (root / "few.txt").write_text("rgb/000002.png\tmasks/000002.png\tdepth/000002.png\n" * 2)
    with pytest.raises(DataError, match=r"few\.txt, line 2: .* names what line 1 names already"):
        NYUDv2(root, "train", list_file="few.txt")


def test_forty_class_names():
    assert len(CLASS_NAMES) == len(set(CLASS_NAMES)) == 40


def test_depth_of_the_white_frame_is_cut_to_the_centre(write_nyudv2):
    root = write_nyudv2(size=(468, 625), depth_size=(480, 640), views=1)
    view = NYUDv2(root, "train").view(0)
    whole = np.asarray(Image.open(root / "depth/000001.png")).astype(np.float32) / np.float32(5000)
    np.testing.assert_array_equal(view.inputs["depth"][0].numpy(), whole[6:474, 7:632])


@pytest.mark.parametrize("depth_size", [(17, 26), (36, 52), (20, 25), (20, 29)])
def test_other_depth_sizes_are_refused(write_nyudv2, depth_size):
    data = NYUDv2(write_nyudv2(depth_size=depth_size), "train")
    height, width = depth_size
    with pytest.raises(DataError, match=rf"masks/000001.png is 18 x 26, .*depth/000001.png is {height} x {width}"):
        data[0]


def test_rgb_of_another_size_is_refused(write_nyudv2, write):
    root = write_nyudv2()
    write(root / "rgb/000002.png", np.zeros((20, 26, 3), np.uint8))
    with pytest.raises(DataError, match=r"masks/000002.png is 18 x 26, .*rgb/000002.png is 20 x 26"):
        NYUDv2(root, "train")[1]


def test_label_outside_the_classes_names_file_and_value(write_nyudv2, write):
    root = write_nyudv2()
    write(root / "masks/000002.png", np.full((18, 26), 40, np.uint8))
    with pytest.raises(DataError, match=r"masks/000002\.png: label 40 is none of the 40 classes"):
        NYUDv2(root, "train")[1]


def test_resize_brings_all_parts_to_one_size(write_nyudv2):
    view = NYUDv2(write_nyudv2(), "train", resize=(9, 13)).view(0)
    assert view.size == (9, 13)
    assert {tuple(part.shape) for part in (*view.inputs.values(), view.target)} == {(3, 9, 13), (1, 9, 13)}


def test_normalize_takes_the_place_of_the_defaults(write_nyudv2):
    root = write_nyudv2()
    data = NYUDv2(root, "train", normalize={"depth": (2.0, 4.0)})
    metres, valid = NYUDv2(root, "train")[0].inputs["depth"], data[0].valid["depth"]
    torch.testing.assert_close(data[0].inputs["depth"], torch.where(valid, (metres - 2) / 4, 0.0))
    assert data.specs[0].mean == IMAGENET_MEAN


class TestWhatIsRefused:
    def test_no_folder_given(self):
        with pytest.raises(DataError, match=r"no folder given for NYUDv2: set data\.root") as caught:
            NYUDv2("", "train")
        assert "https://cs.nyu.edu" in str(caught.value.hint)

    def test_missing_root(self, tmp_path):
        with pytest.raises(DataError, match=r"no folder .*nowhere \(it does not exist\)") as caught:
            NYUDv2(tmp_path / "nowhere", "train")
        assert "expected nyu_depth_v2_labeled.mat" in str(caught.value.hint)
        assert "rgb/, masks/, depth/, train.txt and val.txt" in str(caught.value.hint)

    def test_missing_list_says_what_is_there(self, tmp_path):
        (tmp_path / "images").mkdir()
        (tmp_path / "nyu_depth_v2.zip").touch()
        with pytest.raises(DataError, match=r"no list .*val\.txt .*it holds images/, nyu_depth_v2\.zip\)"):
            NYUDv2(tmp_path, "val")

    def test_empty_folder(self, tmp_path):
        with pytest.raises(DataError, match=r"no list .*train\.txt .*\(it is empty\)"):
            NYUDv2(tmp_path, "train")

    @pytest.mark.parametrize("line", ["rgb/1.png masks/1.png depth/1.png", "rgb/1.png\tmasks/1.png", "a\t\tb"])
    def test_malformed_line(self, write_nyudv2, line):
        root = write_nyudv2()
        with (root / "train.txt").open("a") as file:
            file.write(line + "\n")
        with pytest.raises(
            DataError, match=r"train\.txt, line 7: expected rgb <TAB> masks <TAB> depth, found \d field"
        ):
            NYUDv2(root, "train")

    def test_empty_list(self, write_nyudv2):
        root = write_nyudv2()
        (root / "train.txt").write_text("\n")
        with pytest.raises(DataError, match=r"train\.txt: the list is empty"):
            NYUDv2(root, "train")

    def test_list_that_is_not_text(self, write_nyudv2):
        root = write_nyudv2()
        (root / "train.txt").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(DataError, match=r"train\.txt: cannot be read as text"):
            NYUDv2(root, "train")

    def test_missing_files_are_counted_and_the_first_is_named(self, write_nyudv2):
        root = write_nyudv2()
        for number in (2, 4):
            (root / f"depth/{number:06d}.png").unlink()
        with pytest.raises(DataError, match=r"train\.txt: 2 of 18 listed files are not there, .*depth/000002\.png"):
            NYUDv2(root, "train")

    def test_files_of_unused_inputs_need_not_be_there(self, write_nyudv2):
        root = write_nyudv2()
        (root / "depth/000002.png").unlink()
        assert list(NYUDv2(root, "train", ["rgb"])[1].inputs) == ["rgb"]

    def test_unknown_split(self, write_nyudv2):
        with pytest.raises(DataError, match="unknown split 'dev': there are train, val, test"):
            NYUDv2(write_nyudv2(), "dev")

    def test_unknown_input(self, write_nyudv2):
        with pytest.raises(UsageError, match="unknown input 'dept': this data set has rgb, depth") as caught:
            NYUDv2(write_nyudv2(), "train", ["rgb", "dept"])
        assert caught.value.hint == "did you mean 'depth'?"

    def test_unknown_modality_to_normalise(self, write_nyudv2):
        with pytest.raises(UsageError, match="unknown modality to normalise 'thermal'"):
            NYUDv2(write_nyudv2(), "train", normalize={"thermal": (0.0, 1.0)})

    @pytest.mark.parametrize("inputs", [[], ["rgb", "rgb"]])
    def test_inputs_must_be_different(self, write_nyudv2, inputs):
        with pytest.raises(UsageError, match="one or more different modalities"):
            NYUDv2(write_nyudv2(), "train", inputs)


class TestDerivedModalities:
    @pytest.mark.parametrize("name", ["edge_texture", "texture", "edge"])
    def test_edges_are_those_of_the_photograph(self, write_nyudv2, name):
        root = write_nyudv2()
        sample = NYUDv2(root, "train", ["depth", name])[0]
        rgb = np.asarray(Image.open(root / "rgb/000001.png"))
        np.testing.assert_allclose(sample.inputs[name][0].numpy(), 2 * edge_texture(rgb) - 1, atol=0.51 / 127)
        assert sample.files[name] == str(root / "rgb/000001.png")

    def test_normals_are_those_of_the_depth(self, write_nyudv2, write):
        root = write_nyudv2()
        write(root / "depth/000001.png", np.full((18, 26), 10000, np.uint16))
        sample = NYUDv2(root, "train", ["rgb", "normal"])[0]
        facing = (torch.tensor([127.0, 127.0, 254.0]) / 127.5 - 1)[:, None, None].expand(3, 18, 26)
        torch.testing.assert_close(sample.inputs["normal"], facing)
        assert sample.files["normal"] == str(root / "depth/000001.png")

    def test_normals_of_framed_depth_fit_the_masks(self, write_nyudv2):
        root = write_nyudv2(size=(468, 625), depth_size=(480, 640), views=1)
        assert NYUDv2(root, "train", ["rgb", "normal"]).view(0).inputs["normal"].shape == (3, 468, 625)

    def test_8_bit_depth_has_no_normals(self, write_nyudv2, write):
        root = write_nyudv2()
        write(root / "depth/000001.png", np.zeros((18, 26), np.uint8))
        with pytest.raises(DataError, match=r"depth/000001\.png: the depth image is 8-bit grey"):
            NYUDv2(root, "train", ["normal"])[0]


class TestTranslation:
    def test_everything_lies_in_plus_minus_one(self, write_nyudv2):
        root = write_nyudv2()
        sample = NYUDv2(root, "train", ["rgb", "edge"], "depth")[1]
        rgb = np.asarray(Image.open(root / "rgb/000002.png")) / 127.5 - 1
        np.testing.assert_allclose(sample.inputs["rgb"].numpy(), rgb.transpose(2, 0, 1), atol=1e-6)
        metres = np.asarray(Image.open(root / "depth/000002.png")) / 5000
        expected = np.where(metres > 0, 2 * np.log1p(metres) / np.log(11) - 1, 0)
        np.testing.assert_allclose(sample.target.numpy(), np.stack([expected] * 3), atol=1e-5)
        np.testing.assert_array_equal(sample.target_valid[0].numpy(), metres > 0)
        assert sample.files["target"] == str(root / "depth/000002.png")

    def test_depth_beyond_ten_metres_is_clipped(self, write_nyudv2, write):
        root = write_nyudv2()
        write(root / "depth/000001.png", np.full((18, 26), 60000, np.uint16))
        assert (NYUDv2(root, "train", ["rgb"], "depth")[0].target == 1).all()

    def test_any_modality_can_be_the_target(self, write_nyudv2):
        root = write_nyudv2()
        for target in ("rgb", "depth", "normal", "texture"):
            inputs = [name for name in ("rgb", "depth", "normal", "texture") if name != target]
            data = NYUDv2(root, "train", inputs, target)
            sample = data[0]
            assert sample.target.shape == (3, 18, 26)
            assert all(-1 <= image.min() < image.max() <= 1 for image in (sample.target, *sample.inputs.values()))
            assert (data.target.name, data.class_names) == (target, ())

    def test_masks_are_not_needed(self, write_nyudv2):
        root = write_nyudv2()
        for path in (root / "masks").iterdir():
            path.unlink()
        assert len(NYUDv2(root, "train", ["rgb"], "depth")) == 6

    def test_the_white_frame_is_cut_away_before_edges_are_looked_for(self, write_nyudv2, write):
        root = write_nyudv2(size=(480, 640), views=1)
        rgb = np.full((480, 640, 3), 255, np.uint8)
        rgb[6:474, 7:632] = 90
        write(root / "rgb/000001.png", rgb)
        view = NYUDv2(root, "train", ["rgb", "edge"], "depth").view(0)
        assert (view.inputs["rgb"] == 90).all()
        assert (view.inputs["edge"] == 0).all()
        whole = np.asarray(Image.open(root / "depth/000001.png")).astype(np.float32) / np.float32(5000)
        np.testing.assert_array_equal(view.target[0].numpy(), whole[6:474, 7:632])
        assert NYUDv2(root, "train", ["rgb", "edge"]).view(0).size == (480, 640)

    def test_frames_of_468_x_625_are_taken_as_they_are(self, write_nyudv2):
        root = write_nyudv2(size=(468, 625), depth_size=(480, 640), views=1)
        view = NYUDv2(root, "train", ["rgb"], "depth", resize=(32, 40)).view(0)
        assert view.size == view.target.shape[-2:] == (32, 40)
        assert NYUDv2(root, "train", ["rgb"], "normal").view(0).target.shape == (3, 468, 625)

    def test_depth_target_without_a_valid_pixel_names_its_file(self, write_nyudv2, write):
        root = write_nyudv2(views=1)
        write(root / "depth/000001.png", np.zeros((18, 26), np.uint16))
        data = NYUDv2(root, "train", ["rgb"], "depth", transform=TrainTransform((12, 12)))
        [batch] = training_loader(data, 1, seed=0, epoch=0)
        assert without_target(batch) == f"nothing was measured in the crops of {root}/depth/000001.png"

    @pytest.mark.parametrize(
        ("inputs", "target", "message"),
        [
            (["rgb", "depth"], "depth", "the target 'depth' is one of the inputs$"),
            (
                ["rgb", "edge"],
                "texture",
                r"the target 'texture' is one of the inputs \(edge and texture are the same\)",
            ),
            (["edge", "texture"], "depth", "edge and texture are the same"),
            (["rgb"], "shade", "unknown target 'shade': this data set has rgb, depth, edge_texture, normal"),
            (["edge_occlusion"], "rgb", "unknown input 'edge_occlusion'"),
        ],
    )
    def test_names_that_do_not_go_together(self, write_nyudv2, inputs, target, message):
        with pytest.raises(UsageError, match=message):
            NYUDv2(write_nyudv2(), "train", inputs, target)

    def test_sizes_that_differ(self, write_nyudv2):
        root = write_nyudv2(depth_size=(17, 26))
        with pytest.raises(DataError, match=r"rgb/000001\.png is 18 x 26, .*depth/000001\.png is 17 x 26"):
            NYUDv2(root, "train", ["rgb"], "depth")[0]


@pytest.mark.nyudv2
class TestRealImages:
    @pytest.fixture
    def root(self, nyudv2_root: Path) -> Path:
        assert os.environ["CEN_NYUDV2"]
        return nyudv2_root

    def test_splits_have_the_official_sizes(self, root):
        assert (len(NYUDv2(root, "train")), len(NYUDv2(root, "val")), len(NYUDv2(root, "test"))) == (795, 654, 654)

    def test_splits_share_no_frame(self, root):
        names = [{view.name for view in NYUDv2(root, split).views} for split in ("train", "val")]
        assert not names[0] & names[1]

    def test_values_are_plausible_metres_and_labels(self, root):
        data = NYUDv2(root, "train")
        for index in range(0, len(data), 100):
            sample = data[index]
            metres = sample.inputs["depth"][0][sample.valid["depth"][0]]
            assert 0.3 < metres.min() < metres.median() < metres.max() <= 10.0
            assert sample.inputs["rgb"].abs().max() < 3
            assert (sample.target != 255).float().mean() > 0.4

    def test_floor_is_lower_in_the_image_than_the_ceiling(self, root):
        data = NYUDv2(root, "train", ["rgb"])
        rows: dict[int, list[float]] = {1: [], 21: []}
        for index in range(0, 200, 10):
            target = data[index].target
            for label, found in rows.items():
                found += (target == label).nonzero()[:, 0].float().mean(0, keepdim=True).nan_to_num(-1).tolist()
        floor, ceiling = ([row for row in found if row >= 0] for found in rows.values())
        assert np.mean(floor) > np.mean(ceiling) + 100

    def test_training_crops_of_the_published_recipe(self, root):
        transform = TrainTransform((500, 500), scale=(0.5, 2.0), min_short_side=350)
        sample = NYUDv2(root, "train", transform=transform)[(3, 5)]
        assert sample.inputs["rgb"].shape == sample.inputs["depth"].shape == (3, 500, 500)
        assert torch.isfinite(sample.inputs["rgb"]).all()

    def test_translation_sees_no_white_frame(self, root):
        data = NYUDv2(root, "val", ["rgb", "edge"], "depth")
        for index in (0, 300):
            view = data.view(index)
            assert view.size == (468, 625)
            border = torch.cat([view.inputs["edge"][0, :2].flatten(), view.inputs["edge"][0, :, :2].flatten()])
            assert border.float().mean() < 60
            sample = data[index]
            assert sample.target_valid.all()
            assert -0.8 < sample.target.min() < sample.target.max() <= 1

    def test_floors_look_up_and_nothing_looks_away(self, root):
        data = NYUDv2(root, "train", ["rgb", "normal"])
        up = []
        for index in (0, 150, 300):
            view = data.view(index)
            normals = (view.inputs["normal"].permute(1, 2, 0).numpy().astype(float) - 127) / 127
            labels = view.target[0].numpy()
            inside = labels != 255
            np.testing.assert_allclose(np.linalg.norm(normals[inside], axis=-1), 1, atol=0.01)
            assert (normals[inside][:, 2] > -0.1).mean() > 0.97
            up += normals[labels == 1][:, 1].tolist()
        assert np.median(up) > 0.7

    def test_class_names_are_those_of_the_data_set(self, root):
        listed = (root / "classes40.txt").read_text().splitlines()
        assert tuple(line.split("\t")[1] for line in listed) == CLASS_NAMES
