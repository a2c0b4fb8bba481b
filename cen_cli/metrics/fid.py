"""Frechet distance of two sets of features, each taken as a normal distribution (S section 2; Heusel et al. 2017).

    d = |m1 - m2|^2 + tr S1 + tr S2 - 2 tr sqrt(S1 S2),     m: mean, S: covariance with denominator N - 1

On Inception features this is FID. It is computed from factors, S = F^T F, so no matrix square root is taken: tr sqrt(S1
S2) is the sum of the singular values of F1 F2^T. Where a side has fewer images than features, its centred images are
the factor and that matrix is small; else the same sum is that of the roots of the eigenvalues of L^T S2 L with S1 = L
L^T. FID is biased: it falls with the number of images, so values of different numbers of images do not compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg.blas
import torch
from torch import Tensor

from cen_cli.metrics.features import checked_pair, products

DISTINCT = 0.632
"""Share of a set that is drawn at all when as many are drawn with replacement, 1 - 1/e."""

_WELL_CONDITIONED = 1e-5
"""Smallest to largest diagonal entry of a Cholesky factor from which its eigenvalues are trusted."""


@dataclass(frozen=True)
class _Normal:
    """A normal distribution by its mean [D] and a factor F [R, D] of its covariance F^T F."""

    mean: Tensor
    factor: Tensor

    @property
    def variance(self) -> float:
        """Trace of the covariance."""
        return float(self.factor.square().sum())


def frechet_distance(real: Tensor | np.ndarray, fake: Tensor | np.ndarray) -> float:
    """Frechet distance of features [N, D] and [N', D], at least 0; computed in float64. Symmetric.

    `real` and `fake` are Inception features, one row an image (Heusel et al., NeurIPS 2017). Raises ValueError for
    features that are no matrices of the same D, for fewer than two rows, NaN or infinity.
    """
    x, y = checked_pair(real, fake)
    return _distance(_fit(x, torch.ones(len(x))), _fit(y, torch.ones(len(y))))


def frechet_interval(
    real: Tensor | np.ndarray, fake: Tensor | np.ndarray, *, resamples: int = 200, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Bootstrap interval (low, high) of `frechet_distance`: how far it depends on which images happened to be drawn.

    The images of both sides, features [N, D] in `real` and [N', D] in `fake`, are drawn anew by `seed`, with
    replacement, `resamples` times; the interval holds the share `level` of these. A resample shows only some 63% of the
    images, so its distance is biased upwards more than that of the full sets (often beyond any interval): the
    percentiles are therefore moved by the difference between the distance and the mean of the resamples. The interval
    speaks of sets of this size, is up to twice too wide where they are smaller than D, and does not cover the bias of
    FID itself. Raises ValueError as `frechet_distance`, for fewer than two resamples and for a level outside (0, 1).
    """
    if resamples < 2:
        raise ValueError(f"an interval needs at least 2 resamples, got {resamples}")
    if not 0 < level < 1:
        raise ValueError(f"level is {level}, not between 0 and 1")
    x, y = checked_pair(real, fake)
    random = np.random.default_rng(seed)
    counts = [(_drawn(len(x), random), _drawn(len(y), random)) for _ in range(resamples)]
    few = DISTINCT * min(len(x), len(y)) < x.shape[1]
    drawn = np.array(_by_products(x, y, counts) if few else _by_covariances(x, y, counts))
    moved = drawn - drawn.mean() + frechet_distance(x, y)
    low, high = np.quantile(moved, [(1 - level) / 2, (1 + level) / 2])
    return max(0.0, float(low)), max(0.0, float(high))


def _drawn(size: int, random: np.random.Generator) -> Tensor:
    """How often each of `size` rows is drawn when as many are, with replacement; float64."""
    return torch.from_numpy(np.bincount(random.integers(size, size=size), minlength=size)).double()


def _by_covariances(x: Tensor, y: Tensor, counts: Sequence[tuple[Tensor, Tensor]]) -> list[float]:
    """The distance of each resample, in which each row occurs so many times, from its covariances."""
    return [_distance(_fit(x[p > 0], p[p > 0]), _fit(y[q > 0], q[q > 0])) for p, q in counts]


def _by_products(x: Tensor, y: Tensor, counts: Sequence[tuple[Tensor, Tensor]]) -> list[float]:
    """The same from the products of all rows [N, N'], which are made once; each resample centres and weights them."""
    x, y = x - x.mean(dim=0), y - x.mean(dim=0)  # near the origin, so that little cancels
    crossed, squares_x, squares_y = products(x, y), x.square().sum(dim=1), y.square().sum(dim=1)
    found = []
    for p, q in counts:
        rows, columns = p > 0, q > 0
        factor = crossed[rows][:, columns]
        factor = factor - (factor @ q[columns] / len(y))[:, None]
        factor = factor - p[rows] @ factor / len(x)
        factor = factor * (p[rows] / (len(x) - 1)).sqrt()[:, None] * (q[columns] / (len(y) - 1)).sqrt()
        (one, variance), (other, variance_y) = _moments(x, squares_x, p), _moments(y, squares_y, q)
        root = float(torch.linalg.svdvals(factor).sum())
        found.append(max(0.0, float((one - other).square().sum()) + variance + variance_y - 2 * root))
    return found


def _moments(features: Tensor, squares: Tensor, counts: Tensor) -> tuple[Tensor, float]:
    """Mean [D] and trace of the covariance of rows that occur so many times; `squares`: their squared lengths."""
    mean = counts @ features / len(features)
    return mean, float(counts @ squares - len(features) * mean.square().sum()) / (len(features) - 1)


def _fit(features: Tensor, counts: Tensor) -> _Normal:
    """Mean and covariance of rows [R, D] of which each occurs counts[r] times."""
    weights = counts.to(features.dtype)
    total = weights.sum()
    mean = weights @ features / total
    return _Normal(mean, (weights / (total - 1)).sqrt()[:, None] * (features - mean))


def _distance(p: _Normal, q: _Normal) -> float:
    means = float((p.mean - q.mean).square().sum())
    return max(0.0, means + p.variance + q.variance - 2 * _trace_of_root(p.factor, q.factor))


def _trace_of_root(f: Tensor, g: Tensor) -> float:
    """tr sqrt(F^T F G^T G) of factors [R, D] and [R', D]: the nuclear norm of F G^T."""
    if min(len(f), len(g)) < f.shape[1]:
        return float(torch.linalg.svdvals(products(f, g)).sum())
    lower, failed = torch.linalg.cholesky_ex(products(f.T, f.T))
    diagonal = lower.diagonal()
    if int(failed) or diagonal.min() < _WELL_CONDITIONED * diagonal.max():
        return float(torch.linalg.svdvals(_triangle(f) @ _triangle(g).T).sum())
    half = torch.from_numpy(scipy.linalg.blas.dtrmm(1.0, lower.numpy(), g.numpy().T, lower=True, trans_a=True))
    return float(torch.linalg.eigvalsh(products(half, half)).clamp_min(0).sqrt().sum())


def _triangle(factor: Tensor) -> Tensor:
    """[D, D] with the same F^T F, without squaring F: slower than Cholesky, but exact whatever the rank."""
    return torch.linalg.qr(factor, mode="r").R
