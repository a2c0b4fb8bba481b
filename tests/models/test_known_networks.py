"""`to_cen` on others' networks: every branch computes what the network computed, and they learn."""

from __future__ import annotations

import pytest
import segmentation_models_pytorch
import timm
import torch
from torch import Tensor, nn

from cen_cli.models.conversion import to_cen
from cen_cli.models.exchange import exchange_layers

EXCHANGES = {
    "convnext_atto": 13,  # layer norms: the stem's, and one behind each 7x7 convolution
    "convnextv2_atto": 13,
    "cspresnet50": 17,
    "darknet17": 11,
    "densenet121": 1,  # all other norms stand before their convolutions, and see concatenations
    "dla46_c": 15,
    "efficientnet_lite0": 17,
    "ese_vovnet19b_slim": 15,
    "fastvit_t8": 29,
    "fbnetc_100": 22,
    "gernet_s": 19,
    "ghostnet_050": 42,
    "hardcorenas_a": 12,
    "hrnet_w18_small": 65,
    "inception_next_atto": 1,
    "lcnet_035": 14,
    "mixnet_s": 4,
    "mnasnet_small": 16,
    "mobilenetv2_035": 18,
    "mobilenetv3_small_050": 12,
    "mobilenetv4_conv_small_035": 18,
    "mobilevit_xxs": 14,
    "regnetx_002": 14,
    "regnety_002": 14,
    "repvgg_a0": 22,
    "resnest14d": 7,
    "resnet10t": 11,
    "resnetv2_18d": 16,
    "rexnetr_100": 17,
    "selecsls42": 22,
    "skresnet18": 25,
    "starnet_s1": 21,
    "tf_efficientnet_lite0": 17,
    "tinynet_e": 11,
}
TRAINED = ("convnext_atto", "mobilenetv3_small_050", "resnet10t", "tf_efficientnet_lite0")
TRANSFORMERS = ("vit_tiny_patch16_224", "mixer_s32_224", "edgenext_xx_small")
SEGMENTERS = {
    "Unet": "mobilenet_v2",
    "FPN": "tu-tf_efficientnet_lite0",
    "DeepLabV3Plus": "tu-mobilenetv3_small_050",
    "Linknet": "resnet18",
    "MAnet": "tu-regnety_002",
    "UnetPlusPlus": "tu-resnet10t",
}


def encoder(name: str) -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(name, num_classes=3).eval()


def segmenter(name: str) -> nn.Module:
    torch.manual_seed(0)
    made = getattr(segmentation_models_pytorch, name)
    return made(encoder_name=SEGMENTERS[name], encoder_weights=None, classes=3).eval()


def check_branches(plain: nn.Module, conv: str) -> nn.Module:
    """The converted network, whose streams do to different images what `plain` does to each alone."""
    net = to_cen(plain, ("a", "b"), threshold=1e-9, conv=conv)
    images = torch.randn(2, 1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        for branch, image in zip(net(images).branches, images, strict=True):
            expected: Tensor = plain(image)
            assert (branch - expected).abs().max() <= 1e-5 * max(1.0, expected.abs().max().item())
    return net


@pytest.mark.parametrize("name", EXCHANGES)
def test_every_branch_of_an_encoder_equals_the_encoder(name):
    assert len(exchange_layers(check_branches(encoder(name), "shared"))) == EXCHANGES[name]


@pytest.mark.parametrize("name", TRAINED)
def test_private_copies_equal_the_encoder_and_a_step_trains_them(name):
    net = check_branches(encoder(name), "private").train()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    net(torch.randn(2, 2, 3, 64, 64)).branches.square().mean().backward()
    gammas = [layer.norm.weight for layer in exchange_layers(net).values()]
    before = [gamma.detach().clone() for gamma in gammas]
    assert all(gamma.grad.isfinite().all() for gamma in gammas)
    optimizer.step()
    assert any(not torch.equal(gamma, earlier) for gamma, earlier in zip(gammas, before, strict=True))


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_transformers_are_refused(name):
    with pytest.raises(ValueError, match="Transformers, and what else normalises tokens, are not converted"):
        to_cen(encoder(name), ("a", "b"))


@pytest.mark.parametrize("name", SEGMENTERS)
def test_every_branch_of_a_segmentation_network_equals_it(name):
    assert exchange_layers(check_branches(segmenter(name), "shared"))


def test_feature_extractors_return_lists():
    plain = timm.create_model("tf_efficientnet_lite0", features_only=True).eval()
    maps = to_cen(plain, ("a", "b"), check=True)(torch.randn(2, 1, 3, 64, 64))
    assert [out.ensemble.shape[1] for out in maps] == [16, 24, 40, 112, 320]
