"""The exchange against a plain NumPy loop, its gradients, and cases with a known answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cen_cli.models.choices import RandomShare, choose_channels
from cen_cli.models.exchange import (
    ChannelExchange,
    allot_donors,
    channel_parts,
    count_replaced,
    exchange_channels,
    exchange_layers,
    mix_channels,
)
from cen_cli.models.norms import ModalBatchNorm2d, ModalInstanceNorm2d
from tests.reference import exchanging

FORMATS = [torch.contiguous_format, torch.channels_last]


def streams(modalities: int, channels: int, *, batch: int = 2, seed: int = 0, dtype=torch.float32):
    """Random activations [M*B, C, 5, 6] and gammas [M, C], about half of which are below 0.5."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(modalities * batch, channels, 5, 6, generator=generator, dtype=torch.float64)
    gamma = torch.rand(modalities, channels, generator=generator, dtype=torch.float64) * 2 - 1
    return x.to(dtype), gamma.to(dtype)


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("modalities", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("channels", [3, 11, 12])
@pytest.mark.parametrize("kind", ["parts", "pairs", "mask", "anywhere"])
def test_exchange_equals_a_plain_loop(kind, channels, modalities, memory_format):
    x, gamma = streams(modalities, channels, dtype=torch.float64)
    own, everywhere = (
        exchanging.replaceable(channels, modalities, "disjoint", way)[1] for way in ("own-part", "anywhere")
    )
    mask = everywhere if kind == "anywhere" else own
    parts = {
        "parts": channel_parts(channels, modalities),
        "pairs": [(part.start, part.stop) for part in channel_parts(channels, modalities)],
        "mask": torch.from_numpy(own),
        "anywhere": None,
    }[kind]
    y, replaced = exchange_channels(x.to(memory_format=memory_format), gamma, 0.5, parts)
    expected, expected_replaced = exchanging.exchange(x.numpy(), gamma.numpy(), 0.5, mask)
    np.testing.assert_array_equal(replaced.numpy(), expected_replaced)
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("modalities", [1, 2, 3])
def test_dtype_shape_and_memory_format_are_kept(modalities, memory_format, dtype):
    x, gamma = streams(modalities, 7, dtype=dtype)
    x = x.to(memory_format=memory_format)
    y, replaced = exchange_channels(x, gamma.float(), 0.5)
    assert y.dtype == dtype
    assert y.shape == x.shape
    assert y.stride() == x.stride()
    assert replaced.dtype == torch.bool


def test_the_input_is_left_as_it_was():
    x, gamma = streams(2, 6)
    before = x.clone()
    exchange_channels(x, gamma, 10.0)
    assert torch.equal(x, before)


@pytest.mark.parametrize("modalities", [2, 3])
def test_gradients_with_respect_to_the_activations(modalities):
    x, gamma = streams(modalities, 5, batch=1, dtype=torch.float64)
    x = x[..., :2, :2].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda t: exchange_channels(t, gamma, 0.5)[0], (x,))


