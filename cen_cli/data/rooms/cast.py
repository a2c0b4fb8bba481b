"""Rays into a room: the first surface that each ray meets, and whether points see a light.

The room itself is the inside of a box, so some face of it always stops a ray. Items are culled by the part of the
picture they can cover (camera rays) or by the cone they can shade (shadow rays), then rays are turned into the
item's frame once and tested against its parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cen_cli.data.rooms.camera import NEAR, Camera
from cen_cli.data.rooms.geometry import (
    AXIS_ORDER,
    CURVED,
    Floats,
    Triple,
    box_interval,
    cylinder_curvature,
    cylinder_interval,
    cylinder_normal,
    dot,
    ellipsoid_curvature,
    ellipsoid_interval,
    ellipsoid_normal,
    nonzero,
)
from cen_cli.data.rooms.layout import Item, Light, Part, Plan

ROOM_FACES = 6
_BIAS = np.float32(2e-3)
"""Shadow rays start this far above their surface, in metres."""


class PartTable:
    """All solids of a scene as arrays: rows 0-5 are the faces of the room, then the parts, item by item."""

    def __init__(self, scene: Plan) -> None:
        parts = [(item, part) for item in scene.items for part in item.parts]
        self.parts = [part for _, part in parts]
        room = ROOM_FACES
        self.labels = np.array([0, 0, 0, 0, 1, 2, *(item.label for item, _ in parts)], np.uint8)
        self.materials = np.array([*scene.surfaces, *(p.material for p in self.parts)], np.int16)
        yaws = np.array([0.0] * room + [item.pose.yaw for item, _ in parts])
        self.cos, self.sin = np.cos(yaws).astype(np.float32), np.sin(yaws).astype(np.float32)
        poses = [item.pose.place(*part.centre) for item, part in parts]
        self.centres = np.array([(0.0, 0.0, 0.0)] * room + [(p.x, p.y, p.z) for p in poses], np.float32)
        self.first = np.cumsum([room, *(len(item.parts) for item in scene.items)])
        self.corners = self._corners()

    def _corners(self) -> Floats:
        """Return the corners [P, 8, 3] of the parts' enclosing boxes in the world."""
        half = np.array([part.bounds for part in self.parts], np.float32).reshape(-1, 1, 3)
        signs = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32)
        x, y, z = np.moveaxis(half * signs, -1, 0)
        cos, sin = self.cos[ROOM_FACES:, None], self.sin[ROOM_FACES:, None]
        return np.stack([cos * x - sin * y, sin * x + cos * y, z], -1) + self.centres[ROOM_FACES:, None]

    def rows(self, item: int) -> slice:
        """Return which of the parts, counted without the faces of the room, are an item's."""
        return slice(self.first[item] - ROOM_FACES, self.first[item + 1] - ROOM_FACES)


@dataclass(frozen=True)
class Hits:
    """What rays [S, H, W] meet: t (z-buffer depth), the row of the part table, and the face entered."""

    depth: Floats
    part: npt.NDArray[np.int16]
    face: npt.NDArray[np.int8]


def turn(vector: Triple, cos: Floats | np.float32, sin: Floats | np.float32) -> Triple:
    """Return world vectors in the frame of an item with the given heading."""
    x, y, z = vector
    return np.stack([x * cos + y * sin, y * cos - x * sin, z])


def interval(part: Part, origin: Triple, direction: Triple, inverse: Triple) -> tuple[Floats, Floats, npt.NDArray]:
    """Return (enter, leave, face) of rays in the item's frame and one part; `origin` [3] or [3, N]."""
    start = (origin.T - np.array(part.centre, np.float32)).T
    if part.shape == "box":
        return box_interval(start, inverse, part.half)
    if part.shape == "ellipsoid":
        return ellipsoid_interval(start, direction, part.half)
    radius, slope, height = part.half
    order = list(AXIS_ORDER[part.axis])
    enter, leave, face = cylinder_interval(start[order], direction[order], radius, height, slope)
    if part.axis != 2:
        np.copyto(face, np.int8(part.axis), where=face == 2)
    return enter, leave, face


