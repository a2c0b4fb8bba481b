"""nyu_depth_v2_labeled.mat, as MATLAB writes it."""

from __future__ import annotations

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from cen_cli.data.loading import evaluation_loader
from cen_cli.data.modality import IMAGENET_MEAN, IMAGENET_STD
from cen_cli.data.sets.nyudv2 import CLASS_NAMES, NYUDv2
from cen_cli.data.sets.nyudv2.official import CLASS_OF
from cen_cli.errors import DataError, UsageError
from tests.realistic import NyuFrames, nyu_frames, write_nyu_mat

FRAMES = nyu_frames(count=10)


@pytest.fixture(scope="module")
def mat(tmp_path_factory) -> Path:
    """Ten small frames; not to be changed."""
    return write_nyu_mat(tmp_path_factory.mktemp("nyu") / "nyu_depth_v2_labeled.mat", FRAMES)


def altered(tmp_path: Path, change) -> Path:
    """The file with something changed."""
    path = write_nyu_mat(tmp_path / "nyu_depth_v2_labeled.mat", nyu_frames(count=4))
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def test_a_frame_is_what_the_file_holds(mat):
    data = NYUDv2(mat, "train")
    sample = data[1]  # frame 4
    expected = ((FRAMES.images[3] / 255 - IMAGENET_MEAN) / IMAGENET_STD).transpose(2, 0, 1)
    np.testing.assert_allclose(sample.inputs["rgb"].numpy(), expected, atol=1e-5)
    np.testing.assert_array_equal(sample.inputs["depth"].numpy(), np.stack([FRAMES.depths[3]] * 3))
    labels = np.vectorize(CLASS_OF.get)(FRAMES.labels[3])
    np.testing.assert_array_equal(sample.target.numpy(), labels)
    assert 255 in labels
    assert sample.name == "000004"
    assert sample.files == {"rgb": f"{mat}/images/4", "depth": f"{mat}/depths/4", "labels": f"{mat}/labels/4"}
    assert data.class_names == CLASS_NAMES


def test_the_official_split_counts_frames_from_1(mat):
    assert [view.name for view in NYUDv2(mat, "train").views] == [f"{n:06d}" for n in (3, 4, 5, 6, 7, 8, 10)]
    for split in ("val", "test"):
        assert [view.name for view in NYUDv2(mat, split).views] == ["000001", "000002", "000009"]


def test_the_folder_that_holds_the_file_will_do(mat):
    assert NYUDv2(mat.parent, "val").views == NYUDv2(mat, "val").views


def test_lists_of_a_processed_folder_go_before_the_file_beside_them(write_nyudv2, mat):
    root = write_nyudv2()
    (root / mat.name).write_bytes(b"")
    assert len(NYUDv2(root, "train")) == 6


def test_raw_depth_is_chosen_by_name_and_has_holes(mat):
    sample = NYUDv2(mat, "train", depth="raw")[0]
    np.testing.assert_array_equal(sample.inputs["depth"][0].numpy(), FRAMES.raw_depths[2])
    np.testing.assert_array_equal(sample.valid["depth"][0].numpy(), FRAMES.raw_depths[2] > 0)
    assert sample.files["depth"] == f"{mat}/rawDepths/3"
    assert not sample.valid["depth"].all()
    assert NYUDv2(mat, "train", depth="raw").fingerprint() != NYUDv2(mat, "train").fingerprint()


def test_depth_that_is_no_number_is_not_measured(tmp_path):
    frames = nyu_frames(count=4)
    frames.depths[2, 0, :4] = (np.nan, np.inf, -1, 0)
    sample = NYUDv2(write_nyu_mat(tmp_path / "nyu.mat", frames), "train")[0]
    assert sample.valid["depth"][0, 0, :5].tolist() == [False] * 4 + [True]
    assert torch.isfinite(sample.inputs["depth"]).all()


