"""A room from its random numbers: size, doors, furniture, pictures, lights; and a view into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np

from cen_cli.data.rooms import fittings, furniture
from cen_cli.data.rooms import settings as names
from cen_cli.data.rooms.camera import Camera
from cen_cli.data.rooms.decals import Decal
from cen_cli.data.rooms.layout import Light, NoRoomLeft, Plan
from cen_cli.data.rooms.palette import HousePalette, RandomPalette
from cen_cli.data.rooms.settings import RoomsSettings, room_generator


def build_scene(settings: RoomsSettings, split: str, room: int) -> Plan:
    """Return a room of a split; equal seeds give equal rooms."""
    draw = room_generator(settings, split, room)
    size = (draw.uniform(3.2, 5.6), draw.uniform(3.2, 5.6), draw.uniform(2.4, 2.9))
    house = settings.palette_style == "house"
    plan = Plan(size, draw, HousePalette(draw) if house else RandomPalette(draw))
    plan.surfaces = _paint_room(plan)
    for add in _pieces(plan):
        with suppress(NoRoomLeft):
            add(plan)
    _light(plan, neutral=house)
    plan.ambient = plan.between(0.25, 0.45)
    return plan


def _paint_room(plan: Plan) -> tuple[int, ...]:
    """Return the materials of the six faces; one wall in three rooms is of another colour."""
    wall = plan.material(plan.palette.surface(names.WALL))
    walls = [wall] * 4
    if plan.chance(0.33):
        walls[plan.pick(4)] = plan.paint(names.WALL, "plain", "stripes", "brick", "dots")
    floor = plan.material(plan.palette.surface(names.FLOOR))
    return (*walls, floor, plan.material(plan.palette.surface(names.CEILING)))


def _pieces(plan: Plan) -> Iterator[Callable[[Plan], None]]:
    """What is to be added, drawn piece by piece, the things that need most room first."""
    yield fittings.door
    large = [furniture.bed, furniture.sofa, furniture.dining, furniture.cabinet, furniture.desk]
    for number in plan.draw.permutation(len(large)):
        if plan.chance(0.68):
            yield large[number]
    for add, least, most in (
        (furniture.cabinet, 1, 2),
        (fittings.floor_lamp, 0, 2),
        (fittings.table_lamp, 0, 2),
        (fittings.boxes, 2, 4),
        (furniture.stool, 0, 2),
        (fittings.clutter, 1, 3),
        (fittings.door, 0, 1),
        (fittings.window, 1, 3),
        (fittings.picture, 3, 5),
        (fittings.rug, 1, 2),
    ):
        for _ in range(least + plan.pick(most - least + 1)):
            yield add
    if plan.chance(0.25):
        yield fittings.column
    if plan.chance(0.5):
        yield fittings.pendant


def _light(plan: Plan, *, neutral: bool) -> None:
    """Add one or two lights under the ceiling, warm to cold."""
    width, depth, height = plan.size
    for _ in range(1 + plan.pick(2)):
        position = width * plan.between(0.2, 0.8), depth * plan.between(0.2, 0.8), height - plan.between(0.15, 0.4)
        warmth = 0.0 if neutral else plan.between(-0.12, 0.2)
        power = plan.between(0.8, 1.5)
        strength = power * (1 + warmth), power, power * (1 - warmth)
        plan.lights.append(Light(position, plan.between(0.06, 0.16), strength))


def place_camera(scene: Plan, draw: np.random.Generator) -> Camera:
    """Return the best of several random cameras: at eye height, in free space, looking into the room.

    Best is the one that has most items in view at a fair distance, of many classes, and stands freely.
    """
    sights = _sights(scene)
    cameras = [_random_camera(scene, draw) for _ in range(10)]
    scores = [_score(sights, camera) for camera in cameras]
    return cameras[int(np.argmax(scores))]


def _random_camera(scene: Plan, draw: np.random.Generator) -> Camera:
    width, depth, height = scene.size
    x, y = draw.uniform(0.35, width - 0.35), draw.uniform(0.35, depth - 0.35)
    target = width * draw.uniform(0.25, 0.75), depth * draw.uniform(0.25, 0.75)
    yaw = np.arctan2(target[1] - y, target[0] - x) + draw.normal(0, 0.15)
    eye = min(draw.uniform(1.2, 1.75), height - 0.4)
    return Camera((x, y, eye), float(yaw), float(-draw.uniform(0.08, 0.42)), float(draw.uniform(1.08, 1.35)))


def _sights(scene: Plan) -> np.ndarray:
    """Return what is worth looking at, [5, N]: x, y, reach, top and label of items (reach > 0) and decals (reach 0)."""
    rows = [(*_on_plan(scene, decal), 0.0, 0.0, decal.label) for decal in scene.decals]
    for item in scene.items:
        reach = max(max(abs(p.centre[0]) + p.bounds[0], abs(p.centre[1]) + p.bounds[1]) for p in item.parts)
        top = item.pose.z + max(p.centre[2] + p.bounds[2] for p in item.parts)
        rows.append((item.pose.x, item.pose.y, reach, top, item.label))
    return np.array(rows, np.float64).reshape(-1, 5).T


def _on_plan(scene: Plan, decal: Decal) -> tuple[float, float]:
    """Return x and y of the middle of a decal."""
    if decal.face == 4:
        return decal.centre
    if decal.face < 2:
        return scene.size[0] * decal.face, decal.centre[0]
    return decal.centre[0], scene.size[1] * (decal.face - 2)


def _score(sights: np.ndarray, camera: Camera) -> float:
    """Return how much of the room a camera shows; standing in or right before furniture costs much."""
    x, y, reach, top, label = sights
    dx, dy = x - camera.position[0], y - camera.position[1]
    distance = np.hypot(dx, dy)
    angle = np.abs((np.arctan2(dy, dx) - camera.yaw + np.pi) % (2 * np.pi) - np.pi)
    item = reach > 0
    within = item & (distance - reach < 0.3)
    shown = item & ~within & (angle < camera.field_of_view * 0.5) & (distance > 0.9)
    barred = item & ~within & ~shown & (distance - reach < 0.7) & (top > 1.0)
    barred &= angle < camera.field_of_view * 0.7
    flat = ~item & (angle < camera.field_of_view * 0.45)
    kinds = len(np.unique(label[shown])) + 1.2 * len(np.unique(label[flat]))
    return float(kinds + 0.5 * shown.sum() - 6 * within.sum() - 3 * barred.sum())
