from __future__ import annotations

import numpy as np

from cen_cli.data.edges import edge_occlusion, edge_texture
from cen_cli.data.rooms import RoomsSettings, render_view
from cen_cli.data.rooms.render import reshading
from cen_cli.data.rooms.sensor import noisy_rgb, projector_shadow, sensor_depth


def wall(metres, size=200):
    return np.full((size, size), metres, np.float32)


def measure(depth, facing=1.0):
    return sensor_depth(depth, np.full_like(depth, facing), 160.0, np.random.default_rng(0))


def test_about_eight_per_cent_of_the_pixels_are_invalid():
    settings = RoomsSettings(size=64)
    pairs = [render_view(settings, "val", room, 0, ("depth_sensor", "depth_zbuffer")) for room in range(24)]
    shares = [(pair["depth_sensor"] == 0).mean() for pair in pairs]
    assert 0.05 < np.mean(shares) < 0.12
    assert np.percentile(shares, 10) > 0.03
    assert np.percentile(shares, 90) < 0.16
    for pair in pairs:
        valid = pair["depth_sensor"] > 0
        assert np.median(np.abs(pair["depth_sensor"] - pair["depth_zbuffer"])[valid]) < 0.1


def test_noise_grows_with_the_square_of_depth():
    spread = [np.std(values[values > 0]) for values in (measure(wall(2.0)), measure(wall(4.0)))]
    np.testing.assert_allclose(spread[1] / spread[0], 4, rtol=0.25)


def test_disparities_are_eighths_of_a_pixel():
    values = measure(wall(3.0))
    product = 160 * 640 / 200 * 0.075
    disparity = product / values[values > 0]
    np.testing.assert_allclose(disparity * 8, np.round(disparity * 8), atol=1e-3)
    assert len(np.unique(values)) < 60


def test_grazing_and_far_surfaces_are_lost():
    assert (measure(wall(2.0), facing=0.02) == 0).mean() > 0.7
    assert (measure(wall(9.5)) == 0).mean() > 0.95
    assert (measure(wall(2.0)) == 0).mean() < 0.15


def test_the_projector_shadow_lies_beside_near_things():
    depth = wall(4.0, 60)
    depth[:, 20:40] = 1.0
    dark = projector_shadow(depth, 80.0)
    width = 80 * 0.075 * (1 / 1.0 - 1 / 4.0)  # disparity difference, in pixels
    assert abs(dark[0].sum() - width) <= 1
    assert not dark[:, 20:].any()
    assert dark[0, 19]
    assert not projector_shadow(wall(2.0), 80.0).any()


def test_rgb_noise_has_no_bias_and_the_given_strength():
    clean = np.full((100, 100, 3), 128, np.uint8)
    noise = noisy_rgb(clean, 0.05, np.random.default_rng(0)).astype(float) - 128
    assert abs(noise.mean()) < 0.3
    np.testing.assert_allclose(noise.std(), 255 * 0.05, rtol=0.06)


def test_edges_of_depth_are_where_it_jumps_and_not_on_tilted_planes():
    columns = np.arange(40, dtype=np.float32)
    plane = np.tile(1 / (0.2 + 0.01 * columns), (40, 1)).astype(np.float32)
    assert edge_occlusion(plane).max() == 0
    plane[:, 20:] *= 0.5
    edges = edge_occlusion(plane)
    assert (edges[:, 19:21] > 0.9).all()
    assert edges[:, :18].max() == 0


def test_edges_of_colour_are_where_it_changes():
    picture = np.zeros((20, 20, 3), np.uint8)
    picture[:, 10:] = 200
    edges = edge_texture(picture)
    assert (edges[:, 9:11] > 0.9).all()
    assert edges[:, :8].max() == edges[:, 12:].max() == 0


def test_reshading_is_brightest_where_a_near_surface_faces_the_camera():
    rays = tuple(np.full((1, 3), value, np.float32) for value in (0, 0, -1))
    normal = np.array([[[0, 0, 1], [0, 0.8, 0.6], [0, 0, 1]]], np.float32)
    shading = reshading(normal, rays, np.float32([[1, 1, 4]]))[0]
    assert shading[0] > shading[1] > 0
    assert shading[0] > shading[2] > 0
