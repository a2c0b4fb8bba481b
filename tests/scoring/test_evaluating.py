"""Weights that are rounded once for a whole evaluation: the same outputs to the bit, and whole weights afterwards."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from cen_cli.builders.networks import network
from cen_cli.models.device import autocast
from cen_cli.models.streams import ModalOutput
from cen_cli.recipe import load_recipe
from cen_cli.scoring.segmentation import evaluating

CPU = torch.device("cpu")
RECIPES = {
    "exchange": ("rooms", {}),
    "pspnet": ("nyudv2-pspnet", {"model.backbone": "resnet50", "model.encoder_width": 8, "model.weights": "none"}),
    "concat": ("rooms", {"model.fusion": "concat"}),
    "input": ("rooms", {"model.fusion": "concat", "model.fusion_stage": "input"}),
    "align": ("rooms", {"model.fusion": "align"}),
    "self-attention": ("rooms", {"model.fusion": "self-attention"}),
    "private": ("rooms", {"sharing.conv": "private"}),
    "depthwise": ("nyudv2-lite0", {"model.weights": "none", "model.frozen_stages": 0}),
    "translation": ("rooms-translate", {}),
}


def output(net: nn.Module, images: dict[str, Tensor]) -> ModalOutput:
    with autocast(CPU, "bf16"):
        return net(images)


@pytest.mark.parametrize("kind", RECIPES)
def test_rounding_once_gives_what_autocast_gives_and_leaves_the_weights_whole(kind: str) -> None:
    name, changes = RECIPES[kind]
    recipe = load_recipe(name, changes)
    torch.manual_seed(0)
    net = network(recipe, 5)
    images = {part: torch.randn(1, 3, 64, 64) for part in recipe.data.inputs}
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with evaluating(net):
        expected = output(net, images)
    with evaluating(net, "bf16"):
        assert torch.bfloat16 in {part.dtype for part in net.parameters()}
        made = output(net, images)
    assert net.training
    assert torch.equal(made.branches, expected.branches)
    assert torch.equal(made.ensemble, expected.ensemble)
    after = net.state_dict()
    assert all(after[key].dtype == value.dtype and torch.equal(after[key], value) for key, value in before.items())


def test_weights_are_whole_again_when_an_evaluation_is_cut_short() -> None:
    conv, norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

    def cut_short() -> None:
        with evaluating(nn.Sequential(conv, norm), "bf16"):
            assert conv.weight.dtype == torch.bfloat16
            assert norm.weight.dtype == torch.float32, "autocast leaves norms alone"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut_short()
    assert conv.weight.dtype == torch.float32
    conv(torch.randn(1, 3, 2, 2)).sum().backward()
    assert conv.weight.grad is not None


def test_in_fp32_nothing_is_rounded() -> None:
    net = nn.Conv2d(3, 4, 1)
    with evaluating(net, "fp32"):
        assert net.weight.dtype == torch.float32
