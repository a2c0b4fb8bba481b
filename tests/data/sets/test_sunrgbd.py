"""SUN RGB-D, as its official archives unpack and as flat packs."""

from __future__ import annotations

import pickle
import shutil

import h5py
import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image

from cen_cli.data.loading import evaluation_loader, training_loader
from cen_cli.data.modality import IMAGENET_MEAN, IMAGENET_STD
from cen_cli.data.sets.sunrgbd import CLASS_NAMES, SUNRGBD
from cen_cli.data.transforms import TrainTransform
from cen_cli.errors import DataError, UsageError
from tests.realistic import save, sun_views, write_sun_packs, write_sunrgbd

VIEWS = sun_views()
TRAINING = [view for view in VIEWS if view.training]
TESTING = [view for view in VIEWS if not view.training]


def labels_of(view):
    return np.where(view.labels == 0, 255, view.labels.astype(int) - 1)


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    """Three views of each sensor, one of them for testing; not to be changed."""
    return write_sunrgbd(tmp_path_factory.mktemp("sun"), VIEWS)


@pytest.fixture(scope="module")
def packs(tmp_path_factory):
    return write_sun_packs(tmp_path_factory.mktemp("packs"), VIEWS)


@pytest.fixture
def own(tmp_path):
    """A tree of its own, to be changed."""
    return write_sunrgbd(tmp_path / "sun", VIEWS)


def test_37_class_names():
    assert len(CLASS_NAMES) == len(set(CLASS_NAMES)) == 37
    assert (CLASS_NAMES[0], CLASS_NAMES[-1]) == ("wall", "bag")


class TestOfficial:
    def test_a_view_is_what_the_files_hold(self, official):
        data = SUNRGBD(official, "train")
        for index, view in enumerate(TRAINING):
            sample = data[index]
            assert sample.name == view.folder
            number = VIEWS.index(view) + 1
            folder = official / "SUNRGBD" / view.folder
            stored = np.asarray(Image.open(folder / f"image/{number:07d}.jpg")) / 255
            expected = ((stored - IMAGENET_MEAN) / IMAGENET_STD).transpose(2, 0, 1)
            np.testing.assert_allclose(sample.inputs["rgb"].numpy(), expected, atol=1e-5)
            metres = np.minimum(view.millimetres.astype(np.float32) / np.float32(1000), 8)
            np.testing.assert_array_equal(sample.inputs["depth"].numpy(), np.stack([metres] * 3))
            np.testing.assert_array_equal(sample.target.numpy(), labels_of(view))
            assert sample.files["depth"] == str(folder / f"depth_bfx/{number:07d}_abs.png")
            assert sample.files["labels"].endswith(f"Metadata/SUNRGBD2Dseg.mat/SUNRGBD2Dseg/seglabel/{number}")

    def test_the_split_is_that_of_allsplit(self, official):
        assert [view.name for view in SUNRGBD(official, "train").views] == [view.folder for view in TRAINING]
        for split in ("val", "test"):
            assert [view.name for view in SUNRGBD(official, split).views] == [view.folder for view in TESTING]

    def test_depth_is_not_what_is_stored(self, official):
        stored = np.asarray(Image.open(next((official / "SUNRGBD/kv1").rglob("depth_bfx/0000001_abs.png"))))
        metres = SUNRGBD(official, "train")[0].inputs["depth"][0].numpy()
        assert stored.max() > 60000
        assert metres.max() == 8
        assert not np.allclose(metres, stored / 1000)

    def test_all_16_bits_are_turned(self, own):
        path = next((own / "SUNRGBD/kv1").rglob("depth_bfx/0000001_abs.png"))
        values = np.zeros_like(np.asarray(Image.open(path)))
        values[0, :6] = (0, 8, 8000, 1, 9, 65535)  # the low bits come back as the high ones
        save(path, values)
        metres = SUNRGBD(own, "train")[0].inputs["depth"][0, 0, :6]
        np.testing.assert_allclose(metres.numpy(), [0, 0.001, 1.0, 8, 8, 8], rtol=1e-6)

    def test_raw_depth_has_holes(self, official):
        sample = SUNRGBD(official, "train", depth="raw")[2]
        measured = TRAINING[2].raw_millimetres > 0
        np.testing.assert_array_equal(sample.valid["depth"][0].numpy(), measured)
        assert "/depth/" in sample.files["depth"]
        assert not measured.all()

    def test_label_maps_are_read_one_at_a_time(self, own):
        path = own / "SUNRGBDtoolbox/Metadata/SUNRGBD2Dseg.mat"
        with h5py.File(path, "r+") as file:
            file[file["SUNRGBD2Dseg/seglabel"][0, 0]][2, 3] = 99
        data = SUNRGBD(own, "train")
        data[1]
        with pytest.raises(DataError, match=r"seglabel/1: the label map holds 99, expected values from 0 to 37"):
            data[0]

    def test_depth_alone_needs_no_photographs(self, own):
        for folder in list((own / "SUNRGBD").rglob("image")):
            shutil.rmtree(folder)
        assert list(SUNRGBD(own, "train", ["depth"])[0].inputs) == ["depth"]


