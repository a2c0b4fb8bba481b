"""Compact networks against the networks that they were made from."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

import cen_cli
from cen_cli.models.choices import RandomShare, SoftGates, choose_channels
from cen_cli.models.compact import (
    CompactConvolution,
    compact_sites,
    compact_tensors,
    compacted,
    put_compact_layers,
)
from cen_cli.models.exchange import allot_donors, computed_channels, exchange_layers
from cen_cli.models.fusion.blocks import ConcatFusion, SelfAttentionFusion
from cen_cli.models.fusion.placement import Fusion
from cen_cli.models.norms import ModalBatchNorm2d, ModalInstanceNorm2d, set_norm_statistics
from cen_cli.models.segmenter import pspnet_segmenter, refinenet_segmenter
from cen_cli.models.streams import PrivateCopies
from cen_cli.models.translator import unet_translator
from tests.streams import built

NAMES = ("a", "b", "c", "d")
SEGMENTER = {"backbone": "resnet18", "encoder_width": 8, "width": 8}


def trained(net: nn.Module, dead: float = 0.3) -> nn.Module:
    """Gammas, betas and statistics as after a training: a share of all gammas is below every threshold here."""
    generator = torch.Generator().manual_seed(1)

    def drawn(like: torch.Tensor) -> torch.Tensor:
        return torch.rand(like.shape, generator=generator)

    with torch.no_grad():
        for layer in net.modules():
            if isinstance(layer, ModalBatchNorm2d | ModalInstanceNorm2d):
                signs = torch.where(drawn(layer.weight) < 0.5, -1.0, 1.0)
                size = torch.where(drawn(layer.weight) < dead, 1e-4, 0.5 + drawn(layer.weight))
                layer.weight.copy_(signs * size)
                layer.bias.copy_(drawn(layer.bias) - 0.5)
                layer.running_mean.copy_(drawn(layer.running_mean) - 0.5)
                layer.running_var.copy_(0.5 + drawn(layer.running_var))
        net.ensemble.alpha.copy_(drawn(net.ensemble.alpha))
    return net.eval()


def segmenter(modalities: int = 2, **settings) -> nn.Module:
    torch.manual_seed(0)
    return trained(built(refinenet_segmenter, NAMES[:modalities], 3, **{**SEGMENTER, **settings}))


def translator(modalities: int = 2, *, statistics: str = "instance", **settings) -> nn.Module:
    torch.manual_seed(0)
    net = trained(built(unet_translator, NAMES[:modalities], **{"levels": 4, "filters": 6, **settings}))
    set_norm_statistics(net, statistics)
    return net


def pspnet(modalities: int = 2, **settings) -> nn.Module:
    torch.manual_seed(0)
    net = built(pspnet_segmenter, NAMES[:modalities], 3, backbone="resnet50", encoder_width=8, width=8, **settings)
    return trained(net)


def with_fixed_channels(net: nn.Module, share: float) -> nn.Module:
    choose_channels(net, RandomShare(share), seed=5)
    return net


def with_allotted_donors(net: nn.Module) -> nn.Module:
    allot_donors(net, seed=5)
    return net


def concat(channels: int, modalities: int, make_norm) -> nn.Module:
    return ConcatFusion(channels, modalities)


def attention(channels: int, modalities: int, make_norm) -> nn.Module:
    return SelfAttentionFusion(channels, modalities, make_norm(channels))


def assert_equal(net: nn.Module, compact: nn.Module, *, size=(32, 48)) -> None:
    """Two samples, so that none takes another's place; outputs must depend on the input at all."""
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(2 * len(net.modalities), 3, *size, generator=generator)
    with torch.inference_mode():
        expected, obtained = net(x), compact(x)
        assert (expected.branches[:, 0] - expected.branches[:, 1]).abs().max() > 1e-3
    scale = max(1.0, float(expected.branches.abs().max()))
    assert float((expected.branches - obtained.branches).abs().max()) < 2e-5 * scale
    assert float((expected.ensemble - obtained.ensemble).abs().max()) < 2e-5 * scale
    assert torch.equal(expected.weights, obtained.weights)


def test_what_is_computed_for_allotted_donors_is_what_they_give():
    replaced = torch.tensor([[True, True, False], [False, True, False], [False, False, False]])
    donor = torch.tensor([[2, 1, 1], [0, 2, 0], [0, 0, 0]])
    computed = computed_channels(replaced, donor)
    assert computed.tolist() == [[False, False, True], [True, True, True], [True, True, True]]


@pytest.mark.parametrize("modalities", [1, 2, 3, 4])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_what_is_computed_is_what_some_stream_reads(modalities, share):
    generator = torch.Generator().manual_seed(modalities)
    replaced = (torch.rand(modalities, 40, generator=generator) < share) & (modalities > 1)
    read = set()
    for m in range(modalities):
        for c in range(40):
            read |= {(other, c) for other in range(modalities) if other != m} if replaced[m, c] else {(m, c)}
    computed = computed_channels(replaced)
    assert {(m, c) for m, c in computed.nonzero().tolist()} == read


