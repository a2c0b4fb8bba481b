from __future__ import annotations

import numpy as np
import pytest

from cen_cli.data.rooms import geometry as g


def rays(origin, count=400, seed=0):
    """Random rays from a point, roughly towards the origin."""
    draw = np.random.default_rng(seed)
    towards = draw.uniform(-1.2, 1.2, (count, 3)) - np.array(origin)
    return tuple(towards.T.astype(np.float32))


def marched(inside, origin, direction, limit=2.0, steps=40000):
    """Where each ray enters the solid `inside` tells, found by small steps; inf where it misses."""
    t = np.linspace(0, limit, steps)
    found = []
    for way in np.stack(direction, -1).astype(np.float64):
        within = inside(*(np.array(origin)[:, None] + way[:, None] * t))
        found.append(t[within.argmax()] if within.any() else np.inf)
    return np.array(found)


SLOPED = (0.5, -0.6, 0.4)
SOLIDS = {
    "box": (
        lambda x, y, z: (abs(x) < 0.3) & (abs(y) < 0.5) & (abs(z) < 0.7),
        lambda o, d: g.box_interval(o, tuple(1 / a for a in d), (0.3, 0.5, 0.7)),
    ),
    "cylinder": (
        lambda x, y, z: (x * x + y * y < 0.25) & (abs(z) < 0.6),
        lambda o, d: g.cylinder_interval(o, d, 0.5, 0.6),
    ),
    "frustum": (
        lambda x, y, z: (x * x + y * y < (SLOPED[0] + SLOPED[1] * z) ** 2) & (abs(z) < SLOPED[2]),
        lambda o, d: g.cylinder_interval(o, d, SLOPED[0], SLOPED[2], SLOPED[1]),
    ),
    "ellipsoid": (
        lambda x, y, z: (x / 0.3) ** 2 + (y / 0.6) ** 2 + (z / 0.8) ** 2 < 1,
        lambda o, d: g.ellipsoid_interval(o, d, (0.3, 0.6, 0.8)),
    ),
}


@pytest.mark.parametrize("origin", [(2.0, 1.5, 0.7), (0.2, -0.3, 2.5)])
@pytest.mark.parametrize("solid", SOLIDS)
def test_rays_enter_solids_where_small_steps_find_them(solid, origin):
    inside, interval = SOLIDS[solid]
    direction = rays(origin)
    enter, leave, _ = interval(origin, direction)
    expected = marched(inside, origin, direction)
    hit = enter < leave
    assert 0.1 < hit.mean() < 0.9
    disagree = hit != np.isfinite(expected)
    assert disagree.mean() < 0.01  # rays that touch
    both = hit & ~disagree
    np.testing.assert_allclose(enter[both], expected[both], atol=1e-3)


def test_a_box_is_hit_at_its_near_face():
    direction = (np.float32([1, 1]), np.float32([1e-6, 0.05]), np.float32([1e-6, 1e-6]))
    enter, leave, face = g.box_interval((-3.0, 0.0, 0.0), tuple(1 / d for d in direction), (0.5, 1.0, 1.0))
    np.testing.assert_allclose(enter, 2.5)
    np.testing.assert_allclose(leave, 3.5)
    np.testing.assert_array_equal(face, 0)


def test_a_sphere_is_hit_at_distance_less_radius():
    direction = (np.float32([1]), np.float32([1e-6]), np.float32([1e-6]))
    enter, leave, face = g.ellipsoid_interval((-3.0, 0.0, 0.0), direction, (0.25,) * 3)
    np.testing.assert_allclose([enter[0], leave[0]], [2.75, 3.25], rtol=1e-6)
    assert face[0] == g.CURVED


def test_a_thin_far_pole_keeps_its_width():
    angle = np.linspace(-0.004, 0.004, 4001)
    direction = (np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32), np.full(4001, 1e-6, np.float32))
    enter, leave, _ = g.cylinder_interval((-6.0, 0.0, 0.0), direction, 0.012, 1.0)
    seen = (enter < leave).mean() * 0.008
    np.testing.assert_allclose(seen, 2 * np.arcsin(0.012 / 6), rtol=5e-3)


def test_sphere_normals_are_unit_and_face_the_camera():
    origin = (1.5, -1.0, 0.8)
    direction = rays(origin)
    enter, leave, _ = g.ellipsoid_interval(origin, direction, (0.5,) * 3)
    hit = enter < leave
    point = tuple(o + enter[hit] * d[hit] for o, d in zip(origin, direction, strict=True))
    normal = g.ellipsoid_normal(point, (0.5,) * 3)
    np.testing.assert_allclose(sum(n * n for n in normal), 1, atol=1e-5)
    np.testing.assert_allclose(np.stack(normal), np.stack(point) / 0.5, atol=1e-4)
    assert (sum(n * d[hit] for n, d in zip(normal, direction, strict=True)) <= 1e-4).all()


@pytest.mark.parametrize("slope", [0.0, -0.4])
def test_cylinder_normals_are_unit_and_upright_to_the_side(slope):
    angle, z = np.linspace(0, 6, 50), np.linspace(-0.3, 0.3, 50)
    level = 0.4 + slope * z
    point = tuple(a.astype(np.float32) for a in (level * np.cos(angle), level * np.sin(angle), z))
    normal = np.stack(g.cylinder_normal(point, 0.4, slope))
    np.testing.assert_allclose((normal**2).sum(0), 1, atol=1e-5)
    upwards = np.stack([slope * np.cos(angle), slope * np.sin(angle), np.ones(50)])
    around = np.stack([-np.sin(angle), np.cos(angle), np.zeros(50)])
    np.testing.assert_allclose((normal * upwards).sum(0), 0, atol=1e-5)
    np.testing.assert_allclose((normal * around).sum(0), 0, atol=1e-5)


def test_curvatures_of_sphere_cylinder_and_spheroid():
    point = tuple(np.float32([v]) for v in (0.3, 0.0, 0.0))
    np.testing.assert_allclose(np.ravel(g.ellipsoid_curvature(point, (0.3,) * 3)), 1 / 0.3, rtol=1e-3)
    np.testing.assert_allclose(np.ravel(g.cylinder_curvature(point, 0.3)), [1 / 0.3, 0], rtol=1e-6)
    pole = tuple(np.float32([v]) for v in (0.0, 0.0, 0.2))
    large, small = g.ellipsoid_curvature(pole, (0.3, 0.6, 0.2))  # c / a^2 and c / b^2
    np.testing.assert_allclose([large[0], small[0]], [0.2 / 0.09, 0.2 / 0.36], rtol=1e-4)
