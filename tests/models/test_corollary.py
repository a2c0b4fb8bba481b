"""Corollary 1 (S Section 1): where gamma is 0, exchanging can only lower the minimum of the loss.

The proof builds, for any network f without exchange, a network f' with exchange and the same output: with x'_c =
beta_c constant, W_c * relu(beta_c) goes into the bias of the following convolution, and W'_c = 0. It needs convolutions
of each modality's own, a norm followed by ReLU and convolution, and a constant map that stays one: a convolution that
pads with zeros has another constant at the border.
"""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from cen_cli.models.exchange import ChannelExchange, exchange_layers
from cen_cli.models.norms import ModalBatchNorm2d
from cen_cli.models.segmenter import refinenet_segmenter
from cen_cli.models.streams import PrivateCopies
from tests.streams import built


class Unit(nn.Module):
    """Norm with exchange, ReLU, a convolution of each modality's own with bias."""

    def __init__(self, channels: int, kernel: int, *, active: bool) -> None:
        super().__init__()
        self.exchange = ChannelExchange(ModalBatchNorm2d(channels, 2), threshold=1e-2, active=active)
        conv = nn.Conv2d(channels, 5, kernel, padding=kernel // 2)
        self.conv = PrivateCopies(conv, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.exchange(x).relu())


@torch.no_grad()
def kill(norm: ModalBatchNorm2d, pressed: Tensor, every: int = 2) -> Tensor:
    """Set every second pressed gamma to 0; other gammas are away from it. Returns the dead ones, bool [M, C]."""
    norm.weight.uniform_(0.5, 1.5)
    norm.bias.uniform_(-1, 1)
    dead = torch.zeros_like(pressed)
    for row, own in zip(dead, pressed, strict=True):
        row[own.nonzero().flatten()[::every]] = True
    norm.weight[dead] = 0
    return dead


@torch.no_grad()
def constants(conv: PrivateCopies, norm: ModalBatchNorm2d, dead: Tensor) -> Tensor:
    """W_c * relu(beta_c), summed over the dead channels of each modality: [M, out]. Sets W_c = 0."""
    inputs = norm.bias.relu() * dead  # [M, C]
    added = torch.einsum("mock,mc->mo", conv.stacked("weight").flatten(3), inputs)
    for layer, row in zip(conv.copies, dead, strict=True):
        layer.weight[:, row] = 0
    return added


def unit(kernel: int) -> tuple[Unit, Unit, Tensor]:
    """f, the f' that the proof builds, and images of two modalities."""
    torch.manual_seed(0)
    without = Unit(8, kernel, active=False).double().eval()
    for layer in without.conv.copies:
        nn.init.normal_(layer.weight)
    dead = kill(without.exchange.norm, without.exchange.pressed)
    assert dead.sum() == 4
    exchanging = copy.deepcopy(without)
    exchanging.exchange.active = True
    assert torch.equal(exchanging.exchange.replaced(), dead)
    with torch.no_grad():
        added = constants(exchanging.conv, exchanging.exchange.norm, dead)
        for layer, row in zip(exchanging.conv.copies, added, strict=True):
            layer.bias += row
    return without, exchanging, torch.randn(6, 8, 9, 9, dtype=torch.float64)


def test_the_constructed_network_has_the_same_output():
    without, exchanging, x = unit(kernel=1)
    torch.testing.assert_close(exchanging(x), without(x), rtol=1e-12, atol=1e-12)


def test_zero_padding_breaks_the_identity_at_the_border_only():
    without, exchanging, x = unit(kernel=3)
    expected, found = without(x), exchanging(x)
    torch.testing.assert_close(found[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1], rtol=1e-12, atol=1e-12)
    assert (found - expected).abs()[..., 0, :].max() > 1e-3


def test_shared_convolutions_leave_no_such_construction():
    """Where W_c = 0 for one modality it is 0 for the other too, which still needs that channel."""
    without, exchanging, x = unit(kernel=1)
    with torch.no_grad():
        dead = exchanging.exchange.replaced()
        for layer, row in zip(exchanging.conv.copies, dead.flip(0), strict=True):
            layer.weight[:, row] = 0
    assert (exchanging(x) - without(x)).abs().max() > 1e-3


def test_minimum_is_lower_with_exchange():
    """With all else fixed the following convolution is a least-squares problem: no minimum is above that without."""
    without, exchanging, x = unit(kernel=1)
    target = torch.randn(2, 3, 5, 9, 9, dtype=torch.float64)

    def minimum(net: Unit, m: int) -> float:
        features = net.exchange(x).relu().unflatten(0, (2, -1))[m].movedim(1, -1).flatten(0, 2)  # [pixels, C]
        columns = torch.cat([features, torch.ones(len(features), 1, dtype=torch.float64)], dim=1)
        wanted = target[m].movedim(1, -1).flatten(0, 2)
        fitted = torch.linalg.lstsq(columns, wanted, driver="gelsd").solution
        return float((columns @ fitted - wanted).square().mean().detach())

    for m in (0, 1):
        assert minimum(exchanging, m) < minimum(without, m) - 1e-6


@pytest.mark.parametrize("region", ["disjoint", "all"])
def test_construction_on_a_whole_network(region):
    """ResNet-50: a 1x1 convolution follows each exchange; its constant goes into the mean of the norm after it."""
    torch.manual_seed(0)
    settings = {
        "backbone": "resnet50",
        "width": 16,
        "encoder_width": 8,
        "dropout": 0.0,
        "light": True,
        "region": region,
    }
    without = (
        built(refinenet_segmenter, ("rgb", "depth"), 4, conv="private", exchange=False, **settings).double().eval()
    )
    exchanging = built(refinenet_segmenter, ("rgb", "depth"), 4, conv="private", **settings).double().eval()
    deads = {name: kill(layer.norm, layer.pressed, every=3) for name, layer in exchange_layers(without).items()}
    exchanging.load_state_dict(without.state_dict())
    for name, layer in exchange_layers(exchanging).items():
        block = exchanging.get_submodule(name.rpartition(".")[0])
        with torch.no_grad():
            block.bn3.running_mean -= constants(block.conv3, layer.norm, deads[name])
    x = torch.randn(4, 3, 64, 64, dtype=torch.float64)
    expected, found = without(x), exchanging(x)
    assert sum(int(layer.replaced().sum()) for layer in exchange_layers(exchanging).values()) > 100
    torch.testing.assert_close(found.branches, expected.branches, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found.ensemble, expected.ensemble, rtol=1e-9, atol=1e-9)