NETWORKS = {
    "two streams": lambda: segmenter(),
    "one stream": lambda: segmenter(1),
    "three streams": lambda: segmenter(3),
    "four streams": lambda: segmenter(4, replace="anywhere"),
    "anywhere": lambda: segmenter(replace="anywhere"),
    "all channels": lambda: segmenter(region="all"),
    "all channels of three": lambda: segmenter(3, region="all"),
    "everything replaced": lambda: segmenter(region="all", threshold=100.0),
    "everything replaced, three": lambda: segmenter(3, region="all", threshold=100.0),
    "nothing replaced": lambda: segmenter(threshold=1e-9),
    "no exchange": lambda: segmenter(exchange=False),
    "private filters": lambda: segmenter(3, conv="private", region="all"),
    "statistics shared": lambda: segmenter(norm="affine-private"),
    "all shared": lambda: segmenter(norm="shared", exchange=False),
    "private filters, norms shared": lambda: segmenter(norm="shared", conv="private", exchange=False),
    "random channels": lambda: with_fixed_channels(segmenter(), 0.4),
    "donors in groups": lambda: with_allotted_donors(segmenter(3)),
    "donors in groups, anywhere": lambda: with_allotted_donors(segmenter(4, replace="anywhere", region="all")),
    "donors in groups, u-net": lambda: with_allotted_donors(translator(3)),
    "light": lambda: segmenter(light=True),
    "bottlenecks": lambda: segmenter(backbone="resnet50"),
    "concat": lambda: segmenter(fusion=Fusion(concat, "middle")),
    "self-attention": lambda: segmenter(fusion=Fusion(attention, "all")),
    "pspnet": lambda: pspnet(),
    "u-net": lambda: translator(),
    "u-net, three streams": lambda: translator(3, region="all"),
    "u-net, inner norms": lambda: translator(norm_layers="inner"),
    "u-net, private": lambda: translator(3, conv="private"),
    "u-net, running": lambda: translator(statistics="running"),
    "u-net, running, private": lambda: translator(3, statistics="running", conv="private"),
    "u-net, random channels": lambda: with_fixed_channels(translator(), 1.0),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_compact_network_equals_its_original(name):
    net = NETWORKS[name]()
    compact = compacted(net)
    assert any(isinstance(layer, CompactConvolution) for layer in compact.modules())
    assert_equal(net, compact)


@pytest.mark.parametrize("make", [segmenter, translator])
def test_the_original_is_left_as_it_is(make):
    net = make()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    compacted(net)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize("size", [(16, 16), (32, 48)])
def test_a_last_map_of_one_pixel(size):
    """It is normalised by the running statistics, larger ones by their own."""
    net = translator()
    assert_equal(net, compacted(net), size=size)


def test_a_stream_that_computes_nothing_of_a_layer():
    net = segmenter(region="all")
    with torch.no_grad():
        for layer in exchange_layers(net).values():
            layer.norm.weight[0], layer.norm.weight[1] = 1e-4, 1.0
    compact = compacted(net)
    layers = [layer for layer in compact.modules() if isinstance(layer, CompactConvolution)]
    assert [layer.streams for layer in layers if layer.sources is not None] == [[1]] * 16
    assert_equal(net, compact)


def test_filters_of_replaced_channels_are_gone_and_no_batch_norm_is_left():
    net = segmenter()
    replaced = {name: layer.replaced() for name, layer in exchange_layers(net).items()}
    assert all(mask.any() for mask in replaced.values())
    compact = compacted(net)
    assert not any(isinstance(layer, ModalBatchNorm2d) for layer in compact.modules())
    assert not exchange_layers(compact)
    for name, mask in replaced.items():
        convolution = compact.get_submodule(name.replace("bn", "conv"))
        assert [conv.out_channels for conv in convolution.convs] == (~mask).sum(1).tolist()


def test_channels_that_are_replaced_everywhere_at_once_are_computed_in_every_stream():
    net = segmenter(region="all", threshold=100.0)
    for layer in compacted(net).modules():
        if isinstance(layer, CompactConvolution):
            assert len({conv.out_channels for conv in layer.convs}) == 1
            assert layer.streams == [0, 1]


def test_instance_norms_stay_for_the_channels_that_are_computed():
    compact = compacted(translator())
    layers = [layer for layer in compact.modules() if isinstance(layer, CompactConvolution)]
    assert len(layers) == 4
    for layer in layers:
        for conv, norm in zip(layer.convs, layer.norms, strict=True):
            assert isinstance(norm, ModalInstanceNorm2d)
            assert norm.channels == conv.out_channels
    assert not any(
        isinstance(layer, ModalInstanceNorm2d) for layer in compacted(translator(statistics="running")).modules()
    )


def numbers(tensors: dict[str, torch.Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors.values() if tensor.is_floating_point())


def test_a_file_holds_shared_filters_once_and_private_ones_only_where_they_are_needed():
    shared, private = segmenter(), segmenter(conv="private")
    replaced = sum(int(layer.replaced().sum()) for layer in exchange_layers(shared).values())
    norms = sum(2 * layer.channels for layer in shared.modules() if isinstance(layer, ModalBatchNorm2d))
    # Of four numbers for a channel of a norm two are left, or none where it is replaced; filters stay as they were.
    assert numbers(shared.state_dict()) - numbers(compact_tensors(shared)) == 2 * norms + 2 * replaced
    filters = sum(
        int(layer.replaced().sum()) * private.get_submodule(name.replace("bn", "conv")).layer.weight[0].numel()
        for name, layer in exchange_layers(private).items()
    )
    lost = numbers(private.state_dict()) - numbers(compact_tensors(private))
    assert lost == 2 * norms + 2 * replaced + filters
    assert not any(isinstance(m, PrivateCopies) for m in compacted(private).encoder.modules())


def test_what_only_a_loss_needs_is_left_out():
    net = pspnet()
    assert any(name.startswith("decoder.auxiliary.") for name in net.state_dict())
    assert not any(name.startswith("decoder.auxiliary.") for name in compact_tensors(net))
    assert compacted(net).decoder.auxiliary is None


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, nn.InstanceNorm2d])
def test_a_network_of_one_s_own(norm):
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, 12, 3, padding="same"), norm(12, affine=True), nn.ReLU(), nn.Conv2d(12, 4, 1))
    net = trained(cen_cli.to_cen(plain, NAMES[:3], share=0.5))
    compact = compacted(net)
    assert isinstance(compact.body[0], CompactConvolution)
    assert_equal(net, compact)