def test_the_white_border_is_cut_away(tmp_path):
    frames = nyu_frames(count=3, size=(480, 640))
    data = NYUDv2(write_nyu_mat(tmp_path / "nyu.mat", frames), "train")
    view = data.view(0)
    assert view.size == (468, 625)
    np.testing.assert_array_equal(view.inputs["rgb"].permute(1, 2, 0).numpy(), frames.images[2, 6:474, 7:632])
    np.testing.assert_array_equal(view.inputs["depth"][0].numpy(), frames.depths[2, 6:474, 7:632])
    labels = np.vectorize(CLASS_OF.get)(frames.labels[2, 6:474, 7:632])
    np.testing.assert_array_equal(view.target[0].numpy(), labels)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_every_process_opens_the_file_for_itself(mat, workers):
    data = NYUDv2(mat, "train")
    first = data.view(0)  # opens it in this process, before workers are forked
    batches = list(evaluation_loader(data, 2, workers))
    assert [name for batch in batches for name in batch.names] == [view.name for view in data.views]
    for batch, index in zip(batches, range(0, 7, 2), strict=True):
        np.testing.assert_array_equal(batch.target[0].numpy(), data[index].target.numpy())
    assert torch.equal(data.view(0).inputs["rgb"], first.inputs["rgb"])


def test_a_copy_for_another_process_opens_it_anew(mat):
    data = NYUDv2(mat, "train")
    copy = pickle.loads(pickle.dumps(data))
    assert torch.equal(copy[3].inputs["rgb"], data[3].inputs["rgb"])
    assert torch.equal(copy[3].target, data[3].target)


def test_translation_edges_and_normals(mat):
    sample = NYUDv2(mat, "train", ["rgb", "edge"], "depth")[0]
    metres = FRAMES.depths[2]
    np.testing.assert_allclose(sample.target[0].numpy(), 2 * np.log1p(metres) / np.log(11) - 1, atol=1e-5)
    normals = NYUDv2(mat, "train", ["rgb", "normal"]).view(0).inputs["normal"]
    assert normals.shape == (3, 24, 32)


@pytest.mark.parametrize("line", ["4", "000004", "rgb/000004.png\tmasks/000004.png\tdepth/000004.png"])
def test_lists_name_frames(mat, tmp_path, line):
    (mat.parent / "few.txt").write_text(f"7\n\n{line}\n")
    assert [view.name for view in NYUDv2(mat, "train", list_file="few.txt").views] == ["000007", "000004"]


