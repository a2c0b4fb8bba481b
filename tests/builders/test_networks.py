"""Where a network's kernels lie in memory."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cen_cli.builders.networks import placed
from cen_cli.models.streams import PrivateCopies


@pytest.mark.parametrize("size", [1, 3])
def test_every_kernel_is_channels_last_also_those_of_each_modality(size: int) -> None:
    shared = nn.Conv2d(4, 6, size, padding=size // 2)
    private = PrivateCopies(nn.Conv2d(6, 5, size, padding=size // 2), 2)
    net = nn.Sequential(shared, private)
    order = torch.channels_last
    images = torch.randn(4, 4, 7, 9)
    if size == 1:  # its kernels have no order to hand on
        images = images.contiguous(memory_format=order)
    expected = net(images)
    placed(net, torch.device("cpu"), channels_last=True)
    assert shared.weight.is_contiguous(memory_format=order)
    assert all(kernel.is_contiguous(memory_format=order) for kernel in private.parameters() if kernel.dim() == 4)
    made = net(images)
    torch.testing.assert_close(made, expected)
    assert made.is_contiguous(memory_format=order)  # what follows is computed in this order, too
    made.sum().backward()
    for kernel in private.parameters():
        assert kernel.grad is not None
        assert kernel.grad.stride() == kernel.stride()


def test_the_order_stays_as_it_is_where_it_is_not_asked_for() -> None:
    net = PrivateCopies(nn.Conv2d(6, 5, 3), 2)
    placed(net, torch.device("cpu"), channels_last=False)
    assert all(kernel.is_contiguous() for kernel in net.parameters())
