"""Batch and instance normalisation of M streams (P Eq. 5), row by row, with running statistics."""

from __future__ import annotations

import numpy as np


def _row(table: np.ndarray, m: int) -> np.ndarray:
    """Modality m's row of a table that the modalities share (one row) or not."""
    return table[m] if table.shape[0] > 1 else table[0]


def _affine(x: np.ndarray, mean: np.ndarray, var: np.ndarray, gamma: np.ndarray, beta: np.ndarray, eps: float):
    out = np.empty_like(x)
    for c in range(x.shape[1]):
        out[:, c] = gamma[c] * (x[:, c] - mean[c]) / np.sqrt(var[c] + eps) + beta[c]
    return out


def batch_norm(x, modalities, gamma, beta, mean, var, *, training, eps=1e-5, momentum=0.1):
    """x [M*B, C, H, W]; gamma, beta [M or 1, C]; mean, var [M or 1, C] -> result, new mean, new var."""
    streams = np.split(x, modalities)
    groups = streams if mean.shape[0] == modalities else [x]
    new_mean, new_var = mean.copy(), var.copy()
    used_mean, used_var = mean, var
    if training:
        used_mean = np.stack([group.mean((0, 2, 3)) for group in groups])
        used_var = np.stack([group.var((0, 2, 3)) for group in groups])
        unbiased = np.stack([group.var((0, 2, 3), ddof=1) for group in groups])
        new_mean = (1 - momentum) * mean + momentum * used_mean
        new_var = (1 - momentum) * var + momentum * unbiased
    outputs = [
        _affine(stream, _row(used_mean, m), _row(used_var, m), _row(gamma, m), _row(beta, m), eps)
        for m, stream in enumerate(streams)
    ]
    return np.concatenate(outputs), new_mean, new_var


def instance_norm(x, modalities, gamma, beta, mean, var, *, training, eps=1e-5, momentum=0.1):
    """The same with statistics of each sample's own map; running statistics follow their average."""
    per_stream = x.shape[0] // modalities
    outputs, rows = [], {row: [] for row in range(mean.shape[0])}
    for index, sample in enumerate(x):
        m = index // per_stream
        outputs.append(
            _affine(sample[None], sample.mean((1, 2)), sample.var((1, 2)), _row(gamma, m), _row(beta, m), eps)
        )
        rows[m if mean.shape[0] > 1 else 0].append((sample.mean((1, 2)), sample.var((1, 2), ddof=1)))
    new_mean, new_var = mean.copy(), var.copy()
    if training:
        for row, found in rows.items():
            new_mean[row] = (1 - momentum) * mean[row] + momentum * np.mean([m for m, _ in found], axis=0)
            new_var[row] = (1 - momentum) * var[row] + momentum * np.mean([v for _, v in found], axis=0)
    return np.concatenate(outputs), new_mean, new_var
