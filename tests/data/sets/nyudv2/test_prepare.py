"""From the official file to folders: read back, they hold the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from cen_cli.data.sets.nyudv2 import NYUDv2
from cen_cli.data.sets.nyudv2.prepare import write_folders
from cen_cli.errors import DataError, UsageError
from tests.realistic import nyu_frames, write_nyu_mat


@pytest.fixture(scope="module")
def mat(tmp_path_factory):
    return write_nyu_mat(tmp_path_factory.mktemp("nyu") / "nyu_depth_v2_labeled.mat", nyu_frames(count=10))


@pytest.mark.parametrize("depth", ["filled", "raw"])
def test_folders_give_the_tensors_of_the_file(mat, tmp_path, depth):
    told = []
    count = write_folders(mat, tmp_path / "out", depth=depth, progress=lambda *step: told.append(step))
    assert count == 10
    assert told == [(done, 10) for done in range(1, 11)]
    for split, views in (("train", 7), ("val", 3)):
        direct, folders = NYUDv2(mat, split, depth=depth), NYUDv2(tmp_path / "out", split)
        assert [view.name for view in folders.views] == [view.name for view in direct.views]
        assert len(folders) == views
        for index in range(views):
            first, second = direct[index], folders[index]
            assert all(torch.equal(first.inputs[name], second.inputs[name]) for name in ("rgb", "depth"))
            assert all(torch.equal(first.valid[name], second.valid[name]) for name in ("rgb", "depth"))
            assert torch.equal(first.target, second.target)


def test_depth_between_two_units_is_rounded(tmp_path):
    frames = nyu_frames(count=4)
    frames.depths[:] += 0.00007
    mat = write_nyu_mat(tmp_path / "nyu.mat", frames)
    write_folders(mat, tmp_path / "out")
    first, second = (NYUDv2(root, "train")[0].inputs["depth"] for root in (mat, tmp_path / "out"))
    assert 0 < (first - second).abs().max() <= 1.001e-4


def test_files_are_of_the_documented_form(tmp_path):
    frames = nyu_frames(count=3, size=(480, 640))
    write_folders(write_nyu_mat(tmp_path / "nyu.mat", frames), tmp_path / "out")
    modes = {}
    for name in ("rgb", "masks", "depth"):
        with Image.open(tmp_path / f"out/{name}/000003.png") as image:
            modes[name] = image.mode
            assert image.size == (625, 468)
            if name == "masks":
                palette = image.getpalette("RGB")
                colours = {tuple(palette[3 * label : 3 * label + 3]) for label in (*range(40), 255)}
                assert len(colours) == 41
                assert palette[-3:] == [0, 0, 0]
    assert modes == {"rgb": "RGB", "masks": "P", "depth": "I;16"}
    assert (tmp_path / "out/train.txt").read_text() == "rgb/000003.png\tmasks/000003.png\tdepth/000003.png\n"
    assert len((tmp_path / "out/val.txt").read_text().splitlines()) == 2


def test_depth_that_does_not_fit_is_refused(tmp_path):
    frames = nyu_frames(count=4)
    frames.depths[2, 5, 5] = 14
    with pytest.raises(
        DataError, match=r"depths/3: depth of 14\.0 m does not fit into 16 bits at 5000 units per metre"
    ):
        write_folders(write_nyu_mat(tmp_path / "nyu.mat", frames), tmp_path / "out")


@pytest.mark.parametrize(("name", "what"), [("nowhere.mat", "no such file"), (".", "a folder")])
def test_only_the_file_is_taken(tmp_path, name, what):
    with pytest.raises(UsageError, match=what):
        write_folders(tmp_path / name, tmp_path / "out")


@pytest.mark.nyudv2
def test_real_frames_survive_the_way_there_and_back(nyudv2_root, tmp_path):
    source = NYUDv2(nyudv2_root, "val")
    views = [source.view(index) for index in range(2)]
    frames = nyu_frames(count=3, size=(480, 640))
    for number, view in enumerate(views):
        frames.images[number] = view.inputs["rgb"].permute(1, 2, 0).numpy()
        frames.depths[number] = view.inputs["depth"][0].numpy()
    write_folders(write_nyu_mat(tmp_path / "nyu.mat", frames), tmp_path / "out")
    back = NYUDv2(tmp_path / "out", "val")
    for number, view in enumerate(views):
        for name in ("rgb", "depth"):
            assert torch.equal(back.view(number).inputs[name], view.inputs[name][:, 6:474, 7:632])
    assert np.isfinite(back[0].inputs["depth"].numpy()).all()
