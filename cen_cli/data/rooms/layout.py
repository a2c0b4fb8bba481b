"""What a room is made of, and the floor plan that furniture is placed on.

A room is a box [0, width] x [0, depth] x [0, height]; an item of furniture stands somewhere with a heading, and
consists of convex parts. The plan keeps track of the floor and the stretches of wall that are taken.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from cen_cli.data.rooms.decals import Decal
from cen_cli.data.rooms.materials import Material
from cen_cli.data.rooms.palette import Palette

Shape = Literal["box", "cylinder", "ellipsoid"]
Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Part:
    """A convex solid of an item, in the item's frame.

    `half` are the half sizes of a box, the radii of an ellipsoid, or a cylinder's (radius, slope, half height), its own
    z lying along the item's `axis`; a cylinder with a slope is a frustum.
    """

    shape: Shape
    centre: Vector
    half: Vector
    material: int
    axis: int = 2

    @property
    def bounds(self) -> Vector:
        """Half sizes of the enclosing box in the item's frame."""
        if self.shape != "cylinder":
            return self.half
        radius, slope, height = self.half
        widest = radius + abs(slope) * height
        sizes = [widest, widest, widest]
        sizes[self.axis] = height
        return sizes[0], sizes[1], sizes[2]


@dataclass(frozen=True)
class Pose:
    """Where an item stands: its floor point, its height above the floor, and its heading (radians; front = local y)."""

    x: float
    y: float
    z: float = 0.0
    yaw: float = 0.0

    @property
    def point(self) -> Vector:
        """The floor point with the height above the floor."""
        return self.x, self.y, self.z

    def place(self, dx: float, dy: float, z: float = 0.0, turn: float = 0.0) -> Pose:
        """Return the pose of something at (dx, dy) in this pose's frame, turned by `turn`."""
        cos, sin = np.cos(self.yaw), np.sin(self.yaw)
        return Pose(self.x + cos * dx - sin * dy, self.y + sin * dx + cos * dy, self.z + z, self.yaw + turn)


@dataclass(frozen=True)
class Item:
    """A piece of furniture: pose, class and parts."""

    pose: Pose
    label: int
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Light:
    """A lamp's or ceiling light's glow: position, radius of its soft shadow, and colour times strength."""

    position: Vector
    radius: float
    strength: Vector


class NoRoomLeft(Exception):  # noqa: N818 (nothing is wrong: that piece is left out)
    """There is no place for a piece."""


