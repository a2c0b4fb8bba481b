"""Whole translation networks, against a U-Net that takes one modality after the other."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from cen_cli.models.dropout import active_dropout
from cen_cli.models.exchange import exchange_layers
from cen_cli.models.norms import SHARING, ModalInstanceNorm2d, set_norm_statistics
from cen_cli.models.sparsity import sparsity_penalty
from cen_cli.models.streams import PrivateCopies
from cen_cli.models.translator import Translator, unet_translator
from tests.reference import translating
from tests.streams import built

NAMES = ("shade", "texture", "depth", "normal")
SIDE = 16
"""Pixels; with 4 levels the last map is 1x1, with 3 it is 2x2."""


def small(modalities: int = 2, **settings) -> Translator:
    torch.manual_seed(0)
    return built(unet_translator, NAMES[:modalities], **{"levels": 4, "filters": 4, "dropout": 0.0, **settings})


def lively(net: Translator) -> Translator:
    """In float64, with random tensors everywhere: gammas of both signs, about half of them below 0.5 in size."""
    generator = torch.Generator().manual_seed(1)

    def draw(tensor: torch.Tensor, low: float, high: float) -> None:
        tensor.data = torch.rand(tensor.shape, generator=generator, dtype=torch.float64) * (high - low) + low

    for parameter in net.double().parameters():
        draw(parameter, -1, 1)
    for layer in net.modules():
        if isinstance(layer, ModalInstanceNorm2d):
            draw(layer.running_mean, -1, 1)
            draw(layer.running_var, 0.5, 2)
    return net


def images(modalities: int = 2, batch: int = 2, side: int = SIDE, dtype=torch.float32) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {
        name: (torch.rand(batch, 3, side, side, generator=generator, dtype=torch.float64) * 2 - 1).to(dtype)
        for name in NAMES[:modalities]
    }


def frozen(net: Translator) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in net.state_dict().items()}


@pytest.mark.parametrize("mode", ["train", "eval", "running"])
@pytest.mark.parametrize(("norm_layers", "levels"), [("all", 4), ("inner", 4), ("all", 3)])
@pytest.mark.parametrize("modalities", [1, 2, 3, 4])
def test_network_equals_streams_one_by_one(modalities, norm_layers, levels, mode):
    net = lively(small(modalities, norm_layers=norm_layers, levels=levels, threshold=0.5)).train(mode == "train")
    set_norm_statistics(net, "running" if mode == "running" else "instance")
    x, before = images(modalities, dtype=torch.float64), frozen(net)
    assert modalities == 1 or all(layer.replaced().any() for layer in exchange_layers(net).values())
    out = net(x)
    made, ensemble, moved = translating.unet(
        before,
        list(x.values()),
        levels=levels,
        norm_layers=norm_layers,
        threshold=0.5,
        training=mode == "train",
        running=mode == "running",
    )
    assert out.branches.shape == (modalities, 2, 3, SIDE, SIDE)
    torch.testing.assert_close(out.branches, torch.stack(made), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(out.ensemble, ensemble, rtol=1e-9, atol=1e-9)
    after = net.state_dict()
    assert bool(moved) == (mode == "train")
    for name, variance in moved.items():
        assert not torch.equal(after[name], before[name])
        torch.testing.assert_close(after[name], variance, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "settings",
    [
        {"replace": "anywhere"},
        {"region": "all"},
        {"conv": "private"},
        {"norm": "affine-private"},
        {"exchange": False, "norm": "shared"},
        {"exchange": False, "norm": "statistics-private", "conv": "private"},
    ],
    ids=str,
)
@pytest.mark.parametrize("modalities", [2, 3])
def test_settings_equal_streams_one_by_one(modalities, settings):
    net = lively(small(modalities, threshold=0.5, **settings)).eval()
    set_norm_statistics(net, "running")
    x = images(modalities, dtype=torch.float64)
    exchange = settings.get("exchange", True)
    made, _, _ = translating.unet(
        frozen(net),
        list(x.values()),
        levels=4,
        threshold=0.5 if exchange else 0.0,
        running=True,
        **{key: value for key, value in settings.items() if key in ("region", "replace")},
    )
    torch.testing.assert_close(net(x).branches, torch.stack(made), rtol=1e-9, atol=1e-9)


def test_parameters_of_the_published_generator():
    """54.43 M: the 54,429,317 that work, and the norms that the file carries unused, on layers 1, 8 and deconv 8."""
    with torch.device("meta"):
        inner, full = (built(unet_translator, ("a", "b"), norm_layers=layers) for layers in ("inner", "all"))
    unused = 2 * 2 * (64 + 512 + 3)  # gamma and beta of two modalities
    assert sum(parameter.numel() for parameter in inner.parameters()) == 54_429_317
    assert sum(parameter.numel() for parameter in inner.parameters()) + unused == 54_431_633
    assert sum(parameter.numel() for parameter in full.parameters()) == 54_431_621


@pytest.mark.parametrize(("norm_layers", "layers"), [("all", range(1, 9)), ("inner", range(2, 8))])
def test_channels_are_exchanged_after_encoder_convolutions_alone(norm_layers, layers):
    with torch.device("meta"):
        net = built(unet_translator, ("a", "b"), norm_layers=norm_layers, threshold=0.3, gamma_init=0.7)
    found = exchange_layers(net)
    assert list(found) == [f"encoder.layer{number}.norm" for number in layers]
    assert all((layer.threshold, layer.active) == (0.3, True) for layer in found.values())
    norms = [name for name, layer in net.decoder.named_modules() if isinstance(layer, ModalInstanceNorm2d)]
    assert norms == [f"layer{number}.norm" for number in range(1, 8)]


def test_weights_start_small_and_gammas_at_one_or_as_told():
    net = built(unet_translator, ("a", "b"), levels=4, filters=32, gamma_init=0.25)
    convs = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    assert len(convs) == 8
    for conv in convs:
        assert conv.weight.std().item() == pytest.approx(0.02, rel=0.1)
        assert (conv.bias == 0).all()
    assert all((layer.gamma == 0.25).all() for layer in exchange_layers(net).values())
    assert (net.decoder.layer1.norm.weight == 1).all()
    assert all((layer.gamma == 1).all() for layer in exchange_layers(small()).values())


@pytest.mark.parametrize("norm", SHARING)
def test_sharing_modes_shape_the_norms_of_encoder_and_decoder(norm):
    affine, statistics = SHARING[norm]
    net = small(3, norm=norm, exchange=affine == "private")
    norms = [layer for layer in net.modules() if isinstance(layer, ModalInstanceNorm2d)]
    assert len(norms) == 4 + 3
    for layer in norms:
        assert layer.weight.shape[0] == (3 if affine == "private" else 1)
        assert layer.running_mean.shape[0] == (3 if statistics == "private" else 1)


def test_private_convolutions_make_separate_networks():
    net = small(conv="private").train()
    net(images()).branches[0].square().sum().backward()
    for conv in (net.encoder.layer4.conv, net.decoder.layer2.conv):
        assert isinstance(conv, PrivateCopies)
        first, second, *_ = (layer.weight.grad for layer in conv.copies)
        assert (first != 0).any()
        assert (second == 0).all()


def test_a_stack_is_as_good_as_named_images():
    net, x = small().eval(), images()
    named = net(x)
    assert (net.task, net.modalities, net.size_multiple) == ("translation", NAMES[:2], 16)
    assert torch.equal(net(torch.cat(list(x.values()))).branches, named.branches)
    assert named.branches.abs().max() <= 1


def test_a_stream_is_blind_to_the_other_modality_unless_channels_are_exchanged():
    x, other = images(), images()
    other["texture"] = -other["texture"]
    for exchange in (False, True):
        net = small(exchange=exchange, threshold=2.0).eval()
        same = torch.allclose(net(x).branches[0], net(other).branches[0], atol=1e-6)
        assert same is not exchange


@pytest.mark.parametrize("modalities", [1, 2])
def test_groups_hold_every_parameter_once(modalities):
    net = small(modalities)
    groups = net.parameter_groups()
    assert list(groups) == ["encoder", "decoder", "gamma", "ensemble"]
    ids = [id(parameter) for parameter in itertools.chain(*groups.values())]
    assert len(ids) == len(set(ids))
    assert set(ids) == {id(parameter) for parameter in net.parameters()}
    assert [id(gamma) for gamma in groups["gamma"]] == [id(e.norm.weight) for e in exchange_layers(net).values()]
    net.stray = nn.Parameter(torch.zeros(1))
    with pytest.raises(AssertionError, match="in no group"):
        net.parameter_groups()


def test_ensemble_loss_reaches_alpha_alone_and_branch_losses_never_reach_it():
    net = small().train()
    net(images()).ensemble.square().mean().backward()
    assert net.ensemble.alpha.grad is not None
    assert all(p.grad is None for name, p in net.named_parameters() if name != "ensemble.alpha")
    net.zero_grad()
    net(images()).branches.square().mean().backward()
    assert net.ensemble.alpha.grad is None
    assert all(p.grad is not None for name, p in net.named_parameters() if name != "ensemble.alpha")


@pytest.mark.parametrize("level", [1, 3, 4])
def test_a_replaced_channel_s_gamma_moves_by_the_penalty_alone(level):
    net = small().train()
    layer = exchange_layers(net)[f"encoder.layer{level}.norm"]
    with torch.no_grad():
        layer.norm.weight[0, 0] = 1e-3
        layer.norm.bias.fill_(1.0)  # keeps the rectified maps of 1x1 alive
    task = net(images()).branches.square().mean()
    (task + 0.25 * sparsity_penalty(net)).backward()
    gradient = layer.norm.weight.grad
    assert gradient[0, 0].item() == 0.25
    assert layer.norm.bias.grad[0, 0].item() == 0.0
    assert gradient[0, 1].item() != 0.25
    assert gradient[1, 0].item() != 0.0  # the donor learns from both streams


def test_dropout_draws_in_training_and_where_it_is_told_to():
    net, x = small(dropout=0.5).eval(), images()
    still = net(x).branches
    assert torch.equal(net(x).branches, still)
    variances = net.encoder.layer2.norm.norm.running_var.clone()
    with active_dropout(net):
        assert not torch.equal(net(x).branches, net(x).branches)
        assert not net.training
    assert torch.equal(net.encoder.layer2.norm.norm.running_var, variances)
    assert torch.equal(net(x).branches, still)
    net.train()
    with active_dropout(net):
        pass
    assert net.decoder.layer1.drop.training


def test_dropout_stops_drawing_after_an_error():
    net = small(dropout=0.5).eval()
    with pytest.raises(RuntimeError, match="stop"), active_dropout(net):
        raise RuntimeError("stop")
    assert not any(layer.training for layer in net.modules())


def test_dropout_follows_the_first_three_decoder_layers():
    net = unet_translator(("a",), levels=5, filters=2, dropout=0.3)
    drops = {name: layer.p for name, layer in net.named_modules() if isinstance(layer, nn.Dropout)}
    assert drops == {f"decoder.layer{number}.drop": 0.3 for number in (1, 2, 3)}
    assert not [layer for layer in small(levels=3).modules() if isinstance(layer, nn.Dropout)]


def test_state_survives_a_round_trip():
    net, other = small().train(), small(gamma_init=0.5)
    net(images())
    other.load_state_dict(net.state_dict())
    for model in (net.eval(), other.eval()):
        set_norm_statistics(model, "running")
    assert torch.equal(net(images()).ensemble, other(images()).ensemble)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_bfloat16_autocast_runs_close_to_float32_in_either_memory_format(training, memory_format):
    net = small(threshold=0.5).train(training).to(memory_format=memory_format)
    for layer in exchange_layers(net).values():
        nn.init.uniform_(layer.norm.weight, -1, 1)
    x = {name: image.to(memory_format=memory_format) for name, image in images().items()}
    exact = net(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = net(x)
    assert out.branches.dtype == torch.bfloat16
    assert out.branches[0].is_contiguous(memory_format=memory_format)
    assert (out.branches.float() - exact.branches).norm() / exact.branches.norm() < 0.05
    out.branches.float().sum().backward()
    assert all(torch.isfinite(p.grad).all() for name, p in net.named_parameters() if name != "ensemble.alpha")


def test_the_whole_network_is_traced_as_one_graph():
    net, x = small().eval(), images()
    compiled = torch.compile(net, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x).ensemble, net(x).ensemble)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"norm": "shared"}, "norm = 'shared' leaves one gamma"),
        ({"norm": "own"}, "norm = 'own': one of private"),
        ({"conv": "own"}, "conv = 'own': 'shared' or 'private'"),
        ({"region": "half"}, "region = 'half'"),
        ({"dropout": 1.5}, "dropout probability"),
    ],
)
def test_bad_arguments_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        small(**settings)


def test_images_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"24 x 24: both sides must be multiples of 16.*pad to 32 x 32"):
        small()(images(side=24))
    with pytest.raises(ValueError, match=r"8 x 8: both sides must be multiples of 16"):
        small()(images(side=8))
    with pytest.raises(ValueError, match=r"3 channels.*got shape \(4, 1, 16, 16\)"):
        small()({name: torch.zeros(2, 1, 16, 16) for name in NAMES[:2]})
    with pytest.raises(ValueError, match="missing: texture"):
        small()(images(1))
