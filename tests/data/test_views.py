from __future__ import annotations

import pickle
import random

import numpy as np
import pytest
import torch

from cen_cli.data.cache import ViewCache
from cen_cli.data.sample import Sample
from cen_cli.data.sets.cityscapes import Cityscapes
from cen_cli.data.sets.nyudv2 import NYUDv2
from cen_cli.data.sets.rooms import Rooms
from cen_cli.data.sets.sunrgbd import SUNRGBD
from cen_cli.data.sets.taskonomy import Taskonomy
from cen_cli.data.transforms import ColorJitter, TrainTransform
from cen_cli.data.views import ViewDataset, read_view, same_numbers
from cen_cli.errors import DataError
from tests.realistic import nyu_frames, sun_views, write_cityscapes, write_nyu_mat, write_sunrgbd

AUGMENT = TrainTransform((12, 12), scale=(0.8, 1.5), jitter=ColorJitter(0.2, 0.2, 0.2, 0.05))


def same(first: Sample, second: Sample) -> bool:
    inputs = all(torch.equal(first.inputs[name], second.inputs[name]) for name in first.inputs)
    valid = all(torch.equal(first.valid[name], second.valid[name]) for name in first.valid)
    target = torch.equal(first.target, second.target) and torch.equal(first.target_valid, second.target_valid)
    return inputs and valid and target and first.files == second.files


def test_all_data_sets_keep_the_protocol(write_rooms, write_nyudv2, write_taskonomy, tmp_path):
    rooms, nyudv2 = write_rooms(), write_nyudv2()
    labelled: list[ViewDataset] = [
        Rooms(rooms, "train"),
        NYUDv2(nyudv2, "train"),
        NYUDv2(write_nyu_mat(tmp_path / "nyu.mat", nyu_frames(count=8)), "train"),
        SUNRGBD(write_sunrgbd(tmp_path / "sun", sun_views()[:10]), "train"),
        Cityscapes(write_cityscapes(tmp_path / "cityscapes", frames=3), "train"),
    ]
    for views in labelled:
        assert [spec.name for spec in views.specs] == ["rgb", "depth"]
        assert views.view(0).target is not None
        assert views.target is None
        assert len(views) == (8 if isinstance(views, SUNRGBD) else 6)
        assert len(views.class_names) > 10
        assert len(views.fingerprint()) == 64
    inputs = ["rgb", "normal"]
    translated: list[ViewDataset] = [
        Rooms(rooms, "train", inputs, "depth"),
        NYUDv2(nyudv2, "train", inputs, "depth"),
        Taskonomy(write_taskonomy(), "train", inputs, "depth"),
    ]
    for views in translated:
        assert [spec.name for spec in views.specs] == inputs
        assert views.view(0).target is not None
        assert views.target is not None
        assert views.target.name == "depth"
        assert views.class_names == ()
        assert len(views) == 6


class TestSeeding:
    def test_a_sample_depends_on_seed_epoch_and_index_only(self, write_rooms):
        root = write_rooms()
        first, second = (Rooms(root, "train", transform=AUGMENT, seed=7) for _ in range(2))
        expected = {index: first[(2, index)] for index in range(6)}
        assert all(same(second[(2, index)], expected[index]) for index in (4, 1, 5, 1))

    @pytest.mark.parametrize(("seed", "key"), [(8, (2, 3)), (7, (3, 3))])
    def test_another_seed_or_epoch_gives_another_sample(self, write_rooms, seed, key):
        root = write_rooms()
        sample = Rooms(root, "train", transform=AUGMENT, seed=7)[(2, 3)]
        assert not same(sample, Rooms(root, "train", transform=AUGMENT, seed=seed)[key])

    def test_a_plain_index_means_epoch_0(self, write_rooms):
        data = Rooms(write_rooms(), "train", transform=AUGMENT)
        assert same(data[4], data[(0, 4)])

    def test_no_global_random_state_is_used(self, write_rooms):
        torch.manual_seed(0)
        np.random.seed(0)
        random.seed(0)
        before = torch.get_rng_state(), np.random.get_state(), random.getstate()
        data = Rooms(write_rooms(), "train", transform=AUGMENT, cache=True)
        for index in range(6):
            data[(1, index)]
        assert torch.equal(before[0], torch.get_rng_state())
        assert np.array_equal(before[1][1], np.random.get_state()[1])
        assert before[2] == random.getstate()


