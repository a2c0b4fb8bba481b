"""Rays into a room: the first surface that each ray meets, and whether points see a light.

The room itself is the inside of a box, so some face of it always stops a ray. Items are culled by the part of the
picture they can cover (camera rays) or by the cone they can shade (shadow rays), then rays are turned into the
item's frame once and tested against its parts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cen_cli.data.rooms.camera import NEAR, Camera
from cen_cli.data.rooms.geometry import (
    AXIS_ORDER,
    CURVED,
    Floats,
    Point,
    Triple,
    box_interval,
    cylinder_curvature,
    cylinder_interval,
    cylinder_normal,
    ellipsoid_curvature,
    ellipsoid_interval,
    ellipsoid_normal,
)
from cen_cli.data.rooms.layout import Item, Light, Part, Scene

ROOM_FACES = 6
_BIAS = 2e-3
"""Shadow rays start this far above their surface, in metres."""


class PartTable:
    """All solids of a scene as arrays: rows 0-5 are the faces of the room, then the parts, item by item."""

    def __init__(self, scene: Scene) -> None:
        parts = [(item, part) for item in scene.items for part in item.parts]
        self.parts = [part for _, part in parts]
        self.items = scene.items
        room = ROOM_FACES
        self.labels = np.array([0, 0, 0, 0, 1, 2, *(p.label for p in self.parts)], np.uint8)
        self.materials = np.array([*scene.surfaces, *(p.material for p in self.parts)], np.int16)
        yaws = np.array([0.0] * room + [item.pose.yaw for item, _ in parts])
        self.cos, self.sin = np.cos(yaws).astype(np.float32), np.sin(yaws).astype(np.float32)
        centres = [(0.0, 0.0, 0.0)] * room + [_to_world(item, part.centre) for item, part in parts]
        self.centres = np.array(centres, np.float32)
        self.first = np.cumsum([room, *(len(item.parts) for item in scene.items)])
        self.corners = self._corners()

    def _corners(self) -> Floats:
        """Return the corners [P, 8, 3] of the parts' enclosing boxes in the world."""
        half = np.array([part.bounds for part in self.parts], np.float32).reshape(-1, 1, 3)
        signs = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32)
        local = half * signs
        cos, sin = self.cos[ROOM_FACES:, None], self.sin[ROOM_FACES:, None]
        x = cos * local[..., 0] - sin * local[..., 1]
        y = sin * local[..., 0] + cos * local[..., 1]
        return np.stack([x, y, local[..., 2]], -1) + self.centres[ROOM_FACES:, None]


def _to_world(item: Item, point: tuple[float, float, float]) -> tuple[float, float, float]:
    pose = item.pose.place(point[0], point[1], point[2])
    return pose.x, pose.y, pose.z


@dataclass(frozen=True)
class Hits:
    """What rays [S, H, W] meet: t (z-buffer depth), the row of the part table, and the face entered."""

    depth: Floats
    part: npt.NDArray[np.int16]
    face: npt.NDArray[np.int8]


def turn(vector: Point, cos: float, sin: float) -> Point:
    """Return world vectors in the frame of an item with the given heading."""
    x, y, z = vector
    return x * cos + y * sin, y * cos - x * sin, z


def interval(part: Part, origin: Point, direction: Triple, inverse: Triple) -> tuple[Floats, Floats, npt.NDArray]:
    """Return (enter, leave, face) of rays in the item's frame and one part."""
    start: Point = tuple(o - np.float32(c) for o, c in zip(origin, part.centre, strict=True))  # type: ignore[assignment]
    if part.shape == "box":
        return box_interval(start, inverse, part.half)
    if part.shape == "ellipsoid":
        return ellipsoid_interval(start, direction, part.half)
    i, j, k = AXIS_ORDER[part.axis]
    radius, slope, height = part.half
    own, way = (start[i], start[j], start[k]), (direction[i], direction[j], direction[k])
    enter, leave, face = cylinder_interval(own, way, radius, height, slope)
    if part.axis != 2:
        np.copyto(face, np.int8(part.axis), where=face == 2)
    return enter, leave, face


