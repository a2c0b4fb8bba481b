"""Weights that are rounded once for a whole evaluation: the same outputs to the bit, and whole weights afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from cen_cli.builders.networks import network
from cen_cli.metrics.pictures import as_pictures
from cen_cli.models.device import autocast
from cen_cli.models.streams import ModalOutput
from cen_cli.models.translator import unet_translator
from cen_cli.recipe import load_recipe
from cen_cli.scoring.segmentation import evaluating
from cen_cli.scoring.translation import Distances, TranslationScorer
from tests.ranked import INPUTS, Views

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


class _Seen:
    """Takes the place of Inception: keeps what it is shown."""

    sha256, note = "none", None

    def __init__(self) -> None:
        self.pictures: list[Tensor] = []

    def __call__(self, pictures: Tensor) -> Tensor:
        self.pictures.append(pictures)
        return pictures.double().flatten(1)[:, :4]


class _Pictures(Distances):
    def of_real(self, data: Views, **_: object) -> Tensor:
        truths = [data.sample(index) for index in range(len(data))]
        return torch.stack([as_pictures(view.target[None])[0] for view in truths]).double().flatten(1)[:, :4]


def test_distances_see_no_pixel_without_a_truth(tmp_path: Path) -> None:
    views, seen = Views(3, labels=False), _Seen()
    torch.manual_seed(0)
    model = unet_translator(INPUTS, levels=4, filters=4)
    scorer = TranslationScorer(CPU, "fp32", 3, 0, "strict", "instance", _Pictures(seen, tmp_path))
    scorer(model, views, split="val")
    made = seen.pictures[0].unflatten(0, (-1, 3))  # branches and ensemble, views
    truths = [views.sample(index) for index in range(3)]  # the first has no truth at all
    for each in made:
        for picture, view in zip(each, truths, strict=True):
            same = (picture == as_pictures(view.target[None])[0]).all(0)
            assert same[~view.target_valid[0]].all()
            assert same[view.target_valid[0]].all() == (view is truths[0])


def test_one_view_has_no_distances_and_says_so(tmp_path: Path) -> None:
    scorer = TranslationScorer(CPU, "fp32", 3, 0, "strict", "instance", _Pictures(_Seen(), tmp_path))
    found = scorer(unet_translator(INPUTS, levels=4, filters=4), Views(2, labels=False), split="val")
    assert not any("one view" in note for note in found.notes)
    found = scorer(unet_translator(INPUTS, levels=4, filters=4), Views(1, labels=False), split="val")
    assert "one view: no FID and no KID" in found.notes
