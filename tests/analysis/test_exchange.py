from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from cen_cli.analysis.exchange import exchange_rows, replaced_at_steps, replaced_shares
from cen_cli.analysis.gammas import GammaHistory
from cen_cli.analysis.layers import layer_states
from cen_cli.models.exchange import count_replaced, exchange_layers
from cen_cli.results import TOTAL, ReplacedCount

MODALITIES = ("rgb", "depth")


def test_totals_are_the_counts_of_the_training_loop(network: nn.Module) -> None:
    counts = count_replaced(exchange_layers(network), MODALITIES)
    assert counts == (ReplacedCount("rgb", 2, 3, 6, fallen=2), ReplacedCount("depth", 1, 3, 6, fallen=1))
    totals = [row for row in exchange_rows(network, MODALITIES) if row.layer == TOTAL]
    fields = [field.name for field in dataclasses.fields(ReplacedCount)]
    assert [[getattr(row, name) for name in fields] for row in totals] == [[*vars(count).values()] for count in counts]


def test_a_network_without_exchanging_layers_has_no_rows() -> None:
    assert exchange_rows(nn.ReLU(), MODALITIES) == []


def test_rows_per_layer_end_in_totals(network: nn.Module) -> None:
    rows = exchange_rows(network, MODALITIES)
    assert [(row.layer, row.modality, row.replaced) for row in rows] == [
        ("layer1.0", "rgb", 1),
        ("layer1.0", "depth", 1),
        ("layer2.0", "rgb", 1),
        ("layer2.0", "depth", 0),
        ("total", "rgb", 2),
        ("total", "depth", 1),
    ]
    assert rows[0].donors == {"depth": 1.0}
    assert (rows[0].share_of_pressed, rows[0].share_of_all) == (0.5, 0.25)


def test_rows_per_stage_add_up_its_layers(network: nn.Module, make_layer) -> None:
    network.layer1.append(make_layer([[0.0, 1.0], [1.0, 0.0]]))
    rows = exchange_rows(network, MODALITIES, by="stage")
    assert [(row.layer, row.replaced, row.pressed, row.channels) for row in rows[:4]] == [
        ("layer1", 2, 3, 6),
        ("layer1", 2, 3, 6),
        ("layer2", 1, 1, 2),
        ("layer2", 0, 1, 2),
    ]


def test_donors_give_by_their_absolute_gamma(make_layer) -> None:
    """Channel 0 of `a` is replaced, with |gamma| 0.9 and 0.3 behind it; channel 1 with 0.2 and 0.2."""
    gammas = [[0.0, 0.01, 1.0, 1.0, 1.0, 1.0], [-0.9, 0.2, 1.0, 1.0, 1.0, 1.0], [0.3, -0.2, 1.0, 1.0, 1.0, 1.0]]
    rows = exchange_rows(make_layer(gammas), ("a", "b", "c"))
    assert rows[0].donors == pytest.approx({"b": (0.75 + 0.5) / 2, "c": (0.25 + 0.5) / 2})
    assert [list(row.donors) for row in rows[:3]] == [["b", "c"], ["a", "c"], ["a", "b"]]
    assert all(np.isnan(part) for row in rows[1:3] for part in row.donors.values())  # they replace nothing
    assert rows[3].donors == pytest.approx(rows[0].donors)  # the only layer, in total


def test_an_allotted_donor_gives_all(make_layer) -> None:
    """Of `a` channels 0 and 1 are replaced, both by `c`; by `b`, whose gamma is larger, none."""
    gammas = [[0.0, 0.01, 1.0, 1.0, 1.0, 1.0], [-0.9, 0.2, 1.0, 1.0, 1.0, 1.0], [0.3, -0.2, 1.0, 1.0, 1.0, 1.0]]
    layer = make_layer(gammas)
    layer.allot(torch.tensor([[2] * 6, [0] * 6, [0] * 6]))
    assert exchange_rows(layer, ("a", "b", "c"))[0].donors == {"b": 0.0, "c": 1.0}


def test_dead_donors_give_alike(make_layer) -> None:
    rows = exchange_rows(make_layer([[0.0, 1.0, 1.0], [0.0, 1.0, 1.0], [0.0, 1.0, 1.0]]), ("a", "b", "c"))
    assert rows[0].donors == {"b": 0.5, "c": 0.5}


@pytest.fixture
def history(network: nn.Module) -> GammaHistory:
    """11 records: all gammas 1 in the first ones; 0 everywhere from the sixth on."""
    steps = np.arange(11) * 20
    layers = {state.name: np.ones((11, *state.gammas.shape), np.float32) for state in layer_states(network)}
    for values in layers.values():
        values[5:] = 0
    return GammaHistory(steps, layers, MODALITIES)


def test_shares_over_steps_are_per_layer_and_modality(network: nn.Module, history: GammaHistory) -> None:
    history.layers["layer1.0"][5:, 1] = -1  # signed, and far from 0
    shares = replaced_shares(history, layer_states(network))
    assert shares.shape == (11, 2, 2)
    assert (shares[:5] == 0).all()
    np.testing.assert_array_equal(shares[5:], np.tile([[1.0, 0.0], [1.0, 1.0]], (6, 1, 1)))


def test_nothing_was_ever_replaced_where_exchange_is_off(make_layer) -> None:
    model = nn.Sequential(make_layer([[0.0, 1.0], [1.0, 0.0]], active=False))
    records = GammaHistory(np.array([0]), {"0": np.zeros((1, 2, 2), np.float32)}, MODALITIES)
    assert (replaced_shares(records, layer_states(model)) == 0).all()


def test_a_few_records_are_evenly_spaced(network: nn.Module, history: GammaHistory) -> None:
    records = replaced_at_steps(history, layer_states(network), records=3)
    assert [record.step for record in records] == [0, 100, 200]
    assert [record.replaced[0].replaced for record in records] == [0, 3, 3]
    assert [record.replaced[0].pressed for record in records] == [3, 3, 3]
    assert [record.replaced[0].collapsed for record in records] == [False, True, True]
    assert [record.epoch for record in records] == [None, None, None]


def test_records_count_epochs_where_their_length_is_known(network: nn.Module, history: GammaHistory) -> None:
    records = replaced_at_steps(history, layer_states(network), records=3, steps_per_epoch=80)
    assert [record.epoch for record in records] == [0, 1.25, 2.5]


def test_fewer_records_than_asked_for_are_all_shown_once(network: nn.Module, history: GammaHistory) -> None:
    short = GammaHistory(history.steps[:2], {name: values[:2] for name, values in history.layers.items()}, MODALITIES)
    assert [record.step for record in replaced_at_steps(short, layer_states(network))] == [0, 20]
