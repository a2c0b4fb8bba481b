"""Stacking, splitting, and convolutions with one kernel per modality."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cen_cli.models.streams import (
    PrivateCopies,
    current_state,
    split_modalities,
    stack_images,
    stack_modalities,
)


def inputs(*names: str, shape=(2, 3, 4, 5)) -> dict[str, torch.Tensor]:
    return {name: torch.full(shape, float(index)) for index, name in enumerate(names)}


def test_a_stack_holds_one_modality_after_the_other_in_the_network_s_order():
    stack = stack_modalities(inputs("depth", "rgb"), ("rgb", "depth"))
    assert stack.shape == (4, 3, 4, 5)
    assert stack[:, 0, 0, 0].tolist() == [1, 1, 0, 0]
    assert split_modalities(stack, 2)[:, :, 0, 0, 0].tolist() == [[1, 1], [0, 0]]


def test_a_stack_is_taken_as_it_is_with_or_without_its_own_axis():
    stack = torch.randn(2, 3, 3, 4, 5)
    assert torch.equal(stack_modalities(stack, ("rgb", "depth")), stack.flatten(0, 1))
    assert torch.equal(stack_modalities(stack.flatten(0, 1), ("rgb", "depth")), stack.flatten(0, 1))


def test_channels_last_images_stay_so():
    images = {name: x.contiguous(memory_format=torch.channels_last) for name, x in inputs("a", "b").items()}
    assert stack_modalities(images, ("a", "b")).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (inputs("rgb"), "missing: depth; unknown: none"),
        (inputs("rgb", "depht"), "missing: depth; unknown: depht"),
        (inputs("rgb", "depth", "edge"), "missing: none; unknown: edge"),
        (inputs("rgb") | inputs("depth", shape=(2, 3, 4, 6)), r"one shape.*rgb \(2, 3, 4, 5\), depth \(2, 3, 4, 6\)"),
        (inputs("rgb", "depth", shape=(3, 4, 5)), r"one shape \[B, C, H, W\].*rgb \(3, 4, 5\)"),
        (torch.zeros(3, 3, 4, 5), r"x.shape\[0\] = 3 cannot be shared out among 2"),
        (torch.zeros(3, 2, 3, 4, 5), r"expected a stack \[2, B, C, H, W\].*\(3, 2, 3, 4, 5\)"),
        (torch.zeros(4, 3), r"got shape \(4, 3\)"),
    ],
)
def test_inputs_that_do_not_fit_are_named(given, message):
    with pytest.raises(ValueError, match=message):
        stack_modalities(given, ("rgb", "depth"))


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(4, 6, 3, stride=2, padding=1),
        nn.Conv2d(4, 6, 1, bias=False),
        nn.Conv2d(4, 6, 3, padding=2, dilation=2, groups=2),
        nn.Conv2d(4, 6, (3, 1), padding="same"),
        nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(4, 6, 3, padding="same", padding_mode="replicate"),
        nn.ConvTranspose2d(4, 6, 4, stride=2, padding=1),
        nn.ConvTranspose2d(4, 6, 3, stride=2, output_padding=1, dilation=2, groups=2, bias=False),
    ],
    ids=str,
)
@pytest.mark.parametrize("modalities", [1, 3])
def test_a_private_convolution_starts_as_copies_and_then_differs(conv, modalities):
    private = PrivateCopies(conv, modalities)
    assert private.stacked("weight").shape == (modalities, *conv.weight.shape)
    x = torch.randn(2 * modalities, 4, 7, 7).to(memory_format=torch.channels_last)
    y = private(x)
    torch.testing.assert_close(y, conv(x))
    assert y.is_contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        private.copies[-1].weight *= 2
    streams = private(x).chunk(modalities)
    assert not torch.allclose(streams[-1], conv(x).chunk(modalities)[-1])
    if modalities > 1:
        torch.testing.assert_close(streams[0], conv(x).chunk(modalities)[0])


def test_a_private_convolution_names_a_batch_that_does_not_fit():
    with pytest.raises(ValueError, match=r"x.shape\[0\] = 3 cannot be shared out among 2"):
        PrivateCopies(nn.Conv2d(4, 6, 3), 2)(torch.zeros(3, 4, 5, 5))
    with pytest.raises(ValueError, match="modalities = 0"):
        PrivateCopies(nn.Conv2d(4, 6, 3), 0)


def test_kernels_that_were_stacked_are_loaded():
    net = nn.Sequential(PrivateCopies(nn.Conv2d(4, 6, 3), 2))
    stacked = {"0.weight": torch.randn(2, 6, 4, 3, 3), "0.bias": torch.randn(2, 6)}
    net.load_state_dict(stacked)
    assert torch.equal(net[0].stacked("weight"), stacked["0.weight"])
    assert torch.equal(net[0].stacked("bias"), stacked["0.bias"])
    assert set(current_state(net, stacked)) == set(net.state_dict())


def test_a_layer_that_was_shared_becomes_every_copy_s():
    shared, private = nn.Sequential(nn.Linear(4, 6)), nn.Sequential(PrivateCopies(nn.Linear(4, 6), 2))
    private.load_state_dict(shared.state_dict())
    x = torch.randn(6, 4)
    torch.testing.assert_close(private(x), shared(x))


def test_images_of_another_number_of_channels_are_refused():
    assert stack_images(inputs("a", shape=(2, 3, 4, 5)), ("a",)).shape == (2, 3, 4, 5)
    with pytest.raises(ValueError, match=r"3 channels \(repeat a single one\), got shape \(2, 1, 4, 5\)"):
        stack_images(inputs("a", shape=(2, 1, 4, 5)), ("a",))
