"""The rest of a room: lamps, boxes, unlabelled clutter, columns, and the flat doors, windows, pictures and rugs."""

from __future__ import annotations

import numpy as np

from cen_cli.data.rooms import settings as names
from cen_cli.data.rooms.decals import PATTERN_NAMES, Decal
from cen_cli.data.rooms.furniture import ball, box, pillar, roll
from cen_cli.data.rooms.layout import NoRoomLeft, Part, Plan, Pose
from cen_cli.data.rooms.materials import Material
from cen_cli.results import VOID

_SHADES = ("plain", "fabric", "stripes", "dots")


def _shade_material(plan: Plan) -> int:
    """Return a lampshade's material; it glows a little when the lamp is on."""
    cloth = plan.palette.item(names.LAMP, _SHADES)
    glow = plan.between(0.2, 0.8) if plan.chance(0.4) else 0.0
    return plan.material(Material(cloth.kind, cloth.first, cloth.second, cloth.scale, glow))


def floor_lamp(plan: Plan) -> None:
    """Add a standing lamp near a wall or corner: foot, pole, and a shade that is conical, round or a drum."""
    pose = plan.against_wall(0.5, 0.5, 1.5)
    shade, metal = _shade_material(plan), plan.accent(names.LAMP, "plain", "wood")
    height, radius = plan.between(1.35, 1.7), plan.between(0.2, 0.27)
    parts = [
        pillar(metal, 0, 0, 0, 0.17, 0.04, 0.1),
        pillar(metal, 0, 0, 0.04, plan.between(0.02, 0.04), height - 0.2),
        _shade(plan, shade, height - 0.2, radius),
    ]
    plan.add(names.LAMP, pose, parts)


def _shade(plan: Plan, material: int, bottom: float, radius: float) -> Part:
    """Return a lampshade whose underside is at the given height."""
    kind, height = plan.pick(3), radius * plan.between(1.2, 1.6)
    if kind == 0:
        return ball(material, 0, 0, bottom + radius, radius, radius, radius)
    top = radius if kind == 1 else radius * plan.between(0.45, 0.75)
    return pillar(material, 0, 0, bottom, radius, height, top)


def table_lamp(plan: Plan) -> None:
    """Add a lamp on a free top, with a round or straight foot."""
    pose = _on_a_top(plan)
    shade, body = _shade_material(plan), plan.accent(names.LAMP, "plain", "stripes")
    height, radius = plan.between(0.16, 0.26), plan.between(0.12, 0.17)
    foot = ball(body, 0, 0, height / 2, 0.09, 0.09, height / 2)
    if plan.chance(0.4):
        foot = pillar(body, 0, 0, 0, 0.09, height, 0.04)
    plan.add(names.LAMP, pose, [foot, _shade(plan, shade, height, radius)])


def pendant(plan: Plan) -> None:
    """Add a lamp hanging from the ceiling."""
    shade, cord = _shade_material(plan), plan.accent(names.LAMP, "plain")
    width, depth, height = plan.size
    pose = Pose(width * plan.between(0.3, 0.7), depth * plan.between(0.3, 0.7))
    bottom, radius = height - plan.between(0.45, 0.75), plan.between(0.16, 0.26)
    part = _shade(plan, shade, bottom, radius)
    top = part.centre[2] + part.bounds[2] - 0.01
    plan.add(names.LAMP, pose, [part, pillar(cord, 0, 0, top, 0.012, height - top)])


def _on_a_top(plan: Plan) -> Pose:
    """Return a place on a table or cabinet and use it up; raises NoRoomLeft."""
    if not plan.tops:
        raise NoRoomLeft
    middle, wide, deep = plan.tops.pop(plan.pick(len(plan.tops)))
    side = -1 if plan.chance(0.5) else 1
    if wide > 0.3:  # the other half stays free
        plan.tops.append((middle.place(-side * wide * 0.6, 0), wide * 0.3, deep))
        return middle.place(side * wide * 0.6, plan.between(-1, 1) * deep * 0.5)
    return middle.place(plan.between(-1, 1) * wide * 0.5, 0)


