"""Features as FID and KID take them, and what the number of images means for both distances."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

DIMENSION = 2048
"""Length of an Inception feature."""


def checked_pair(real: Tensor | np.ndarray, fake: Tensor | np.ndarray) -> tuple[Tensor, Tensor]:
    """Both sides as float64 on the CPU, [N, D] and [N', D].

    Raises ValueError where a side is not a matrix of real numbers, has fewer than two rows or holds NaN or infinity, or
    where the sides differ in D.
    """
    x, y = _checked(real, "real"), _checked(fake, "fake")
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"real features are of length {x.shape[1]}, fake ones of length {y.shape[1]}")
    return x, y


def _checked(features: Tensor | np.ndarray, name: str) -> Tensor:
    matrix = torch.as_tensor(features).detach().cpu()
    if matrix.dim() != 2 or matrix.shape[1] == 0 or matrix.is_complex():
        raise ValueError(
            f"{name} features are a matrix [N, D] of real numbers, not {matrix.dtype} of shape {tuple(matrix.shape)}"
        )
    if len(matrix) < 2:
        raise ValueError(f"{name} features need at least two rows for a covariance, got {len(matrix)}")
    if not matrix.isfinite().all():
        raise ValueError(f"{name} features hold NaN or infinity")
    return matrix.double()


def products(a: Tensor, b: Tensor) -> Tensor:
    """a b^T of float64 matrices on the CPU, by numpy: where b is a it makes one half (syrk), as torch cannot."""
    return torch.from_numpy(a.numpy() @ b.numpy().T)


def distance_notes(real: int, fake: int, *, subset_size: int = 1000, dimension: int = DIMENSION) -> tuple[str, ...]:
    """What has to be said beside FID and KID of so many real and generated images, one sentence each; often nothing."""
    notes = []
    count = f"{real}" if real == fake else f"{real} real and {fake} generated"
    if min(real, fake) < dimension:
        notes.append(
            f"FID of {count} images: fewer than {dimension}, the length of a feature, so its bias upwards is large; "
            "compare it only with FID of the same number of images"
        )
    if max(real, fake) <= subset_size:
        notes.append(
            f"KID of {count} images: every subset of {subset_size} is the whole set, so it was computed once and has "
            "no spread"
        )
    return tuple(notes)
