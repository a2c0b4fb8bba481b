"""The fusion baselines on NumPy arrays: streams are a list of M maps [B, C, h, w]."""

from __future__ import annotations

import numpy as np


def convolve(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """A convolution with zero padding that keeps the size: [B, in, h, w], [out, in, k, k] -> [B, out, h, w]."""
    kernel = weight.shape[-1]
    margin = kernel // 2
    padded = np.pad(x, ((0, 0), (0, 0), (margin, margin), (margin, margin)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(2, 3))  # [B, in, h, w, k, k]
    result = np.einsum("bihwkl,oikl->bohw", windows, weight)
    return result if bias is None else result + bias[None, :, None, None]


def batch_norm(x: np.ndarray, eps: float = 1e-5) -> np.ndarray:
    """By the batch's own statistics, gamma 1 and beta 0."""
    mean, variance = x.mean(axis=(0, 2, 3), keepdims=True), x.var(axis=(0, 2, 3), keepdims=True)
    return (x - mean) / np.sqrt(variance + eps)


def self_attention(streams: list[np.ndarray], squeeze, gate, mix) -> np.ndarray:
    """SSMA; each layer is (weight, bias)."""
    stacked = np.concatenate(streams, axis=1)
    narrow = np.maximum(convolve(stacked, *squeeze), 0)
    weights = 1 / (1 + np.exp(-convolve(narrow, *gate)))
    return batch_norm(convolve(weights * stacked, *mix))


def align(streams: list[np.ndarray], splits: np.ndarray, mix: np.ndarray) -> np.ndarray:
    """Common and specific parts; splits [M, C, C, 1, 1], one for each modality."""
    parts = [convolve(x, split) for x, split in zip(streams, splits, strict=True)]
    half = streams[0].shape[1] // 2
    common = sum(part[:, :half] for part in parts) / len(parts)
    return convolve(np.concatenate([common, *(part[:, half:] for part in parts)], axis=1), mix)


def median_distance(samples: np.ndarray) -> float:
    """The (lower) median of the squared distances between the samples [N, D]."""
    apart = [((a - b) ** 2).sum() for i, a in enumerate(samples) for b in samples[i + 1 :]]
    return sorted(apart)[(len(apart) - 1) // 2]


def mmd(x: np.ndarray, y: np.ndarray, median: float | None = None) -> float:
    """Unbiased squared MMD with 11 Gaussian kernels, by two loops over the samples [N, D] and [N', D]."""
    width = median_distance(np.concatenate([x, y])) if median is None else median

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        distance = ((a - b) ** 2).sum()
        return sum(np.exp(-distance / (width * 2.0**power)) for power in range(-5, 6)) / 11

    def within(group: np.ndarray) -> float:
        values = [kernel(a, b) for i, a in enumerate(group) for j, b in enumerate(group) if i != j]
        return sum(values) / len(values)

    across = [kernel(a, b) for a in x for b in y]
    return within(x) + within(y) - 2 * sum(across) / len(across)
