from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cen_cli.data.rooms import CLASS_NAMES, DOMAINS, PALETTE, RoomsSettings, render_view
from cen_cli.data.rooms.cast import PartTable, cast, surfaces
from cen_cli.data.rooms.render import render_scene, sample_offsets, view_camera
from cen_cli.data.rooms.scene import build_scene

SMALL = RoomsSettings(size=32, train_rooms=2, val_rooms=1, test_rooms=1, views=2)


@pytest.fixture(scope="module")
def views():
    """Some views in all domains, by room."""
    settings = RoomsSettings(size=48)
    return [render_view(settings, "train", room, room % 4) for room in range(8)]


def test_a_view_has_the_promised_types_and_shapes(views):
    expected = dict.fromkeys(DOMAINS, ("float32", (48, 48)))
    expected |= {"rgb": ("uint8", (48, 48, 3)), "rgb_clean": ("uint8", (48, 48, 3)), "normal": ("float32", (48, 48, 3))}
    expected |= {"reshading": ("uint8", (48, 48)), "labels": ("uint8", (48, 48))}
    expected |= {"principal_curvature": ("float32", (48, 48, 2))}
    assert {domain: (str(values.dtype), values.shape) for domain, values in views[0].items()} == expected


def test_equal_seeds_give_equal_views_and_domains_do_not_depend_on_each_other(views):
    settings = RoomsSettings(size=48)
    again = render_view(settings, "train", 3, 3)
    for domain in DOMAINS:
        np.testing.assert_array_equal(again[domain], views[3][domain])
        alone = render_view(settings, "train", 3, 3, (domain,))
        assert list(alone) == [domain]
        np.testing.assert_array_equal(alone[domain], views[3][domain])


def test_splits_rooms_views_and_seeds_differ():
    variants = [
        (SMALL, "train", 0, 0),
        (SMALL, "val", 0, 0),
        (SMALL, "test", 0, 0),
        (SMALL, "train", 1, 0),
        (SMALL, "train", 0, 1),
        (dataclasses.replace(SMALL, seed=1), "train", 0, 0),
    ]
    pictures = {render_view(*variant, ("depth_zbuffer",))["depth_zbuffer"].tobytes() for variant in variants}
    assert len(pictures) == len(variants)


def test_views_of_a_room_share_the_room():
    first, second = (build_scene(SMALL, "val", 0) for _ in range(2))
    assert first == second
    assert view_camera(first, SMALL, "val", 0, 0) != view_camera(first, SMALL, "val", 0, 1)


def test_normals_are_unit_and_face_the_camera(views):
    for view in views:
        np.testing.assert_allclose((view["normal"] ** 2).sum(-1), 1, atol=1e-4)
        assert (view["normal"][23:25, 23:25, 2] > 0).all()


def test_every_normal_faces_its_ray():
    scene = build_scene(SMALL, "train", 1)
    camera = view_camera(scene, SMALL, "train", 1, 0)
    rays = camera.rays(64, sample_offsets(1))
    table = PartTable(scene)
    points = surfaces(table, camera, rays, cast(scene, table, camera, rays))
    facing = sum(n * d for n, d in zip(points.normal, rays, strict=True))
    assert (facing <= 1e-3).all()


def test_zbuffer_is_at_most_the_ray_length(views):
    for view in views:
        assert (view["depth_zbuffer"] <= view["depth_euclidean"]).all()
        assert (view["depth_zbuffer"] > 0).all()
        middle = view["depth_euclidean"][23:25, 23:25] / view["depth_zbuffer"][23:25, 23:25]
        np.testing.assert_allclose(middle, 1, atol=1e-3)


@pytest.mark.parametrize("antialias", [1, 2])
def test_back_projected_pixel_centres_lie_on_floor_ceiling_and_walls(antialias):
    settings = dataclasses.replace(SMALL, antialias=antialias)
    scene = build_scene(settings, "train", 0)
    view = render_scene(scene, settings, "train", 0, 0)
    camera = view_camera(scene, settings, "train", 0, 0)
    x = (np.arange(32) + 0.5) / 16 - 1
    right, up, back = camera.axes.astype(np.float64)
    way = camera.extent * (x[None, :, None] * right - x[:, None, None] * up) - back
    point = np.array(camera.position) + view["depth_zbuffer"][..., None] * way
    width, depth, height = scene.size
    np.testing.assert_allclose(point[view["labels"] == 1][:, 2], 0, atol=2e-3)
    np.testing.assert_allclose(point[view["labels"] == 2][:, 2], height, atol=2e-3)
    walls = point[view["labels"] == 0]
    gap = np.abs([walls[:, 0], walls[:, 0] - width, walls[:, 1], walls[:, 1] - depth]).min(0)
    assert not any(item.label == 0 for item in scene.items)  # no round column
    assert len(walls) > 50
    assert gap.max() < 2e-3


