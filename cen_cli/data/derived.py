"""Domains that no file of NYUDv2 holds, computed on reading: edges of the photograph, surface normals of the depth.

Edges are those of the built-in rooms (Sobel filters on the grey picture). Normals come from planes fitted to the
inverse depth, which is linear in the picture wherever a surface is flat. NYUDv2's depth in common copies is 8-bit in
origin and therefore terraced (steps of 39 mm), so that windows must be wide (1/15 of the height to each side); lest
they smear the edges of things, each pixel takes the best-fitting one of nine windows that hold it (as Kuwahara's filter
does for grey values). Axes and encoding are Taskonomy's: right, up, towards the viewer; 127 + 127 n.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from cen_cli.data import tensors
from cen_cli.data.edges import edge_texture

FOCAL_LENGTHS = (518.86, 519.47)
"""Of NYUDv2's camera, in pixels of a frame of 480 x 640: across and down."""
PRINCIPAL_POINT = (325.58, 253.74)
"""Column and row of the optical axis in such a frame."""
WHOLE, INNER, CORNER = (480, 640), (468, 625), (6, 7)
"""Height and width of a frame, the same without its white border, and where the inside begins (row, column)."""

_STEP = 0.039
"""Metres between two terraces of the depth."""
_REACH = 1 / 15
_CENTRED = 0.25
"""Weight of the residual of the window centred on a pixel, beside those of the windows at whose edge the pixel lies."""


def texture_edges(photograph: Tensor) -> tensors.Image:
    """Edge strength uint8 [1, H, W] (255: full) of an 8-bit image [1 or 3, H, W]."""
    rgb = photograph.as_subclass(Tensor).expand(3, -1, -1).permute(1, 2, 0).numpy()
    return tensors.Image(torch.from_numpy(np.round(edge_texture(rgb) * 255).astype(np.uint8))[None])


def surface_normals(depth: Tensor) -> tensors.Image:
    """Unit normals, uint8 [3, H, W] = 127 + 127 n, of z-buffer depth [1, H, W] in metres; all 127 where it is 0."""
    metres = depth.as_subclass(Tensor)[0].numpy().astype(np.float64)
    normals = fitted_normals(metres, *_intrinsics(metres.shape))
    return tensors.Image(torch.from_numpy(np.round(127 + 127 * normals).astype(np.uint8)).permute(2, 0, 1))


def _intrinsics(size: tuple[int, ...]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Focal lengths and principal point (x, y) of a frame: as it is, cut to its inside, or resized from the whole."""
    (fx, fy), (cx, cy) = FOCAL_LENGTHS, PRINCIPAL_POINT
    if size == INNER:
        return (fx, fy), (cx - CORNER[1], cy - CORNER[0])
    down, across = size[0] / WHOLE[0], size[1] / WHOLE[1]
    return (fx * across, fy * down), (cx * across, cy * down)


def fitted_normals(metres: np.ndarray, focal: tuple[float, float], centre: tuple[float, float]) -> np.ndarray:
    """Normals [H, W, 3] (right, up, towards the viewer; 0 where there is no depth) of z-buffer depth [H, W], 0 = none.

    A pixel's ray is (x, y, 1) in camera axes (right, down, forward). On a plane 1/z = a x + b y + c, and the normal
    that points away from the camera is (a, b, c), up to its length.
    """
    height, width = metres.shape
    known = metres > 0
    inverse = np.divide(1.0, metres, out=np.zeros_like(metres), where=known)
    across = np.broadcast_to(np.arange(width) - centre[0], metres.shape) / focal[0]
    down = np.broadcast_to((np.arange(height) - centre[1])[:, None], metres.shape) / focal[1]
    reach = max(1, round(height * _REACH))
    a, b, c = _best_windows(*_fit_planes(inverse, across, down, known, reach), reach)
    normal = np.stack([-a, b, c], -1)
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-12)
    return np.where(known[..., None], normal, 0.0)


def _fit_planes(
    inverse: np.ndarray, across: np.ndarray, down: np.ndarray, known: np.ndarray, reach: int
) -> tuple[np.ndarray, np.ndarray]:
    """Least squares of 1/z = a x + b y + c in the window around each pixel: (a, b, c) [3, H, W], mean square error.

    The error is at least what the terraces make, so that a single terrace is no better than a slope of many; infinite
    where too little is known for a plane.
    """
    weight = known.astype(np.float64)
    x, y, w = (weight * part for part in (across, down, inverse))
    moments = [weight, x, y, w, x * across, x * down, y * down, x * inverse, y * inverse, w * inverse]
    count, *sums = (_window_sum(moment, reach) for moment in moments)
    enough = count >= (2 * reach + 1) ** 2 / 8
    share = np.divide(1.0, count, out=np.zeros_like(count), where=count > 0)
    mx, my, mw, xx, xy, yy, xw, yw, ww = (total * share for total in sums)
    xx, xy, yy = xx - mx * mx, xy - mx * my, yy - my * my
    xw, yw, ww = xw - mx * mw, yw - my * mw, ww - mw * mw
    determinant = xx * yy - xy * xy
    enough &= determinant > 1e-3 * (xx + yy) ** 2
    scale = np.divide(1.0, determinant, out=np.zeros_like(determinant), where=enough)
    a, b = (yy * xw - xy * yw) * scale, (xx * yw - xy * xw) * scale
    terraces = _STEP**2 / 12 * mw**4
    residual = np.where(enough, np.maximum(ww - a * xw - b * yw, 0.0) + terraces, np.inf)
    return np.stack([a, b, mw - a * mx - b * my]), residual


def _window_sum(values: np.ndarray, reach: int) -> np.ndarray:
    """Sums [H, W] over the square of 2 reach + 1 pixels around each pixel, as far as it lies in the picture."""
    from scipy.ndimage import uniform_filter  # a fifth of a second, which others need not wait for

    side = 2 * reach + 1
    return uniform_filter(values, side, mode="constant") * side**2


def _best_windows(planes: np.ndarray, residual: np.ndarray, reach: int) -> np.ndarray:
    """Of the windows that hold a pixel (around it, or with it at an edge or a corner), the plane that fits best."""
    height, width = residual.shape
    best, chosen = residual * _CENTRED, planes.copy()
    for dy in (-reach, 0, reach):
        for dx in (-reach, 0, reach):
            rows = np.clip(np.arange(height) + dy, 0, height - 1)[:, None]
            columns = np.clip(np.arange(width) + dx, 0, width - 1)[None]
            better = residual[rows, columns] < best
            best = np.where(better, residual[rows, columns], best)
            chosen = np.where(better, planes[:, rows, columns], chosen)
    return chosen
