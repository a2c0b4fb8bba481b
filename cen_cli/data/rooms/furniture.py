"""Furniture: each function finds a place for one piece and builds it from parts; without a place it adds nothing."""

from __future__ import annotations

import numpy as np

from cen_cli.data.rooms import settings as names
from cen_cli.data.rooms.layout import Part, Plan, Pose

_HARD = ("wood", "wood", "plain")
_SOFT = ("fabric", "fabric", "plain", "stripes", "checks")


def box(material: int, x: float, y: float, z: float, sx: float, sy: float, sz: float) -> Part:
    """Return a box by the middle of its underside and its full sizes."""
    return Part("box", (x, y, z + sz / 2), (sx / 2, sy / 2, sz / 2), material)


def pillar(material: int, x: float, y: float, z: float, radius: float, height: float, top: float | None = None) -> Part:
    """Return an upright cylinder, or a frustum when it has another radius at the `top`."""
    slope = 0.0 if top is None else (top - radius) / height
    middle = radius if top is None else (top + radius) / 2
    return Part("cylinder", (x, y, z + height / 2), (middle, slope, height / 2), material)


def roll(material: int, x: float, y: float, z: float, radius: float, length: float, axis: int) -> Part:
    """Return a lying cylinder around the given middle, along local x (0) or y (1)."""
    return Part("cylinder", (x, y, z), (radius, 0.0, length / 2), material, axis)


def ball(material: int, x: float, y: float, z: float, rx: float, ry: float, rz: float) -> Part:
    """Return an ellipsoid around the given middle."""
    return Part("ellipsoid", (x, y, z), (rx, ry, rz), material)


def legs(material: int, width: float, depth: float, height: float, thick: float) -> list[Part]:
    """Return four square legs near the corners of width x depth."""
    dx, dy = width / 2 - thick, depth / 2 - thick
    corners = ((dx, dy), (dx, -dy), (-dx, dy), (-dx, -dy))
    return [box(material, x, y, 0, thick, thick, height) for x, y in corners]


def dining(plan: Plan) -> None:
    """Add a table in the open, angular or round, with two to four chairs."""
    round_top = plan.chance(0.4)
    width, depth = (plan.between(0.9, 1.25),) * 2 if round_top else (plan.between(1.1, 1.7), plan.between(0.75, 0.95))
    pose = plan.in_the_open(width + 0.7, depth + 0.7, clear=0.1)
    _table(plan, pose, width, depth, plan.between(0.7, 0.78), round_top)
    places = [(0.0, depth / 2 + 0.1, np.pi), (0.0, -depth / 2 - 0.1, 0.0)]
    places += [(width / 2 + 0.1, 0.0, np.pi / 2), (-width / 2 - 0.1, 0.0, -np.pi / 2)]
    main, second = plan.paint(names.CHAIR, *_HARD, "fabric"), plan.accent(names.CHAIR, *_HARD)
    for dx, dy, turn in places[: 2 + plan.pick(3)]:
        away = plan.between(0, 0.18)
        spot = pose.place(dx + np.sign(dx) * away, dy + np.sign(dy) * away, 0, turn + plan.between(-0.3, 0.3))
        _chair(plan, spot, main, second, plan.between(0.86, 1.0))


def _table(plan: Plan, pose: Pose, width: float, depth: float, height: float, round_top: bool) -> None:
    main = plan.paint(names.TABLE, *_HARD)
    second = main if plan.chance(0.6) else plan.accent(names.TABLE, "plain", "wood")
    thick = plan.between(0.03, 0.06)
    under = height - thick
    if round_top:
        parts = [
            pillar(main, 0, 0, under, width / 2, thick),
            pillar(second, 0, 0, 0.03, plan.between(0.04, 0.09), under - 0.03),
            pillar(second, 0, 0, 0, width * 0.27, 0.03),
        ]
    else:
        parts = [box(main, 0, 0, under, width, depth, thick)]
        parts += legs(second, width, depth, under, plan.between(0.04, 0.08))
    plan.add(names.TABLE, pose, parts)
    plan.tops.append((pose.place(0, 0, height), width * 0.33, depth * 0.3))


def _chair(plan: Plan, pose: Pose, main: int, second: int, height: float) -> None:
    seat = 0.45
    width = plan.between(0.4, 0.48)
    parts = [box(main, 0, 0, seat - 0.05, width, width, 0.05)]
    parts += legs(second, width, width, seat - 0.05, 0.04)
    back = -width / 2 + 0.025
    if plan.chance(0.5):
        parts.append(box(main, 0, back, seat, width, 0.04, height - seat))
    else:
        parts += [box(second, side * (width / 2 - 0.02), back, seat, 0.04, 0.04, height - seat) for side in (-1, 1)]
        parts += [box(main, 0, back, seat + step, width - 0.04, 0.025, 0.1) for step in (0.14, height - seat - 0.12)]
    plan.add(names.CHAIR, pose, parts)


