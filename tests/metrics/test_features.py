"""Products by numpy, against torch's."""

from __future__ import annotations

import torch

from cen_cli.metrics.features import products


def test_products_of_two_matrices_and_of_one_with_itself():
    a, b = (
        torch.randn(rows, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(rows)) for rows in (9, 14)
    )
    torch.testing.assert_close(products(a, b), a @ b.T, rtol=1e-13, atol=1e-13)
    for one in (a, a.T, a[2:7]):
        torch.testing.assert_close(products(one, one), one @ one.T, rtol=1e-13, atol=1e-13)
