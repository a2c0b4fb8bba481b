from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cen_cli.analysis.gammas import (
    GammaHistory,
    check_history,
    gamma_rows,
    history_of_run,
    load_history,
    recoveries,
)
from cen_cli.analysis.layers import layer_states
from cen_cli.errors import CheckpointError
from cen_cli.models.exchange import exchange_layers
from cen_cli.runs.checkpoint import write_tensors
from cen_cli.runs.gammas import GammaRecorder

MODALITIES = ("rgb", "depth")


def test_rows_count_inside_outside_and_overlap(network: nn.Module) -> None:
    rgb, depth, *second = gamma_rows(network, MODALITIES)
    assert (rgb.layer, rgb.modality, rgb.channels) == ("layer1.0", "rgb", 4)
    assert (rgb.below_inside, rgb.below_outside) == (0.5, 0.5)
    assert (depth.below_inside, depth.below_outside) == (0.5, 0.5)
    assert (rgb.overlap, depth.overlap) == (0.25, 0.25)  # channel 2 alone is below in both
    assert [row.layer for row in second] == ["layer2.0", "layer2.0"]
    assert [row.below_inside for row in second] == [1.0, 0.0]


def test_quantiles_are_of_the_absolute_value(network: nn.Module) -> None:
    rgb = gamma_rows(network, MODALITIES)[0]
    assert rgb.quantiles == pytest.approx((0.01, 0.04, 0.275, 0.875, 2.0), rel=1e-5)


def test_outside_is_not_a_number_where_all_is_pressed(make_layer) -> None:
    rows = gamma_rows(make_layer([[0.0, 1.0], [1.0, 0.0]], region="all"), MODALITIES)
    assert [row.below_inside for row in rows] == [0.5, 0.5]
    assert all(math.isnan(row.below_outside) for row in rows)


# --- history ---


def history(values: list[list[float]], steps: list[int]) -> GammaHistory:
    """One layer of two modalities and two channels; `values` are records of rgb's channel 0, all others stay at 1."""
    gammas = np.ones((len(values), 2, 2), dtype=np.float32)
    gammas[:, 0, 0] = np.array(values)[:, 0]
    gammas[:, 1, 1] = np.array(values)[:, 1]
    return GammaHistory(np.array(steps), {"0": gammas}, MODALITIES)


@pytest.mark.parametrize(
    ("rgb", "expected"),
    [
        ([1.0, 1.0, 1.0], (0, 0, 0)),
        ([1.0, -0.05, 0.01], (1, 0, 0)),
        ([1.0, 0.05, -0.5], (1, 1, 1)),
        ([0.05, 0.5, 0.05], (1, 1, 0)),
        ([0.05, 0.05, 0.05], (1, 0, 0)),
    ],
)
def test_recoveries_of_one_channel(make_layer, rgb: list[float], expected: tuple[int, int, int]) -> None:
    model = nn.Sequential(make_layer([[1.0, 1.0], [1.0, 1.0]]))
    found = recoveries(history([[value, 1.0] for value in rgb], [0, 10, 20]), layer_states(model))
    assert (found[0].fell, found[0].returned, found[0].ended_above) == expected
    assert (found[1].modality, found[1].fell) == ("depth", 0)


def test_recoveries_leave_out_gammas_that_nothing_presses(make_layer) -> None:
    model = nn.Sequential(make_layer([[1.0, 1.0], [1.0, 1.0]]))
    gammas = np.ones((2, 2, 2), dtype=np.float32)
    gammas[0, 0, 1] = gammas[0, 1, 0] = 0  # both outside the own part
    found = recoveries(GammaHistory(np.array([0, 1]), {"0": gammas}, MODALITIES), layer_states(model))
    assert [item.fell for item in found] == [0, 0]


def test_recorded_gammas_are_read_back(network: nn.Module, tmp_path: Path) -> None:
    layers = exchange_layers(network)
    recorder = GammaRecorder(layers, MODALITIES)
    recorder.record(0)
    with torch.no_grad():
        layers["layer1.0"].norm.weight.mul_(-2)
    recorder.record(20)
    recorder.save(tmp_path / "gammas.safetensors")
    found = history_of_run(tmp_path, layer_states(network))
    assert found is not None
    assert found.modalities == MODALITIES
    assert found.steps.tolist() == [0, 20]
    np.testing.assert_allclose(found.layers["layer1.0"][1], -2 * found.layers["layer1.0"][0])
    assert found.layers["layer2.0"].shape == (2, 2, 2)


def test_no_run_or_no_records_is_no_history(tmp_path: Path) -> None:
    assert history_of_run(None, ()) is None
    assert history_of_run(tmp_path, ()) is None


def test_a_file_without_records_is_refused(tmp_path: Path) -> None:
    write_tensors(tmp_path / "a.safetensors", {"weight": torch.ones(2)}, {"modalities": "[]"})
    with pytest.raises(CheckpointError, match="holds no recorded gammas"):
        load_history(tmp_path / "a.safetensors")


def test_a_layer_of_another_shape_is_refused(tmp_path: Path) -> None:
    tensors = {"steps": torch.arange(3), "a.bn": torch.ones(2, 2, 8)}
    write_tensors(tmp_path / "a.safetensors", tensors, {"modalities": json.dumps(MODALITIES)})
    with pytest.raises(CheckpointError, match=r"a\.bn has shape \[2, 2, 8\] where \[3, 2, channels\] was expected"):
        load_history(tmp_path / "a.safetensors")


def test_a_history_of_another_network_is_refused(network: nn.Module) -> None:
    with pytest.raises(CheckpointError, match=r"do not fit the checkpoint: 0, layer1\.0, layer2\.0 differ"):
        check_history(history([[1.0, 1.0]], [0]), layer_states(network))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_recorded_gammas_that_are_not_finite_are_named(tmp_path, value):
    gammas = torch.ones(2, 2, 3)
    gammas[1, 0, 2] = value
    tensors = {"steps": torch.tensor([0, 1]), "layer1.bn": gammas}
    write_tensors(tmp_path / "a.safetensors", tensors, {"modalities": '["rgb", "depth"]'})
    with pytest.raises(CheckpointError, match=r"NaN or infinity in the gammas of layer1\.bn"):
        load_history(tmp_path / "a.safetensors")
