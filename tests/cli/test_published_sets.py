"""A short real training, and an evaluation, on every data set as it is published; and turning one into folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from cen_cli.data.sets.cityscapes import PALETTE
from cen_cli.data.sets.nyudv2 import NYUDv2
from tests.realistic import (
    nyu_frames,
    sun_views,
    write_cityscapes,
    write_nyu_mat,
    write_sun_packs,
    write_sunrgbd,
    write_taskonomy,
)
from tests.tiny import RECIPE, TRANSLATION_RECIPE

SHORT = ("train.epochs=1", "train.batch=2", "train.log_every=1", "data.crop=[32, 32]")


def nyudv2_file(folder: Path) -> Path:
    return write_nyu_mat(folder / "nyu_depth_v2_labeled.mat", nyu_frames(count=7))


SETS: dict[str, tuple[str, Callable[[Path], Path], tuple[str, ...], int]] = {
    "nyudv2": ("nyudv2", nyudv2_file, (), 2),
    "nyudv2-raw": ("nyudv2", nyudv2_file, ('data.depth="raw"',), 2),
    "sunrgbd": ("sunrgbd", lambda folder: write_sunrgbd(folder, sun_views(copies=2)), (), 4),
    "sunrgbd-packs": ("sunrgbd", lambda folder: write_sun_packs(folder, sun_views(copies=2)), (), 4),
    "cityscapes": ("cityscapes", write_cityscapes, (), 2),
    "cityscapes-disparity": ("cityscapes", write_cityscapes, ('data.inputs=["rgb", "disparity"]',), 2),
}
"""Recipe's kind, writer, settings, and how many views the validation has. Each trains for two steps of two views."""


@pytest.mark.parametrize("name", SETS)
def test_two_steps_and_an_evaluation_of_what_was_trained(cen, tmp_path, name):
    kind, write, settings, views = SETS[name]
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE.format(root=write(tmp_path / "data")).replace('kind = "nyudv2"', f'kind = "{kind}"', 1))
    run = tmp_path / "run"
    words = ("--device", "cpu", "--json")
    summary = cen("train", recipe, "--out", run, *words, settings=(*SHORT, *settings)).document["summary"]
    assert summary["steps"] == 2
    scored = cen("eval", run, *words, settings=("eval.batch=3",)).document
    alone = cen("eval", run, *words, settings=("eval.batch=1",)).document
    assert scored["evaluation"]["samples"] == views
    assert scored["evaluation"]["scores"]["ensemble"]["mean_iou"] == pytest.approx(
        alone["evaluation"]["scores"]["ensemble"]["mean_iou"], abs=1e-6
    )


@pytest.mark.parametrize("name", SETS)
def test_data_check_finds_nothing_wrong_with_its_files(cen, tmp_path, name):
    kind, write, settings, views = SETS[name]
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE.format(root=write(tmp_path / "data")).replace('kind = "nyudv2"', f'kind = "{kind}"', 1))
    document = cen("data", "check", recipe, "--json", settings=settings).document
    assert [finding for finding in document["findings"] if finding["severity"] == "error"] == []
    assert {part["split"]: part["views"] for part in document["splits"]}["val"] == views


def test_data_check_says_how_a_stereo_camera_stores_depth(cen, tmp_path):
    recipe = tmp_path / "tiny.toml"
    root = write_cityscapes(tmp_path / "data")
    recipe.write_text(RECIPE.format(root=root).replace('kind = "nyudv2"', 'kind = "cityscapes"', 1))
    assert "0, or 1 + 256 x disparity" in cen("data", "check", recipe).out


def test_taskonomy_without_its_incomplete_views(cen, tmp_path):
    root = write_taskonomy(tmp_path / "taskonomy", size=(32, 32))
    (root / "rgb/point_2_view_0_domain_rgb.png").unlink()
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(TRANSLATION_RECIPE.format(root=root).split("[data.rooms]")[0].replace('"rooms"', '"taskonomy"'))
    with recipe.open("a") as file:
        file.write("[model]" + TRANSLATION_RECIPE.partition("[model]")[2])
    words = ("train", recipe, "--out", tmp_path / "run", "--device", "cpu", "--json")
    refused = cen(*words, settings=SHORT, code=1)
    assert "1 of 6 train views lack a file, of rgb: point_2_view_0" in refused.err
    assert "data.skip_incomplete = true" in refused.err
    settings = (*SHORT, "data.skip_incomplete=true")
    assert cen(*words, settings=settings).document["summary"]["steps"] == 2


