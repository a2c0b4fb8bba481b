"""The parts of a RefineNet decoder on one image [C, H, W], pixel by pixel."""

from __future__ import annotations

import numpy as np


def conv3x3(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """Zero padding 1; kernel [out, in, 3, 3]."""
    _, height, width = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    out = np.zeros((kernel.shape[0], height, width))
    for o in range(kernel.shape[0]):
        for i in range(height):
            for j in range(width):
                out[o, i, j] = (padded[:, i : i + 3, j : j + 3] * kernel[o]).sum()
                out[o, i, j] += 0 if bias is None else bias[o]
    return out


def max_pool5(x: np.ndarray) -> np.ndarray:
    """5x5, stride 1, the border left out of the maximum."""
    out = np.empty_like(x)
    for i in range(x.shape[1]):
        for j in range(x.shape[2]):
            out[:, i, j] = x[:, max(0, i - 2) : i + 3, max(0, j - 2) : j + 3].max((1, 2))
    return out


def relu(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, 0.0)


def residual_units(x: np.ndarray, blocks: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> np.ndarray:
    """Blocks of (first kernel, first bias, second kernel); the shortcut carries relu(x)."""
    for first, bias, second in blocks:
        rectified = relu(x)
        x = conv3x3(relu(conv3x3(rectified, first, bias)), second) + rectified
    return x


def chained_pooling(x: np.ndarray, kernels: list[np.ndarray]) -> np.ndarray:
    """The chain of poolings goes on from its own last link, not from the sum."""
    link, total = x, x
    for kernel in kernels:
        link = conv3x3(max_pool5(link), kernel)
        total = total + link
    return total


def resize_bilinear(x: np.ndarray, height: int, width: int) -> np.ndarray:
    """Corners map onto corners."""
    out = np.empty((x.shape[0], height, width))
    for i in range(height):
        for j in range(width):
            v = i * (x.shape[1] - 1) / max(height - 1, 1)
            u = j * (x.shape[2] - 1) / max(width - 1, 1)
            i0, j0 = min(int(v), x.shape[1] - 1), min(int(u), x.shape[2] - 1)
            i1, j1 = min(i0 + 1, x.shape[1] - 1), min(j0 + 1, x.shape[2] - 1)
            upper = x[:, i0, j0] * (1 - (u - j0)) + x[:, i0, j1] * (u - j0)
            lower = x[:, i1, j0] * (1 - (u - j0)) + x[:, i1, j1] * (u - j0)
            out[:, i, j] = upper * (1 - (v - i0)) + lower * (v - i0)
    return out
