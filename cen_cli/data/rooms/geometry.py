"""Rays against boxes, cylinders, frustums and ellipsoids, in closed form and over whole arrays.

Every solid is convex and centred at the origin of its own frame. A ray is `origin + t * direction`; origins may be
numbers (all rays of a camera share one) or arrays (shadow rays). Each function returns where rays enter and leave the
solid, `inf` and `-inf` where they miss, so that `enter < leave` says hit, and t may be negative. No component of a
direction may be zero.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float32]
Triple: TypeAlias = Floats
"""Vectors [3, ...]: x, y and z one after another."""

CURVED = 3
"""Face code of a curved surface; 0, 1 and 2 are flat faces across that axis."""

AXIS_ORDER = ((1, 2, 0), (2, 0, 1), (0, 1, 2))
"""For a cylinder along axis a: which axes are its own x, y and z."""


def box_interval(
    origin: Triple, inverse: Triple, half: tuple[float, float, float]
) -> tuple[Floats, Floats, npt.NDArray]:
    """Return (enter, leave, face) of rays and a box of the given half sizes; `inverse` is 1 / direction.

    `face` (int8) is the axis across which the ray enters.
    """
    near, far = [], []
    for start, inv, extent in zip(origin, inverse, half, strict=True):
        middle = inv * np.negative(start)
        reach = np.abs(inv) * np.float32(extent)
        near.append(middle - reach)
        far.append(middle + reach)
    face = (near[1] > near[0]).astype(np.int8)
    enter = np.maximum(near[0], near[1])
    np.copyto(face, np.int8(2), where=near[2] > enter)
    return np.maximum(enter, near[2]), np.minimum(np.minimum(far[0], far[1]), far[2]), face


def cylinder_interval(
    origin: Triple, direction: Triple, radius: float, half_height: float, slope: float = 0.0
) -> tuple[Floats, Floats, npt.NDArray]:
    """Return (enter, leave, face) of rays and a capped cylinder along z, or a frustum of radius `radius + slope * z`.

    `face` is `CURVED` on the side and 2 on the caps. The discriminant is taken from the distance between ray and axis
    (Lagrange's identity), which float32 can hold also for thin, far poles.
    """
    (ox, oy, oz), (dx, dy, dz) = origin, direction
    level = radius + slope * oz
    flat = dx * dx + dy * dy
    along = ox * dx + oy * dy
    cross = ox * dy - oy * dx
    quadratic = flat - np.float32(slope * slope) * dz * dz
    root = flat * (level * level) - cross * cross
    if slope:
        root = root + slope * dz * (slope * dz * (ox * ox + oy * oy) - 2 * along * level)
        along = along - slope * level * dz
        quadratic = np.where(np.abs(quadratic) < 1e-7, np.float32(1e-7), quadratic)
    touches = root > 0
    root = np.sqrt(np.maximum(root, 0))
    candidates = []
    for sign in (-1, 1):
        t = (sign * root - along) / quadratic
        candidates.append((t, touches & (np.abs(oz + t * dz) <= half_height)))
    for side in (-half_height, half_height):
        t = (side - oz) / dz
        x, y = ox + t * dx, oy + t * dy
        candidates.append((t, x * x + y * y <= np.float32((radius + slope * side) ** 2)))
    infinity = np.float32(np.inf)
    first = [np.where(real, t, infinity) for t, real in candidates]
    last = [np.where(real, t, -infinity) for t, real in candidates]
    mantle, cap = np.minimum(first[0], first[1]), np.minimum(first[2], first[3])
    leave = np.maximum(np.maximum(last[0], last[1]), np.maximum(last[2], last[3]))
    face = np.where(mantle <= cap, np.int8(CURVED), np.int8(2))
    return np.minimum(mantle, cap), leave, face


def ellipsoid_interval(
    origin: Triple, direction: Triple, radii: tuple[float, float, float]
) -> tuple[Floats, Floats, npt.NDArray]:
    """Return (enter, leave, face) of rays and an ellipsoid of the given radii; a sphere has three equal ones."""
    ox, oy, oz = (np.multiply(start, np.float32(1 / r)) for start, r in zip(origin, radii, strict=True))
    dx, dy, dz = (d * np.float32(1 / r) for d, r in zip(direction, radii, strict=True))
    square = dx * dx + dy * dy + dz * dz
    along = ox * dx + oy * dy + oz * dz
    cx, cy, cz = oy * dz - oz * dy, oz * dx - ox * dz, ox * dy - oy * dx
    root = square - (cx * cx + cy * cy + cz * cz)
    touches = root > 0
    root = np.sqrt(np.maximum(root, 0))
    infinity = np.float32(np.inf)
    enter = np.where(touches, (-root - along) / square, infinity)
    leave = np.where(touches, (root - along) / square, -infinity)
    return enter, leave, np.full(enter.shape, CURVED, np.int8)


def cylinder_normal(point: Triple, radius: float, slope: float = 0.0) -> Triple:
    """Return the outward unit normals of a cylinder or frustum along z at points on its side."""
    x, y, z = point
    rise = np.full_like(z, -slope) * (radius + slope * z)
    return unit(np.stack([x, y, rise]))


def ellipsoid_normal(point: Triple, radii: tuple[float, float, float]) -> Triple:
    """Return the outward unit normals of an ellipsoid at points on it."""
    return unit(np.stack([p * np.float32(1 / r**2) for p, r in zip(point, radii, strict=True)]))


def cylinder_curvature(point: Triple, radius: float, slope: float = 0.0) -> tuple[Floats, Floats]:
    """Return both principal curvatures in 1/m, the larger first, on the side of a cylinder or frustum; convex > 0."""
    level = np.maximum(radius + slope * point[2], 1e-3)
    return np.float32(1 / np.hypot(1, slope)) / level, np.zeros_like(level)


def ellipsoid_curvature(point: Triple, radii: tuple[float, float, float]) -> tuple[Floats, Floats]:
    """Return both principal curvatures in 1/m, the larger first, of an ellipsoid at points on it; convex > 0."""
    x, y, z = point
    a2, b2, c2 = (np.float32(r * r) for r in radii)
    steep = (x / a2) ** 2 + (y / b2) ** 2 + (z / c2) ** 2
    volume = a2 * b2 * c2
    gauss = 1 / (volume * steep**2)
    mean = np.abs(x * x + y * y + z * z - a2 - b2 - c2) / (2 * volume * steep**1.5)
    spread = np.sqrt(np.maximum(mean * mean - gauss, 0))
    return mean + spread, mean - spread


def unit(vector: Triple) -> Triple:
    """Return vectors scaled to length one."""
    scale: Floats = np.reciprocal(np.sqrt(np.maximum(dot(vector, vector), 1e-20)))
    return vector * scale


def dot(one: Triple, other: Triple) -> Floats:
    """Return the scalar products [...] of vectors."""
    return one[0] * other[0] + one[1] * other[1] + one[2] * other[2]


def nonzero(vector: Triple) -> Triple:
    """Return directions without zero components, which the intersections cannot have."""
    tiny = np.float32(1e-6)
    return np.where(np.abs(vector) < tiny, tiny, vector)
