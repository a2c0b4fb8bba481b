"""The L1 penalty: its value by hand, and where its gradient goes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cen_cli.models.exchange import ChannelExchange
from cen_cli.models.norms import ModalBatchNorm2d, ModalInstanceNorm2d
from cen_cli.models.sparsity import sparsity_penalty
from tests.reference import exchanging


def layers(region: str = "disjoint", **norm: str) -> nn.Sequential:
    """Two exchanging layers, 5 and 4 channels, with gammas of both signs, and a norm that does not exchange."""
    generator = torch.Generator().manual_seed(0)
    active = norm.get("affine") != "shared"
    exchanging_norms = (ModalBatchNorm2d(5, 2, **norm), ModalInstanceNorm2d(4, 2, **norm))
    found = [ChannelExchange(n, region=region, active=active) for n in exchanging_norms]
    for layer in found:
        layer.norm.weight.data.copy_(torch.randn(layer.norm.weight.shape, generator=generator))
    return nn.Sequential(*found, ModalBatchNorm2d(7, 2))


@pytest.mark.parametrize("region", ["disjoint", "all"])
def test_the_penalty_is_the_sum_over_pressed_gammas_and_moves_only_those(region):
    net = layers(region)
    penalty = sparsity_penalty(net)
    penalty.backward()
    expected = 0.0
    for layer in net[:2]:
        pressed, _ = exchanging.replaceable(layer.norm.channels, 2, region, "own-part")
        gamma = layer.norm.weight.detach()
        expected += gamma[torch.from_numpy(pressed)].abs().sum().item()
        assert torch.equal(layer.norm.weight.grad, gamma.sign() * torch.from_numpy(pressed))
    assert penalty.item() == pytest.approx(expected, rel=1e-6)
    assert net[2].weight.grad is None


def test_a_shared_gamma_is_pressed_once_per_part():
    net = layers(affine="shared")
    penalty = sparsity_penalty(net)
    expected = sum(layer.norm.weight.detach().abs().sum().item() for layer in net[:2])
    assert penalty.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("net", [nn.Conv2d(3, 4, 1), nn.Identity(), ModalBatchNorm2d(4, 2)])
def test_nothing_pressed_costs_nothing(net):
    assert sparsity_penalty(net).item() == 0.0


def test_half_precision_gammas_are_summed_in_float32():
    layer = ChannelExchange(ModalBatchNorm2d(4096, 1)).bfloat16()
    penalty = sparsity_penalty(layer)
    assert penalty.dtype == torch.float32
    assert penalty.item() == 4096.0
    assert sparsity_penalty(layer.double()).dtype == torch.float64
