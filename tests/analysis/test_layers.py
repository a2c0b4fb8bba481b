from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from cen_cli.analysis.layers import layer_states, stage_of
from cen_cli.models.exchange import exchange_layers


def test_replaced_is_what_the_layer_itself_says(network: nn.Module) -> None:
    for state, layer in zip(layer_states(network), exchange_layers(network).values(), strict=True):
        np.testing.assert_array_equal(state.replaced, layer.replaced().numpy())
        assert state.replaced.any()


@pytest.mark.parametrize("settings", [{"replace": "anywhere"}, {"region": "all"}, {"active": False}])
def test_replaced_follows_the_layers_settings(make_layer, settings: dict[str, object]) -> None:
    layer = make_layer([[0.05, 0.5, 0.01, 2.0], [0.3, 0.02, 0.09, 0.2]], **settings)
    (state,) = layer_states(layer)
    np.testing.assert_array_equal(state.replaced, layer.replaced().numpy())
    assert state.replaced.sum() == (0 if settings == {"active": False} else 4)


def test_a_fixed_choice_counts_in_place_of_the_gammas(make_layer) -> None:
    layer = make_layer([[0.05, 0.5, 0.01, 2.0], [0.3, 0.02, 0.09, 0.2]])
    layer.fix(torch.tensor([[False, True, False, False], [False, False, True, True]]))
    (state,) = layer_states(layer)
    np.testing.assert_array_equal(state.replaced, layer.replaced().numpy())
    np.testing.assert_array_equal(state.replaced_with(np.zeros((5, 2, 4), np.float32))[3], layer.replaced().numpy())


def test_one_modality_has_no_donor_and_replaces_nothing(make_layer) -> None:
    (state,) = layer_states(make_layer([[0.0, 1.0]]))
    assert state.below.any()
    assert not state.replaced.any()


def test_a_gamma_at_the_threshold_is_kept_as_in_the_forward_pass(make_layer) -> None:
    layer = make_layer([[0.1, 1.0], [1.0, 1.0]])
    (state,) = layer_states(layer)
    np.testing.assert_array_equal(state.replaced, layer.replaced().numpy())
    assert not state.replaced.any()


@pytest.mark.parametrize(
    ("layer", "stage"),
    [
        ("encoder.body.layer1.0.bn2", "layer1"),
        ("encoder.layer4.22.bn2", "layer4"),
        ("stage_3.norm", "stage_3"),
        ("body.down3.norm", "body.down3"),
        ("features.4.norm", "features.4"),
        ("encoder.norm", "encoder"),
        ("norm1", "norm1"),
    ],
)
def test_stage_of_a_layer(layer: str, stage: str) -> None:
    assert stage_of(layer) == stage