@pytest.mark.parametrize(
    "donor", [None, torch.tensor([[1, 2, 1, 2], [2, 0, 0, 2], [0, 0, 1, 1]])], ids=["mean", "groups"]
)
def test_gradients_of_a_mixture_reach_the_donors_and_the_shares(donor):
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(6, 4, 2, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    share = torch.rand(3, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *each: mix_channels(*each, donor), (x, share))


@pytest.mark.parametrize("norm", [ModalBatchNorm2d, ModalInstanceNorm2d])
def test_gradients_through_norm_and_exchange(norm):
    layer = ChannelExchange(norm(4, 2), threshold=0.1).double()
    x = torch.randn(4, 4, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    weight = torch.tensor([[1.0, 0.05, 0.7, 0.02], [0.9, 0.5, 0.03, 0.8]], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(2, 4, dtype=torch.float64, requires_grad=True)

    def run(x, weight, bias):
        return torch.func.functional_call(layer, {"norm.weight": weight, "norm.bias": bias}, (x,))

    assert torch.autograd.gradcheck(run, (x, weight, bias))


@pytest.mark.parametrize("modalities", [2, 3])
def test_a_replaced_channel_s_gamma_gets_no_gradient_and_its_donors_do(modalities):
    layer = ChannelExchange(ModalBatchNorm2d(6, modalities), threshold=0.1)
    with torch.no_grad():
        layer.norm.weight[0, 1] = 0.05  # channel 1 is in part 0
    x = torch.randn(2 * modalities, 6, 4, 4, generator=torch.Generator().manual_seed(0))
    target = torch.randn(2 * modalities, 6, 4, 4, generator=torch.Generator().manual_seed(1))
    (layer(x) * target)[:2].sum().backward()  # a loss of modality 0 alone
    gradient = layer.norm.weight.grad
    assert gradient is not None
    assert gradient[0, 1] == 0
    assert layer.norm.bias.grad[0, 1] == 0
    assert (gradient[1:, 1] != 0).all()
    others = [0, 2, 3, 4, 5]
    assert (gradient[0, others] != 0).all()
    assert (gradient[1:, others] == 0).all()


def test_gamma_zero_on_all_replaceable_channels_replaces_those_and_no_others():
    x, _ = streams(2, 6)
    gamma = torch.zeros(2, 6)
    y, replaced = exchange_channels(x, gamma, 1e-2, channel_parts(6, 2))
    assert replaced.tolist() == [[True] * 3 + [False] * 3, [False] * 3 + [True] * 3]
    a, b = x.chunk(2)
    assert torch.equal(y[:2], torch.cat([b[:, :3], a[:, 3:]], 1))
    assert torch.equal(y[2:], torch.cat([b[:, :3], a[:, 3:]], 1))


@pytest.mark.parametrize("threshold", [0.0, -1.0])
def test_no_channel_is_replaced_at_a_threshold_of_zero_or_less(threshold):
    x, _ = streams(3, 6)
    y, replaced = exchange_channels(x, torch.zeros(3, 6), threshold)
    assert torch.equal(y, x)
    assert not replaced.any()


def test_one_modality_is_left_alone():
    x, _ = streams(1, 6)
    y, replaced = exchange_channels(x, torch.zeros(1, 6), 1.0)
    assert torch.equal(y, x)
    assert not replaced.any()
    layer = ChannelExchange(ModalBatchNorm2d(6, 1), threshold=10.0).eval()
    assert torch.equal(layer(x), layer.norm(x))
    assert not layer.replaced().any()


def test_a_gamma_at_the_threshold_stays():
    x, _ = streams(2, 2)
    gamma = torch.tensor([[0.25, -0.25], [0.2499, -0.2499]])
    assert exchange_channels(x, gamma, 0.25)[1].tolist() == [[False, False], [True, True]]


def test_all_values_are_taken_before_the_exchange():
    x, gamma = streams(2, 3)
    y, _ = exchange_channels(x, gamma, 10.0)
    assert torch.equal(y, torch.cat([x[2:], x[:2]]))


def test_small_donors_survive_beside_a_large_own_value():
    x = torch.ones(3, 1, 1, 1)
    x[0] = 1e9
    y, _ = exchange_channels(x, torch.tensor([[0.0], [1.0], [1.0]]), 0.5)
    assert y[0].item() == 1.0


@pytest.mark.parametrize("modalities", [4, 6, 7])
def test_gradients_of_a_mean_are_exact_in_double_precision(modalities):
    x = torch.zeros(modalities, 1, 1, 1, dtype=torch.float64, requires_grad=True)
    gamma = torch.ones(modalities, 1)
    gamma[0] = 0
    y, _ = exchange_channels(x, gamma, 0.5)
    y[0].sum().backward()
    assert x.grad.flatten().tolist() == [0.0] + [1 / (modalities - 1)] * (modalities - 1)


def test_no_value_of_the_tensors_is_read_on_the_host():
    with torch.device("meta"):
        x, gamma = torch.empty(6, 5, 4, 4), torch.empty(3, 5)
        y, replaced = exchange_channels(x, gamma, 0.1, channel_parts(5, 3))
    assert y.shape == x.shape
    assert replaced.device.type == "meta"


@pytest.mark.parametrize("modalities", [2, 3])
def test_the_layer_is_traced_as_one_graph(modalities):
    layer = ChannelExchange(ModalBatchNorm2d(6, modalities), threshold=1.5, replace="anywhere")
    x, _ = streams(modalities, 6)
    compiled = torch.compile(layer, fullgraph=True, backend="eager")
    for training in (True, False):
        assert torch.allclose(compiled.train(training)(x), layer.train(training)(x))


@pytest.mark.parametrize(
    ("x", "gamma", "parts", "message"),
    [
        ((5, 4, 2, 2), (2, 4), None, r"x.shape\[0\] = 5 cannot be shared out among 2 modalities"),
        ((0, 4, 2, 2), (2, 4), None, r"x.shape\[0\] = 0 cannot be shared out"),
        ((4, 3, 2, 2), (2, 4), None, r"x must be \[2\*B, 4, H, W\] to fit gamma, got shape \(4, 3, 2, 2\)"),
        ((4, 4), (2, 4), None, r"got shape \(4, 4\)"),
        ((4, 4, 2, 2), (4,), None, r"gamma must be \[M, C\], got shape \(4,\)"),
        ((4, 4, 2, 2), (2, 4), [(0, 2)], "expected 2 parts, one per modality, got 1"),
        ((4, 4, 2, 2), (2, 4), [(0, 2), (2, 5)], r"part \(2, 5\) lies outside the channels 0..4"),
        ((4, 4, 2, 2), (2, 4), [(-1, 2), (2, 4)], r"part \(-1, 2\) lies outside"),
        ((4, 4, 2, 2), (2, 4), [(3, 2), (2, 4)], r"part \(3, 2\) lies outside"),
        ((4, 4, 2, 2), (2, 4), [(0, 3), (2, 4)], r"parts \(0, 3\) and \(2, 4\) overlap"),
        ((4, 4, 2, 2), (2, 4), [slice(0, 4, 2), slice(0, 0)], "has a step"),
        ((4, 4, 2, 2), (2, 4), torch.ones(2, 3, dtype=torch.bool), r"parts must be bool \[2, 4\].*\[2, 3\]"),
        ((4, 4, 2, 2), (2, 4), torch.ones(2, 4), r"parts must be bool \[2, 4\], got torch.float32"),
    ],
)
def test_what_does_not_fit_is_named(x, gamma, parts, message):
    with pytest.raises(ValueError, match=message):
        exchange_channels(torch.zeros(x), torch.zeros(gamma), 0.1, parts)


def test_open_slices_reach_the_ends():
    x, gamma = streams(2, 5)
    open_ended = exchange_channels(x, gamma, 0.5, [slice(None, 2), slice(2, None)])[1]
    assert torch.equal(open_ended, exchange_channels(x, gamma, 0.5, [(0, 2), (2, 5)])[1])


@pytest.mark.parametrize("modalities", [2, 3])
@pytest.mark.parametrize("region", ["disjoint", "all"])
@pytest.mark.parametrize("replace", ["own-part", "anywhere"])
def test_the_layer_s_regions(replace, region, modalities):
    layer = ChannelExchange(ModalBatchNorm2d(8, modalities), threshold=0.5, region=region, replace=replace).eval()
    x, gamma = streams(modalities, 8)
    layer.norm.weight.data.copy_(gamma)
    pressed, replaceable = exchanging.replaceable(8, modalities, region, replace)
    np.testing.assert_array_equal(layer.pressed.numpy(), pressed)
    np.testing.assert_array_equal(layer.replaceable.numpy(), replaceable)
    expected, replaced = exchanging.exchange(layer.norm(x).detach().numpy(), gamma.numpy(), 0.5, replaceable)
    np.testing.assert_array_equal(layer.replaced().numpy(), replaced)
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-6)


def test_an_inactive_layer_presses_but_exchanges_nothing():
    layer = ChannelExchange(ModalBatchNorm2d(4, 2), threshold=10.0, active=False).eval()
    x, _ = streams(2, 4)
    assert torch.equal(layer(x), layer.norm(x))
    assert not layer.replaced().any()
    assert layer.pressed.sum() == 4


def test_fixed_channels_are_replaced_whatever_the_gammas_say():
    layer = ChannelExchange(ModalBatchNorm2d(4, 2), threshold=10.0).eval()
    x, _ = streams(2, 4)
    fixed = torch.tensor([[True, False, False, False], [False, False, False, True]])
    layer.fix(fixed)
    gamma = np.where(fixed.numpy(), 0.0, 1.0)
    expected, _ = exchanging.exchange(layer.norm(x).detach().numpy(), gamma, 0.5, np.ones_like(gamma, dtype=bool))
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-6)
    assert torch.equal(layer.replaced(), fixed)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.zeros(2, 3, dtype=torch.bool), r"must be bool \[2, 4\], got torch.bool \[2, 3\]"),
        (torch.zeros(2, 4), r"got torch.float32 \[2, 4\]"),
        (torch.ones(2, 4, dtype=torch.bool), "outside the part in which that is allowed"),
    ],
)
def test_channels_that_cannot_be_fixed_are_refused(mask, message):
    with pytest.raises(ValueError, match=message):
        ChannelExchange(ModalBatchNorm2d(4, 2)).fix(mask)


