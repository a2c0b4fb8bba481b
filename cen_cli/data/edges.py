"""Edges of a photograph: those of the built-in rooms, and those computed on reading where no file holds them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def edge_texture(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return the strength [H, W] in [0, 1] of the edges of a colour picture [H, W, 3]: Sobel filters on its grey."""
    grey = (rgb.astype(np.float32) * np.array([0.299, 0.587, 0.114], np.float32)).sum(-1) / 255
    padded = np.pad(grey, 1, mode="edge")
    smooth = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    across = smooth[:, 2:] - smooth[:, :-2]
    smooth = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    down = smooth[2:] - smooth[:-2]
    return np.minimum(np.hypot(across, down), 1).astype(np.float32)