class TestCache:
    @pytest.mark.parametrize("resize", [None, (10, 14)])
    def test_a_kept_view_is_the_view(self, write_nyudv2, resize):
        root = write_nyudv2()
        plain = NYUDv2(root, "train", resize=resize, transform=AUGMENT)
        kept = NYUDv2(root, "train", resize=resize, transform=AUGMENT, cache=True)
        for epoch in range(3):
            for index in range(6):
                assert same(plain[(epoch, index)], kept[(epoch, index)])

    def test_files_are_read_once(self, write_rooms):
        root = write_rooms()
        data = Rooms(root, "train", cache=True)
        before = data[3]
        for path in root.rglob("*.png"):
            path.unlink()
        assert same(data[3], before)
        with pytest.raises(DataError, match="no such file"):
            data[4]

    def test_without_it_files_are_read_each_time(self, write_rooms):
        root = write_rooms()
        data = Rooms(root, "train")
        data[3]
        (root / "train/rgb/0001_1.png").unlink()
        with pytest.raises(DataError, match=r"0001_1\.png: no such file"):
            data[3]

    def test_augmentation_does_not_write_into_it(self, write_rooms):
        data = Rooms(write_rooms(), "train", ("rgb", "depth", "normal"), cache=True, transform=AUGMENT)
        first = data.view(2).inputs["normal"].clone()
        for epoch in range(10):
            data[(epoch, 2)]
        assert torch.equal(data.view(2).inputs["normal"], first)

    def test_views_of_another_shape_are_read_but_not_kept(self, write_nyudv2, write):
        root = write_nyudv2()
        write(root / "rgb/000002.png", np.zeros((20, 30, 3), np.uint8))
        write(root / "masks/000002.png", np.zeros((20, 30), np.uint8))
        write(root / "depth/000002.png", np.zeros((20, 30), np.uint16))
        data = NYUDv2(root, "train", cache=True)
        assert data.view(1).size == data.view(1).size == (20, 30)
        assert data.view(0).size == (18, 26)

    def test_derived_and_target_images_are_kept_too(self, write_nyudv2):
        root = write_nyudv2()
        for target in ("depth", "normal"):
            plain = NYUDv2(root, "train", ["rgb", "edge"], target, transform=AUGMENT)
            kept = NYUDv2(root, "train", ["rgb", "edge"], target, transform=AUGMENT, cache=True)
            assert all(same(plain[(epoch, 2)], kept[(epoch, 2)]) for epoch in range(4))

    def test_a_copy_starts_empty(self, write_rooms):
        data = Rooms(write_rooms(), "train", cache=True)
        sample = data[0]
        copy = pickle.loads(pickle.dumps(data))
        assert same(copy[0], sample)
        assert same(copy[0], sample)

    def test_memory_is_that_of_the_views(self, write_rooms):
        view = Rooms(write_rooms(), "train").view(0)
        cache = ViewCache(100, view)
        assert sum(part.nbytes for part in cache._slots.values()) == 100 * 16 * 16 * (3 + 4 + 1)
        assert cache._filled.nbytes == 100


