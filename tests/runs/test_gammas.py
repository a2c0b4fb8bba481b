import json

import pytest
import torch

from cen_cli.errors import CheckpointError
from cen_cli.models.exchange import ChannelExchange
from cen_cli.models.norms import ModalBatchNorm2d
from cen_cli.runs import gammas
from cen_cli.runs.checkpoint import read_tensors
from cen_cli.runs.gammas import GammaRecorder, smallest_pressed_gamma

MODALITIES = ("rgb", "depth")


@pytest.fixture
def layers():
    torch.manual_seed(0)
    found = {}
    for name, channels in (("one", 4), ("two", 5)):
        found[name] = ChannelExchange(ModalBatchNorm2d(channels, 2), threshold=0.1)
        torch.nn.init.uniform_(found[name].norm.weight, 0.2, 1.0)
    return found


def test_nothing_is_smallest_without_layers():
    assert smallest_pressed_gamma({}) is None


def test_smallest_pressed_gamma_looks_at_the_own_part_and_at_the_absolute_value(layers):
    with torch.no_grad():
        layers["one"].norm.weight[0, 3] = 0.01  # not pressed
        layers["two"].norm.weight[1, 4] = -0.15
    assert smallest_pressed_gamma(layers) == pytest.approx(0.15)


def test_records_are_saved_and_restored_up_to_a_step(layers, tmp_path):
    recorder = GammaRecorder(layers, MODALITIES)
    for step in (0, 5, 10):
        with torch.no_grad():
            layers["one"].norm.weight.fill_(step)
        recorder.record(step)
    recorder.save(tmp_path / "gammas.safetensors")
    tensors, metadata = read_tensors(tmp_path / "gammas.safetensors")
    assert tensors["steps"].tolist() == [0, 5, 10]
    assert tensors["one"].shape == (3, 2, 4)
    assert tensors["one"][:, 0, 0].tolist() == [0, 5, 10]
    assert json.loads(metadata["modalities"]) == ["rgb", "depth"]

    other = GammaRecorder(layers, MODALITIES)
    other.restore(tmp_path / "gammas.safetensors", last_step=7)
    other.record(9)
    other.save(tmp_path / "again.safetensors")
    assert read_tensors(tmp_path / "again.safetensors")[0]["steps"].tolist() == [0, 5, 9]


def test_records_stay_bounded_and_are_those_of_a_run_that_was_never_stopped(layers, tmp_path, monkeypatch):
    monkeypatch.setattr(gammas, "MOST_RECORDS", 4)
    straight, resumed = GammaRecorder(layers, MODALITIES), GammaRecorder(layers, MODALITIES)
    for step in range(0, 60, 3):
        straight.record(step)
        resumed.record(step)
        resumed.save(tmp_path / "resumed.safetensors")
        resumed = GammaRecorder(layers, MODALITIES)
        resumed.restore(tmp_path / "resumed.safetensors", last_step=step)
    straight.save(tmp_path / "straight.safetensors")
    steps = read_tensors(tmp_path / "straight.safetensors")[0]["steps"]
    assert steps.tolist() == [0, 24, 48]
    assert (tmp_path / "straight.safetensors").read_bytes() == (tmp_path / "resumed.safetensors").read_bytes()


def test_restored_records_lie_where_the_network_does(layers, tmp_path):
    recorder = GammaRecorder(layers, MODALITIES)
    recorder.record(0)
    recorder.save(tmp_path / "gammas.safetensors")
    elsewhere = {name: layer.to("meta") for name, layer in layers.items()}
    resumed = GammaRecorder(elsewhere, MODALITIES)
    resumed.restore(tmp_path / "gammas.safetensors", last_step=0)
    resumed.record(5)
    assert {record.device.type for records in resumed._records.values() for record in records} == {"meta"}


def test_records_of_another_network_are_refused(layers, tmp_path):
    recorder = GammaRecorder({"one": layers["one"]}, MODALITIES)
    recorder.record(0)
    recorder.save(tmp_path / "gammas.safetensors")
    with pytest.raises(CheckpointError, match="not the gammas of this network, of two"):
        GammaRecorder(layers, MODALITIES).restore(tmp_path / "gammas.safetensors", last_step=0)