@dataclass
class Plan:
    """A room, furnished or on the way to it.

    `surfaces` are the materials of the faces x = 0, width, y = 0, depth, z = 0, height; `ambient` is the strength of
    the light that comes from everywhere. `tops` are free for small things to stand on: the middle of each, and how far
    from it to the sides and to front and back they may be.
    """

    size: Vector
    draw: np.random.Generator = field(compare=False)
    palette: Palette = field(compare=False)
    items: list[Item] = field(default_factory=list)
    decals: list[Decal] = field(default_factory=list)
    lights: list[Light] = field(default_factory=list)
    materials: list[Material] = field(default_factory=list)
    tops: list[tuple[Pose, float, float]] = field(default_factory=list)
    floor: list[tuple[float, float, float, float]] = field(default_factory=list)
    walls: list[tuple[int, float, float, float, float]] = field(default_factory=list)
    surfaces: tuple[int, ...] = ()
    ambient: float = 0.0

    def material(self, material: Material) -> int:
        """Register a material and return its number."""
        self.materials.append(material)
        return len(self.materials) - 1

    def paint(self, label: int, *kinds: str) -> int:
        """Return the number of a new item's main material."""
        return self.material(self.palette.item(label, kinds))

    def accent(self, label: int, *kinds: str) -> int:
        """Return the number of a second material for the item painted last."""
        return self.material(self.palette.accent(label, kinds))

    def add(self, label: int, pose: Pose, parts: list[Part]) -> None:
        """Put an item of a class into the room."""
        self.items.append(Item(pose, label, tuple(parts)))

    def chance(self, probability: float) -> bool:
        """Return True with the given probability."""
        return bool(self.draw.random() < probability)

    def between(self, low: float, high: float) -> float:
        """Return a uniform number."""
        return float(low + (high - low) * self.draw.random())

    def pick(self, count: int) -> int:
        """Return one of 0 .. count - 1."""
        return int(self.draw.integers(count))

    def wall_length(self, wall: int) -> float:
        """Return the length of a wall; walls are the faces x = 0, x = width, y = 0, y = depth."""
        return self.size[1] if wall < 2 else self.size[0]

    def against_wall(self, width: float, depth: float, height: float) -> Pose:
        """Find room for something of the given size with its back to a wall, and claim it. Raises NoRoomLeft."""
        for _ in range(14):
            wall = self.pick(4)
            length = self.wall_length(wall)
            if length < width + 0.1:
                continue
            along = self.between(width / 2 + 0.03, length - width / 2 - 0.03)
            pose = self.facing(wall, along, depth / 2 + 0.01)
            if self.claim_wall(wall, along, width / 2, 0, height, before=(pose, width, depth)):
                return pose
        raise NoRoomLeft

    def in_the_open(self, width: float, depth: float, *, clear: float = 0.4, tries: int = 14) -> Pose:
        """Find room away from the walls, and claim it; the heading is nearly along a wall. Raises NoRoomLeft."""
        for _ in range(tries):
            reach = max(width, depth) / 2 + clear
            if min(self.size[:2]) < 2 * reach:
                break
            yaw = self.pick(4) * np.pi / 2 + self.between(-0.12, 0.12)
            x, y = self.between(reach, self.size[0] - reach), self.between(reach, self.size[1] - reach)
            pose = Pose(x, y, 0, yaw)
            if self.claim_floor(pose, width, depth):
                return pose
        raise NoRoomLeft

    def claim_floor(self, pose: Pose, width: float, depth: float, margin: float = 0.04) -> bool:
        """Claim the floor under something of the given size, if it is free and inside the room."""
        cos, sin = abs(np.cos(pose.yaw)), abs(np.sin(pose.yaw))
        dx, dy = (cos * width + sin * depth) / 2, (sin * width + cos * depth) / 2
        x0, x1, y0, y1 = pose.x - dx, pose.x + dx, pose.y - dy, pose.y + dy
        if x0 < 0 or y0 < 0 or x1 > self.size[0] or y1 > self.size[1]:
            return False
        for a0, a1, b0, b1 in self.floor:
            if x0 < a1 + margin and x1 > a0 - margin and y0 < b1 + margin and y1 > b0 - margin:
                return False
        self.floor.append((x0, x1, y0, y1))
        return True

    def claim_wall(
        self,
        wall: int,
        along: float,
        reach: float,
        bottom: float,
        top: float,
        *,
        before: tuple[Pose, float, float] | None = None,
    ) -> bool:
        """Claim a rectangle of a wall, and the floor `before` it (see `claim_floor`), if both are free."""
        low, high, margin = along - reach, along + reach, 0.05
        for other, a, b, c, d in self.walls:
            if other == wall and low < b + margin and high > a - margin and bottom < d + margin and top > c - margin:
                return False
        if before is not None and not self.claim_floor(*before):
            return False
        self.walls.append((wall, low, high, bottom, top))
        return True

    def facing(self, wall: int, along: float, distance: float) -> Pose:
        """Return the pose at a distance from a wall, facing away from it."""
        width, depth, _ = self.size
        if wall == 0:
            return Pose(distance, along, 0, -np.pi / 2)
        if wall == 1:
            return Pose(width - distance, along, 0, np.pi / 2)
        if wall == 2:
            return Pose(along, distance, 0, 0)
        return Pose(along, depth - distance, 0, np.pi)