def desk(plan: Plan) -> None:
    """Add a desk against a wall, with an office chair before it."""
    width, depth, height = plan.between(1.0, 1.5), plan.between(0.55, 0.7), plan.between(0.72, 0.78)
    pose = plan.against_wall(width, depth, height)
    _table(plan, pose, width, depth, height, False)
    spot = pose.place(plan.between(-0.2, 0.2), depth / 2 + 0.25, 0, np.pi + plan.between(-0.6, 0.6))
    if plan.claim_floor(spot, 0.4, 0.4, margin=0):
        _office_chair(plan, spot)


def _office_chair(plan: Plan, pose: Pose) -> None:
    main, second = plan.paint(names.CHAIR, "fabric", "plain"), plan.accent(names.CHAIR, "plain")
    parts = [
        pillar(second, 0, 0, 0, 0.26, 0.05, 0.08),
        pillar(second, 0, 0, 0.05, 0.035, 0.37),
        pillar(main, 0, 0, 0.42, 0.24, 0.08),
        box(second, 0, -0.22, 0.48, 0.06, 0.03, 0.2),
        ball(main, 0, -0.22, 0.8, 0.23, 0.06, 0.24),
    ]
    plan.add(names.CHAIR, pose, parts)


def stool(plan: Plan) -> None:
    """Add a chair, an office chair or a round stool that stands alone."""
    pose = plan.in_the_open(0.5, 0.5, clear=0.05)
    pose = Pose(pose.x, pose.y, 0, plan.between(0, 2 * np.pi))
    kind = plan.pick(3)
    if kind == 0:
        _office_chair(plan, pose)
        return
    main, second = plan.paint(names.CHAIR, *_HARD, "fabric"), plan.accent(names.CHAIR, "wood", "plain")
    if kind == 1:
        _chair(plan, pose, main, second, plan.between(0.85, 1.05))
        return
    height = plan.between(0.42, 0.62)
    parts = [pillar(main, 0, 0, height - 0.07, 0.2, 0.07)]
    parts += legs(second, 0.34, 0.34, height - 0.07, 0.035)
    plan.add(names.CHAIR, pose, parts)


def sofa(plan: Plan) -> None:
    """Add a sofa or armchair against a wall, with angular or rolled arms, and often a low table before it."""
    seats = 1 + plan.pick(3)
    width, depth = 0.62 * seats + 0.36 + plan.between(0, 0.15), plan.between(0.8, 0.95)
    height, seat = plan.between(0.72, 0.9), plan.between(0.26, 0.32)
    pose = plan.against_wall(width, depth, height)
    label = names.SOFA
    main, second = plan.paint(label, *_SOFT), plan.accent(label, *_SOFT)
    inner, arm = width - 0.36, plan.between(0.52, 0.62)
    parts = [
        box(main, 0, 0, 0.05, width, depth, seat - 0.05),
        box(main, 0, -depth / 2 + 0.12, seat, inner, 0.24, height - seat),
    ]
    rolled = plan.chance(0.5)
    for side in (-1, 1):
        x = side * (width / 2 - 0.09)
        parts.append(box(main, x, 0, 0.05, 0.18, depth, arm - 0.05 - (0.09 if rolled else 0)))
        if rolled:
            parts.append(roll(main, x, 0, arm - 0.06, 0.11, depth, 1))
    for place in range(seats):
        x = (place + 0.5) * inner / seats - inner / 2
        parts.append(box(second, x, 0.11, seat, inner / seats - 0.02, depth - 0.26, 0.14))
    for _ in range(plan.pick(3)):
        x = plan.between(-0.4, 0.4) * inner
        parts.append(ball(plan.accent(label, *_SOFT), x, -depth / 2 + 0.33, seat + 0.3, 0.2, 0.09, 0.17))
    plan.add(label, pose, parts)
    if plan.chance(0.6):
        _coffee_table(plan, pose.place(0, depth / 2 + plan.between(0.6, 0.8)))


def _coffee_table(plan: Plan, pose: Pose) -> None:
    width, depth = plan.between(0.6, 1.0), plan.between(0.45, 0.6)
    round_top = plan.chance(0.4)
    if plan.claim_floor(pose, width, depth):
        _table(plan, pose, width, width if round_top else depth, plan.between(0.36, 0.48), round_top)