def cast(scene: Scene, table: PartTable, camera: Camera, rays: Triple) -> Hits:
    """Return the first surfaces that camera rays [S, H, W] meet."""
    hits = _cast_room(scene, camera, rays)
    size = rays[0].shape[-1]
    windows = camera.windows(table.corners, size)
    for number, item in enumerate(scene.items):
        rows = windows[table.first[number] - ROOM_FACES : table.first[number + 1] - ROOM_FACES]
        seen = rows[(rows[:, 0] < rows[:, 1]) & (rows[:, 2] < rows[:, 3])]
        if len(seen):
            whole = seen[:, 0].min(), seen[:, 1].max(), seen[:, 2].min(), seen[:, 3].max()
            _cast_item(item, int(table.first[number]), rows, whole, camera, rays, hits)
    return hits


def _cast_room(scene: Scene, camera: Camera, rays: Triple) -> Hits:
    exits, faces = [], []
    for axis in range(3):
        far = rays[axis] > 0
        start, size = camera.position[axis], scene.size[axis]
        exits.append(np.where(far, np.float32(size - start), np.float32(-start)) / rays[axis])
        faces.append(far)
    depth = np.minimum(np.minimum(exits[0], exits[1]), exits[2])
    face = np.where(exits[2] == depth, 2, np.where(exits[1] == depth, 1, 0)).astype(np.int8)
    part = np.where(face == 2, 4 + faces[2], np.where(face == 1, 2 + faces[1], faces[0])).astype(np.int16)
    return Hits(depth, part, face)


