"""Translators and their training step against the plain implementation of the benchmarks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmarks import translation
from benchmarks.plain import PlainNorm, plain_penalty
from benchmarks.plain_translation import PlainTranslator, plain_translator_from
from cen_cli.models.exchange import exchange_layers
from cen_cli.models.norms import ModalInstanceNorm2d
from cen_cli.models.sparsity import sparsity_penalty
from cen_cli.models.translator import Translator, unet_translator
from tests.streams import built


def pair(modalities: int, **settings) -> tuple[PlainTranslator, Translator, list[torch.Tensor]]:
    """Both networks in float64 with random gammas, many of them below the threshold, and images."""
    names = ("a", "b", "c", "d")[:modalities]
    net = built(unet_translator, names, levels=3, filters=4, dropout=0.0, threshold=0.3, **settings).double().train()
    for layer in exchange_layers(net).values():
        nn.init.uniform_(layer.norm.weight, -1, 1)
    return plain_translator_from(net, 0.0), net, [torch.randn(2, 3, 16, 16, dtype=torch.float64) for _ in names]


@pytest.mark.parametrize(
    "settings", [{}, {"norm_layers": "inner"}, {"replace": "anywhere"}, {"exchange": False}], ids=str
)
@pytest.mark.parametrize("modalities", [1, 2, 3, 4])
def test_outputs_and_gradients_are_those_of_the_plain_network(modalities, settings):
    plain, net, images = pair(modalities, **settings)
    branches, ensemble = plain(images)
    out = net(torch.cat(images))
    torch.testing.assert_close(out.branches, torch.stack(branches), rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(out.ensemble, ensemble, rtol=1e-8, atol=1e-10)
    (sum(b.square().mean() for b in branches) + ensemble.square().mean() + 0.1 * plain_penalty(plain)).backward()
    ours = sum(b.square().mean() for b in out.branches) + out.ensemble.square().mean() + 0.1 * sparsity_penalty(net)
    ours.backward()
    tolerance = {"rtol": 1e-6, "atol": 1e-10}
    for expected, found in zip(translation.plain_gradients(plain), translation.our_gradients(net), strict=True):
        torch.testing.assert_close(found, expected, **tolerance)
    modal = [layer for layer in net.modules() if isinstance(layer, ModalInstanceNorm2d)]
    twins = [layer.norms for layer in plain.modules() if isinstance(layer, PlainNorm)]
    for norm, norms in zip(modal, twins, strict=True):
        for name in ("weight", "bias"):
            expected = torch.stack([getattr(twin, name).grad for twin in norms])
            torch.testing.assert_close(getattr(norm, name).grad, expected, **tolerance)
        torch.testing.assert_close(norm.running_var, torch.stack([twin.running_var for twin in norms]), **tolerance)


@pytest.mark.parametrize("layout", ["", "--channels-last"])
@pytest.mark.parametrize("modalities", [2, 3])
def test_a_training_iteration_is_that_of_the_plain_loop(modalities, layout):
    arguments = f"--levels 4 --size 32 --batch 2 --modalities {modalities} {layout}"
    options = translation.parse(arguments.split())
    assert translation.largest_difference(options) < translation.RTOL


def test_a_difference_is_seen(monkeypatch):
    options = translation.parse(["--levels", "4", "--size", "32"])
    plain = translation.plain_step

    def with_other_weight(*args, pixel_weight, sparsity):
        return plain(*args, pixel_weight=pixel_weight * 1.001, sparsity=sparsity)

    monkeypatch.setattr(translation, "plain_step", with_other_weight)
    assert translation.largest_difference(options) > 10 * translation.RTOL
