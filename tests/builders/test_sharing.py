"""What of a network is private, and where its streams meet, by the recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from cen_cli.builders.networks import Network, network
from cen_cli.errors import RecipeError, UsageError
from cen_cli.jobs.evaluate import evaluate
from cen_cli.jobs.train import train
from cen_cli.models.streams import PrivateCopies
from cen_cli.recipe import load_recipe


def built(recipe: Path | str, changes: dict[str, Any]) -> Network:
    torch.manual_seed(0)
    return network(load_recipe(recipe, changes), 5)


def private(part: nn.Module) -> set[str]:
    """The children of a part that hold convolutions of each modality's own, and none that are shared."""
    children = dict(part.named_children())
    found = {name for name in children if any(isinstance(layer, PrivateCopies) for layer in children[name].modules())}
    inside = {layer for module in part.modules() if isinstance(module, PrivateCopies) for layer in module.copies}
    for name, child in children.items():
        shared = [m for m in child.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d) and m not in inside]
        assert not (shared and name in found)
    return found


def test_the_first_stages_alone_are_private(tiny_recipe: Path) -> None:
    net = built(tiny_recipe, {"sharing.private_stages": 2})
    assert private(net.encoder) == {"conv1", "layer1", "layer2"}
    assert private(net.decoder) == set()
    shared, images = built(tiny_recipe, {}).eval(), torch.randn(2, 2, 3, 32, 32)
    assert torch.equal(net.eval()(images).branches, shared(images).branches), "copies start equal"


def test_the_first_layers_of_a_u_net_are_private(tiny_translation_recipe: Path) -> None:
    net = built(tiny_translation_recipe, {"sharing.private_stages": 2})
    assert private(net.encoder) == {"layer1", "layer2"}
    assert private(net.decoder) == set()


@pytest.mark.parametrize(("conv", "decoder"), [("shared", "private"), ("private", "shared")])
def test_encoder_and_decoder_are_private_apart(conv: str, decoder: str, tiny_recipe: Path) -> None:
    net = built(tiny_recipe, {"sharing.conv": conv, "sharing.decoder": decoder})
    assert (private(net.encoder) != set()) is (conv == "private")
    assert (private(net.decoder) != set()) is (decoder == "private")


def test_one_classifier_takes_the_last_maps_of_all_streams(tiny_recipe: Path, tmp_path: Path) -> None:
    changes = {"model.classifier": "concat", "sharing.conv": "private", "train.epochs": 1}
    net = built(tiny_recipe, changes)
    maps, images = [], torch.randn(2, 1, 3, 32, 32)
    net.decoder.classifier.register_forward_pre_hook(lambda _, inputs: maps.append(inputs[0]))
    out = net.eval()(images)
    assert (net.branches, out.branches.shape) == (("fused",), (1, 1, 5, 8, 8))
    classifier = net.decoder.classifier.conv
    torch.testing.assert_close(out.branches[0], classifier(torch.cat([maps[0][:1], maps[0][1:]], dim=1)))
    summary = train(tiny_recipe, changes=changes, out=tmp_path / "run", device="cpu")
    assert list(summary.last.scores) == ["fused"]
    assert list(evaluate(tmp_path / "run", device="cpu").evaluation.scores) == ["fused"]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"sharing.private_stages": 5}, UsageError, "sharing.private_stages = 5: the encoder has 4"),
        ({"sharing.private_stages": 1, "sharing.conv": "private"}, RecipeError, "read only with sharing.conv"),
        ({"model.fusion": "concat", "sharing.decoder": "private"}, RecipeError, "read only with model.fusion"),
        ({"model.fusion": "concat", "model.classifier": "concat"}, RecipeError, "read only with model.fusion"),
    ],
)
def test_what_cannot_be_private_is_refused(
    changes: dict[str, Any], error: type[Exception], message: str, tiny_recipe: Path
) -> None:
    with pytest.raises(error, match=message):
        built(tiny_recipe, changes)
