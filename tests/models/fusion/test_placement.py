"""Where streams merge, in both encoders: against the encoder's own layers, called one after the other."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cen_cli.models.exchange import exchange_layers
from cen_cli.models.fusion.blocks import AverageFusion, ConcatFusion
from cen_cli.models.fusion.placement import Fusion, place
from cen_cli.models.segmenter import pspnet_segmenter, refinenet_segmenter
from cen_cli.models.streams import PrivateCopies, current_state
from cen_cli.models.translator import unet_translator
from tests.streams import built

STAGES = ("early", "middle", "late", "all")
NAMES = ("a", "b", "c")
RESNET_POINTS = {"early": 2, "middle": 3, "late": 4, "all": 4}
UNET_POINTS = {"early": 1, "middle": 3, "late": 5, "all": 5}  # of 5 layers


def concat(channels: int, modalities: int, make_norm) -> nn.Module:
    return ConcatFusion(channels, modalities)


def segmenter(stage: str, modalities: int = 2):
    torch.manual_seed(0)
    fusion = Fusion(concat, stage)
    return built(
        refinenet_segmenter,
        NAMES[:modalities],
        3,
        backbone="resnet18",
        encoder_width=8,
        width=8,
        dropout=0.0,
        fusion=fusion,
    ).eval()


def translator(stage: str, modalities: int = 2, **settings):
    torch.manual_seed(0)
    fusion = Fusion(concat, stage)
    return built(
        unet_translator, NAMES[:modalities], levels=5, filters=4, dropout=0.0, fusion=fusion, **settings
    ).eval()


def expected_features(
    stages: list, blocks: list[nn.Module], x: Tensor, point: int, modalities: int, *, everywhere: bool
):
    """The features that the decoder should get, written as the paper's supplement says it."""
    features = []
    for index, stage in enumerate(stages, start=1):
        x = stage(x)
        if everywhere:
            features.append(blocks[index - 1](x))
        elif index < point:
            features.append(sum(x.chunk(modalities)) / modalities)
        else:
            x = blocks[index - 1](x) if index == point else x
            features.append(x)
    return features


@pytest.mark.parametrize("modalities", [2, 3])
@pytest.mark.parametrize("stage", STAGES)
def test_in_a_resnet(stage: str, modalities: int) -> None:
    encoder = segmenter(stage, modalities).encoder
    x = torch.randn(modalities * 2, 3, 64, 64)
    stem = encoder.maxpool(encoder.relu(encoder.bn1(encoder.conv1(x))))
    stages = [encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4]
    blocks = [getattr(junction, "block", None) for junction in encoder.junctions]
    point = RESNET_POINTS[stage]
    expected = expected_features(stages, blocks, stem, point, modalities, everywhere=stage == "all")
    for feature, wanted in zip(encoder(x), expected, strict=True):
        assert len(feature) == 2
        torch.testing.assert_close(feature, wanted)


@pytest.mark.parametrize("modalities", [2, 3])
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("norm_layers", ["all", "inner"])
def test_in_a_unet(stage: str, modalities: int, norm_layers: str) -> None:
    encoder = translator(stage, modalities, norm_layers=norm_layers).encoder
    x = torch.randn(modalities * 2, 3, 32, 32)
    layers = [encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4, encoder.layer5]
    stages = [layers[0], *((lambda x, layer=layer: layer(F.leaky_relu(x, 0.2))) for layer in layers[1:])]
    blocks = [getattr(junction, "block", None) for junction in encoder.junctions]
    point = UNET_POINTS[stage]
    expected = expected_features(stages, blocks, x, point, modalities, everywhere=stage == "all")
    for feature, wanted in zip(encoder(x), expected, strict=True):
        assert len(feature) == 2
        torch.testing.assert_close(feature, wanted)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("build", [segmenter, translator])
def test_streams_are_private_networks_until_they_merge(build, stage: str) -> None:
    model = build(stage)
    stages = [child for name, child in model.encoder.named_children() if name.startswith("layer")]
    point = (RESNET_POINTS if build is segmenter else UNET_POINTS)[stage]
    for index, part in enumerate(stages, start=1):
        private = sum(isinstance(layer, PrivateCopies) for layer in part.modules())
        convolutions = sum(isinstance(layer, nn.Conv2d) for layer in part.modules())
        assert (private, convolutions) == ((convolutions / 2, 2 * private) if index <= point else (0, convolutions))
        rows = {layer.modalities for layer in part.modules() if hasattr(layer, "running_mean")}
        assert rows == ({2} if index <= point else {1})
    assert exchange_layers(model) == {}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(("build", "size"), [(segmenter, 64), (translator, 32)])
def test_there_is_one_branch_and_it_is_the_ensemble(build, size: int, stage: str) -> None:
    model = build(stage)
    output = model({name: torch.randn(2, 3, size, size) for name in ("a", "b")})
    assert model.branches == ("fused",)
    assert output.branches.shape[:2] == (1, 2)
    assert torch.equal(output.ensemble, output.branches[0])
    assert output.weights.tolist() == [1.0]
    assert list(output.named(model.branches)) == ["fused"]


@pytest.mark.parametrize("build", [segmenter, translator])
def test_fusion_blocks_learn_at_the_decoder_s_rate(build) -> None:
    model = build("all")
    groups = model.parameter_groups()
    blocks = {id(parameter) for parameter in model.encoder.junctions.parameters()}
    assert blocks
    assert blocks <= {id(parameter) for parameter in groups["decoder"]}
    assert groups["gamma"] == []


def test_junctions_of_one_point_and_of_all() -> None:
    one, private = place(Fusion(concat, "middle"), {"middle": 2}, (4, 8, 16), 2, nn.BatchNorm2d)
    assert kinds(one) == [(AverageFusion, False), (ConcatFusion, True), (type(None), False)]
    assert private == 2
    everywhere, private = place(Fusion(concat, "all"), {}, (4, 8, 16), 2, nn.BatchNorm2d)
    assert kinds(everywhere) == [(ConcatFusion, False)] * 3
    assert private == 3


def kinds(junctions: Iterable) -> list[tuple[type, bool]]:
    """The class of each junction's block, and whether the streams end there."""
    return [(type(junction.block), junction.merges) for junction in junctions]


def test_pspnet_fuses_where_its_decoder_reads() -> None:
    torch.manual_seed(0)
    settings = {"backbone": "resnet50", "encoder_width": 4, "width": 4, "dropout": 0.0}
    net = built(pspnet_segmenter, NAMES[:2], 3, fusion=Fusion(concat, "all"), **settings)
    assert kinds(net.encoder.junctions) == [(AverageFusion, False)] * 2 + [(ConcatFusion, False)] * 2
    logits = net({name: torch.randn(2, 3, 32, 32) for name in NAMES[:2]})
    (logits.branches.square().mean() + logits.auxiliary.square().mean()).backward()
    for parameter in net.get_submodule("encoder.junctions").parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0


def test_a_state_with_blocks_that_nobody_read_still_loads() -> None:
    net = built(pspnet_segmenter, NAMES[:2], 3, backbone="resnet50", encoder_width=4, fusion=Fusion(concat, "all"))
    older = {**net.state_dict(), "encoder.junctions.0.block.mix.bias": torch.zeros(16)}
    assert set(current_state(net, older)) == set(net.state_dict())


def test_one_modality_has_nothing_to_fuse() -> None:
    with pytest.raises(ValueError, match="modalities = 1: there is nothing to fuse"):
        segmenter("early", 1)