def cast(scene: Plan, table: PartTable, camera: Camera, rays: Triple) -> Hits:
    """Return the first surfaces that camera rays [3, S, H, W] meet."""
    hits = _cast_room(scene, camera, rays)
    windows = camera.windows(table.corners, rays.shape[-1])
    for number, item in enumerate(scene.items):
        rows = windows[table.rows(number)]
        seen = rows[(rows[:, 0] < rows[:, 1]) & (rows[:, 2] < rows[:, 3])]
        if len(seen):
            whole = seen[:, 0].min(), seen[:, 1].max(), seen[:, 2].min(), seen[:, 3].max()
            _cast_item(item, int(table.first[number]), rows, whole, camera, rays, hits)
    return hits


def _cast_room(scene: Plan, camera: Camera, rays: Triple) -> Hits:
    far = rays > 0
    start, size = np.array(camera.position), np.array(scene.size)
    ends = np.where(far.T, np.float32(size - start), np.float32(-start)).T
    exits = ends / rays
    depth = np.minimum(np.minimum(exits[0], exits[1]), exits[2])
    face = np.where(exits[2] == depth, 2, np.where(exits[1] == depth, 1, 0)).astype(np.int8)
    part = np.where(face == 2, 4 + far[2], np.where(face == 1, 2 + far[1], far[0])).astype(np.int16)
    return Hits(depth, part, face)