class TestWhatIsRefused:
    def test_a_frame_that_is_listed_twice(self, mat):
        (mat.parent / "few.txt").write_text("7\n000007\n")
        with pytest.raises(DataError, match=r"few\.txt, line 2: '000007' names what line 1 names already"):
            NYUDv2(mat, "train", list_file="few.txt")

    def test_a_file_that_is_no_hdf5(self, tmp_path):
        (tmp_path / "nyu.mat").write_bytes(b"MATLAB 5.0 MAT-file")
        with pytest.raises(DataError, match=r"nyu\.mat: not a MATLAB v7\.3 file, .* or a truncated one \(19 bytes"):
            NYUDv2(tmp_path / "nyu.mat", "train")

    def test_a_truncated_file(self, mat, tmp_path):
        content = mat.read_bytes()
        (tmp_path / "nyu.mat").write_bytes(content[: len(content) // 2])
        with pytest.raises(DataError, match=r"nyu\.mat: not a MATLAB v7\.3 file, .* or a truncated one"):
            NYUDv2(tmp_path / "nyu.mat", "train")

    def test_a_damaged_part_is_found_when_it_is_read(self, tmp_path):
        path = write_nyu_mat(tmp_path / "nyu.mat", nyu_frames(count=4))
        with h5py.File(path) as file:
            where = file["images"].id.get_chunk_info(2)
        content = bytearray(path.read_bytes())
        content[where.byte_offset : where.byte_offset + where.size] = bytes(where.size)
        path.write_bytes(content)
        data = NYUDv2(path, "train")
        with pytest.raises(DataError, match=r"nyu\.mat: images cannot be read .*"):
            data[0]
        data[1]

    def test_other_files_of_the_kind(self, tmp_path):
        with h5py.File(tmp_path / "other.mat", "w") as file:
            file["accelData"] = np.zeros((4, 3))
        with pytest.raises(DataError, match=r"no array 'images' in this file; it holds accelData"):
            NYUDv2(tmp_path / "other.mat", "train")

    def test_axes_that_are_not_reversed(self, tmp_path):
        def turn(file):
            images = file["images"][:].transpose(3, 2, 1, 0)
            del file["images"]
            file["images"] = images

        with pytest.raises(DataError, match=r"images is of shape \[24, 32, 3, 4\], expected \[N, 3, W, H\]"):
            NYUDv2(altered(tmp_path, turn), "train")

    def test_arrays_of_different_lengths(self, tmp_path):
        def shorten(file):
            labels = file["labels"][:3]
            del file["labels"]
            file["labels"] = labels

        with pytest.raises(DataError, match="different numbers of frames: images 4, depths 4, labels 3"):
            NYUDv2(altered(tmp_path, shorten), "train")

    def test_labels_beyond_894(self, tmp_path):
        def raise_one(file):
            file["labels"][2, 0, 0] = 895

        with pytest.raises(DataError, match=r"labels/3: the label map holds 895, expected values from 0 to 894"):
            NYUDv2(altered(tmp_path, raise_one), "train")[0]

    def test_images_of_another_type(self, tmp_path):
        def widen(file):
            images = file["images"][:].astype(np.float64)
            del file["images"]
            file["images"] = images

        with pytest.raises(DataError, match=r"images/3: the image is of float64, expected uint8"):
            NYUDv2(altered(tmp_path, widen), "train")[0]

    def test_a_list_that_names_no_frame(self, mat):
        for line in ("11", "0", "kitchen"):
            (mat.parent / "bad.txt").write_text(f"3\n{line}\n")
            with pytest.raises(DataError, match=rf"bad\.txt, line 2: '{line}' names none of the frames 1 to 10"):
                NYUDv2(mat, "train", list_file="bad.txt")

    def test_frames_of_one_part_only(self, tmp_path):
        path = write_nyu_mat(tmp_path / "nyu.mat", nyu_frames(count=2))
        with pytest.raises(DataError, match=r"none of the 2 frames is in the official split 'train'"):
            NYUDv2(path, "train")

    def test_hha_is_not_in_the_file(self, mat):
        with pytest.raises(DataError, match="this file holds no hha, only rgb, depth and labels"):
            NYUDv2(mat, "train", ["rgb", "hha"])

    def test_a_start_of_labels(self, mat):
        with pytest.raises(UsageError, match=r"data\.label_start = 1: nyu_depth_v2_labeled\.mat has its own labels"):
            NYUDv2(mat, "train", label_start=1)


@pytest.mark.nyudv2
class TestRealFrames:
    """Eight real frames, put into a file as the official one is, against the same frames in folders."""

    def test_they_are_the_frames_of_the_processed_folder(self, nyudv2_root, tmp_path):
        folders = {split: NYUDv2(nyudv2_root, split) for split in ("train", "val")}
        views = {view.name: (data, index) for data in folders.values() for index, view in enumerate(data.views)}
        frames = [views[f"{number:06d}"] for number in range(1, 9)]
        path = write_nyu_mat(tmp_path / "nyu_depth_v2_labeled.mat", _as_stored(frames))
        for split in ("train", "val"):
            data = NYUDv2(path, split)
            for index, view in enumerate(data.views):
                source, number = views[view.name]
                expected, found = source.view(number), data.view(index)
                for name in ("rgb", "depth"):
                    assert torch.equal(found.inputs[name], expected.inputs[name][:, 6:474, 7:632])
                assert torch.equal(found.target, expected.target[:, 6:474, 7:632])


def _as_stored(frames: list[tuple[NYUDv2, int]]) -> NyuFrames:
    """Frames of the processed folder with a label of the 894 for each of the 40."""
    number_of = {label: number for number, label in CLASS_OF.items()}
    views = [data.view(index) for data, index in frames]
    depths = np.stack([view.inputs["depth"][0].numpy() for view in views])
    return NyuFrames(
        images=np.stack([view.inputs["rgb"].permute(1, 2, 0).numpy() for view in views]),
        depths=depths,
        raw_depths=depths,
        labels=np.stack([np.vectorize(number_of.get)(view.target[0].numpy()) for view in views]).astype(np.uint16),
    )