def boxes(plan: Plan) -> None:
    """Add a cardboard box, a pair of stacked ones or a round bin on the floor, or a small box on a top."""
    label = names.BOX
    if plan.chance(0.25):
        pose = _on_a_top(plan)
        main = plan.paint(label, "plain", "stripes", "checks", "wood")
        sizes = plan.between(0.2, 0.36), plan.between(0.16, 0.28), plan.between(0.12, 0.25)
        turned = Pose(pose.x, pose.y, pose.z, pose.yaw + plan.between(-0.4, 0.4))
        plan.add(label, turned, [box(main, 0, 0, 0, *sizes)])
        return
    width, depth, height = plan.between(0.35, 0.65), plan.between(0.3, 0.55), plan.between(0.28, 0.55)
    pose = plan.in_the_open(width + 0.1, depth + 0.1, clear=0.05)
    main = plan.paint(label, "plain", "plain", "stripes", "wood", "checks")
    kind = plan.pick(4)
    if kind == 0:
        parts = [pillar(main, 0, 0, 0, width / 2 - 0.08, height, width / 2)]
    else:
        parts = [box(main, 0, 0, 0, width, depth, height)]
    if kind == 1:
        second = plan.accent(label, "plain", "stripes")
        parts.append(box(second, 0.03, -0.02, height, width * 0.7, depth * 0.75, height * 0.6))
    plan.add(label, Pose(pose.x, pose.y, 0, plan.between(0, np.pi)), parts)


def clutter(plan: Plan) -> None:
    """Add something of no class: a vase, a ball or a rolled-up blanket."""
    kind = plan.pick(3)
    pose = _on_a_top(plan) if kind == 0 else plan.in_the_open(0.4, 0.3, clear=0.05, tries=4)
    main = plan.paint(0, "plain", "stripes", "checks")
    if kind == 0:
        parts = [ball(main, 0, 0, 0.1, 0.09, 0.09, 0.1), pillar(main, 0, 0, 0.17, 0.035, 0.12, 0.06)]
    elif kind == 1:
        radius = plan.between(0.1, 0.2)
        parts = [ball(main, 0, 0, radius, radius, radius, radius)]
    else:
        parts = [roll(main, 0, 0, 0.11, 0.11, 0.5, 0)]
    plan.add(VOID, pose, parts)


def column(plan: Plan) -> None:
    """Add a round column, part of the walls, in a corner or along a wall."""
    radius = plan.between(0.14, 0.28)
    pose = plan.against_wall(2 * radius, 2 * radius, plan.size[2])
    plan.add(names.WALL, pose, [pillar(plan.surfaces[0], 0, 0, -0.01, radius, plan.size[2] + 0.02)])


def door(plan: Plan) -> None:
    """Put a door into a wall and keep the floor before it free."""
    half, height = plan.between(0.42, 0.52), plan.between(2.0, 2.15)
    _on_a_wall(plan, names.DOOR, half, height / 2, height / 2, before=0.6, tries=8)


def window(plan: Plan) -> None:
    """Put a window into a wall."""
    half, tall = plan.between(0.4, 0.9), plan.between(0.45, 0.68)
    middle = plan.between(1.45, 1.65)
    _on_a_wall(plan, names.WINDOW, half, tall, middle, glow=plan.between(0.15, 0.6) if plan.chance(0.5) else 0.0)


def picture(plan: Plan) -> None:
    """Hang a picture or poster on a wall, where no furniture hides it."""
    _on_a_wall(plan, names.PICTURE, plan.between(0.2, 0.5), plan.between(0.2, 0.45), plan.between(1.4, 1.75))


def _on_a_wall(
    plan: Plan,
    label: int,
    half: float,
    tall: float,
    middle: float,
    *,
    glow: float = 0.0,
    before: float = 0.0,
    tries: int = 10,
) -> None:
    """Add a decal of the given half sizes where the wall, and the floor so far `before` it, is free."""
    for _ in range(tries):
        wall = plan.pick(4)
        along = plan.between(half + 0.1, plan.wall_length(wall) - half - 0.1)
        floor = (plan.facing(wall, along, before / 2 + 0.001), 2 * half, before) if before else None
        if plan.claim_wall(wall, along, half, middle - tall, middle + tall, before=floor):
            pattern, colours = _pattern(plan, label), plan.palette.decal(label)
            plan.decals.append(Decal(wall, label, (along, middle), (half, tall), pattern, colours, glow=glow))
            return


def rug(plan: Plan) -> None:
    """Lay a rug on the floor, angular or round, where most of it is in the open."""
    width, depth, _ = plan.size
    half = plan.between(0.6, 1.2), plan.between(0.5, 0.9)
    if plan.chance(0.5):
        half = half[1], half[0]
    x = plan.between(min(half[0] + 0.2, width / 2), max(width - half[0] - 0.2, width / 2))
    y = plan.between(min(half[1] + 0.2, depth / 2), max(depth - half[1] - 0.2, depth / 2))
    pattern, colours = _pattern(plan, names.RUG), plan.palette.decal(names.RUG)
    plan.decals.append(Decal(4, names.RUG, (x, y), half, pattern, colours, round=plan.chance(0.3)))


def _pattern(plan: Plan, label: int) -> str:
    return PATTERN_NAMES[label][plan.pick(len(PATTERN_NAMES[label]))]
