"""PSPNet's head on one image, pixel by pixel."""

from __future__ import annotations

import numpy as np

from tests.reference.refining import conv3x3, relu, resize_bilinear


def pooled(x: np.ndarray, side: int) -> np.ndarray:
    """[C, H, W] -> [C, side, side]: bin i covers the rows from floor(i H / side) to ceil((i + 1) H / side)."""
    channels, height, width = x.shape
    out = np.empty((channels, side, side))
    for i in range(side):
        for j in range(side):
            rows = slice(i * height // side, -(-(i + 1) * height // side))
            columns = slice(j * width // side, -(-(j + 1) * width // side))
            out[:, i, j] = x[:, rows, columns].mean((1, 2))
    return out


def conv1x1(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """Kernel [out, in, 1, 1]."""
    out = np.einsum("oi,ihw->ohw", kernel[..., 0, 0], x)
    return out if bias is None else out + bias[:, None, None]


def norm(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, mean: np.ndarray, var: np.ndarray) -> np.ndarray:
    """By given statistics."""
    scale = gamma / np.sqrt(var + 1e-5)
    return (x - mean[:, None, None]) * scale[:, None, None] + beta[:, None, None]


def head(tensors: dict[str, np.ndarray], x: np.ndarray, m: int) -> np.ndarray:
    """Stage 4's features [C, H, W] of modality m -> its logits."""

    def normed(values: np.ndarray, name: str) -> np.ndarray:
        rows = (tensors[f"{name}.{part}"][m] for part in ("weight", "bias", "running_mean", "running_var"))
        return relu(norm(values, *rows))

    maps = [x]
    for place, side in enumerate((1, 2, 3, 6)):
        small = normed(conv1x1(pooled(x, side), tensors[f"pyramid.{place}.0.weight"]), f"pyramid.{place}.1")
        maps.append(resize_bilinear(small, *x.shape[1:]))
    joined = normed(conv3x3(np.concatenate(maps), tensors["bottleneck.0.weight"]), "bottleneck.1")
    return conv1x1(joined, tensors["classifier.weight"], tensors["classifier.bias"])


def auxiliary_head(tensors: dict[str, np.ndarray], x: np.ndarray, statistics: tuple[np.ndarray, np.ndarray], m: int):
    """Stage 3's features [C, H, W] of modality m -> auxiliary logits; `statistics`: the batch's mean and variance."""
    y = conv3x3(x, tensors["auxiliary.0.0.weight"])
    gamma, beta = (tensors[f"auxiliary.0.1.{part}"][m] for part in ("weight", "bias"))
    return conv1x1(relu(norm(y, gamma, beta, *statistics)), tensors["auxiliary.2.weight"], tensors["auxiliary.2.bias"])
