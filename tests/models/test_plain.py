"""The network against the plain implementation of the benchmarks: another program, the same parameters."""

from __future__ import annotations

import pytest
import torch

from benchmarks.plain import PlainNorm, PlainSegmenter, plain_from
from cen_cli.models.exchange import ChannelExchange, exchange_layers
from cen_cli.models.norms import ModalBatchNorm2d
from cen_cli.models.segmenter import Segmenter, refinenet_segmenter
from cen_cli.models.sparsity import sparsity_penalty
from tests.streams import built


def pair(modalities: int, **settings) -> tuple[PlainSegmenter, Segmenter, list[torch.Tensor]]:
    """Both networks in float64 with random gammas, about a third of them below the threshold, and images."""
    names = ("rgb", "depth", "edge")[:modalities]
    settings = {"backbone": "resnet18", "width": 8, "encoder_width": 8, "dropout": 0.0, "threshold": 0.3, **settings}
    net = built(refinenet_segmenter, names, 5, **settings).double()
    for layer in exchange_layers(net).values():
        torch.nn.init.uniform_(layer.norm.weight, -1, 1)
    return plain_from(net), net, [torch.randn(2, 3, 64, 64, dtype=torch.float64) for _ in names]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("modalities", "settings"),
    [
        (1, {}),
        (2, {}),
        (2, {"replace": "anywhere"}),
        (2, {"region": "all"}),
        (2, {"exchange": False}),
        (3, {}),
        (2, {"backbone": "resnet50"}),
    ],
)
def test_outputs_and_gradients_are_those_of_the_plain_network(modalities, settings, training):
    plain, net, images = pair(modalities, **settings)
    branches, ensemble = plain.train(training)(images)
    out = net.train(training).to(memory_format=torch.channels_last)(torch.cat(images))
    torch.testing.assert_close(out.branches, torch.stack(branches), rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(out.ensemble, ensemble, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(sparsity_penalty(net), plain.penalty())
    (sum(b.square().mean() for b in branches) + ensemble.square().mean() + 0.1 * plain.penalty()).backward()
    (
        sum(b.square().mean() for b in out.branches) + out.ensemble.square().mean() + 0.1 * sparsity_penalty(net)
    ).backward()
    tolerance = {"rtol": 1e-6, "atol": 1e-10}
    torch.testing.assert_close(net.encoder.conv1.weight.grad, plain.stem.weight.grad, **tolerance)
    torch.testing.assert_close(net.decoder.path4.reduce.weight.grad, plain.paths[3].reduce.weight.grad, **tolerance)
    torch.testing.assert_close(net.ensemble.alpha.grad, plain.alpha.grad, **tolerance)
    for modal, norms in zip(modal_norms(net), plain_norms(plain), strict=True):
        for name in ("weight", "bias"):
            expected = torch.stack([getattr(norm, name).grad for norm in norms])
            torch.testing.assert_close(getattr(modal, name).grad, expected, **tolerance)
        torch.testing.assert_close(modal.running_var, torch.stack([norm.running_var for norm in norms]), **tolerance)


def test_the_comparison_sees_exchanged_channels():
    _, net, _ = pair(2)
    assert all(layer.replaced().any() for layer in exchange_layers(net).values())


def loss(branches, ensemble: torch.Tensor, penalty: torch.Tensor) -> torch.Tensor:
    return sum(branch.square().mean() for branch in branches) + ensemble.square().mean() + 0.1 * penalty


def modal_norms(net: Segmenter) -> list[ModalBatchNorm2d]:
    """The norms in the order in which the plain network lists them: a block's norms, then its shortcut's."""
    found = [net.encoder.bn1]
    for stage in (net.encoder.layer1, net.encoder.layer2, net.encoder.layer3, net.encoder.layer4):
        for block in stage:
            found += [getattr(block, f"bn{n}") for n in (1, 2, 3) if hasattr(block, f"bn{n}")]
            found += [] if block.downsample is None else [block.downsample[1]]
    return [norm.norm if isinstance(norm, ChannelExchange) else norm for norm in found]


def plain_norms(plain: PlainSegmenter) -> list[torch.nn.ModuleList]:
    return [layer.norms for layer in plain.modules() if isinstance(layer, PlainNorm)]
