"""The camera: where it stands, the rays of its pixels, and which part of the picture a solid can cover.

World axes: x and y along the walls, z up, metres. Camera axes: x right, y up, z towards the viewer, so that a surface
facing the camera has a normal with z near +1. Rays are scaled to advance one metre along the optical axis, hence t
is the z-buffer depth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cen_cli.data.rooms.geometry import Floats, Triple, dot, nonzero

NEAR = 0.05
"""Nothing nearer than this, in metres along the optical axis, is seen."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera with square pixels: position in metres, heading, pitch and field of view in radians."""

    position: tuple[float, float, float]
    yaw: float
    pitch: float
    field_of_view: float

    @property
    def axes(self) -> Floats:
        """The rows right, up and towards the viewer, in world coordinates: a rotation [3, 3]."""
        cy, sy, cp, sp = np.cos(self.yaw), np.sin(self.yaw), np.cos(self.pitch), np.sin(self.pitch)
        right = (sy, -cy, 0.0)
        up = (-sp * cy, -sp * sy, cp)
        back = (-cp * cy, -cp * sy, -sp)
        return np.array((right, up, back), np.float32)

    @property
    def extent(self) -> float:
        """Half the width of the picture at one metre."""
        return float(np.tan(self.field_of_view / 2))

    def focal_length(self, size: int) -> float:
        """Return the focal length in pixels of a picture of `size` pixels."""
        return size / 2 / self.extent

    def rays(self, size: int, samples: Floats) -> Triple:
        """Return world directions [3, S, size, size] through `samples` [S, 2]: offsets (x, y) from pixel centres."""
        grid = np.arange(size, dtype=np.float32) + np.float32(0.5)
        scale = np.float32(2 * self.extent / size)
        x = (grid + samples[:, :1]) * scale - np.float32(self.extent)
        y = np.float32(self.extent) - (grid + samples[:, 1:]) * scale
        right, up, back = self.axes[:, :, None, None, None]
        return nonzero(right * x[:, None, :] + up * y[:, :, None] - back)

    def to_view(self, vector: Triple) -> Triple:
        """Return world vectors in camera axes."""
        return np.stack([dot(axis, vector) for axis in self.axes])

    def windows(self, corners: Floats, size: int) -> np.ndarray:
        """Return for solids with the given corners [P, 8, 3] the pixels they can cover.

        The result is int [P, 4]: first and past-the-last row, first and past-the-last column; an empty window means
        unseen. A solid that reaches behind the camera gets the whole picture.
        """
        offset = (corners - np.array(self.position, np.float32)).astype(np.float32)
        right, up, depth = (dot(np.moveaxis(offset, -1, 0), axis) for axis in self.axes * [[1], [1], [-1]])
        focal = self.focal_length(size)
        safe = np.maximum(depth, NEAR)
        columns, rows = size / 2 + focal * right / safe, size / 2 - focal * up / safe
        low = np.stack([rows.min(1), columns.min(1)], 1)
        high = np.stack([rows.max(1), columns.max(1)], 1)
        behind, crossing = (depth <= NEAR).all(1), (depth <= NEAR).any(1)
        low[crossing], high[crossing] = 0, size
        low[behind] = high[behind] = -9
        first = np.clip(np.floor(low) - 1, 0, size).astype(int)
        last = np.clip(np.ceil(high) + 1, 0, size).astype(int)
        return np.stack([first[:, 0], last[:, 0], first[:, 1], last[:, 1]], 1)
