from __future__ import annotations

import errno
import hashlib
import io
import json
import os
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest
from PIL import Image

from cen_cli import files
from cen_cli.data.rooms import DOMAINS, PALETTE, RoomsSettings, prepare, render_view, storage
from cen_cli.data.rooms.encoding import CURVATURE_UNITS, DEPTH_INVALID, DEPTH_UNITS, EDGE_UNITS, encode
from cen_cli.data.rooms.render import view_camera
from cen_cli.data.rooms.scene import build_scene
from cen_cli.errors import DataError, SaveError, UsageError

TINY = RoomsSettings(size=16, train_rooms=2, val_rooms=1, test_rooms=1, views=2, antialias=1)
PAIR = ("rgb", "labels")


def contents(folder):
    """Every picture below a folder, by relative name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.png"))}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished folder and what is in it; not to be changed."""
    folder = prepare(TINY, tmp_path_factory.mktemp("rooms"), domains=PAIR, workers=1)
    return folder, contents(folder)


@pytest.fixture
def counted(monkeypatch):
    """A list that grows by (split, room, view, domains) for every view rendered."""
    calls = []
    original = storage.render_scene

    def render(scene, settings, split, room, view, domains, camera):
        calls.append((split, room, view, tuple(domains)))
        return original(scene, settings, split, room, view, domains, camera)

    monkeypatch.setattr(storage, "render_scene", render)
    return calls


def test_the_folder_has_every_file_and_a_true_manifest(finished):
    folder, files = finished
    assert folder.name == storage.settings_key(TINY)
    expected = {
        f"{split}/{domain}/{room:04d}_{view}.png"
        for split, rooms in (("train", 2), ("val", 1), ("test", 1))
        for domain in PAIR
        for room in range(rooms)
        for view in range(2)
    }
    assert set(files) == expected
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["domains"] == sorted(PAIR)
    assert manifest["settings"]["size"] == 16
    described = {name: [len(data), hashlib.sha256(data).hexdigest()] for name, data in files.items()}
    assert manifest["files"] == described
    camera = view_camera(build_scene(TINY, "val", 0), TINY, "val", 0, 1)
    np.testing.assert_allclose(manifest["cameras"]["val/0000_1"][:4], [*camera.position, camera.yaw], atol=1e-5)
    assert len(manifest["cameras"]) == 8


def test_settings_and_version_make_the_key(monkeypatch):
    key = storage.settings_key(TINY)
    assert storage.settings_key(RoomsSettings(size=17)) != storage.settings_key(RoomsSettings(size=16))
    monkeypatch.setattr(storage, "RENDERER_VERSION", -1)
    assert storage.settings_key(TINY) != key


def test_a_finished_folder_is_returned_at_once(finished, counted):
    folder, _ = finished
    seen = []
    assert prepare(TINY, folder.parent, domains=PAIR, progress=lambda *pair: seen.append(pair)) == folder
    assert counted == []
    assert seen == [(8, 8)]


def test_files_that_another_process_is_writing_are_none(tmp_path, finished, counted, monkeypatch):
    folder = prepare(TINY, tmp_path, domains=PAIR, workers=1)
    counted.clear()
    (folder / "train/rgb/.123-abc.new").symlink_to("gone")  # as one that is renamed between listing and looking
    assert prepare(TINY, tmp_path, domains=PAIR, workers=1) == folder
    assert counted == []


def test_missing_and_truncated_files_are_rendered_again(tmp_path, finished, counted):
    folder = prepare(TINY, tmp_path, domains=PAIR, workers=1)
    counted.clear()
    (folder / "train/rgb/0001_0.png").unlink()
    damaged = folder / "val/labels/0000_1.png"
    damaged.write_bytes(damaged.read_bytes()[:40])
    prepare(TINY, tmp_path, domains=PAIR, workers=1)
    assert counted == [("train", 1, 0, ("rgb",)), ("val", 0, 1, ("labels",))]
    assert contents(folder) == finished[1]


def test_verify_finds_files_changed_in_place(tmp_path, finished, counted):
    folder = prepare(TINY, tmp_path, domains=PAIR, workers=1)
    counted.clear()
    changed = folder / "train/rgb/0000_0.png"
    changed.write_bytes(changed.read_bytes()[:-1] + b"?")
    prepare(TINY, tmp_path, domains=PAIR, workers=1)
    assert counted == []
    prepare(TINY, tmp_path, domains=PAIR, workers=1, verify=True)
    assert counted == [("train", 0, 0, ("rgb",))]
    assert contents(folder) == finished[1]


def test_a_stopped_run_goes_on_where_it_was(tmp_path, finished, counted):
    def stop(done, _total):
        if done >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(TINY, tmp_path, domains=PAIR, workers=1, progress=stop)
    assert len(counted) == 4
    folder = prepare(TINY, tmp_path, domains=PAIR, workers=1)
    assert len(counted) == 8
    assert contents(folder) == finished[1]


def test_without_its_manifest_everything_is_rendered_again(tmp_path, finished, counted):
    folder = prepare(TINY, tmp_path, domains=PAIR, workers=1)
    counted.clear()
    (folder / "manifest.json").write_text('{"files": {"train/rgb')
    prepare(TINY, tmp_path, domains=PAIR, workers=1)
    assert len(counted) == 8
    assert contents(folder) == finished[1]


def test_domains_are_added_later(tmp_path, finished, counted):
    prepare(TINY, tmp_path, domains=["rgb"], workers=1)
    counted.clear()
    folder = prepare(TINY, tmp_path, domains=PAIR, workers=1)
    assert {domains for *_, domains in counted} == {("labels",)}
    assert contents(folder) == finished[1]
    assert json.loads((folder / "manifest.json").read_text())["domains"] == ["labels", "rgb"]