def test_antialiasing_changes_colours_only():
    rough, fine = (render_view(dataclasses.replace(SMALL, antialias=n), "val", 0, 1) for n in (1, 3))
    for domain in DOMAINS:
        same = np.array_equal(rough[domain], fine[domain])
        assert same == (domain not in ("rgb", "rgb_clean", "edge_texture")), domain


def test_decals_change_colour_and_labels_but_no_geometry():
    scene = build_scene(SMALL, "train", 0)
    camera = view_camera(scene, SMALL, "train", 0, 0)
    painted = render_scene(scene, SMALL, "train", 0, 0, camera=camera)
    bare = render_scene(dataclasses.replace(scene, decals=()), SMALL, "train", 0, 0, camera=camera)
    flat = np.isin(painted["labels"], [CLASS_NAMES.index(name) for name in ("picture", "window", "door", "rug")])
    assert flat.mean() > 0.02
    np.testing.assert_array_equal(painted["labels"] != bare["labels"], flat)
    assert (painted["rgb_clean"] != bare["rgb_clean"])[flat].any(-1).mean() > 0.9
    for domain in ("depth_zbuffer", "depth_sensor", "normal", "reshading", "edge_occlusion", "principal_curvature"):
        np.testing.assert_array_equal(painted[domain], bare[domain])


def test_culling_loses_nothing(monkeypatch):
    scene = build_scene(SMALL, "train", 1)
    camera = view_camera(scene, SMALL, "train", 1, 1)
    rays = camera.rays(48, sample_offsets(2))
    table = PartTable(scene)
    culled = cast(scene, table, camera, rays)
    everything = np.tile([0, 48, 0, 48], (len(table.parts), 1))
    monkeypatch.setattr(type(camera), "windows", lambda *_: everything)
    np.testing.assert_array_equal(culled.part, cast(scene, table, camera, rays).part)


def test_all_classes_appear_in_a_few_dozen_views():
    settings = RoomsSettings(size=32)
    seen = np.zeros(256, int)
    for room in range(36):
        labels = render_view(settings, "train", room, 0, ("labels",))["labels"]
        assert set(np.unique(labels)) <= {*range(len(CLASS_NAMES)), 255}
        seen += np.bincount(labels.ravel(), minlength=256)
    share = seen / seen.sum()
    assert (share[: len(CLASS_NAMES)] > 0.003).all(), dict(zip(CLASS_NAMES, share, strict=False))
    assert 0 < share[255] < 0.05


def test_three_in_ten_views_are_dim_and_noise_is_strong():
    settings = RoomsSettings(size=32)
    views = [render_view(settings, "train", room, 0, ("rgb", "rgb_clean")) for room in range(40)]
    dim = np.mean([view["rgb_clean"].mean() < 75 for view in views])
    assert 0.12 < dim < 0.5
    spread = [np.std(view["rgb"].astype(float) - view["rgb_clean"]) for view in views]
    assert 8 < np.mean(spread) < 40


def test_house_style_ties_colours_to_class_and_is_never_dim():
    settings = RoomsSettings(size=32, palette_style="house")
    scenes = [build_scene(settings, "train", room) for room in range(20)]
    floors = {scene.materials[scene.surfaces[4]] for scene in scenes}
    assert len(floors) == 3
    levels = [render_view(settings, "train", room, 0, ("rgb_clean",))["rgb_clean"].mean() for room in range(6)]
    assert min(levels) > 75


def test_round_parts_are_curved_and_flat_ones_are_not(views):
    curved = [(view["principal_curvature"][..., 0] > 0.1).mean() for view in views]
    assert 0.005 < np.mean(curved) < 0.3
    for view in views:
        flat = np.isin(view["labels"], [1, 2, 9, 10, 11, 12])
        assert (view["principal_curvature"][flat] == 0).all()


def test_palette_has_a_colour_for_every_class():
    assert len(PALETTE) == len(CLASS_NAMES) == len(set(PALETTE)) == 14


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="unknown domain 'depth'"):
        render_view(SMALL, "train", 0, 0, ("depth",))
    with pytest.raises(ValueError, match="split is 'dev'"):
        SMALL.rooms("dev")
