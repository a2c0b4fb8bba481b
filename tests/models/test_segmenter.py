"""Whole segmentation networks."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from cen_cli.models.exchange import exchange_layers
from cen_cli.models.norms import ModalBatchNorm2d, set_frozen_statistics
from cen_cli.models.segmenter import Segmenter, refinenet_segmenter
from cen_cli.models.sparsity import sparsity_penalty
from cen_cli.models.streams import PrivateCopies
from tests.streams import built


def small(*modalities: str, **settings) -> Segmenter:
    defaults = {"backbone": "resnet18", "width": 8, "encoder_width": 8}
    torch.manual_seed(0)
    return built(refinenet_segmenter, modalities or ("rgb", "depth"), 5, **{**defaults, **settings})


def images(*modalities: str, size=(64, 48), batch: int = 2) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {name: torch.randn(batch, 3, *size, generator=generator) for name in modalities or ("rgb", "depth")}


def test_parameters_of_the_paper_s_network():
    with torch.device("meta"):
        net = refinenet_segmenter(("rgb", "depth"), 40, backbone="resnet101")
    assert sum(parameter.numel() for parameter in net.parameters()) == 118_201_578  # 118.20 M


@pytest.mark.parametrize("modalities", [("rgb",), ("rgb", "depth"), ("rgb", "depth", "edge")])
@pytest.mark.parametrize("size", [(64, 48), (61, 75)])
def test_shapes_and_weights(modalities, size):
    net = small(*modalities).train()
    out = net(images(*modalities, size=size))
    assert out.branches.shape == (len(modalities), 2, 5, -(-size[0] // 4), -(-size[1] // 4))
    assert out.ensemble.shape == out.branches.shape[1:]
    assert out.weights.sum().item() == pytest.approx(1.0)
    assert (net.task, net.modalities) == ("segmentation", modalities)
    if len(modalities) == 1:
        assert torch.equal(out.ensemble, out.branches[0])


def test_a_stack_is_as_good_as_named_images():
    net, x = small().eval(), images()
    named = net(x)
    assert torch.equal(net(torch.cat([x["rgb"], x["depth"]])).branches, named.branches)
    assert torch.equal(net(torch.stack([x["rgb"], x["depth"]])).branches, named.branches)
    assert torch.equal(net({"depth": x["depth"], "rgb": x["rgb"]}).branches, named.branches)


def test_without_exchange_a_branch_is_blind_to_the_other_modality_and_with_it_sees():
    x, other = images(), images()
    other["depth"] = other["depth"] + 1
    for exchange in (False, True):
        net = small(exchange=exchange, threshold=2.0).eval()
        same = torch.allclose(net(x).branches[0], net(other).branches[0], atol=1e-6)
        assert same is not exchange


def test_the_same_image_in_every_stream_gives_the_same_branches():
    x = images("rgb")["rgb"]
    branches = small().eval()({"rgb": x, "depth": x}).branches
    torch.testing.assert_close(branches[0], branches[1])


@pytest.mark.parametrize("conv", ["shared", "private"])
@pytest.mark.parametrize("modalities", [("rgb",), ("rgb", "depth")])
def test_groups_hold_every_parameter_once(modalities, conv):
    net = small(*modalities, conv=conv)
    groups = net.parameter_groups()
    assert list(groups) == ["encoder", "decoder", "gamma", "ensemble"]
    ids = [id(parameter) for parameter in itertools.chain(*groups.values())]
    assert len(ids) == len(set(ids))
    assert set(ids) == {id(parameter) for parameter in net.parameters()}
    assert [id(gamma) for gamma in groups["gamma"]] == [id(e.norm.weight) for e in exchange_layers(net).values()]
    assert groups["ensemble"] == [net.ensemble.alpha]


def test_a_parameter_outside_the_groups_is_noticed():
    net = small()
    net.stray = nn.Parameter(torch.zeros(1))
    with pytest.raises(AssertionError, match="in no group"):
        net.parameter_groups()


def test_private_convolutions_make_separate_networks():
    net = small(conv="private").eval()
    assert isinstance(net.decoder.classifier, PrivateCopies)
    shared = small().eval()
    x = images()
    torch.testing.assert_close(net(x).branches, shared(x).branches, rtol=1e-4, atol=1e-5)
    net(x).branches[0].sum().backward()
    first, second = net.encoder.conv1.copies
    assert (second.weight.grad == 0).all()
    assert (first.weight.grad != 0).any()


def test_ensemble_loss_reaches_alpha_alone_and_branch_losses_never_reach_it():
    net = small().train()
    out = net(images())
    out.ensemble.square().mean().backward()
    assert net.ensemble.alpha.grad is not None
    assert all(p.grad is None for name, p in net.named_parameters() if name != "ensemble.alpha")
    net.zero_grad()
    net(images()).branches.square().mean().backward()
    assert net.ensemble.alpha.grad is None
    assert all(p.grad is not None for name, p in net.named_parameters() if name != "ensemble.alpha")


def test_a_dead_gamma_moves_by_the_penalty_alone():
    net = small().train()
    layer = next(iter(exchange_layers(net).values()))
    layer.norm.weight.data[0, 0] = 1e-3
    loss = net(images()).branches.square().mean() + 0.25 * sparsity_penalty(net)
    loss.backward()
    assert layer.norm.weight.grad[0, 0].item() == 0.25


def test_state_survives_a_round_trip():
    net, other = small().train(), small(gamma_init=0.5)
    net(images())
    other.load_state_dict(net.state_dict())
    x = images()
    assert torch.equal(net.eval()(x).ensemble, other.eval()(x).ensemble)


@pytest.mark.parametrize("training", [True, False])
def test_bfloat16_autocast_runs_close_to_float32(training):
    net = small(dropout=0.0).train(training)
    set_frozen_statistics(net, True)
    x = {name: image.to(memory_format=torch.channels_last) for name, image in images().items()}
    exact = net(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = net(x)
    assert out.branches.dtype == torch.bfloat16
    assert out.ensemble.dtype == torch.float32
    error = (out.branches.float() - exact.branches).norm() / exact.branches.norm()
    assert error < 0.03
    out.branches.float().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.decoder.parameters())


def test_bfloat16_weights_run_close_to_float32():
    net, x = small().eval(), images()
    exact = net(x).branches
    out = net.bfloat16()({name: image.bfloat16() for name, image in x.items()})
    assert out.branches.dtype == torch.bfloat16
    assert (out.branches.float() - exact).norm() / exact.norm() < 0.05


def test_channels_last_runs_through_to_the_logits():
    x = {name: image.to(memory_format=torch.channels_last) for name, image in images().items()}
    net = small().to(memory_format=torch.channels_last)
    seen: dict[str, bool] = {}
    for name, module in net.named_modules():
        if isinstance(module, ModalBatchNorm2d | nn.Conv2d):
            module.register_forward_hook(
                lambda _, inputs, out, name=name: seen.update(
                    {name: out.is_contiguous(memory_format=torch.channels_last)}
                )
            )
    net.eval()(x)
    assert len(seen) > 50
    assert all(seen.values()), [name for name, kept in seen.items() if not kept]


def test_the_whole_network_is_traced_as_one_graph():
    net, x = small(dropout=0.0).eval(), images()
    compiled = torch.compile(net, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x).ensemble, net(x).ensemble)


def test_images_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"3 channels.*got shape \(4, 1, 32, 32\)"):
        small()({name: torch.zeros(2, 1, 32, 32) for name in ("rgb", "depth")})
    with pytest.raises(ValueError, match="missing: depth"):
        small()(images("rgb"))
