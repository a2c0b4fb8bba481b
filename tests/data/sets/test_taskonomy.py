from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from cen_cli.data.loading import evaluation_loader, training_loader, without_target
from cen_cli.data.normalization import denormalize
from cen_cli.data.rooms import RoomsSettings, prepare, render_view
from cen_cli.data.sets.rooms import Rooms
from cen_cli.data.sets.taskonomy import SPECS, Taskonomy, split_of_point
from cen_cli.data.transforms import TrainTransform
from cen_cli.errors import DataError, UsageError

PAIR = ("reshading", "edge_texture")


def stored(root, domain, name="point_0_view_0"):
    """A file's own values, as integers [H, W] or [H, W, 3]."""
    return np.asarray(Image.open(root / domain / f"{name}_domain_{domain}.png")).astype(np.int64)


def names(data):
    return [view.name for view in data.views]


ROOMS = RoomsSettings(size=16, train_rooms=1, val_rooms=1, test_rooms=0, views=2, palette_style="house")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Rooms as `cen data rooms` writes them; not to be changed."""
    return prepare(ROOMS, tmp_path_factory.mktemp("rooms"), domains=tuple(SPECS), keyed=False, workers=1)


class TestEncodings:
    @pytest.mark.parametrize("domain", ["rgb", "normal", "principal_curvature"])
    def test_8_bit_colours(self, write_taskonomy, domain):
        root = write_taskonomy()
        sample = Taskonomy(root, "train", ["reshading"], domain)[0]
        expected = stored(root, domain).transpose(2, 0, 1) / 127.5 - 1
        np.testing.assert_allclose(sample.target.numpy(), expected, atol=1e-6)
        assert sample.target_valid.all()

    @pytest.mark.parametrize("grey", [True, False])
    def test_reshading_is_repeated_where_it_is_grey(self, write_taskonomy, grey):
        root = write_taskonomy(grey=grey)
        image = Taskonomy(root, "train", ["shade"], "rgb")[0].inputs["shade"]
        expected = stored(root, "reshading") / 127.5 - 1
        expected = np.stack([expected] * 3) if grey else expected.transpose(2, 0, 1)
        np.testing.assert_allclose(image.numpy(), expected, atol=1e-6)

    @pytest.mark.parametrize(("domain", "full"), [("edge_texture", 11355), ("edge_occlusion", 11584)])
    def test_16_bit_edges(self, write_taskonomy, domain, full):
        root = write_taskonomy()
        image = Taskonomy(root, "train", [domain], "rgb")[0].inputs[domain]
        np.testing.assert_allclose(image[0].numpy(), 2 * stored(root, domain) / full - 1, atol=1e-5)

    @pytest.mark.parametrize("domain", ["depth_euclidean", "depth_zbuffer"])
    @pytest.mark.parametrize("role", ["input", "target"])
    def test_depth_is_the_logarithm_of_what_is_stored(self, write_taskonomy, write, domain, role):
        root = write_taskonomy()
        units = np.full((16, 16), 65535, np.uint16)
        units[0, :5] = (1, 512, 5120, 65534, 0)
        write(root / domain / f"point_0_view_0_domain_{domain}.png", units)
        if role == "input":
            sample = Taskonomy(root, "train", [domain], "rgb")[0]
            image, valid = sample.inputs[domain], sample.valid[domain]
        else:
            sample = Taskonomy(root, "train", ["rgb"], domain)[0]
            image, valid = sample.target, sample.target_valid
        measured = np.isin(np.arange(256), (0, 1, 2, 3)).reshape(16, 16)
        np.testing.assert_array_equal(valid[0].numpy(), measured)
        expected = np.where(measured, 2 * np.log1p(units.astype(np.float64)) / np.log(1 + 512 * 128) - 1, 0)
        np.testing.assert_allclose(image.numpy(), np.stack([expected] * 3), atol=1e-5)

    @pytest.mark.parametrize("domain", SPECS)
    def test_denormalize_is_the_way_back(self, write_taskonomy, domain):
        root = write_taskonomy()
        data = Taskonomy(root, "train", ["rgb" if domain != "rgb" else "normal"], domain)
        sample, values = data[0], stored(root, domain)
        back = denormalize(sample.target, data.target)
        if domain.startswith("depth"):
            metres = back[0].numpy()[values != 65535]
            np.testing.assert_allclose(metres, values[values != 65535] / 512, rtol=1e-4)
            assert back.shape == (1, 16, 16)
            return
        assert back.dtype == torch.uint8
        full = {"edge_texture": 11355, "edge_occlusion": 11584}.get(domain, 255)
        expected = np.round(values / full * 255)
        expected = np.stack([expected] * 3) if expected.ndim == 2 else expected.transpose(2, 0, 1)
        assert np.abs(back.numpy() - expected).max() <= (1 if full > 255 else 0)

    def test_denormalize_brings_what_is_beyond_the_range_into_it(self):
        image = torch.tensor([-3.0, 3.0]).expand(3, 1, 2)
        assert denormalize(image, SPECS["rgb"])[0].tolist() == [[0, 255]]
        np.testing.assert_allclose(denormalize(image, SPECS["depth_euclidean"])[0].numpy(), [[0, 128]], rtol=1e-4)

    def test_normals_are_turned_with_the_view_as_input_and_as_target(self, write_taskonomy):
        root = write_taskonomy()
        plain = stored(root, "normal")
        turned = plain[:, ::-1].copy()
        turned[..., 0] = 254 - turned[..., 0]
        both = [array.transpose(2, 0, 1) / 127.5 - 1 for array in (plain, turned)]
        transform = TrainTransform((16, 16))
        for inputs, target in ((["normal"], "rgb"), (["rgb"], "normal")):
            data = Taskonomy(root, "train", inputs, target, transform=transform)
            seen = set()
            for epoch in range(20):
                sample = data[(epoch, 0)]
                image = sample.target if target == "normal" else sample.inputs["normal"]
                (which,) = [i for i, array in enumerate(both) if np.allclose(image.numpy(), array, atol=1e-6)]
                seen.add(which)
            assert seen == {0, 1}


class TestSplits:
    def test_without_lists_the_points_are_divided(self, write_taskonomy):
        root = write_taskonomy()
        assert names(Taskonomy(root, "val", PAIR, "rgb")) == ["point_11_view_0", "point_11_view_3"]
        assert names(Taskonomy(root, "test", PAIR, "rgb")) == ["point_1_view_0", "point_1_view_3"]
        assert names(Taskonomy(root, "train", PAIR, "rgb")) == [
            f"point_{point}_view_{view}" for point in (0, 2, 3) for view in (0, 3)
        ]

    def test_the_rule_is_the_documented_one_and_fair(self):
        parts = [split_of_point(point) for point in range(2000)]
        assert [point for point in range(40) if parts[point] != "train"] == [1, 8, 11, 19, 28, 31]
        assert {parts.count("val") // 20, parts.count("test") // 20} <= {9, 10, 11}

    @pytest.mark.parametrize("line", ["point_2_view_3", "{domain}/point_2_view_3_domain_{domain}.png"])
    def test_lists_take_the_place_of_the_rule(self, write_taskonomy, line):
        root = write_taskonomy()
        (root / "train.txt").write_text(f"\n{line}\npoint_1_view_0\n")
        (root / "val.txt").write_text("rgb/point_0_view_0_domain_rgb.png\n")
        assert names(Taskonomy(root, "train", PAIR, "rgb")) == ["point_1_view_0", "point_2_view_3"]
        assert names(Taskonomy(root, "val", PAIR, "rgb")) == ["point_0_view_0"]
        assert names(Taskonomy(root, "test", PAIR, "rgb")) == ["point_0_view_0"]

    def test_named_lists_go_before_those_in_the_root(self, write_taskonomy):
        root = write_taskonomy()
        for name, view in (("train.txt", 0), ("val.txt", 0), ("few.txt", 3), ("other.txt", 3)):
            (root / name).write_text(f"point_2_view_{view}\n")
        lists = {"train_list": "few.txt", "val_list": "other.txt"}
        assert names(Taskonomy(root, "train", PAIR, "rgb", **lists)) == ["point_2_view_3"]

    def test_points_are_sorted_by_number(self, write_taskonomy):
        data = Taskonomy(write_taskonomy(points=(30, 4, 200)), "train", PAIR, "rgb")
        assert names(data)[::2] == ["point_4_view_0", "point_30_view_0", "point_200_view_0"]

    def test_other_files_are_passed_over(self, write_taskonomy):
        root = write_taskonomy()
        (root / "rgb/point_0_view_9_domain_rgb.jpg").touch()
        (root / "rgb/.point_0_view_0_domain_rgb.png.part").touch()
        assert len(Taskonomy(root, "train", PAIR, "rgb")) == 6


class TestRoomsFolder:
    """What `cen data rooms` writes is read as it is."""

    @pytest.mark.parametrize("target", SPECS)
    def test_every_domain_holds_what_was_rendered(self, folder, target):
        inputs = [name for name in SPECS if name != target]
        data = Taskonomy(folder, "val", inputs, target)
        assert names(data) == ["0000_0", "0000_1"]
        sample, rendered = data[1], render_view(ROOMS, "val", 0, 1)
        assert sample.files["target"] == str(folder / f"val/{target}/0000_1.png")
        back = denormalize(sample.target, data.target).numpy()
        if target.startswith("depth"):
            np.testing.assert_allclose(back[0], rendered[target], atol=2e-3)
        elif target.startswith("edge"):
            np.testing.assert_allclose(back[0] / 255, rendered[target], atol=3e-3)
        elif target == "normal":
            np.testing.assert_allclose((back.transpose(1, 2, 0) - 127.0) / 127, rendered[target], atol=5e-3)
        elif target in ("rgb", "reshading"):
            expected = rendered[target] if target == "rgb" else np.stack([rendered[target]] * 3, -1)
            np.testing.assert_array_equal(back.transpose(1, 2, 0), expected)

    def test_images_are_those_of_the_rooms_loader(self, folder):
        inputs = ["reshading", "edge_texture", "edge_occlusion", "rgb"]
        ours, theirs = Taskonomy(folder, "train", inputs, "normal")[0], Rooms(folder, "train", inputs, "normal")[0]
        assert all(torch.equal(ours.inputs[name], theirs.inputs[name]) for name in inputs)
        assert torch.equal(ours.target, theirs.target)

    def test_its_own_splits_leave_no_place_for_lists(self, folder):
        with pytest.raises(UsageError, match=r"data\.train_list: .* has train/, val/ and test/ of its own"):
            Taskonomy(folder, "train", PAIR, "rgb", train_list="a.txt", val_list="b.txt")

    def test_a_split_without_views(self, folder):
        with pytest.raises(DataError, match=r"no folder .*test; of .*: it holds manifest\.json, train/, val/"):
            Taskonomy(folder, "test", PAIR, "rgb")


class TestWhatIsRefused:
    def test_no_folder(self, tmp_path):
        with pytest.raises(DataError, match=r"no folder given for Taskonomy: set data\.root"):
            Taskonomy("", "train", PAIR, "rgb")
        with pytest.raises(DataError, match=r"no folder .*none \(it does not exist\)") as caught:
            Taskonomy(tmp_path / "none", "train", PAIR, "rgb")
        assert "taskonomy-sample-model-1" in str(caught.value.hint)

    def test_empty_folder(self, tmp_path):
        with pytest.raises(DataError, match=r"no folder .*reshading; of .*: it is empty"):
            Taskonomy(tmp_path, "train", PAIR, "rgb")

    def test_missing_domain_says_what_is_there(self, write_taskonomy):
        root = write_taskonomy()
        shutil.rmtree(root / "edge_texture")
        with pytest.raises(DataError, match=r"_domain_edge_texture\.png.: no folder .*it holds depth_euclidean/"):
            Taskonomy(root, "train", PAIR, "rgb")

    def test_domain_without_views(self, write_taskonomy):
        root = write_taskonomy()
        for path in (root / "rgb").iterdir():
            path.rename(path.with_suffix(".jpg"))
        with pytest.raises(DataError, match=r"_domain_rgb\.png. in .*/rgb: it holds point_0_view_0_domain_rgb\.jpg"):
            Taskonomy(root, "train", PAIR, "rgb")

    @pytest.mark.parametrize("listed", [False, True])
    def test_views_that_lack_a_domain_are_counted_and_named(self, write_taskonomy, listed):
        root = write_taskonomy()
        if listed:
            for name in ("train.txt", "val.txt"):
                (root / name).write_text("".join(f"point_{p}_view_{v}\n" for p in (0, 2, 3) for v in (0, 3)))
        (root / "rgb/point_2_view_0_domain_rgb.png").unlink()
        (root / "reshading/point_0_view_3_domain_reshading.png").unlink()
        message = r"2 of 6 train views lack a file, of reshading: point_0_view_3; rgb: point_2_view_0$"
        with pytest.raises(DataError, match=message):
            Taskonomy(root, "train", PAIR, "rgb")
        assert len(Taskonomy(root, "train", ["edge_texture"], "normal")) == 6

    def test_they_can_be_left_out(self, write_taskonomy):
        root = write_taskonomy()
        (root / "rgb/point_2_view_0_domain_rgb.png").unlink()
        (root / "reshading/point_0_view_3_domain_reshading.png").unlink()
        data = Taskonomy(root, "train", PAIR, "rgb", skip_incomplete=True)
        assert names(data) == ["point_0_view_0", "point_2_view_3", "point_3_view_0", "point_3_view_3"]
        assert len(Taskonomy(root, "val", PAIR, "rgb", skip_incomplete=True)) == 2
        for path in (root / "rgb").glob("point_11_*"):
            path.unlink()
        with pytest.raises(DataError, match=r"2 of 2 val views lack a file, of rgb: point_11_view_0, point_11_view_3"):
            Taskonomy(root, "val", PAIR, "rgb", skip_incomplete=True)

    def test_listed_view_that_is_not_there(self, write_taskonomy):
        root = write_taskonomy()
        for name in ("train.txt", "val.txt"):
            (root / name).write_text("point_77_view_0\n")
        with pytest.raises(DataError, match=r"1 of 1 train views lack a file, of reshading: point_77_view_0"):
            Taskonomy(root, "train", PAIR, "rgb")

    @pytest.mark.parametrize(
        "line", ["point_2", "rgb/2.png", "point_2_view_3_domain_{other}.png", "point_2_view_3.png x"]
    )
    def test_line_that_names_no_view(self, write_taskonomy, line):
        root = write_taskonomy()
        for name in ("train.txt", "val.txt"):
            (root / name).write_text(f"point_2_view_3\n{line}\n")
        with pytest.raises(DataError, match=r"train\.txt, line 2: .* names no view"):
            Taskonomy(root, "train", PAIR, "rgb")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("point_2_view_3\n\npoint_2_view_3\n", r"line 3: 'point_2_view_3' names what line 1 names"),
            ("\n \n", r"the list is empty"),
        ],
    )
    def test_lists_that_make_no_sense(self, write_taskonomy, text, message):
        root = write_taskonomy()
        for name in ("train.txt", "val.txt"):
            (root / name).write_text(text)
        with pytest.raises(DataError, match=rf"train\.txt(: |, ){message}"):
            Taskonomy(root, "train", PAIR, "rgb")

    def test_list_that_is_not_text(self, write_taskonomy):
        root = write_taskonomy()
        for name in ("train.txt", "val.txt"):
            (root / name).write_bytes(b"\xff\xfe\x00")
        with pytest.raises(DataError, match=r"val\.txt: cannot be read as text"):
            Taskonomy(root, "val", PAIR, "rgb")

    def test_one_list_alone(self, write_taskonomy):
        root = write_taskonomy()
        (root / "train.txt").write_text("point_2_view_3\n")
        with pytest.raises(DataError, match=r"no list .*val\.txt \(the other list is there\)"):
            Taskonomy(root, "train", PAIR, "rgb")
        with pytest.raises(UsageError, match=r"data\.val_list is given without data\.train_list"):
            Taskonomy(root, "train", PAIR, "rgb", val_list="train.txt")
        with pytest.raises(DataError, match=r"no list .*gone\.txt \(both are named\)"):
            Taskonomy(root, "train", PAIR, "rgb", train_list="train.txt", val_list="gone.txt")

    def test_files_that_are_no_views_fall_into_no_part(self, write_taskonomy):
        root = write_taskonomy(points=range(6))
        names = [view.name for view in Taskonomy(root, "train", PAIR, "rgb").views]
        for domain in (*PAIR, "rgb"):
            folder = root / domain
            shutil.copy(next(folder.iterdir()), folder / f"mean_domain_{domain}.png")
        assert [view.name for view in Taskonomy(root, "train", PAIR, "rgb").views] == names

    def test_too_few_points_for_the_rule(self, write_taskonomy):
        root = write_taskonomy(points=(0, 2))
        with pytest.raises(DataError, match=r"none of the 2 points falls into 'val'") as caught:
            Taskonomy(root, "val", PAIR, "rgb")
        assert "train.txt and val.txt" in str(caught.value.hint)

    def test_unknown_split(self, write_taskonomy):
        with pytest.raises(DataError, match="unknown split 'dev': there are train, val, test"):
            Taskonomy(write_taskonomy(), "dev", PAIR, "rgb")

    def test_unknown_domains(self, write_taskonomy):
        root = write_taskonomy()
        with pytest.raises(UsageError, match="unknown input 'shades': this data set has rgb, reshading") as caught:
            Taskonomy(root, "train", ["shades"], "rgb")
        assert caught.value.hint == "did you mean 'shade'?"
        with pytest.raises(UsageError, match="unknown target 'keypoints2d'"):
            Taskonomy(root, "train", ["shade"], "keypoints2d")

    @pytest.mark.parametrize(
        ("inputs", "message"),
        [
            ([], r"one or more different modalities, not \[\]"),
            (["shade", "shade"], r"different modalities, not \['shade', 'shade'\]$"),
            (["shade", "normal", "reshading"], r"not \[.*\]: shade and reshading are the same"),
        ],
    )
    def test_repeated_inputs(self, write_taskonomy, inputs, message):
        with pytest.raises(UsageError, match=message):
            Taskonomy(write_taskonomy(), "train", inputs, "rgb")

    @pytest.mark.parametrize(
        ("inputs", "target", "message"),
        [
            (["shade", "rgb"], "rgb", r"the target 'rgb' is one of the inputs$"),
            (["normal", "depth_euclidean"], "depth", r"the target 'depth' is one of the inputs \(depth_euclidean and"),
        ],
    )
    def test_target_among_the_inputs(self, write_taskonomy, inputs, target, message):
        with pytest.raises(UsageError, match=message):
            Taskonomy(write_taskonomy(), "train", inputs, target)

    def test_normalisation(self, write_taskonomy):
        with pytest.raises(
            UsageError, match=r"normalisation of rgb: in translation every image is brought to \[-1, 1\]"
        ):
            Taskonomy(write_taskonomy(), "train", PAIR, "rgb", normalize={"rgb": (0.0, 1.0)})

    @pytest.mark.parametrize(
        ("domain", "values", "message"),
        [
            ("depth_euclidean", np.zeros((16, 16), np.uint8), "depth image is 8-bit grey, expected 16-bit grey"),
            ("edge_texture", np.zeros((16, 16), np.uint8), r"8-bit grey, expected 16-bit grey \(full scale 11355\)"),
            ("edge_occlusion", np.zeros((16, 16, 3), np.uint8), r"8-bit RGB colours, expected 16-bit grey"),
            ("reshading", np.zeros((16, 16), np.uint16), "16-bit grey, expected 8-bit RGB or grey"),
            ("rgb", np.zeros((16, 16), np.uint8), "8-bit grey, expected 8-bit RGB"),
            ("normal", np.zeros((16, 16), np.uint16), "16-bit grey, expected 8-bit RGB"),
            ("principal_curvature", np.zeros((16, 16), np.uint8), "8-bit grey, expected 8-bit RGB"),
        ],
    )
    def test_wrong_bit_depth_or_mode(self, write_taskonomy, write, domain, values, message):
        root = write_taskonomy()
        name = f"{domain}/point_2_view_3_domain_{domain}.png"
        write(root / name, values)
        other = "depth_zbuffer"
        for inputs, target in (([domain], other), ([other], domain)):
            with pytest.raises(DataError, match=rf"{name}: the .*{message}"):
                Taskonomy(root, "train", inputs, target)[3]

    def test_sizes_that_differ(self, write_taskonomy, write):
        root = write_taskonomy()
        write(root / "rgb/point_0_view_0_domain_rgb.png", np.zeros((16, 18, 3), np.uint8))
        with pytest.raises(
            DataError, match=r"sizes differ: .*domain_reshading\.png is 16 x 16, .*_rgb\.png is 16 x 18"
        ):
            Taskonomy(root, "train", PAIR, "rgb")[0]

    @pytest.mark.parametrize("workers", [0, 1])
    def test_corrupt_file(self, write_taskonomy, workers):
        root = write_taskonomy()
        path = root / "rgb/point_2_view_0_domain_rgb.png"
        path.write_bytes(path.read_bytes()[:60])
        with pytest.raises(DataError) as caught:
            list(evaluation_loader(Taskonomy(root, "train", PAIR, "rgb"), 2, workers))
        assert caught.value.message.startswith(f"{path}: truncated or damaged")

    def test_depth_target_without_a_valid_pixel_names_its_files(self, write_taskonomy, write):
        root = write_taskonomy()
        for path in (root / "depth_euclidean").iterdir():
            write(path, np.full((16, 16), 65535, np.uint16))
        data = Taskonomy(root, "train", ["rgb"], "depth", transform=TrainTransform((12, 12)))
        message = r"nothing was measured in the crops of .*depth_euclidean/point_\d_view_\d_"
        assert all(re.match(message, without_target(batch)) for batch in training_loader(data, 1, seed=0, epoch=0))
        assert len(list(evaluation_loader(data, 2))) == 3


class TestAsADataSet:
    def test_cached_samples_are_the_samples(self, write_taskonomy):
        root, transform = write_taskonomy(), TrainTransform((12, 12), scale=(0.8, 1.2))
        for target in ("rgb", "depth"):
            plain, kept = (
                Taskonomy(root, "train", PAIR, target, transform=transform, cache=cache, seed=2)
                for cache in (False, True)
            )
            for key in ((0, 1), (1, 1), (2, 4)):
                first, second = plain[key], kept[key]
                assert torch.equal(first.target, second.target)
                assert torch.equal(first.target_valid, second.target_valid)
                assert all(torch.equal(first.inputs[name], second.inputs[name]) for name in PAIR)

    def test_fingerprint_covers_the_target(self, write_taskonomy):
        root = write_taskonomy()
        prints = [Taskonomy(root, "train", ["shade"], target).fingerprint() for target in ("rgb", "depth", "normal")]
        prints.append(Taskonomy(root, "train", ["reshading"], "rgb").fingerprint())
        assert len(set(prints)) == 4
        with (root / "rgb/point_0_view_0_domain_rgb.png").open("ab") as file:
            file.write(b"\0")
        assert Taskonomy(root, "train", ["shade"], "rgb").fingerprint() != prints[0]

    def test_streams_keep_the_names_and_order_of_the_recipe(self, write_taskonomy):
        data = Taskonomy(write_taskonomy(), "train", ["texture", "shade"], "depth")
        assert list(data[0].inputs) == [spec.name for spec in data.specs] == ["texture", "shade"]
        assert data.target.name == "depth"
        assert data.class_names == ()

    def test_batches_carry_the_target(self, write_taskonomy):
        data = Taskonomy(
            write_taskonomy(), "train", ["rgb"], "depth", resize=(20, 20), transform=TrainTransform((12, 8))
        )
        for workers in (0, 1):
            batch = next(iter(training_loader(data, 3, workers, seed=0, epoch=0))).to("cpu")
            assert batch.target.shape == (3, 3, 12, 8)
            assert batch.target.dtype == torch.float32
            assert batch.target_valid.shape == (3, 1, 12, 8)
            assert 0.5 < batch.target_valid.float().mean() < 1
            assert batch.to("meta").target_valid.device.type == "meta"
