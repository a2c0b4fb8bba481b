"""Kernel distance of two sets of features (S section 2; Binkowski et al. 2018): unbiased squared MMD, cubic kernel.

    k(a, b) = (a.b / D + 1)^3
    d = mean of k over pairs of different real images + the same of generated ones - 2 mean of k over mixed pairs

On Inception features this is KID. Papers, and S-Tables 8 and 9 with them, print it times 100; here it is not
multiplied. It has no bias, so it may fall below 0. Mean and spread are those over random subsets, drawn as
torch-fidelity draws them from the same seed.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from cen_cli.metrics.features import checked_pair, products

_ROWS = 512
"""Rows of a kernel matrix that are held at once."""


def kernel_distance(
    real: Tensor | np.ndarray,
    fake: Tensor | np.ndarray,
    subsets: int = 50,
    subset_size: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Mean and standard deviation over `subsets` of the kernel distance of features [N, D] and [N', D], in float64.

    `real` and `fake` are Inception features, one row an image (Binkowski et al., ICLR 2018); `seed` draws the subsets.
    About 0 where both are alike, slightly negative values are possible; not multiplied by 100.

    A side of at most `subset_size` images enters whole. Where both do, all subsets are the same: the distance is
    computed once and the deviation is NaN, as it is for a single subset. Raises ValueError for features that are no
    matrices of the same D, for fewer than two rows, NaN or infinity; for subsets < 1 and subset_size < 2.
    """
    if subsets < 1 or subset_size < 2:
        raise ValueError(f"KID needs subsets >= 1 and subset_size >= 2, got {subsets} and {subset_size}")
    x, y = checked_pair(real, fake)
    if max(len(x), len(y)) <= subset_size:
        subsets = 1
    chosen_x, chosen_y = _draw(len(x), len(y), subsets, subset_size, seed)
    distances = _within(x, chosen_x) + _within(y, chosen_y) - 2 * _between(x, y, chosen_x, chosen_y)
    return float(distances.mean()), float(distances.std(correction=0)) if subsets > 1 else float("nan")


def _draw(size_x: int, size_y: int, subsets: int, subset_size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Index lists [S, min(N, subset_size)] of both sides, drawn in turn without repetition."""
    random = np.random.RandomState(seed)
    sizes = (size_x, size_y)
    drawn = [[random.choice(size, min(size, subset_size), replace=False) for size in sizes] for _ in range(subsets)]
    x, y = (torch.from_numpy(np.stack(side)) for side in zip(*drawn, strict=True))
    return x, y


def _within(x: Tensor, chosen: Tensor) -> Tensor:
    """Mean kernel over pairs of different rows of each subset [S, m]: [S]."""
    size = chosen.shape[1]
    alone = _cubed(x.square().sum(dim=1), x.shape[1])[chosen].sum(dim=1)
    return (_kernel_sums(x, x, chosen, chosen) - alone) / (size * (size - 1))


def _between(x: Tensor, y: Tensor, chosen_x: Tensor, chosen_y: Tensor) -> Tensor:
    """Mean kernel over all pairs of a row of x and a row of y of each subset: [S]."""
    return _kernel_sums(x, y, chosen_x, chosen_y) / (chosen_x.shape[1] * chosen_y.shape[1])


def _kernel_sums(x: Tensor, y: Tensor, chosen_x: Tensor, chosen_y: Tensor) -> Tensor:
    """Sum of the kernel over the rows and columns of each subset: [S]; by whichever way takes fewer products."""
    if chosen_x.numel() * chosen_y.shape[1] < len(x) * len(y):
        pairs = zip(chosen_x, chosen_y, strict=True)
        return torch.stack([_cubed(products(x[rows], y[columns]), x.shape[1]).sum() for rows, columns in pairs])
    member_x, member_y = _membership(chosen_x, len(x)), _membership(chosen_y, len(y))
    sums = torch.zeros(len(chosen_x), dtype=x.dtype)
    for start in range(0, len(x), _ROWS):
        rows, after = slice(start, start + _ROWS), slice(start + _ROWS, None)
        parts = [(rows, 1), (after, 2)] if x is y else [(slice(None), 1)]  # of a symmetric kernel, half
        for columns, times in parts:
            kernel = _cubed(products(x[rows], y[columns]), x.shape[1])
            sums += times * (member_x[:, rows] @ kernel * member_y[:, columns]).sum(dim=1)
    return sums


def _membership(chosen: Tensor, size: int) -> Tensor:
    """Index lists [S, m] as float64 [S, size], 1 where chosen."""
    return torch.zeros(len(chosen), size, dtype=torch.float64).scatter_(1, chosen, 1.0)


def _cubed(products: Tensor, dimension: int) -> Tensor:
    """The kernel of inner products."""
    return products.div(dimension).add_(1).pow_(3)