def _cast_item(
    item: Item, first: int, rows: np.ndarray, whole: tuple[int, int, int, int], camera: Camera, rays: Triple, hits: Hits
) -> None:
    """Test one item in its own frame, and write what is nearer into `hits`."""
    top, bottom, left, right = whole
    pose = item.pose
    cos, sin = np.float32(np.cos(pose.yaw)), np.float32(np.sin(pose.yaw))
    origin = turn(tuple(np.subtract(camera.position, (pose.x, pose.y, pose.z))), float(cos), float(sin))
    origin = tuple(np.float32(o) for o in origin)  # type: ignore[assignment]
    way = _nonzero(turn(tuple(d[:, top:bottom, left:right] for d in rays), cos, sin))  # type: ignore[arg-type]
    inverse = tuple(1 / d for d in way)
    for number, part in enumerate(item.parts):
        y0, y1, x0, x1 = rows[number]
        if y0 >= y1 or x0 >= x1:
            continue
        inner = (slice(None), slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
        window = (slice(None), slice(y0, y1), slice(x0, x1))
        directions: Triple = tuple(d[inner] for d in way)  # type: ignore[assignment]
        inverses: Triple = tuple(d[inner] for d in inverse)  # type: ignore[assignment]
        enter, leave, face = interval(part, origin, directions, inverses)
        nearer = (enter < leave) & (enter > NEAR) & (enter < hits.depth[window])
        np.copyto(hits.depth[window], enter, where=nearer)
        np.copyto(hits.face[window], face, where=nearer)
        np.copyto(hits.part[window], np.int16(first + number), where=nearer)


def _nonzero(vector: Point) -> Triple:
    """Return directions without zero components, which the intersections cannot have."""
    tiny = np.float32(1e-6)
    x, y, z = (np.where(np.abs(component) < tiny, tiny, component) for component in vector)
    return x, y, z


@dataclass(frozen=True)
class Surfaces:
    """The surface points that were met: world position and normal, texture coordinates in metres, part rows [...]."""

    position: Triple
    normal: Triple
    along: Floats
    up: Floats
    part: npt.NDArray[np.int16]
    face: npt.NDArray[np.int8]


def surfaces(table: PartTable, camera: Camera, rays: Triple, hits: Hits) -> Surfaces:
    """Return positions, normals and texture coordinates of what the rays met."""
    position: Triple = tuple(np.float32(o) + hits.depth * d for o, d in zip(camera.position, rays, strict=True))  # type: ignore[assignment]
    cos, sin = table.cos[hits.part], table.sin[hits.part]
    centres = [table.centres[:, axis][hits.part] for axis in range(3)]
    local = turn(tuple(p - c for p, c in zip(position, centres, strict=True)), cos, sin)  # type: ignore[arg-type]
    way = turn(rays, cos, sin)
    normal = [np.where(hits.face == axis, -np.sign(way[axis]), np.float32(0)) for axis in range(3)]
    along = np.where(hits.face == 0, local[1], local[0])
    up = np.where(hits.face == 2, local[1], local[2])
    _curve(table, hits, local, normal, along, up)  # type: ignore[arg-type]
    turned = cos * normal[0] - sin * normal[1], sin * normal[0] + cos * normal[1], normal[2]
    return Surfaces(position, turned, along, up, hits.part, hits.face)


def curved_parts(table: PartTable, hits: Hits) -> list[tuple[Part, npt.NDArray[np.intp]]]:
    """Return every part seen on a curved face, with the flat indices of its rays."""
    where = np.flatnonzero(hits.face == CURVED)
    rows = hits.part.ravel()[where]
    return [(table.parts[row - ROOM_FACES], where[rows == row]) for row in np.unique(rows)]


def _own_frame(part: Part, local: Triple, where: npt.NDArray[np.intp]) -> Triple:
    order = AXIS_ORDER[part.axis] if part.shape == "cylinder" else AXIS_ORDER[2]
    first, second, third = (local[axis].ravel()[where] for axis in order)
    return first, second, third


def _curve(table: PartTable, hits: Hits, local: Triple, normal: list[Floats], along: Floats, up: Floats) -> None:
    """Fill in the normals (item frame) and texture coordinates of curved faces."""
    for part, where in curved_parts(table, hits):
        own = _own_frame(part, local, where)
        if part.shape == "cylinder":
            radius, slope, _ = part.half
            order = AXIS_ORDER[part.axis]
            vectors = cylinder_normal(own, radius, slope)
            along.ravel()[where] = np.arctan2(own[1], own[0]) * np.float32(radius)
        else:
            order = AXIS_ORDER[2]
            vectors = ellipsoid_normal(own, part.half)
            along.ravel()[where] = np.arctan2(own[1], own[0]) * np.float32(part.half[0])
        up.ravel()[where] = own[2]
        for axis, values in zip(order, vectors, strict=True):
            normal[axis].ravel()[where] = values


def curvature(table: PartTable, hits: Hits, position: Triple) -> Floats:
    """Return the principal curvatures [..., 2] in 1/m of what was met, larger first; convex > 0, flat 0."""
    values = np.zeros((*hits.depth.shape, 2), np.float32)
    flat = values.reshape(-1, 2)
    for part, where in curved_parts(table, hits):
        row = hits.part.ravel()[where[0]]
        world = tuple(p.ravel()[where] - table.centres[row, axis] for axis, p in enumerate(position))
        local = turn(world, table.cos[row], table.sin[row])
        if part.shape == "cylinder":
            i, j, k = AXIS_ORDER[part.axis]
            pair = cylinder_curvature((local[i], local[j], local[k]), part.half[0], part.half[1])  # type: ignore[arg-type]
        else:
            pair = ellipsoid_curvature(local, part.half)  # type: ignore[arg-type]
        flat[where, 0], flat[where, 1] = pair
    return values


def visibility(scene: Scene, table: PartTable, light: Light, position: Triple, normal: Triple) -> Floats:
    """Return which points [H, W] see a light, in [0, 1].

    Soft shadows: the four pixels of every 2 x 2 square look at four points of the light, and a binomial 3 x 3 filter,
    which weighs all four equally, blends them.
    """
    shape = position[0].shape
    parity = np.add.outer(np.arange(shape[0]) % 2 * 2, np.arange(shape[1]) % 2).astype(int)
    shift = np.array([(-1, -1, -1), (1, -1, 1), (-1, 1, 1), (1, 1, -1)], np.float32)[parity] * np.float32(light.radius)
    target = tuple(np.float32(light.position[axis]) + shift[..., axis] for axis in range(3))
    facing = sum((t - p) * n for t, p, n in zip(target, position, normal, strict=True))
    lit = np.flatnonzero(facing > 0)
    start: Triple = tuple((p + np.float32(_BIAS) * n).ravel()[lit] for p, n in zip(position, normal, strict=True))  # type: ignore[assignment]
    way: Triple = tuple(t.ravel()[lit] - s for t, s in zip(target, start, strict=True))
    dark = np.zeros(len(lit), bool)
    reach = _from_light(light, start)
    for number, item in enumerate(scene.items):
        corners = table.corners[table.first[number] - ROOM_FACES : table.first[number + 1] - ROOM_FACES]
        inside = _shaded_cone(light, corners.reshape(-1, 3), reach)
        if len(inside):
            dark[inside] |= _blocked(item, start, way, inside)
    seen = np.ones(shape, np.float32)
    seen.ravel()[lit] = ~dark
    return _binomial(seen)


def _from_light(light: Light, start: Triple) -> tuple[Floats, Triple]:
    """Return distances of points from a light, and the unit vectors towards them."""
    offset = tuple(s - np.float32(p) for s, p in zip(start, light.position, strict=True))
    distance = np.sqrt(offset[0] ** 2 + offset[1] ** 2 + offset[2] ** 2)
    scale = 1 / np.maximum(distance, np.float32(1e-3))
    return distance, (offset[0] * scale, offset[1] * scale, offset[2] * scale)


def _shaded_cone(light: Light, corners: Floats, reach: tuple[Floats, Triple]) -> npt.NDArray[np.intp]:
    """Return the points that a solid with the given corners can hide from a light: those in its sphere's cone."""
    low, high = corners.min(0), corners.max(0)
    middle = (low + high) / 2 - np.array(light.position, np.float32)
    radius = float(np.sqrt(((high - low) ** 2).sum())) / 2 + light.radius * 1.8
    away = float(np.sqrt((middle**2).sum()))
    if radius >= away:
        return np.arange(len(reach[0]))
    distance, (x, y, z) = reach
    cosine = x * middle[0] + y * middle[1] + z * middle[2]
    inside = (cosine > np.float32(np.sqrt(away**2 - radius**2))) & (distance > away - radius)
    return np.flatnonzero(inside)


def _blocked(item: Item, start: Triple, way: Triple, inside: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """Return which of the given shadow rays an item stops before they reach the light (t = 1)."""
    pose = item.pose
    cos, sin = np.float32(np.cos(pose.yaw)), np.float32(np.sin(pose.yaw))
    offset = tuple(s[inside] - np.float32(p) for s, p in zip(start, (pose.x, pose.y, pose.z), strict=True))
    origin = turn(offset, cos, sin)  # type: ignore[arg-type]
    direction = _nonzero(turn(tuple(d[inside] for d in way), cos, sin))  # type: ignore[arg-type]
    inverse: Triple = tuple(1 / d for d in direction)  # type: ignore[assignment]
    blocked = np.zeros(len(inside), bool)
    for part in item.parts:
        enter, leave, _ = interval(part, origin, direction, inverse)
        blocked |= (enter < leave) & (leave > 1e-4) & (enter < 1)
    return blocked


def _binomial(values: Floats) -> Floats:
    """Return values [H, W] filtered by (1, 2, 1) / 4 along both axes, borders repeated."""
    for axis in (0, 1):
        padded = np.pad(values, [(1, 1) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
        size = values.shape[axis]
        before, middle, after = (padded.take(range(i, i + size), axis) for i in range(3))
        values = (before + 2 * middle + after) * np.float32(0.25)
    return values