def test_counts_replaced_pressed_and_all():
    layers = {
        name: ChannelExchange(ModalBatchNorm2d(channels, 2), threshold=0.1)
        for name, channels in (("one", 4), ("two", 5))
    }
    with torch.no_grad():
        layers["one"].norm.weight[0, :3] = -0.05  # two in rgb's own part (0, 1), one outside it
        layers["two"].norm.weight[1, 4] = 0.0  # depth's own part is 3, 4
    rgb, depth = count_replaced(layers, ("rgb", "depth"))
    assert (rgb.modality, rgb.replaced, rgb.pressed, rgb.channels) == ("rgb", 2, 2 + 3, 9)
    assert (depth.modality, depth.replaced, depth.pressed, depth.channels) == ("depth", 1, 2 + 2, 9)
    assert rgb.share_of_pressed == 0.4


def test_nothing_is_counted_without_layers():
    assert count_replaced({}, ("rgb", "depth")) == ()


@pytest.mark.parametrize(("share", "expected"), [(0.5, [4, 4]), (0.8, [6, 6]), (1.0, [8, 8])])
def test_random_channels_are_a_share_of_each_part_drawn_by_the_seed(share, expected):
    def fixed(seed):
        net = nn.Sequential(*(ChannelExchange(ModalBatchNorm2d(16, 2)) for _ in range(2)))
        choose_channels(net, RandomShare(share), seed)
        return net

    net = fixed(3)
    for layer in net:
        assert layer.replaced().sum(1).tolist() == expected
        assert not (layer.replaced() & ~layer.replaceable).any()
    assert torch.equal(net[0].replaced(), net[1].replaced()) == (share == 1)
    assert torch.equal(net[0].replaced(), fixed(3)[0].replaced())
    assert torch.equal(net[0].replaced(), fixed(4)[0].replaced()) == (share == 1)
    assert torch.equal(net.state_dict()["1.fixed"], net[1].replaced())


