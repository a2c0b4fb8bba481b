"""What sensors make of a clean view: a noisy colour camera and a structured-light depth camera (Kinect-like)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cen_cli.data.rooms.geometry import Floats

BASELINE = 0.075
"""Metres between the depth camera and its projector."""
NEAREST, FARTHEST = 0.4, 8.0
"""The range of the depth camera in metres."""
_REFERENCE_SIZE = 640
"""Disparities are quantised as on a sensor this many pixels wide."""


def noisy_rgb(clean: npt.NDArray[np.uint8], strength: float, draw: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Return a picture [H, W, 3] with sensor noise: of single pixels in every channel, and coarser blotches of colour.

    `strength` is the standard deviation relative to the full range; it does not fall with darkness: dim pictures drown.
    """
    height, width, _ = clean.shape
    fine = draw.standard_normal(clean.shape, np.float32)
    half = draw.standard_normal(((height + 1) // 2, (width + 1) // 2, 3), np.float32)
    coarse = half.repeat(2, 0).repeat(2, 1)[:height, :width]
    signal = clean.astype(np.float32)
    spread = np.float32(255 * strength) * (0.75 + signal * np.float32(0.5 / 255))
    noisy = signal + spread * (0.85 * fine + 0.55 * coarse)
    return np.clip(noisy + 0.5, 0, 255).astype(np.uint8)


def sensor_depth(depth: Floats, facing: Floats, focal: float, draw: np.random.Generator) -> Floats:
    """Return z-buffer depth [H, W] in metres as a structured-light camera measures it; 0 = invalid.

    `facing` is the cosine between surface normal and line of sight, `focal` the focal length in pixels. Each pixel
    samples a slightly wrong place, noise grows with the square of depth, disparity comes in eighths of a pixel, and
    there is no value in the projector's shadow, at grazing angles, out of range, and in random blobs.
    """
    shape = depth.shape
    rows, columns = np.indices(shape)
    wobble = (draw.random((2, *shape), np.float32) * np.float32(1.3) - np.float32(0.65)).round().astype(int)
    rows = np.clip(rows + wobble[0], 0, shape[0] - 1)
    columns = np.clip(columns + wobble[1], 0, shape[1] - 1)
    measured = depth[rows, columns]
    sigma = 0.004 + 0.0045 * measured**2
    measured = measured + sigma * draw.standard_normal(shape, np.float32)
    product = np.float32(focal * _REFERENCE_SIZE / shape[1] * BASELINE)
    disparity = np.round(product / np.maximum(measured, 0.1) * 8) / 8
    measured = product / np.maximum(disparity, np.float32(0.125))
    lost = projector_shadow(depth, focal) | (measured < NEAREST) | (measured > FARTHEST)
    lost |= draw.random(shape, np.float32) < np.clip((0.36 - facing) * 3, 0.01, 0.9)
    lost |= _blobs(shape, draw)
    return np.where(lost, np.float32(0), measured).astype(np.float32)


def projector_shadow(depth: Floats, focal: float) -> npt.NDArray[np.bool_]:
    """Return which pixels [H, W] the projector, to the right of the camera, does not light.

    Along a row, a pixel at column u and depth z lies at u - focal * baseline / z for the projector; it is dark when a
    pixel further right has the same place or one further left, being nearer.
    """
    place = np.arange(depth.shape[1], dtype=np.float32) - np.float32(focal * BASELINE) / depth
    right = np.minimum.accumulate(place[:, ::-1], axis=1)[:, ::-1]
    dark = np.zeros(depth.shape, bool)
    dark[:, :-1] = right[:, 1:] < place[:, :-1]
    return dark


def _blobs(shape: tuple[int, int], draw: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Return random elliptic holes covering a few per cent of the picture."""
    lost = np.zeros(shape, bool)
    size = shape[0]
    for _ in range(draw.poisson(14)):
        y, x = draw.random(2) * size
        radius = size * (0.008 + 0.04 * draw.random() ** 2)
        wide = radius * draw.uniform(0.7, 2.0)
        y0, y1 = max(int(y - radius), 0), min(int(y + radius) + 2, shape[0])
        x0, x1 = max(int(x - wide), 0), min(int(x + wide) + 2, shape[1])
        grid_y = (np.arange(y0, y1) + 0.5 - y) / radius
        grid_x = (np.arange(x0, x1) + 0.5 - x) / wide
        lost[y0:y1, x0:x1] |= np.add.outer(grid_y**2, grid_x**2) < 1
    return lost