def test_a_convolution_with_hooks_is_left_alone():
    torch.manual_seed(0)
    first = nn.utils.spectral_norm(nn.Conv2d(3, 8, 3, padding=1))
    plain = nn.Sequential(first, nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.BatchNorm2d(4)).eval()
    net = trained(cen_cli.to_cen(plain, NAMES[:2], check=True)).eval()
    assert_equal(net, compacted(net))


@pytest.mark.parametrize("inplace", [False, True])
def test_a_norm_behind_an_activation_is_left_alone(inplace):
    torch.manual_seed(0)
    blocks = [[nn.Conv2d(i, 6, 3), nn.BatchNorm2d(6)] for i in (3, 6)]
    blocks[1].insert(1, nn.ReLU(inplace=inplace))
    net = trained(cen_cli.to_cen(nn.Sequential(*blocks[0], *blocks[1]), NAMES[:2], threshold=0.01))
    assert_equal(net, compacted(net))


@pytest.mark.parametrize("name", ["densenet121", "resnetv2_18d", "res2net50_26w_4s"])
def test_norms_that_follow_no_convolution_are_left_alone(name):
    """They see sums, concatenations or maps behind an activation, or are registered in another order than they run."""
    torch.manual_seed(0)
    net = trained(cen_cli.to_cen(timm.create_model(name, num_classes=3), NAMES[:2], threshold=0.01))
    assert_equal(net, compacted(net))


class Twice(nn.Module):
    """What the convolution makes is read by the norm and by a sum."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, x):
        x = self.conv(x)
        return x + self.norm(x)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_networks_of_other_types_and_sizes_are_compacted(dtype):
    plain = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 30 * 30, 5))
    like = torch.zeros(2, 3, 32, 32)
    net = trained(cen_cli.to_cen(plain, NAMES[:2], threshold=0.01, check=like)).to(dtype)
    compact = compacted(net, like)
    x = torch.randn(2, 2, 3, 32, 32, dtype=dtype)
    difference = (net(x).branches - compact(x).branches).abs().max()
    assert difference < (1e-9 if dtype == torch.float64 else 0.1)


def test_what_cannot_be_compacted_is_refused():
    with pytest.raises(ValueError, match="it reads what a convolution makes twice"):
        compacted(trained(cen_cli.to_cen(Twice(), NAMES[:2])))
    net = cen_cli.to_cen(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), NAMES[:2])
    choose_channels(net, SoftGates(None), 0)
    with pytest.raises(ValueError, match="gates mix channels"):
        compacted(net.eval())


def test_instance_norms_without_replaced_channels_leave_nothing_to_do():
    assert compact_sites(translator(exchange=False)) == []
    assert compact_sites(translator(threshold=1e-9)) == []


def test_missing_tensors_are_noticed():
    tensors = compact_tensors(segmenter())
    del tensors["encoder.bn1.scale"]
    with pytest.raises(KeyError, match=r"encoder\.(conv1|bn1)"):
        put_compact_layers(segmenter(), tensors)


def test_memory_format_is_kept_and_both_give_the_same():
    net = segmenter(3, region="all")
    compact = compacted(net)
    x = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        feature = compact.encoder(x.contiguous(memory_format=torch.channels_last))[0]
        torch.testing.assert_close(feature, net.encoder(x)[0], rtol=1e-4, atol=1e-4)
    assert feature.is_contiguous(memory_format=torch.channels_last)