@pytest.mark.parametrize("replace", ["own-part", "anywhere"])
@pytest.mark.parametrize("modalities", [3, 4])
def test_allotted_donors_give_alone(modalities, replace):
    layer = ChannelExchange(ModalBatchNorm2d(13, modalities), threshold=0.5, replace=replace).eval()
    x, gamma = streams(modalities, 13)
    with torch.no_grad():
        layer.norm.weight.copy_(gamma)
    allot_donors(nn.Sequential(layer), seed=1)
    before = layer.norm(x).detach()
    expected, replaced = exchanging.exchange(
        before.numpy(), gamma.numpy(), 0.5, layer.replaceable.numpy(), layer.donor.numpy()
    )
    np.testing.assert_array_equal(layer(x).detach().numpy(), expected)
    np.testing.assert_array_equal(layer.replaced().numpy(), replaced)
    assert not torch.equal(layer(x), exchange_channels(before, gamma, 0.5, layer.replaceable)[0])


def test_fixed_channels_take_what_their_donors_give():
    layer = ChannelExchange(ModalBatchNorm2d(3, 3)).eval()
    x, _ = streams(3, 3)
    layer.fix(layer.replaceable.clone())
    layer.allot(torch.tensor([[2, 1, 1], [0, 2, 0], [0, 0, 1]]))
    y, before = (tensor.unflatten(0, (3, -1)) for tensor in (layer(x), layer.norm(x)))
    assert torch.equal(y[0, :, 0], before[2, :, 0])
    assert torch.equal(y[1, :, 1], before[2, :, 1])
    assert torch.equal(y[2, :, 2], before[1, :, 2])


