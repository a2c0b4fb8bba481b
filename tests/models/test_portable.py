"""Layers for graphs of open sizes against the layers that they stand for."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cen_cli.models.norms import ModalInstanceNorm2d
from cen_cli.models.portable import PortableAveragePool, PortableInstanceNorm, make_portable


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (6, 6), (7, 5), (13, 20), (60, 80)])
@pytest.mark.parametrize("side", [1, 2, 3, 6])
def test_pooling_covers_the_same_bins(side, size):
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(PortableAveragePool(side)(x), nn.AdaptiveAvgPool2d(side)(x))


@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (5, 4)])
@pytest.mark.parametrize("statistics", ["private", "shared"])
def test_normalising_gives_the_same(statistics, size, running):
    generator = torch.Generator().manual_seed(0)
    norm = ModalInstanceNorm2d(4, 3, statistics=statistics).double().eval()
    for tensor in (*norm.parameters(), *norm.buffers()):
        tensor.data.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
    norm.use_running_statistics = running
    x = torch.randn(6, 4, *size, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(PortableInstanceNorm(norm)(x), norm(x))


def test_both_are_put_in_place():
    net = nn.Sequential(nn.Sequential(ModalInstanceNorm2d(4, 2), nn.ReLU()), nn.AdaptiveAvgPool2d(2))
    make_portable(net)
    assert [type(layer) for layer in (net[0][0], net[1])] == [PortableInstanceNorm, PortableAveragePool]