class TestPacks:
    def test_training_view_1_belongs_to_label_map_5051(self, packs):
        data = SUNRGBD(packs, "train")
        for index, view in enumerate(TRAINING):
            sample = data[index]
            np.testing.assert_array_equal(sample.target.numpy(), labels_of(view))
            assert sample.files["labels"].endswith(f"sunrgbd_train_test_labels/img-{index + 5051:06d}.png")
            assert sample.files["rgb"].endswith(f"SUNRGBD-train_images/img-{index + 1:06d}.jpg")

    def test_test_views_have_their_own_numbers(self, packs):
        for split in ("val", "test"):
            data = SUNRGBD(packs, split)
            assert len(data) == len(TESTING)
            np.testing.assert_array_equal(data[2].target.numpy(), labels_of(TESTING[2]))

    @pytest.mark.parametrize("name", ["{}.png", "img-{:06d}.png"])
    def test_depth_is_in_ten_thousandths(self, tmp_path, name):
        root = write_sun_packs(tmp_path, VIEWS, depth_name=name)
        metres = SUNRGBD(root, "train")[1].inputs["depth"][0].numpy()
        expected = np.minimum(TRAINING[1].millimetres.astype(np.float32) / 1000, 6.5535)
        np.testing.assert_allclose(metres, expected, rtol=1e-6)

    def test_views_are_sorted_by_number(self, tmp_path):
        root = write_sun_packs(tmp_path, VIEWS * 2)
        names = [view.name for view in SUNRGBD(root, "train").views]
        assert names == [f"train-{number:06d}" for number in range(1, 17)]

    def test_what_is_missing_is_counted(self, tmp_path):
        root = write_sun_packs(tmp_path, VIEWS)
        (root / "sunrgbd_train_depth/3.png").unlink()
        (root / "sunrgbd_train_test_labels/img-005054.png").unlink()
        with pytest.raises(
            DataError, match=r"2 of 24 listed files are not there, the first: .*sunrgbd_train_depth/3\.png"
        ):
            SUNRGBD(root, "train")
        shutil.rmtree(root / "sunrgbd_test_depth")
        with pytest.raises(DataError, match=r"no folder .*sunrgbd_test_depth"):
            SUNRGBD(root, "test")
        assert len(SUNRGBD(root, "test", ["rgb"])) == 4

    def test_13_class_labels_of_another_numbering(self, tmp_path):
        root = write_sun_packs(tmp_path, VIEWS)
        save(root / "sunrgbd_train_test_labels/img-005051.png", np.full(VIEWS[0].labels.shape, 38, np.uint8))
        with pytest.raises(DataError, match=r"img-005051\.png: the label map holds 38, expected values from 0 to 37"):
            SUNRGBD(root, "train")[0]

    def test_they_have_one_depth(self, packs):
        with pytest.raises(UsageError, match=r'data\.depth = "raw": the packs of SUN RGB-D have one depth'):
            SUNRGBD(packs, "train", depth="raw")


class TestFourSizes:
    def test_an_evaluation_batches_by_size(self, official):
        data = SUNRGBD(official, "train")
        for workers in (0, 2):
            batches = list(evaluation_loader(data, 6, workers))
            assert sum(len(batch.names) for batch in batches) == 8
            assert len({batch.target.shape[-2:] for batch in batches}) == 4
            for batch in batches:
                for position, name in enumerate(batch.names):
                    index = [view.folder for view in TRAINING].index(name)
                    assert torch.equal(batch.target[position], data[index].target)

    def test_training_crops_have_one_size(self, official):
        data = SUNRGBD(official, "train", transform=TrainTransform((24, 24), scale=(0.5, 2.0)))
        (batch,) = training_loader(data, 8, seed=0, epoch=0)
        assert batch.to("cpu").inputs["depth"].shape == (8, 3, 24, 24)

    def test_resizing_makes_one_batch(self, official):
        assert len(list(evaluation_loader(SUNRGBD(official, "train", resize=(20, 24)), 8))) == 1

    def test_a_copy_for_another_process(self, official):
        data = SUNRGBD(official, "train")
        data[0]
        assert torch.equal(pickle.loads(pickle.dumps(data))[5].target, data[5].target)