def test_donors_are_allotted_in_groups_of_one_size_by_the_seed():
    def allotted(seed):
        net = nn.Sequential(*(ChannelExchange(ModalBatchNorm2d(24, 4)) for _ in range(2)))
        allot_donors(net, seed)
        return net

    net = allotted(3)
    for layer in net:
        for m, (donor, own) in enumerate(zip(layer.donor, layer.replaceable, strict=True)):
            counts = torch.bincount(donor[own], minlength=4).tolist()
            assert counts == [0 if other == m else 2 for other in range(4)]
    assert not torch.equal(net[0].donor, net[1].donor)
    assert torch.equal(net[0].donor, allotted(3)[0].donor)
    assert not torch.equal(net[0].donor, allotted(4)[0].donor)
    assert torch.equal(net.state_dict()["1.donor"], net[1].donor)


@pytest.mark.parametrize(
    ("donor", "message"),
    [
        (torch.zeros(2, 4, dtype=torch.int64), r"must be int \[3, 4\], got torch.int64 \[2, 4\]"),
        (torch.zeros(3, 4), r"got torch.float32 \[3, 4\]"),
        (torch.zeros(3, 4, dtype=torch.int64), r"one of the other modalities, by its place among 0..2"),
        (torch.full((3, 4), 3), r"one of the other modalities"),
    ],
)
def test_donors_that_cannot_give_are_refused(donor, message):
    with pytest.raises(ValueError, match=message):
        ChannelExchange(ModalBatchNorm2d(4, 3)).allot(donor)
    with pytest.raises(ValueError, match=message):
        exchange_channels(torch.zeros(3, 4, 1, 1), torch.zeros(3, 4), 0.1, None, donor)


@pytest.mark.parametrize("share", [0.0, 1.2])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ValueError, match=f"share = {share}: above 0, at most 1"):
        RandomShare(share)


def test_a_shared_gamma_is_refused_by_an_active_layer_and_repeated_by_an_inactive_one():
    shared = ModalBatchNorm2d(4, 2, affine="shared")
    with pytest.raises(ValueError, match="share one gamma: nothing to exchange by"):
        ChannelExchange(shared)
    assert ChannelExchange(shared, active=False).gamma.shape == (2, 4)


@pytest.mark.parametrize(("key", "value"), [("region", "half"), ("replace", "own")])
def test_unknown_choices_are_refused(key, value):
    with pytest.raises(ValueError, match=f"{key} = '{value}'"):
        ChannelExchange(ModalBatchNorm2d(4, 2), **{key: value})


def test_layers_are_found_by_name_in_network_order_and_masks_are_not_saved():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), ChannelExchange(ModalBatchNorm2d(4, 2)), nn.ReLU())
    net.append(ChannelExchange(ModalInstanceNorm2d(4, 2)))
    assert list(exchange_layers(net)) == ["1", "3"]
    names = ("weight", "bias", "running_mean", "running_var")
    assert [key for key in net.state_dict() if key.startswith("1.")] == [f"1.norm.{name}" for name in names]


@given(channels=st.integers(1, 40), modalities=st.integers(1, 6))
def test_parts_cut_the_channels_as_dealt(channels, modalities):
    cut = channel_parts(channels, modalities)
    assert [list(range(channels))[part] for part in cut] == exchanging.parts(channels, modalities)
    sizes = [part.stop - part.start for part in cut]
    assert sum(sizes) == channels
    assert max(sizes) - min(sizes) <= 1


