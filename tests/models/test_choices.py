"""Choices of channels: gains against finite differences, masks by hand, swaps, gates, stages."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cen_cli.models.choices import (
    HARD,
    LargestGains,
    RandomShare,
    SmallestGammas,
    SoftGates,
    asks_for_gain,
    choose_channels,
    falling_share,
    revise_choices,
    smallest,
    swapped,
    watch_gains,
)
from cen_cli.models.exchange import ChannelExchange, allot_donors, exchange_layers, mix_channels
from cen_cli.models.norms import ModalBatchNorm2d
from cen_cli.models.sparsity import follow_gradients, layer_scales, scale_by_gradients, sparsity_penalty


def network(modalities: int = 2, channels: int = 12, layers: int = 1) -> nn.Sequential:
    """Exchanging layers with gammas that differ, and nothing below the threshold."""
    net = nn.Sequential(*(ChannelExchange(ModalBatchNorm2d(channels, modalities)) for _ in range(layers)))
    generator = torch.Generator().manual_seed(0)
    for layer in net:
        layer.norm.weight.data.copy_(0.5 + torch.rand(layer.norm.weight.shape, generator=generator))
    return net


def batch(modalities: int = 2, channels: int = 12) -> torch.Tensor:
    return torch.randn(modalities * 3, channels, 4, 5, generator=torch.Generator().manual_seed(1))


def loss_of(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return net(x).sin().sum() / 10


@pytest.mark.parametrize("groups", [False, True])
@pytest.mark.parametrize("modalities", [2, 3])
def test_a_gain_is_what_mixing_a_little_in_lowers_the_loss_by(modalities, groups):
    net, x = network(modalities), batch(modalities)
    if groups:
        allot_donors(net, seed=0)
    choose_channels(net, RandomShare(0.5), seed=0)
    probe = watch_gains(net)["0"]
    loss_of(net, x).backward()
    (layer,), step = net, 1e-3
    normalised, replaced = layer.norm(x).detach(), layer.replaced()
    for m, c in ((0, 0), (0, 1), (modalities - 1, 11), (modalities - 1, 10)):
        nudge = torch.zeros_like(probe)
        nudge[m, c] = -step if replaced[m, c] else step
        mixed = mix_channels(normalised.double(), (replaced.double() + nudge).double(), layer.donor)
        plain = mix_channels(normalised.double(), replaced, layer.donor)
        slope = ((mixed.sin() - plain.sin()).sum() / 10 / nudge[m, c]).item()
        assert probe.grad[m, c].item() == pytest.approx(slope, rel=1e-2, abs=1e-3)


def test_being_watched_changes_neither_result_nor_gradient():
    net, x = network(), batch()
    choose_channels(net, RandomShare(0.5), seed=0)
    x.requires_grad_()
    plain = net(x)
    (expected,) = torch.autograd.grad(plain.sin().sum(), x)
    watch_gains(net)
    watched = net(x)
    assert torch.equal(watched, plain)
    assert torch.equal(torch.autograd.grad(watched.sin().sum(), x)[0], expected)


def test_the_smallest_of_each_part_are_taken_and_of_equals_the_first():
    values = torch.tensor([[5.0, 1.0, 4.0, 2.0], [0.0, 0.0, 3.0, 3.0]])
    allowed = torch.tensor([[True, False, True, True], [False, False, True, True]])
    assert smallest(values, allowed, 2 / 3).int().tolist() == [[0, 0, 1, 1], [0, 0, 1, 0]]
    assert torch.equal(smallest(values, allowed, 1.0), allowed)


@pytest.mark.parametrize("modalities", [2, 3])
def test_a_budget_replaces_the_smallest_gammas_and_follows_them(modalities):
    net = network(modalities)
    (layer,) = net
    choose_channels(net, SmallestGammas(0.5, every=3), seed=0)
    part = 12 // modalities
    assert layer.replaced().sum(dim=1).tolist() == [part // 2] * modalities
    kept = (layer.replaceable & ~layer.replaced())[0].nonzero()[0]
    layer.norm.weight.data[0, kept] = -0.001
    for step, follows in ((0, False), (1, False), (2, True)):
        revise_choices(net, step, 100)
        assert layer.replaced()[0, kept].item() is follows
    assert layer.replaced().sum(dim=1).tolist() == [part // 2] * modalities


def test_swaps_go_pair_by_pair_and_only_for_the_better():
    replaced = torch.tensor([[True, True, True, False, False, False, False]])
    allowed = torch.tensor([[True, True, True, True, True, True, False]])
    gain = torch.tensor([[5.0, -2.0, 1.0, 3.0, 0.0, 4.0, 9.0]])
    assert swapped(replaced, gain, allowed, 1 / 3)[0].int().tolist() == [1, 0, 1, 0, 0, 1, 0]
    assert swapped(replaced, gain, allowed, 1.0)[0].int().tolist() == [1, 0, 0, 1, 0, 1, 0]
    assert torch.equal(swapped(replaced, gain, allowed, 0.0), replaced)


def test_swaps_fall_to_none():
    shares = [falling_share(step, 100) for step in range(101)]
    assert shares[0] == pytest.approx(0.3)
    assert shares == sorted(shares, reverse=True)
    assert set(shares[75:]) == {0.0}


def test_gains_draw_the_channels_of_chance_and_swap_towards_the_gain():
    net, chance, x = network(channels=40), network(channels=40), batch(channels=40)
    choose_channels(net, LargestGains(0.5, every=1), seed=3)
    choose_channels(chance, RandomShare(0.5), seed=3)
    (layer,) = net
    assert torch.equal(layer.replaced(), chance[0].replaced())
    assert asks_for_gain(net)
    assert not asks_for_gain(chance)
    watch_gains(net)
    before = layer.replaced().clone()
    for step in range(10):
        loss_of(net, x).backward()
        revise_choices(net, step, 100)
    now, gain = layer.replaced(), layer.choice.gain
    assert now.sum(dim=1).tolist() == [10, 10]
    for m in range(2):
        came, left = (now & ~before)[m], (before & ~now)[m]
        assert came.any()
        assert gain[m, came].min() > gain[m, left].max()
    assert {"0.fixed", "0.choice.gain"} <= set(net.state_dict())


def test_gates_mix_then_harden_to_the_budget():
    net, x = network(), batch()
    choose_channels(net, SoftGates(0.5), seed=0)
    (layer,) = net
    normalised = layer.norm(x)
    layer.eval()
    torch.testing.assert_close(layer(x), mix_channels(layer.norm(x), layer.mixing))
    assert layer.mixing[~layer.replaceable].abs().sum() == 0
    assert layer.mixes
    assert not layer.replaced().any()
    with torch.no_grad():
        layer.gate[0, :6] = torch.arange(6.0)
        layer.gate[1, 6:] = -torch.arange(6.0)
    for step in (74, 75):
        assert layer.mixes
        revise_choices(net, step, 100)
    assert layer.replaced().nonzero().tolist() == [[0, 3], [0, 4], [0, 5], [1, 6], [1, 7], [1, 8]]
    assert torch.equal(layer(x), mix_channels(layer.norm(x), layer.replaced()))
    assert not layer.mixes
    assert set(layer.gate.abs().unique().tolist()) == {HARD}
    assert normalised.shape == x.shape


def test_gates_without_a_budget_mix_to_the_end():
    net = network()
    choose_channels(net, SoftGates(None), seed=0)
    for step in range(100):
        revise_choices(net, step, 100)
    assert net[0].mixes


def test_a_penalty_scaled_by_layer_stands_to_every_layer_s_gradient_in_one_proportion():
    net = network(layers=2)
    scale_by_gradients(net)
    assert layer_scales(list(net)).tolist() == [1.0, 1.0]
    weights = [layer.norm.weight for layer in net]
    task = (weights[0] * 4).sum() + (weights[1] * 1).sum()
    lambda_ = 0.25
    for _ in range(3):
        net.zero_grad()
        (task + lambda_ * sparsity_penalty(net)).backward(retain_graph=True)
        follow_gradients(net, lambda_)
    torch.testing.assert_close(layer_scales(list(net)), torch.tensor([1.6, 0.4]))
    sums = torch.stack([layer.gamma[layer.pressed].abs().sum() for layer in net])
    assert sparsity_penalty(net).item() == pytest.approx((1.6 * sums[0] + 0.4 * sums[1]).item(), rel=1e-5)
    assert {"0.gradient_square", "1.gradient_square"} <= set(net.state_dict())
    assert not any(name.endswith("gradient_square") for name in network().state_dict())


def test_every_layer_has_a_choice_of_its_own():
    net = network(layers=2)
    choose_channels(net, LargestGains(0.5, every=1), seed=0)
    first, second = exchange_layers(net).values()
    assert first.choice.gain.data_ptr() != second.choice.gain.data_ptr()
    assert not torch.equal(first.replaced(), second.replaced())
