"""Frechet and kernel distance as their papers write them: a matrix square root, and loops over pairs."""

from __future__ import annotations

import warnings

import numpy as np
import scipy.linalg


def frechet(x, y):
    """Distance of the normal distributions of features [N, D] and [N', D], through scipy's square root."""
    sigma_x, sigma_y = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy warns of singular matrices
        root = scipy.linalg.sqrtm(sigma_x @ sigma_y)
    means = np.square(x.mean(axis=0) - y.mean(axis=0)).sum()
    return means + np.trace(sigma_x) + np.trace(sigma_y) - 2 * np.trace(root).real


def _kernel(a, b):
    return (a @ b / len(a) + 1) ** 3


def kernel(x, y):
    """Unbiased squared MMD of all rows, pair by pair."""
    real = np.mean([_kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
    fake = np.mean([_kernel(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
    return real + fake - 2 * np.mean([_kernel(a, b) for a in x for b in y])
