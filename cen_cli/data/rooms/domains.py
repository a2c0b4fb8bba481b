"""Domains that follow from others: shading of the geometry alone, and edges of depth."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cen_cli.data.rooms.geometry import Floats, Triple, dot


def reshading(normal: Floats, rays: Triple, depth: Floats) -> npt.NDArray[np.uint8]:
    """Return the scene [H, W] in one grey colour, lit by a lamp at the camera.

    `normal` [H, W, 3] and `rays` are in the same axes; `depth` is in metres along the ray.
    """
    length = np.sqrt(rays[0] ** 2 + rays[1] ** 2 + rays[2] ** 2)
    facing = -(dot(np.moveaxis(normal, -1, 0), rays)) / length
    light = np.clip(facing, 0, 1) * 0.85 + 0.15
    return (255 * light / (1 + (depth / 5.5) ** 2)).astype(np.uint8)


def edge_occlusion(depth: Floats) -> Floats:
    """Return the strength [H, W] in [0, 1] of the edges of a z-buffer depth picture in metres.

    The inverse depth of a plane is linear in the picture, so its second difference is zero on planes however they
    tilt, small at creases and large where one thing hides another.
    """
    inverse = np.pad(1 / depth, 1, mode="reflect", reflect_type="odd")
    middle = inverse[1:-1, 1:-1]
    across = np.abs(inverse[1:-1, 2:] + inverse[1:-1, :-2] - 2 * middle)
    down = np.abs(inverse[2:, 1:-1] + inverse[:-2, 1:-1] - 2 * middle)
    jump = np.maximum(across, down) * depth
    return np.clip(jump * 4 - 0.03, 0, 1).astype(np.float32)