class TestWhatIsRefused:
    def test_no_folder_given(self):
        with pytest.raises(DataError, match=r"no folder given for SUN RGB-D: set data\.root"):
            SUNRGBD("", "train")

    def test_neither_layout(self, tmp_path):
        (tmp_path / "images").mkdir()
        with pytest.raises(
            DataError, match=r"neither the official folders nor packs in .*: it holds images/"
        ) as caught:
            SUNRGBD(tmp_path, "train")
        assert "SUNRGBDtoolbox.zip of https://rgbd.cs.princeton.edu" in str(caught.value.hint)
        assert "sunrgbd_train_test_labels/" in str(caught.value.hint)

    def test_unknown_split_and_input(self, official):
        with pytest.raises(DataError, match="unknown split 'dev': there are train, val, test"):
            SUNRGBD(official, "dev")
        with pytest.raises(UsageError, match="unknown input 'hha': this data set has rgb, depth"):
            SUNRGBD(official, "train", ["rgb", "hha"])

    @pytest.mark.parametrize(
        "name", ["Metadata/SUNRGBDMeta.mat", "Metadata/SUNRGBD2Dseg.mat", "traintestSUNRGBD/allsplit.mat"]
    )
    def test_files_of_the_toolbox(self, own, name):
        path = own / "SUNRGBDtoolbox" / name
        path.write_bytes(path.read_bytes()[:300])
        with pytest.raises(DataError, match=rf"{name}: .*(not a MATLAB v|holds no variable)"):
            SUNRGBD(own, "train")
        path.unlink()
        with pytest.raises(DataError, match=f"{name}: no such file"):
            SUNRGBD(own, "train")

    def test_images_that_are_not_unpacked(self, own):
        (own / "SUNRGBD/kv2").rename(own / "kv2")
        with pytest.raises(
            DataError, match=r"SUNRGBDMeta\.mat: 4 of 16 listed files are not there, .*SUNRGBD/kv2"
        ) as caught:
            SUNRGBD(own, "train")
        assert caught.value.hint == "unpack SUNRGBD.zip beside SUNRGBDtoolbox/"

    def test_label_maps_of_another_number_of_views(self, own):
        with h5py.File(own / "SUNRGBDtoolbox/Metadata/SUNRGBD2Dseg.mat", "r+") as file:
            references = file["SUNRGBD2Dseg/seglabel"][:5]
            del file["SUNRGBD2Dseg/seglabel"]
            file["SUNRGBD2Dseg"].create_dataset("seglabel", data=references, dtype=h5py.ref_dtype)
        with pytest.raises(DataError, match=r"seglabel is of shape \[5, 1\], expected \[12, 1\], one for each view"):
            SUNRGBD(own, "train")

    def test_a_label_map_that_is_no_reference(self, own):
        with h5py.File(own / "SUNRGBDtoolbox/Metadata/SUNRGBD2Dseg.mat", "r+") as file:
            del file["SUNRGBD2Dseg/seglabel"]
            file["SUNRGBD2Dseg/seglabel"] = np.zeros((12, 1))
        with pytest.raises(DataError, match="SUNRGBD2Dseg/seglabel holds no references but float64"):
            SUNRGBD(own, "train")[0]

    def test_metadata_of_another_kind(self, own):
        scipy.io.savemat(own / "SUNRGBDtoolbox/Metadata/SUNRGBDMeta.mat", {"SUNRGBDMeta": np.zeros(3)})
        with pytest.raises(DataError, match=r"SUNRGBDMeta\.mat: SUNRGBDMeta has no field rgbpath"):
            SUNRGBD(own, "train")

    def test_a_split_of_other_folders(self, own):
        split = {"alltrain": np.array([["/n/fs/sun3d/data/SUNRGBD/kv9/a"]], dtype=object)}
        scipy.io.savemat(own / "SUNRGBDtoolbox/traintestSUNRGBD/allsplit.mat", split)
        with pytest.raises(DataError, match=r"allsplit\.mat: no view of Metadata/SUNRGBDMeta\.mat is for training"):
            SUNRGBD(own, "train")
