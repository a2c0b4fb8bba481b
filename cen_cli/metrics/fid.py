"""Frechet distance of two sets of features, each taken as a normal distribution (S section 2; Heusel et al. 2017).

    d = |m1 - m2|^2 + tr S1 + tr S2 - 2 tr sqrt(S1 S2),     m: mean, S: covariance with denominator N - 1

On Inception features this is FID. It is computed from factors, S = F^T F, so no matrix square root is taken: tr sqrt(S1
S2) is the sum of the singular values of F1 F2^T. Where a side has fewer images than features, its centred images are
the factor and that matrix is small; else the same sum is that of the roots of the eigenvalues of L^T S2 L with S1 = L
L^T. FID is biased: it falls with the number of images, so values of different numbers of images do not compare.

Its interval is that of the infinitesimal jackknife (Efron, 1982): the spread over images of how far each moves d. An
image x of the first set moves it, to first order, by

    |x - m1|^2 - (x - m1)^T T (x - m1) + 2 (m1 - m2)^T (x - m1),     T S1 T = S2, symmetric

and F1 T F1^T = U s U^T with U s V^T = F1 F2^T, so that one decomposition gives the share of every image of both sets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import scipy.linalg.blas
import torch
from torch import Tensor

from cen_cli.metrics.features import checked_pair, products

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
    p, q = map(_fit, checked_pair(real, fake))
    return _from_root(p, q, _trace_of_root(p.factor, q.factor))


def frechet_interval(
    real: Tensor | np.ndarray, fake: Tensor | np.ndarray, *, level: float = 0.95
) -> tuple[float, float]:
    """Interval (low, high) of `frechet_distance`: how far it depends on which images happened to be drawn.

    The distance and, on both sides of it, what the share `level` of a normal distribution takes, whose variance is the
    infinitesimal jackknife's; at least 0. `real` and `fake` are features [N, D] and [N', D], taken as independent. The
    interval speaks of sets of this size, is somewhat too wide where they are smaller than D (by 1.1 to 1.3), and does
    not cover the bias of FID itself. Raises ValueError as `frechet_distance`, and for a level outside (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}, not between 0 and 1")
    p, q = map(_fit, checked_pair(real, fake))
    (basis_p, core_p), (basis_q, core_q) = _parted(p.factor), _parted(q.factor)
    u, values, vt = torch.linalg.svd(products(core_p, core_q), full_matrices=False)
    distance = _from_root(p, q, float(values.sum()))
    toward = p.mean - q.mean
    through_real = _variance(p, toward, (basis_p @ u).square() @ values)
    through_fake = _variance(q, -toward, (basis_q @ vt.T).square() @ values)
    reach = NormalDist().inv_cdf((1 + level) / 2) * math.sqrt(through_real + through_fake)
    return max(0.0, distance - reach), distance + reach


def _variance(one: _Normal, toward: Tensor, moved: Tensor) -> float:
    """Of the distance, through the images of one side: `toward` is m1 - m2, `moved` the diagonal of F1 T F1^T, [R]."""
    images = len(one.factor)
    by_mean = 2 * math.sqrt(images - 1) / images * (one.factor @ toward)
    # the derivative by the weight of each image, but for a constant
    moves = one.factor.square().sum(dim=1) - moved + by_mean
    return float((moves - moves.mean()).square().sum())


def _parted(factor: Tensor) -> tuple[Tensor, Tensor]:
    """[R, K] with orthonormal columns and [K, D], K = min(R, D), whose product is the factor."""
    if len(factor) <= factor.shape[1]:
        return torch.eye(len(factor), dtype=factor.dtype), factor
    basis, core = torch.linalg.qr(factor)
    return basis, core


def _fit(features: Tensor) -> _Normal:
    """Mean and covariance of rows [R, D]."""
    mean = features.mean(dim=0)
    return _Normal(mean, (features - mean) / math.sqrt(len(features) - 1))


def _from_root(p: _Normal, q: _Normal, trace: float) -> float:
    return max(0.0, float((p.mean - q.mean).square().sum()) + p.variance + q.variance - 2 * trace)


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