def test_worker_processes_render_every_room_and_the_same_bytes(tmp_path):
    many = RoomsSettings(size=16, train_rooms=20, val_rooms=1, test_rooms=0, views=1, antialias=1)
    progress = []
    folder = prepare(many, tmp_path / "two", domains=PAIR, workers=2, progress=lambda *pair: progress.append(pair))
    assert len(contents(folder)) == 42
    assert contents(folder) == contents(prepare(many, tmp_path / "one", domains=PAIR, workers=1))
    assert progress == [(done, 21) for done in range(22)]


def test_files_can_lie_in_the_folder_itself(tmp_path, finished):
    assert prepare(TINY, tmp_path / "out", domains=PAIR, workers=1, keyed=False) == tmp_path / "out"
    assert contents(tmp_path / "out") == finished[1]
    with pytest.raises(UsageError, match="holds rooms of other settings"):
        prepare(RoomsSettings(size=24), tmp_path / "out", domains=PAIR, keyed=False)


def test_the_default_folder_is_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setattr(storage.platformdirs, "user_cache_path", lambda name: tmp_path / name)
    assert storage.default_folder() == tmp_path / "cen" / "rooms"
    one = RoomsSettings(size=16, train_rooms=1, val_rooms=0, test_rooms=0, views=1, antialias=1)
    assert prepare(one, domains=["labels"]).parent == tmp_path / "cen" / "rooms"


def test_unknown_domains_are_refused(tmp_path):
    with pytest.raises(UsageError, match="unknown domain 'depth'"):
        prepare(TINY, tmp_path, domains=["depth"])


def test_a_full_disk_is_reported_and_leaves_no_scraps(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(SaveError, match=r"could not write .*No space left on device"):
        prepare(TINY, tmp_path, domains=PAIR, workers=1)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_file_in_the_place_of_the_folder_is_reported(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(SaveError, match=r"could not write .*taken"):
        prepare(TINY, tmp_path / "taken", domains=PAIR, workers=1)


def decoded(domain, data):
    """The array of a stored domain, in the units of `render_view` (rounded as the file is)."""
    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        values = np.array(image)
    if domain.startswith("depth_"):
        return np.where(values == DEPTH_INVALID, 0, values.astype(np.float32) / DEPTH_UNITS).astype(np.float32)
    if domain in EDGE_UNITS:
        return values.astype(np.float32) / EDGE_UNITS[domain]
    if domain == "normal":
        return (values.astype(np.float32) - 127) / 127
    if domain == "principal_curvature":
        return (values[..., :2].astype(np.float32) - 127) / CURVATURE_UNITS
    return values


def test_stored_pictures_read_back_as_they_were():
    view = render_view(RoomsSettings(size=32), "train", 0, 0)
    back = {domain: decoded(domain, encode(domain, values)) for domain, values in view.items()}
    for domain in ("rgb", "rgb_clean", "reshading", "labels"):
        np.testing.assert_array_equal(back[domain], view[domain])
    for domain in ("depth_euclidean", "depth_zbuffer", "depth_sensor"):
        np.testing.assert_allclose(back[domain], view[domain], atol=0.5 / 512 + 1e-6)
    np.testing.assert_array_equal(back["depth_sensor"] == 0, view["depth_sensor"] == 0)
    np.testing.assert_allclose(back["normal"], view["normal"], atol=0.5 / 127 + 1e-6)
    for domain in ("edge_texture", "edge_occlusion"):
        np.testing.assert_allclose(back[domain], view[domain], atol=0.51 / 11355)
    curvature = np.clip(view["principal_curvature"], -127 / 8, 128 / 8)
    np.testing.assert_allclose(back["principal_curvature"], curvature, atol=1 / 16 + 1e-6)


def test_files_have_the_documented_modes(tmp_path):
    one = RoomsSettings(size=16, train_rooms=1, val_rooms=0, test_rooms=0, views=1, antialias=1)
    folder = prepare(one, tmp_path, domains=DOMAINS)
    modes = {}
    for domain in DOMAINS:
        with Image.open(folder / "train" / domain / "0000_0.png") as image:
            modes[domain] = image.mode
            if domain == "labels":
                assert tuple(image.getpalette()[: 3 * 14]) == tuple(c for colour in PALETTE for c in colour)
    assert modes == {
        **{domain: "I;16" for domain in DOMAINS if domain.startswith(("depth_", "edge_"))},
        **dict.fromkeys(("rgb", "rgb_clean", "normal", "principal_curvature"), "RGB"),
        "reshading": "L",
        "labels": "P",
    }


def test_invalid_depth_is_stored_as_taskonomy_has_it():
    data = encode("depth_sensor", np.float32([[0, 1.5]]))
    stored = np.array(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(stored, [[65535, 768]])


@pytest.mark.parametrize(("domain", "full"), [("edge_texture", 11355), ("edge_occlusion", 11584)])
def test_edges_have_the_full_scale_of_taskonomy(domain, full):
    stored = np.array(Image.open(io.BytesIO(encode(domain, np.float32([[0, 0.5, 1]])))))
    assert stored.dtype == np.uint16
    np.testing.assert_array_equal(stored, [[0, np.round(full / 2), full]])


def test_a_killed_worker_is_reported(tmp_path, monkeypatch):
    class Broken(ProcessPoolExecutor):
        def submit(self, *_):
            raise BrokenProcessPool

    monkeypatch.setattr(storage, "ProcessPoolExecutor", Broken)
    with pytest.raises(DataError, match="a process that renders rooms ended unexpectedly"):
        prepare(TINY, tmp_path, domains=PAIR, workers=2)
