"""Where a network's kernels lie in memory."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from cen_cli.builders.networks import placed
from cen_cli.models.device import autocast
from cen_cli.models.streams import PrivateCopies
from cen_cli.recipe import dump_toml, load_recipe, parse_recipe
from cen_cli.recipe.load import differences


@pytest.mark.parametrize("size", [1, 3])
def test_every_kernel_is_channels_last_also_those_of_each_modality(size: int) -> None:
    shared = nn.Conv2d(4, 6, size, padding=size // 2)
    private = PrivateCopies(nn.Conv2d(6, 5, size, padding=size // 2), 2)
    net = nn.Sequential(shared, private)
    order = torch.channels_last
    images = torch.randn(4, 4, 7, 9)
    if size == 1:  # its kernels have no order to hand on
        images = images.contiguous(memory_format=order)
    expected = net(images)
    placed(net, torch.device("cpu"), load_recipe("rooms"))
    assert shared.weight.is_contiguous(memory_format=order)
    assert all(kernel.is_contiguous(memory_format=order) for kernel in private.parameters() if kernel.dim() == 4)
    made = net(images)
    torch.testing.assert_close(made, expected)
    assert made.is_contiguous(memory_format=order)  # what follows is computed in this order, too
    made.sum().backward()
    for kernel in private.parameters():
        assert kernel.grad is not None
        assert kernel.grad.stride() == kernel.stride()


@pytest.mark.parametrize(
    ("recipe", "wish", "innermost"),
    [
        ("rooms", "auto", True),
        ("rooms", False, False),
        ("rooms-translate", "auto", False),
        ("rooms-translate", True, True),
    ],
)
def test_the_order_is_that_of_the_recipe_or_by_itself_the_faster_of_its_network(recipe, wish, innermost) -> None:
    net = nn.Conv2d(6, 5, 3)
    placed(net, torch.device("cpu"), load_recipe(recipe, {"train.channels_last": wish}))
    assert net.weight.is_contiguous() is not innermost


@pytest.mark.parametrize(("precision", "expected"), [("bf16", torch.float32), ("fp32", torch.bfloat16)])
def test_large_depthwise_convolutions_train_in_fp32_where_the_rest_does_in_bf16(
    precision: str, expected: torch.dtype
) -> None:
    cpu, images = torch.device("cpu"), torch.randn(2, 4, 9, 9)
    large = PrivateCopies(nn.Conv2d(4, 4, 5, padding=2, groups=4), 2)
    small, grouped = nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 4, 5, groups=2)
    for layer, kept in ((large, expected), (small, torch.bfloat16), (grouped, torch.bfloat16)):
        plain = copy.deepcopy(layer)(images)
        placed(layer, cpu, load_recipe("rooms", {"train.precision": precision}))
        with autocast(cpu, "bf16"):
            made = layer(images)
            assert layer.eval()(images).dtype == torch.bfloat16
        assert made.dtype == kept
        torch.testing.assert_close(made.float(), plain, atol=1e-6 if kept == torch.float32 else 0.05, rtol=0)


def test_a_run_of_the_earlier_default_keeps_its_order_and_is_no_other_recipe() -> None:
    today = load_recipe("rooms")
    text = dump_toml(today).replace('channels_last = "auto"', "channels_last = true")
    earlier = parse_recipe(text, source="a run")
    assert earlier.train.channels_last is True
    assert differences(earlier, today) == []
    assert differences(earlier, load_recipe("rooms", {"train.seed": 3})) == ["train.seed"]