class TestFingerprint:
    def test_is_a_digest_that_stays(self, write_rooms):
        root = write_rooms()
        first = Rooms(root, "train").fingerprint()
        assert len(first) == 64
        assert int(first, 16) >= 0
        assert Rooms(root, "train", transform=AUGMENT, seed=3, cache=True).fingerprint() == first

    def test_does_not_depend_on_where_the_folder_lies(self, write_rooms, tmp_path):
        root = write_rooms()
        first = Rooms(root, "train").fingerprint()
        root.rename(tmp_path / "elsewhere")
        assert Rooms(tmp_path / "elsewhere", "train").fingerprint() == first

    def test_changes_with_files_inputs_sizes_and_normalisation(self, write_rooms):
        root = write_rooms()
        prints = [
            Rooms(root, "train").fingerprint(),
            Rooms(root, "train", ["depth", "rgb"]).fingerprint(),
            Rooms(root, "train", ["rgb"]).fingerprint(),
            Rooms(root, "train", resize=(8, 8)).fingerprint(),
            Rooms(root, "train", normalize={"depth": (1.0, 1.0)}).fingerprint(),
            Rooms(root, "train", ["rgb"], "depth").fingerprint(),
            Rooms(root, "train", ["rgb"], "depth_zbuffer").fingerprint(),
        ]
        with (root / "train/labels/0000_0.png").open("ab") as file:
            file.write(b"\0")
        prints.append(Rooms(root, "train").fingerprint())
        assert len(set(prints)) == len(prints)

    def test_names_a_file_that_went_away(self, write_rooms):
        root = write_rooms()
        data = Rooms(root, "train")
        (root / "train/rgb/0001_0.png").unlink()
        with pytest.raises(DataError, match=r"train/rgb/0001_0\.png: cannot be read"):
            data.fingerprint()


class TestReadView:
    def test_own_pair_without_labels(self, write_nyudv2):
        root = write_nyudv2()
        specs = NYUDv2(root, "train").specs
        files = {"rgb": root / "rgb/000001.png", "depth": root / "depth/000001.png"}
        view = read_view("mine", files, specs, classes=40)
        assert view.target is None
        assert view.files == {name: str(path) for name, path in files.items()}
        assert view.size == (18, 26)

    def test_own_pair_that_does_not_fit(self, write_nyudv2):
        root = write_nyudv2(depth_size=(20, 26))
        files = {"rgb": root / "rgb/000001.png", "depth": root / "depth/000001.png"}
        with pytest.raises(DataError, match=r"rgb/000001\.png is 18 x 26, .*depth/000001\.png is 20 x 26") as caught:
            read_view("mine", files, NYUDv2(root, "train").specs, classes=40)
        assert "aligned" in str(caught.value.hint)

    def test_own_photograph_from_which_a_modality_is_derived(self, write_nyudv2):
        root = write_nyudv2()
        data = NYUDv2(root, "train", ["rgb", "edge"], "depth")
        files = dict.fromkeys(("rgb", "edge"), root / "rgb/000001.png")
        view = read_view("mine", files, data.specs, target=data.target)
        assert view.target is None
        assert torch.equal(view.inputs["edge"], data.view(0).inputs["edge"])

    def test_own_view_with_its_truth(self, write_nyudv2):
        root = write_nyudv2()
        data = NYUDv2(root, "train", ["rgb"], "depth")
        files = {"rgb": root / "rgb/000001.png", "target": root / "depth/000001.png"}
        view = read_view("mine", files, data.specs, target=data.target, resize=(9, 13))
        assert view.target.shape == (1, 9, 13)
        assert view.files["target"] == str(root / "depth/000001.png")

    def test_truth_that_does_not_fit(self, write_nyudv2):
        root = write_nyudv2(depth_size=(20, 26))
        data = NYUDv2(root, "train", ["rgb"], "depth")
        files = {"rgb": root / "rgb/000001.png", "target": root / "depth/000001.png"}
        with pytest.raises(DataError, match=r"rgb/000001\.png is 18 x 26, .*depth/000001\.png is 20 x 26"):
            read_view("mine", files, data.specs, target=data.target)


def test_an_index_beyond_the_end(write_rooms):
    data = Rooms(write_rooms(), "train")
    with pytest.raises(IndexError, match="view 6 of 6"):
        data[6]
    with pytest.raises(IndexError, match="view -1 of 6"):
        data.view(-1)


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("dsm_02", "dsm_2"),
        ("frame.0001", "frame.1"),
        ("007", "7"),
        ("t0.05", "t0.05"),
        ("a10.050", "a10.050"),
        ("0", "0"),
    ],
)
def test_numbers_are_unpadded_and_fractions_are_not(name: str, same: str) -> None:
    assert same_numbers(name) == same
