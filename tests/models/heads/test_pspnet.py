"""PSPNet: its head against plain loops, its size against torchvision's numbers, its streams in training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models.segmentation import fcn_resnet50

from cen_cli.models.conversion import convert_layers, nowhere
from cen_cli.models.exchange import exchange_layers
from cen_cli.models.heads.pspnet import PSPNetDecoder
from cen_cli.models.norms import ModalBatchNorm2d
from cen_cli.models.segmenter import Segmenter, pspnet_segmenter
from cen_cli.models.settings import StreamSettings
from cen_cli.models.streams import PrivateCopies
from tests.reference import pyramid, refining
from tests.streams import built

CHANNELS = (2, 3, 4, 8)
MODALITIES = 2


def lively_head(**settings) -> PSPNetDecoder:
    """In float64, with random tensors everywhere, for two modalities."""
    head = PSPNetDecoder(CHANNELS, classes=3, width=5, dropout=0.0, **settings)
    convert_layers(head, MODALITIES, StreamSettings(), after=nowhere)
    generator = torch.Generator().manual_seed(1)
    for tensor in head.double().state_dict().values():
        tensor.copy_(torch.rand(tensor.shape, generator=generator, dtype=torch.float64) + 0.1)
    for parameter in head.parameters():
        parameter.data -= 0.6
    return head


def features(batch: int = 1, side: int = 7) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(2)
    shape = (MODALITIES * batch, side, side + 2)
    return tuple(
        torch.randn(shape[0], channels, *shape[1:], generator=generator, dtype=torch.float64) for channels in CHANNELS
    )


def arrays(head: nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.detach().numpy() for name, tensor in head.state_dict().items()}


@torch.no_grad()
@pytest.mark.parametrize("side", [7, 4, 13])
def test_head_equals_plain_loops(side):
    head, maps = lively_head().eval(), features(side=side)
    logits = head(maps)
    assert logits.shape == (MODALITIES, 3, side, side + 2)
    for m in range(MODALITIES):
        expected = pyramid.head(arrays(head), maps[3][m].numpy(), m)
        np.testing.assert_allclose(logits[m].numpy(), expected, rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_auxiliary_head_equals_plain_loops_and_is_there_in_training_alone():
    head, maps = lively_head().train(), features(batch=2)
    logits, auxiliary = head(maps)
    assert logits.shape == auxiliary.shape == (2 * MODALITIES, 3, 7, 9)
    tensors = arrays(head)
    for m in range(MODALITIES):
        own = maps[2][2 * m : 2 * m + 2].numpy()
        before = np.stack([refining.conv3x3(x, tensors["auxiliary.0.0.weight"]) for x in own])
        statistics = before.mean((0, 2, 3)), before.var((0, 2, 3))
        for b in range(2):
            expected = pyramid.auxiliary_head(tensors, own[b], statistics, m)
            np.testing.assert_allclose(auxiliary[2 * m + b].numpy(), expected, rtol=1e-9, atol=1e-9)
    assert isinstance(head.eval()(maps), torch.Tensor)
    assert isinstance(lively_head(auxiliary=False).train()(maps), torch.Tensor)


def test_norms_of_the_head_are_private_and_exchange_nothing():
    head = lively_head()
    norms = [layer for layer in head.modules() if isinstance(layer, ModalBatchNorm2d)]
    assert len(norms) == 4 + 1 + 1
    assert all(layer.weight.shape[0] == MODALITIES for layer in norms)
    assert not exchange_layers(head)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="two feature maps"):
        PSPNetDecoder((4,), 3)


# ---- whole networks ----


def small(*modalities: str, **settings) -> Segmenter:
    torch.manual_seed(0)
    defaults = {"backbone": "resnet50", "width": 8, "encoder_width": 8}
    return built(pspnet_segmenter, modalities or ("rgb", "depth"), 5, **{**defaults, **settings})


def images(batch: int = 2, side: int = 40) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {name: torch.randn(batch, 3, side, side + 8, generator=generator) for name in ("rgb", "depth")}


def test_encoder_and_auxiliary_head_have_the_size_of_torchvision_s_fcn():
    """torchvision publishes 35,322,218 parameters for fcn_resnet50 with an auxiliary head and 21 classes."""
    with torch.device("meta"):
        net = built(pspnet_segmenter, ("rgb",), 21, backbone="resnet50", exchange=False)
        fcn = fcn_resnet50(weights=None, weights_backbone=None, num_classes=21, aux_loss=True)
    count = lambda module: sum(parameter.numel() for parameter in module.parameters())  # noqa: E731
    assert count(fcn) == 35_322_218
    assert count(net.encoder) == count(fcn.backbone)
    assert count(net.decoder.auxiliary) == count(fcn.aux_classifier)
    pooled = 4 * (2048 * 512 + 2 * 512)
    assert count(net.decoder.pyramid) == pooled
    joined = 9 * 4096 * 512 + 2 * 512
    assert count(net) == count(fcn.backbone) + count(fcn.aux_classifier) + pooled + joined + 512 * 21 + 21 + 1


@torch.no_grad()
def test_dilated_encoder_equals_torchvision_s():
    net = small("rgb", exchange=False).eval()
    from cen_cli.models.backbones.resnet import RESNETS

    plain = RESNETS["resnet50"].network(8, dilated=True).eval()
    own = {name.replace(".norm.", "."): tensor for name, tensor in net.encoder.state_dict().items()}
    loaded = {name: own[name].reshape(tensor.shape) for name, tensor in plain.state_dict().items() if name in own}
    assert len(loaded) == len(own)
    plain.load_state_dict(loaded, strict=False)
    x = images()["rgb"]
    maps = net.encoder(x)
    assert [tuple(m.shape[2:]) for m in maps] == [(10, 12), (5, 6), (5, 6), (5, 6)]
    stem = plain.maxpool(plain.relu(plain.bn1(plain.conv1(x))))
    expected = plain.layer4(plain.layer3(plain.layer2(plain.layer1(stem))))
    torch.testing.assert_close(maps[3], expected, rtol=1e-4, atol=1e-5)


def test_streams_exchange_in_the_encoder_alone():
    net = small(threshold=0.3, gamma_init=0.1)
    layers = exchange_layers(net)
    assert len(layers) == 16
    assert all(name.startswith("encoder.layer") for name in layers)
    out = net.train()(images())
    assert out.branches.shape == out.auxiliary.shape == (2, 2, 5, 5, 6)
    out = net.eval()(images())
    assert out.auxiliary is None
    assert out.branches.shape == (2, 2, 5, 5, 6)


def test_one_image_can_be_predicted_and_not_be_trained_on():
    net = small()
    assert net.eval()(images(batch=1)).branches.shape[1] == 1
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        net.train()(images(batch=1))


@pytest.mark.parametrize("conv", ["shared", "private"])
def test_groups_hold_every_parameter_once_and_every_branch_trains_its_own(conv):
    net = small(conv=conv).train()
    groups = net.parameter_groups()
    assert {id(p) for p in net.decoder.parameters()} == {id(p) for p in groups["decoder"]}
    assert isinstance(net.decoder.classifier, PrivateCopies) == (conv == "private")
    out = net(images())
    (out.branches.sum() + out.auxiliary.sum()).backward()
    assert all(p.grad is not None for name, p in net.named_parameters() if name != "ensemble.alpha")