def test_a_network_of_streets_labels_a_view_by_its_disparity_and_camera(cen, tmp_path):
    root = write_cityscapes(tmp_path / "data")
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE.format(root=root).replace('kind = "nyudv2"', 'kind = "cityscapes"'))
    cen("train", recipe, "--out", tmp_path / "run", "--device", "cpu", settings=SHORT)
    place = "val/frankfurt/frankfurt_000000_000019"
    rgb, depth = root / f"leftImg8bit/{place}_leftImg8bit.png", root / f"disparity/{place}_disparity.png"
    words = ("predict", tmp_path / "run", "--input", f"rgb={rgb}", "--input", f"depth={depth}", "--device", "cpu")
    cen(*words, "--out", tmp_path / "labelled")
    with Image.open(tmp_path / "labelled/labels.png") as labels:
        assert labels.size == (64, 32)
        assert tuple(labels.getpalette("RGB")[: 3 * 19]) == tuple(value for colour in PALETTE for value in colour)
    (root / f"camera/{place}_camera.json").unlink()
    assert "_camera.json: no such file; depth in metres needs the camera" in cen(*words, code=1).err


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("kind", "needs"),
        [
            ("nyudv2", "nyu_depth_v2_labeled.mat, or the folder that holds rgb/, depth/, masks/ and the lists"),
            ("sunrgbd", "the folder that holds SUNRGBD/ and SUNRGBDtoolbox/"),
            ("cityscapes", "the folder that holds leftImg8bit/, disparity/ and gtFine/"),
        ],
    )
    def test_no_root(self, cen, tmp_path, kind, needs):
        recipe = tmp_path / "tiny.toml"
        recipe.write_text(RECIPE.format(root="").replace('kind = "nyudv2"', f'kind = "{kind}"'))
        error = cen("train", recipe, code=2).err
        assert "data.root is not set" in error
        assert f"give {needs}" in error

    @pytest.mark.parametrize(("kind", "folder"), [("sunrgbd", "SUNRGBDtoolbox/"), ("cityscapes", "leftImg8bit/")])
    def test_another_folder(self, cen, tmp_path, tiny_root, kind, folder):
        recipe = tmp_path / "tiny.toml"
        recipe.write_text(RECIPE.format(root=tiny_root).replace('kind = "nyudv2"', f'kind = "{kind}"'))
        error = cen("train", recipe, code=1).err
        assert "masks/, rgb/, train.txt" in error
        assert f"{folder}" in error.partition("hint:")[2]

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            (('data.kind="sunrgb"',), 'data.kind = "sunrgb": "rooms", "nyudv2", "sunrgbd"'),
            (('data.depth="inpainted"',), 'data.depth = "inpainted": "filled" or "raw"'),
            (("data.label_start=2",), "data.label_start = 2: a whole number >= 0 and <= 1"),
            (("data.skip_incomplete=true",), 'data.skip_incomplete = true: read only with data.kind = "taskonomy"'),
            (
                ('data.kind="cityscapes"', 'data.depth="raw"'),
                'data.depth = "raw": read only with data.kind = "nyudv2" or',
            ),
        ],
    )
    def test_settings(self, train, settings, message):
        assert message in train(settings=settings, code=2).err

    def test_a_translation(self, cen, tiny_translation_recipe):
        error = cen("train", tiny_translation_recipe, settings=('data.kind="sunrgbd"',), code=2).err
        assert 'data.kind = "sunrgbd": read with its labels only; with task = "segmentation"' in error


class TestPrepare:
    @pytest.fixture
    def mat(self, tmp_path: Path) -> Path:
        return nyudv2_file(tmp_path)

    def test_the_folder_is_ready_to_train_on(self, cen, tmp_path, mat):
        out = tmp_path / "out"
        done = cen("data", "prepare", "nyudv2", mat, out)
        assert done.out == f"{out}\n"
        assert "writing frames: 7/7" in done.err
        assert f"7 views of 3 domains; next: cen train nyudv2 --data-root {out}" in done.err
        assert sorted(path.name for path in out.iterdir()) == ["depth", "masks", "rgb", "train.txt", "val.txt"]
        assert len(NYUDv2(out, "train")) == 5
        recipe = tmp_path / "tiny.toml"
        recipe.write_text(RECIPE.format(root=out))
        words = ("train", recipe, "--out", tmp_path / "run", "--device", "cpu", "--json")
        assert cen(*words, settings=SHORT).document["summary"]["steps"] == 2

    def test_json_and_raw_depth(self, cen, tmp_path, mat):
        out = tmp_path / "deep" / "out"
        done = cen("data", "prepare", "nyudv2", mat, out, "--depth", "raw", "--json")
        assert done.document["folder"] == str(out)
        assert done.document["views"] == 7
        assert not NYUDv2(out, "train")[0].valid["depth"].all()

    def test_an_empty_folder_is_filled(self, cen, tmp_path, mat):
        (tmp_path / "out").mkdir()
        cen("data", "prepare", "nyudv2", mat, tmp_path / "out")
        assert len(NYUDv2(tmp_path / "out", "val")) == 2

    def test_nothing_is_overwritten(self, cen, tmp_path, mat):
        (tmp_path / "out").mkdir()
        (tmp_path / "out/mine.txt").touch()
        assert "nothing is overwritten" in cen(*("data", "prepare", "nyudv2", mat, tmp_path / "out"), code=2).err
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]
        assert "exists already, and nothing is overwritten" in cen("data", "prepare", "nyudv2", mat, mat, code=2).err

    def test_a_damaged_file_leaves_nothing_behind(self, cen, tmp_path, mat):
        frames = nyu_frames(count=7)
        frames.labels[4, 0, 0] = 999
        write_nyu_mat(mat, frames)
        before = sorted(tmp_path.iterdir())
        error = cen("data", "prepare", "nyudv2", mat, tmp_path / "out", code=1).err
        assert "labels/5: the label map holds 999" in error
        assert sorted(tmp_path.iterdir()) == before

    def test_what_is_no_such_file(self, cen, tmp_path):
        assert "none.mat: no such file" in cen("data", "prepare", "nyudv2", tmp_path / "none.mat", "out", code=2).err
        assert "'kitti' is not" in cen("data", "prepare", "kitti", "a.mat", "out", code=2).err
