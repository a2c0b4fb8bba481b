"""Theorem 1: the formula, gradients of gammas, and the counting."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
import torch
from torch import nn

from cen_cli.analysis.attraction import attraction, attraction_probability, gamma_gradients
from cen_cli.analysis.gammas import GammaHistory
from cen_cli.analysis.layers import layer_states
from cen_cli.models.exchange import ChannelExchange
from cen_cli.models.norms import ModalBatchNorm2d
from cen_cli.models.sparsity import scale_by_gradients, sparsity_penalty

MODALITIES = ("rgb", "depth")


def test_probability_is_that_of_the_theorem():
    ratios = [0.0, 0.3, 1.0, 2.5, math.inf]
    expected = [2 * NormalDist().cdf(ratio) - 1 for ratio in ratios[:-1]] + [1.0]
    np.testing.assert_allclose(attraction_probability(ratios), expected, atol=1e-12)


def test_gradient_is_the_sum_over_pixels_of_gradient_times_normalised_activation(make_layer):
    layer = make_layer([[0.5, 0.02, 1.0, 2.0], [0.5, 0.6, 0.7, 0.01]])
    net = nn.Sequential(layer)
    x, weight = torch.randn(4, 4, 3, 3), torch.randn(4, 4, 3, 3)
    found = gamma_gradients(net, lambda batch: (net(batch) * weight).sum(), [x, 2 * x])["0"]
    assert found.shape == (2, 2, 4)
    streams = x.unflatten(0, (2, 2))  # [M, B, C, H, W]
    mean, var = streams.mean((1, 3, 4), keepdim=True), streams.var((1, 3, 4), unbiased=False, keepdim=True)
    normalised = (streams - mean) / (var + layer.norm.eps).sqrt()
    own = weight.unflatten(0, (2, 2)).clone()
    own[1, :, 1] += own[0, :, 1]  # rgb's channel 1 is replaced: its gradient goes to its donor
    own[0, :, 1] = 0
    own[0, :, 3] += own[1, :, 3]
    own[1, :, 3] = 0
    np.testing.assert_allclose(found[0], (own * normalised).sum((1, 3, 4)), rtol=1e-4, atol=1e-4)
    assert (found[0, 0, 1], found[0, 1, 3]) == (0, 0)


def test_calibrated_predictions_of_normal_gradients(make_layer):
    gammas = np.full((2, 400), 1.0)
    gammas[0, :10] = 0.0  # replaced
    states = layer_states(nn.Sequential(make_layer(gammas.tolist())))
    spreads = np.geomspace(0.2, 5, 400)
    gradients = np.random.default_rng(0).normal(size=(400, 2, 400)) * spreads
    gradients[:, 0, :10] = 0
    found = attraction({"0": gradients.astype(np.float32)}, states, MODALITIES, 1.0)
    rgb, depth = found.rows
    assert (found.batches, rgb.gammas, rgb.replaced, depth.gammas, depth.replaced) == (200, 190, 10, 200, 0)
    for row in found.rows:
        assert row.predicted == pytest.approx(row.observed, abs=0.02)
        assert row.brier < 0.92 * row.brier_constant
    assert sum(item.gammas for item in found.bins) == 390
    for item in found.bins:
        assert item.low <= item.predicted <= item.high
        assert item.observed == pytest.approx(item.predicted, abs=0.05)
    assert math.isnan(rgb.predicted_of_fallen)
    assert all(math.isnan(item.below) for item in found.bins), "those below the threshold are replaced"
    pressed_only = layer_states(nn.Sequential(make_layer(gammas.tolist(), active=False)))
    found = attraction({"0": gradients.astype(np.float32)}, pressed_only, MODALITIES, 1.0)
    assert sum(item.below * item.gammas for item in found.bins) == pytest.approx(10)


def test_gammas_of_swapped_channels_have_gradients(make_layer):
    """Where both streams replace a channel, each gives to the other."""
    layer = make_layer([[0.01, 0.01, 1.0], [0.01, 1.0, 1.0]], region="all")
    weight = torch.randn(4, 3, 3, 3)
    net = nn.Sequential(layer)
    gradients = gamma_gradients(net, lambda batch: (net(batch) * weight).sum(), [torch.randn(4, 3, 3, 3)] * 4)
    assert (np.abs(gradients["0"]).max(0) > 0).tolist() == [[True, False, True], [True, True, True]]
    rgb, depth = attraction(gradients, layer_states(net), MODALITIES, 1.0).rows
    assert (rgb.gammas, rgb.replaced, depth.gammas, depth.replaced) == (2, 1, 3, 0)


def test_a_gamma_that_all_modalities_press_is_pulled_by_all():
    norm = ModalBatchNorm2d(2, 2, affine="shared")
    net = nn.Sequential(ChannelExchange(norm, threshold=0.1, region="all", active=False))
    sparsity_penalty(net).backward()
    assert norm.weight.grad.tolist() == [[2, 2]]
    gradients = np.full((4, 2, 2), 1.5, np.float32)
    assert attraction({"0": gradients}, layer_states(net), MODALITIES, 1.0).rows[0].observed == 1, "1.5 < 2 lambda"


def test_predictions_rest_on_other_batches_than_observations(make_layer):
    states = layer_states(nn.Sequential(make_layer([[1.0, 1.0], [1.0, 1.0]])))
    gradients = np.ones((4, 2, 2), dtype=np.float32)
    gradients[::2] = 1000  # even batches: the penalty never wins; odd ones: it always does
    (rgb, _) = attraction({"0": gradients}, states, MODALITIES, 2.0).rows
    assert rgb.predicted < 0.01
    assert rgb.observed == 1
    assert rgb.brier == pytest.approx(1, abs=0.01)
    assert rgb.brier_constant == 0


def test_every_layer_has_the_lambda_that_presses_it(make_layer):
    net = nn.Sequential(*(make_layer([[1.0, 1.0], [1.0, 1.0]]) for _ in range(2)))
    scale_by_gradients(net)
    for layer, square in zip(net, (1.0, 4.0), strict=True):
        layer.gradient_square.fill_(square)
    states = layer_states(net)
    assert [state.scale for state in states] == pytest.approx([2 / 3, 4 / 3])
    gradients = {name: np.full((4, 2, 2), 1.2, np.float32) for name in ("0", "1")}
    (rgb, _) = attraction(gradients, states, MODALITIES, 1.5).rows
    assert rgb.observed == 0.5  # 1.2 is above 1.5 * 2/3 and below 1.5 * 4/3


def test_fates_of_fallen_gammas(make_layer):
    last = np.array([[0.0, 1.0, 0.05, 1.0, 1, 1, 1, 1], [1.0] * 8])
    states = layer_states(nn.Sequential(make_layer(last.tolist(), active=False)))
    records = np.stack([np.ones((2, 8)), last, last])
    records[1, 0, 1] = 0.0  # fell, and came back
    history = GammaHistory(np.arange(3), {"0": records.astype(np.float32)}, MODALITIES)
    gradients = np.full((2, 2, 8), 1e-3, dtype=np.float32)
    gradients[:, 0, 1] = 1e3
    rgb, depth = attraction({"0": gradients}, states, MODALITIES, 1.0, history).rows
    assert (rgb.fell, rgb.stayed, depth.fell) == (3, 2, 0)
    assert rgb.replaced == 0  # exchange is switched off: all gammas have gradients
    assert rgb.predicted_of_fallen == pytest.approx(2 / 3, abs=1e-3)
    assert rgb.brier_of_fallen == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(("batches", "sparsity"), [(1, 1.0), (4, 0.0)])
def test_too_few_batches_and_no_penalty_are_refused(make_layer, batches, sparsity):
    states = layer_states(nn.Sequential(make_layer([[1.0, 1.0], [1.0, 1.0]])))
    with pytest.raises(ValueError, match="needs two batches and a penalty"):
        attraction({"0": np.ones((batches, 2, 2), dtype=np.float32)}, states, MODALITIES, sparsity)
