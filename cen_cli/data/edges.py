"""Edges of a photograph, which the built-in rooms have and which are computed on reading elsewhere; edges of depth."""

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


def edge_occlusion(depth: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
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