def test_parts_of_nothing_are_refused():
    with pytest.raises(ValueError, match="channels = 4, modalities = 0"):
        channel_parts(4, 0)


cases = given(
    modalities=st.integers(2, 5), channels=st.integers(1, 9), seed=st.integers(0, 10_000), threshold=st.floats(0, 1.2)
)


@cases
@settings(max_examples=40, deadline=None)
def test_channels_that_stay_are_bitwise_the_same_and_others_are_means_of_donors(modalities, channels, seed, threshold):
    x, gamma = streams(modalities, channels, seed=seed)
    y, replaced = exchange_channels(x, gamma, threshold)
    assert torch.equal(replaced, gamma.abs() < threshold)
    before, after = x.unflatten(0, (modalities, -1)), y.unflatten(0, (modalities, -1))
    for m, c in np.ndindex(modalities, channels):
        if replaced[m, c]:
            donors = torch.stack([before[other, :, c] for other in range(modalities) if other != m])
            assert torch.allclose(after[m, :, c], donors.mean(0), rtol=1e-5, atol=1e-6)
        else:
            assert torch.equal(after[m, :, c], before[m, :, c])


@cases
@settings(max_examples=30, deadline=None)
def test_naming_the_modalities_in_another_order_changes_nothing_else(modalities, channels, seed, threshold):
    x, gamma = streams(modalities, channels, seed=seed, dtype=torch.float64)
    order = torch.randperm(modalities, generator=torch.Generator().manual_seed(seed))
    shuffled = x.unflatten(0, (modalities, -1))[order].flatten(0, 1)
    y, _ = exchange_channels(x, gamma, threshold)
    z, _ = exchange_channels(shuffled, gamma[order], threshold)
    assert torch.allclose(z, y.unflatten(0, (modalities, -1))[order].flatten(0, 1), rtol=1e-12, atol=1e-14)


@cases
@settings(max_examples=30, deadline=None)
def test_a_second_exchange_changes_nothing_where_each_channel_has_one_small_gamma(
    modalities, channels, seed, threshold
):
    x, gamma = streams(modalities, channels, seed=seed)
    parts = channel_parts(channels, modalities)  # disjoint: the donors of a channel are never replaced themselves
    once, replaced = exchange_channels(x, gamma, threshold, parts)
    assert (replaced.sum(0) <= 1).all()
    assert torch.equal(exchange_channels(once, gamma, threshold, parts)[0], once)


def test_a_saved_choice_is_loaded_and_one_outside_the_parts_refused():
    def layer(region="disjoint"):
        return ChannelExchange(ModalBatchNorm2d(4, 2), region=region)

    chosen, plain = layer(), layer()
    chosen.fix(torch.tensor([[True, False, False, False], [False, False, False, True]]))
    chosen.allot(torch.tensor([[1] * 4, [0] * 4]))
    plain.load_state_dict(chosen.state_dict())
    assert torch.equal(plain.replaced(), chosen.replaced())
    assert torch.equal(plain.donor, chosen.donor)
    before = plain.replaced()
    plain.fix(~before & plain.replaceable)
    assert not torch.equal(before, plain.replaced())
    everywhere = layer("all")
    everywhere.fix(torch.ones(2, 4, dtype=torch.bool))
    with pytest.raises(RuntimeError, match="outside the part"):
        plain.load_state_dict(everywhere.state_dict())


@pytest.mark.parametrize("modalities", [2, 3])
def test_the_exchange_is_differentiated_twice_and_transformed(modalities):
    layer = ChannelExchange(ModalBatchNorm2d(6, modalities), threshold=0.5)
    torch.nn.init.uniform_(layer.norm.weight)
    layer.eval()
    x = torch.randn(modalities, 6, 2, 2, dtype=torch.float64)
    layer.double()
    assert torch.autograd.gradgradcheck(lambda x: layer(x).sin(), x.requires_grad_())
    by_hand = torch.autograd.grad(layer(x).sin().sum(), x)[0]
    assert torch.allclose(torch.func.grad(lambda x: layer(x).sin().sum())(x.detach()), by_hand)
