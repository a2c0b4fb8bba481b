"""Multiple-kernel maximum mean discrepancy: how far apart two sets of samples are (Gretton et al., NIPS 2012).

    MMD^2 = mean k(x, x') + mean k(y, y') - 2 mean k(x, y),    k = the mean of 11 Gaussian kernels

The kernels' bandwidths are a geometric series, 2^-5 to 2^5 times the median squared distance between samples, so each
kernel is the square of the next wider one. The means over one set leave out the pairs of a sample with itself (the
unbiased, quadratic-time estimate), so the result is 0 in expectation for sets of one distribution, and may be negative.
A set of one sample has no other pair; there the biased estimate stands in, which is 0 only where both samples are
equal. Between two single samples the only distance would be its own median; the sum of their squared norms, which is
what two unlike samples are apart, takes its place.
"""

from __future__ import annotations

import torch
from torch import Tensor

KERNELS = 11
"""Gaussian kernels, as in Wang et al., ECCV 2016 (S Section 2)."""


def multi_kernel_mmd(x: Tensor, y: Tensor) -> Tensor:
    """Squared discrepancy of two sets of samples [N, D] and [N', D]: a scalar, differentiable in both.

    Raises ValueError for other shapes.
    """
    if x.dim() != 2 or y.dim() != 2 or x.shape[1] != y.shape[1] or not len(x) or not len(y):
        raise ValueError(f"two sets of samples [N, D] and [N', D] are needed, got {list(x.shape)} and {list(y.shape)}")
    samples = torch.cat([x, y])
    norms = samples.square().sum(1)
    distances = (norms[:, None] + norms[None] - 2 * samples @ samples.T).clamp_min(0)  # [N + N', N + N'], squared
    widest = _scale(samples, distances) * 2.0 ** (KERNELS // 2)
    kernel = one = torch.exp(distances / -widest)
    for _ in range(KERNELS - 1):
        one = one.square()  # the kernel of half the bandwidth
        kernel = kernel + one
    kernel = kernel / KERNELS
    n = len(x)
    within = _mean_of_pairs(kernel[:n, :n]) + _mean_of_pairs(kernel[n:, n:])
    return within - 2 * kernel[:n, n:].mean()


@torch.no_grad()
def _scale(samples: Tensor, distances: Tensor) -> Tensor:
    """The median over pairs of different samples, away from 0 where most of them coincide; of one pair, its norms."""
    rows, columns = torch.triu_indices(len(distances), len(distances), offset=1, device=distances.device)
    scale = distances[rows, columns].median() if len(samples) > 2 else samples.square().sum()
    return scale.clamp_min(torch.finfo(distances.dtype).eps)


def _mean_of_pairs(kernel: Tensor) -> Tensor:
    """The mean over pairs of different samples; of the only sample with itself where there is just one."""
    n = len(kernel)
    if n == 1:
        return kernel.mean()
    return (kernel.sum() - kernel.diagonal().sum()) / (n * (n - 1))