def _cast_item(
    item: Item, first: int, rows: np.ndarray, whole: tuple[int, int, int, int], camera: Camera, rays: Triple, hits: Hits
) -> None:
    """Test one item in its own frame, and write what is nearer into `hits`."""
    top, bottom, left, right = whole
    cos, sin = np.float32(np.cos(item.pose.yaw)), np.float32(np.sin(item.pose.yaw))
    origin = turn(np.subtract(camera.position, item.pose.point), float(cos), float(sin)).astype(np.float32)  # type: ignore[arg-type]
    way = nonzero(turn(rays[..., top:bottom, left:right], cos, sin))
    inverse = np.float32(1) / way
    for number, (part, (y0, y1, x0, x1)) in enumerate(zip(item.parts, rows, strict=True)):
        if y0 >= y1 or x0 >= x1:
            continue
        inner = (..., slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
        window = (..., slice(y0, y1), slice(x0, x1))
        enter, leave, face = interval(part, origin, way[inner], inverse[inner])
        nearer = (enter < leave) & (enter > NEAR) & (enter < hits.depth[window])
        np.copyto(hits.depth[window], enter, where=nearer)
        np.copyto(hits.face[window], face, where=nearer)
        np.copyto(hits.part[window], np.int16(first + number), where=nearer)


@dataclass(frozen=True)
class Surfaces:
    """The surface points that were met: world position and normal, texture coordinates in metres."""

    position: Triple
    normal: Triple
    along: Floats
    up: Floats


def surfaces(table: PartTable, camera: Camera, rays: Triple, hits: Hits) -> Surfaces:
    """Return positions, normals and texture coordinates of what the rays met."""
    position = np.array(camera.position, np.float32)[:, None, None, None] + hits.depth * rays
    cos, sin = table.cos[hits.part], table.sin[hits.part]
    local = turn(position - table.centres.T[:, hits.part], cos, sin)
    way = turn(rays, cos, sin)
    x, y, z = normal = np.stack([np.where(hits.face == a, -np.sign(way[a]), np.float32(0)) for a in range(3)])
    along = np.where(hits.face == 0, local[1], local[0])
    up = np.where(hits.face == 2, local[1], local[2])
    for part, order, where in _curved(table, hits):
        own = local.reshape(3, -1)[:, where][order]
        radius, slope, _ = part.half
        vectors = cylinder_normal(own, radius, slope) if part.shape == "cylinder" else ellipsoid_normal(own, part.half)
        normal.reshape(3, -1)[np.array(order)[:, None], where] = vectors
        along.ravel()[where] = np.arctan2(own[1], own[0]) * np.float32(radius)
        up.ravel()[where] = own[2]
    return Surfaces(position, np.stack([cos * x - sin * y, sin * x + cos * y, z]), along, up)


def _curved(table: PartTable, hits: Hits) -> Iterator[tuple[Part, list[int], npt.NDArray[np.intp]]]:
    """Yield every part seen on a curved face, the order of its own axes, and the flat indices of its rays."""
    where = np.flatnonzero(hits.face == CURVED)
    rows = hits.part.ravel()[where]
    for row in np.unique(rows):
        part = table.parts[row - ROOM_FACES]
        yield part, list(AXIS_ORDER[part.axis if part.shape == "cylinder" else 2]), where[rows == row]


def curvature(table: PartTable, hits: Hits, position: Triple) -> Floats:
    """Return the principal curvatures [..., 2] in 1/m of what was met, larger first; convex > 0, flat 0."""
    values = np.zeros((*hits.depth.shape, 2), np.float32)
    flat = values.reshape(-1, 2)
    for part, order, where in _curved(table, hits):
        row = hits.part.ravel()[where[0]]
        world = position.reshape(3, -1)[:, where] - table.centres[row][:, None]
        own = turn(world, table.cos[row], table.sin[row])[order]
        cylinder = part.shape == "cylinder"
        pair = cylinder_curvature(own, *part.half[:2]) if cylinder else ellipsoid_curvature(own, part.half)
        flat[where, 0], flat[where, 1] = pair
    return values


def visibility(scene: Plan, table: PartTable, light: Light, position: Triple, normal: Triple) -> Floats:
    """Return which points [H, W] see a light, in [0, 1].

    Soft shadows: the four pixels of every 2 x 2 square look at four points of the light, and a binomial 3 x 3 filter,
    which weighs all four equally, blends them.
    """
    shape = position.shape[1:]
    parity = np.add.outer(np.arange(shape[0]) % 2 * 2, np.arange(shape[1]) % 2).astype(int)
    shift = np.array([(-1, -1, -1), (1, -1, 1), (-1, 1, 1), (1, 1, -1)], np.float32)[parity] * np.float32(light.radius)
    target = np.moveaxis(np.array(light.position, np.float32) + shift, -1, 0)
    lit = np.flatnonzero(dot(target - position, normal) > 0)
    start = (position + _BIAS * normal).reshape(3, -1)[:, lit]
    way = target.reshape(3, -1)[:, lit] - start
    dark = np.zeros(len(lit), bool)
    offset = start - np.array(light.position, np.float32)[:, None]
    distance = np.sqrt(offset[0] ** 2 + offset[1] ** 2 + offset[2] ** 2)
    towards = offset * (1 / np.maximum(distance, np.float32(1e-3)))
    for number, item in enumerate(scene.items):
        corners = table.corners[table.rows(number)]
        inside = _shaded_cone(light, corners.reshape(-1, 3), distance, towards)
        if len(inside):
            dark[inside] |= _blocked(item, start[:, inside], way[:, inside])
    seen = np.ones(shape, np.float32)
    seen.ravel()[lit] = ~dark
    return _binomial(seen)


def _shaded_cone(light: Light, corners: Floats, distance: Floats, towards: Triple) -> npt.NDArray[np.intp]:
    """Return the points that a solid with the given corners can hide from a light: those in its sphere's cone."""
    low, high = corners.min(0), corners.max(0)
    middle = (low + high) / 2 - np.array(light.position, np.float32)
    radius = float(np.sqrt(((high - low) ** 2).sum())) / 2 + light.radius * 1.8
    away = float(np.sqrt((middle**2).sum()))
    if radius >= away:
        return np.arange(len(distance))
    return np.flatnonzero(
        (dot(towards, middle) > np.float32(np.sqrt(away**2 - radius**2))) & (distance > away - radius)
    )


def _blocked(item: Item, start: Triple, way: Triple) -> npt.NDArray[np.bool_]:
    """Return which shadow rays [3, N] an item stops before they reach the light (t = 1)."""
    cos, sin = np.float32(np.cos(item.pose.yaw)), np.float32(np.sin(item.pose.yaw))
    origin = turn(start - np.array(item.pose.point, np.float32)[:, None], cos, sin)
    direction = nonzero(turn(way, cos, sin))
    inverse = np.float32(1) / direction
    blocked = np.zeros(start.shape[1], bool)
    for part in item.parts:
        enter, leave, _ = interval(part, origin, direction, inverse)
        blocked |= (enter < leave) & (leave > 1e-4) & (enter < 1)
    return blocked


def _binomial(values: Floats) -> Floats:
    """Return values [H, W] filtered by (1, 2, 1) / 4 along both axes, borders repeated."""
    padded = np.pad(values, 1, mode="edge")
    rows = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    return (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) * np.float32(1 / 16)
