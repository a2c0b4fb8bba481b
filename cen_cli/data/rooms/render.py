"""A view of a room in every domain.

Each pixel has antialias x antialias rays for the colour picture and one through its centre for geometry and labels, so
that all domains agree to the sub-pixel. Lighting is direct light with soft shadows, taken once a pixel, plus ambient
light that falls off in corners.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cen_cli.data.edges import edge_occlusion, edge_texture
from cen_cli.data.rooms.camera import Camera
from cen_cli.data.rooms.cast import ROOM_FACES, Hits, PartTable, Surfaces, cast, curvature, surfaces, visibility
from cen_cli.data.rooms.decals import FACE_AXES, Decal
from cen_cli.data.rooms.geometry import Floats, Triple, dot
from cen_cli.data.rooms.layout import Light, Plan
from cen_cli.data.rooms.materials import MaterialTable
from cen_cli.data.rooms.scene import build_scene, place_camera
from cen_cli.data.rooms.sensor import noisy_rgb, sensor_depth
from cen_cli.data.rooms.settings import DOMAINS, RoomsSettings, view_generators

DIM_SHARE = 0.3
"""The share of views that are badly exposed."""
_COLOUR = ("rgb", "rgb_clean", "edge_texture")


def render_view(
    settings: RoomsSettings, split: str, room: int, view: int, domains: Collection[str] = DOMAINS
) -> dict[str, np.ndarray]:
    """Return the domains of one view; H = W = `settings.size`.

    rgb, rgb_clean: uint8 [H, W, 3]. depth_euclidean, depth_zbuffer, depth_sensor: float32 [H, W], metres, 0 = invalid
    (the sensor's only). normal: float32 [H, W, 3], unit, camera axes (right, up, towards the viewer). reshading: uint8
    [H, W]. edge_texture, edge_occlusion: float32 [H, W] in [0, 1]. principal_curvature: float32 [H, W, 2], 1/m.
    labels: uint8 [H, W], 0..13, 255 void.
    """
    return render_scene(build_scene(settings, split, room), settings, split, room, view, domains)


def view_camera(scene: Plan, settings: RoomsSettings, split: str, room: int, view: int) -> Camera:
    """Return the camera of a view, seeded by (seed, split, room, view)."""
    return place_camera(scene, view_generators(settings, split, room, view)[0])


def render_scene(
    scene: Plan,
    settings: RoomsSettings,
    split: str,
    room: int,
    view: int,
    domains: Collection[str] = DOMAINS,
    camera: Camera | None = None,
) -> dict[str, np.ndarray]:
    """Return one view of a scene that is built already, by default from its own camera; see `render_view`."""
    unknown = sorted(set(domains) - set(DOMAINS))
    if unknown:
        raise ValueError(f"unknown domain {unknown[0]!r}: the domains are {', '.join(DOMAINS)}")
    draws = view_generators(settings, split, room, view)
    camera = camera or place_camera(scene, draws[0])
    coloured = any(domain in domains for domain in _COLOUR)
    table = PartTable(scene)
    rays = camera.rays(settings.size, sample_offsets(settings.antialias if coloured else 1))
    hits = cast(scene, table, camera, rays)
    seen = _Seen(scene, table, camera, rays, hits, surfaces(table, camera, rays, hits))
    result = _geometry(seen, draws[3], domains)
    if coloured:  # of the grid's rays alone, not of the one through the centre
        light = _shade(seen, settings.antialias**2).mean(1)  # [3, H, W]
        clean, strength = expose(light, draws[1], house=settings.palette_style == "house")
        noisy = noisy_rgb(clean, strength, draws[2])
        result |= {"rgb": noisy, "rgb_clean": clean, "edge_texture": edge_texture(clean)}
    return {domain: result[domain] for domain in domains}


def sample_offsets(antialias: int) -> Floats:
    """Return the places [S, 2] of a pixel's rays relative to its centre: a grid, then the centre, last."""
    steps = (np.arange(antialias, dtype=np.float32) + 0.5) / antialias - 0.5
    grid = np.array([(x, y) for y in steps for x in steps], np.float32)
    return grid if antialias == 1 else np.concatenate([grid, np.zeros((1, 2), np.float32)])


@dataclass(frozen=True)
class _Seen:
    """A scene and what the rays [3, S, H, W] of a camera meet in it."""

    scene: Plan
    table: PartTable
    camera: Camera
    rays: Triple
    hits: Hits
    points: Surfaces


def _geometry(seen: _Seen, draw: np.random.Generator, domains: Collection[str]) -> dict[str, np.ndarray]:
    """Return what the rays through the pixel centres, the last ones, tell."""
    camera, hits, points = seen.camera, seen.hits, seen.points
    way, depth, normal = seen.rays[:, -1], hits.depth[-1], points.normal[:, -1]
    length = np.sqrt(way[0] ** 2 + way[1] ** 2 + way[2] ** 2)
    view = np.stack([*camera.to_view(normal)], -1)
    result = {"depth_zbuffer": depth, "depth_euclidean": depth * length, "normal": view}
    if "labels" in domains:
        labels = result["labels"] = seen.table.labels[hits.part[-1]]
        for decal, inside, _ in _decals(seen.scene, hits.part[-1], points.position[:, -1]):
            labels.ravel()[inside] = decal.label
    if "depth_sensor" in domains:
        facing = -dot(normal, way) / length
        result["depth_sensor"] = sensor_depth(depth, facing, camera.focal_length(depth.shape[0]), draw)
    if "reshading" in domains:
        result["reshading"] = reshading(view, camera.to_view(way), depth * length)
    if "edge_occlusion" in domains:
        result["edge_occlusion"] = edge_occlusion(depth)
    if "principal_curvature" in domains:
        centre = Hits(depth, hits.part[-1], hits.face[-1])
        result["principal_curvature"] = curvature(seen.table, centre, points.position[:, -1])
    return result


def reshading(normal: Floats, rays: Triple, depth: Floats) -> npt.NDArray[np.uint8]:
    """Return the scene [H, W] in one grey colour, lit by a lamp at the camera.

    `normal` [H, W, 3] and `rays` are in the same axes; `depth` is in metres along the ray.
    """
    length = np.sqrt(rays[0] ** 2 + rays[1] ** 2 + rays[2] ** 2)
    facing = -(dot(np.moveaxis(normal, -1, 0), rays)) / length
    light = np.clip(facing, 0, 1) * 0.85 + 0.15
    return (255 * light / (1 + (depth / 5.5) ** 2)).astype(np.uint8)


def expose(light: Floats, draw: np.random.Generator, *, house: bool) -> tuple[npt.NDArray[np.uint8], float]:
    """Return the display picture [H, W, 3] of linear light [3, H, W], and the strength of the noise it deserves.

    Three views in ten are dim, and noisier; house style views are all well lit.
    """
    dim = draw.random() < DIM_SHARE and not house
    level = draw.uniform(0.03, 0.08) if dim else draw.uniform(0.2, 0.34)
    strength = draw.uniform(0.06, 0.1) if dim else draw.uniform(0.04, 0.08)
    balance = draw.uniform(0.85, 1.15, 3)
    if house:
        level, strength, balance = 0.27, 0.02, np.ones(3)
    scaled = light * (balance * level / light.mean()).astype(np.float32)[:, None, None]
    display = np.sqrt(1 - np.exp(-1.3 * scaled))
    return (np.moveaxis(display, 0, -1) * 255 + 0.5).astype(np.uint8), float(strength)


def _shade(seen: _Seen, count: int) -> Floats:
    """Return the linear light [3, S, H, W] that the first `count` rays of each pixel bring."""
    scene, table, points = seen.scene, seen.table, seen.points
    shape = (count, *seen.hits.part.shape[1:])
    part = seen.hits.part[:count].ravel()
    position, normal = points.position[:, :count], points.normal[:, :count]
    materials = MaterialTable(scene.materials)
    number = table.materials[part]
    albedo = materials.albedo(number, points.along[:count].ravel(), points.up[:count].ravel())
    glow = materials.glow[number]
    for decal, inside, (u, v) in _decals(scene, part, position):
        if len(inside):
            albedo[:, inside] = decal.paint(u, v) ** 2
            glow[inside] = decal.glow
    light = np.empty((3, *shape), np.float32)
    light[:] = _ambient(scene, position, normal)
    for lamp in scene.lights:
        lit = visibility(scene, table, lamp, points.position[:, -1], points.normal[:, -1])
        arriving = _direct(lamp, position, normal) * lit
        light += np.array(lamp.strength, np.float32)[:, None, None, None] * arriving
    return albedo.reshape(3, *shape) * (light + glow.reshape(shape))


def _decals(scene: Plan, part: npt.NDArray[np.int16], position: Triple) -> Iterator[tuple[Decal, np.ndarray, Floats]]:
    """Yield pictures, windows, doors and rugs, the flat indices of the points that each covers, and where on it [2, N].

    They cover the faces of the room; `part` [...] and `position` [3, ...] are the points.
    """
    on_face = [np.flatnonzero(part == face) for face in range(ROOM_FACES)]
    for decal in scene.decals:
        where = on_face[decal.face]
        along, up = (position[axis].ravel()[where] for axis in FACE_AXES[decal.face // 2])
        covered, u, v = decal.covers(along, up)
        yield decal, where[covered], np.stack([u[covered], v[covered]])


def _ambient(scene: Plan, position: Triple, normal: Triple) -> Floats:
    """Return ambient light: more from above, less near the edges of the room."""
    corner = np.float32(1)
    for axis in range(3):
        low, high = position[axis], np.float32(scene.size[axis]) - position[axis]
        corner = corner * (1 - np.float32(0.3) * np.exp(-4 * np.minimum(low, high) * (1 - np.abs(normal[axis]))))
    return np.float32(scene.ambient) * (np.float32(0.85) + np.float32(0.15) * normal[2]) * corner


def _direct(light: Light, position: Triple, normal: Triple) -> Floats:
    """Return the unshadowed light of a lamp of strength one: cosine law, and fall-off with distance."""
    offset = np.array(light.position, np.float32)[:, None, None, None] - position
    square = offset[0] ** 2 + offset[1] ** 2 + offset[2] ** 2
    return np.maximum(dot(offset, normal), 0) / np.sqrt(square) * 3 / (np.float32(1.5) + square)