def bed(plan: Plan) -> None:
    """Add a bed with its head to a wall: frame, mattress, headboard, blanket, pillows."""
    width, depth = plan.between(0.95, 1.7), plan.between(1.9, 2.1)
    height = plan.between(0.8, 1.15)
    pose = plan.against_wall(width, depth, height)
    label = names.BED
    wood, cloth = plan.paint(label, *_HARD, "fabric"), plan.accent(label, "fabric", "plain")
    cover = plan.accent(label, *_SOFT)
    base, top = plan.between(0.22, 0.32), plan.between(0.46, 0.56)
    parts = [
        box(wood, 0, 0, 0.06, width, depth, base - 0.06),
        box(cloth, 0, 0.02, base, width - 0.06, depth - 0.1, top - base),
        box(wood, 0, -depth / 2 + 0.03, 0, width, 0.06, height),
        box(cover, 0, depth * 0.16, base + 0.02, width - 0.01, depth * 0.66, top - base + 0.03),
    ]
    if plan.chance(0.4):
        parts.append(box(wood, 0, depth / 2 - 0.03, 0, width, 0.06, top + 0.1))
    for x in (-0.24 * width, 0.24 * width) if width > 1.2 else (0.0,):
        parts.append(ball(plan.accent(label, "plain", "fabric"), x, -depth / 2 + 0.32, top + 0.05, 0.3, 0.2, 0.1))
    plan.add(label, pose, parts)


def cabinet(plan: Plan) -> None:
    """Add a wardrobe, a chest of drawers, a bookcase or a round-fronted sideboard against a wall."""
    (_wardrobe, _chest, _bookcase, _chest, _rounded)[plan.pick(5)](plan)


def _wardrobe(plan: Plan) -> None:
    width, depth, height = plan.between(0.8, 1.6), plan.between(0.5, 0.62), plan.between(1.7, 2.15)
    pose = plan.against_wall(width, depth, height)
    main = plan.paint(names.CABINET, "fronts", "fronts", "wood", "plain")
    parts = [box(main, 0, 0, 0.06, width, depth, height - 0.06)]
    parts += [box(plan.accent(names.CABINET, "wood", "plain"), 0, 0, 0, width - 0.06, depth - 0.06, 0.06)]
    parts += [box(main, 0, 0.01, height, width + 0.05, depth + 0.04, 0.05)]
    plan.add(names.CABINET, pose, parts)


def _chest(plan: Plan) -> None:
    width, depth, height = plan.between(0.45, 1.5), plan.between(0.38, 0.5), plan.between(0.5, 1.1)
    pose = plan.against_wall(width, depth, height)
    main, second = plan.paint(names.CABINET, "fronts", "fronts", "wood"), plan.accent(names.CABINET, *_HARD)
    parts = [
        box(main, 0, 0, 0.1, width, depth, height - 0.14),
        box(second, 0, 0, height - 0.04, width + 0.04, depth + 0.02, 0.04),
        *legs(second, width, depth, 0.1, 0.05),
    ]
    plan.add(names.CABINET, pose, parts)
    plan.tops.append((pose.place(0, 0, height), width * 0.32, depth * 0.2))


def _bookcase(plan: Plan) -> None:
    width, depth, shelves = plan.between(0.7, 1.5), plan.between(0.28, 0.36), 3 + plan.pick(3)
    height = 0.08 + shelves * 0.36
    pose = plan.against_wall(width, depth, height)
    main = plan.paint(names.CABINET, "wood", "wood", "plain")
    books = plan.accent(names.CABINET, "books")
    parts = [box(main, side * (width / 2 - 0.015), 0, 0, 0.03, depth, height) for side in (-1, 1)]
    parts.append(box(main, 0, -depth / 2 + 0.01, 0, width - 0.06, 0.02, height))
    for shelf in range(shelves + 1):
        level = shelf * 0.36 + 0.02
        parts.append(box(main, 0, 0, level, width - 0.06, depth, 0.03))
        if shelf < shelves and plan.chance(0.8):
            wide = plan.between(0.5, 1) * (width - 0.07)
            x = plan.between(-0.5, 0.5) * (width - 0.07 - wide)
            parts.append(box(books, x, -0.03, level + 0.03, wide, depth - 0.1, plan.between(0.2, 0.28)))
    plan.add(names.CABINET, pose, parts)


def _rounded(plan: Plan) -> None:
    width, depth, height = plan.between(0.9, 1.4), plan.between(0.4, 0.5), plan.between(0.7, 0.95)
    pose = plan.against_wall(width, depth, height)
    main, second = plan.paint(names.CABINET, "fronts", "wood", "stripes"), plan.accent(names.CABINET, *_HARD)
    round_end = depth / 2
    parts = [box(main, 0, 0, 0, width - depth, depth, height)]
    parts += [pillar(main, side * (width / 2 - round_end), 0, 0, round_end, height) for side in (-1, 1)]
    parts += [box(second, 0, 0, height, width - depth, depth + 0.02, 0.03)]
    parts += [pillar(second, s * (width / 2 - round_end), 0, height, round_end + 0.01, 0.03) for s in (-1, 1)]
    plan.add(names.CABINET, pose, parts)
    plan.tops.append((pose.place(0, 0, height + 0.03), width * 0.3, depth * 0.2))
