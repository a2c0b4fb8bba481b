from __future__ import annotations

from pathlib import Path

import pytest
import torch

import cen_cli
from cen_cli.analysis.diagnosis import diagnose, with_health
from cen_cli.analysis.layers import layer_states
from cen_cli.engine.health import is_due, note
from cen_cli.models.exchange import ChannelExchange
from cen_cli.models.norms import ModalBatchNorm2d
from cen_cli.results import GammaDiagnosis, Health, Listener, LoggedHealth, PartHealth, RunLog, unread_streams
from cen_cli.runs.directory import RunDirectory
from cen_cli.runs.log import read_log

TINY = {
    "train.epochs": 6,
    "train.log_every": 30,
    "train.record_gammas_every": 30,
    "train.validate_every": 6,
    "schedule.power": 0.01,
    "data.rooms.train_rooms": 20,
    "data.rooms.val_rooms": 1,
    "data.rooms.test_rooms": 1,
}
"""The first sixty steps of the demo, on fewer rooms, at the rates that it begins with."""


class Notes(Listener):
    """Keeps what is noted."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def on_note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("rooms"))


def trained(out: Path, data: str, **changes: object) -> tuple[list[str], RunLog]:
    listener, settings = Notes(), {**TINY, **{key.replace("__", "."): value for key, value in changes.items()}}
    cen_cli.train("rooms", changes=settings, out=out, data_root=data, device="cpu", listener=listener)
    return listener.notes, read_log(RunDirectory(out))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_part_of_the_demo_lives(tmp_path: Path, data: str, seed: int) -> None:
    notes, log = trained(tmp_path / "run", data, train__seed=seed)
    assert notes == []
    assert [logged.step for logged in log.health] == [1, 10, 20, 30, 60]
    for part in log.health[-1].health.parts:
        assert part.positive >= 0.05, part
        assert part.gradient > 0, part


def test_a_decoder_without_norms_dies_and_the_run_says_so(tmp_path: Path, data: str) -> None:
    """What the demo was before its decoder had norms."""
    run = tmp_path / "run"
    notes, log = trained(run, data, model__decoder_norm="none")
    said = " ".join(notes)
    assert "decoder.path4.reduce: every unit is dead since step" in said
    assert "encoder.layer4: no gradient arrives" in said
    assert "schedule.warmup_steps" in said
    last = {part.name: part for part in log.health[-1].health.parts}
    assert (last["decoder.path4"].dead, last["encoder.layer4"].gradient) == (1.0, 0.0)
    diagnosis = cen_cli.analyze(run, out=tmp_path / "plots").diagnosis
    assert diagnosis.verdict == "unread"
    assert "no choice" in diagnosis.evidence[0]


def health_of(*, dead: float = 0.0, gradient: float = 1.0) -> Health:
    return Health((PartHealth("decoder.path4", "decoder.path4.reduce", dead, 1 - dead, gradient),), {})


def test_a_warning_is_given_once_and_again_after_a_recovery() -> None:
    assert note(health_of(), {}, 1) == ({}, None)
    since, first = note(health_of(dead=1.0), {}, 10)
    assert first is not None
    assert "dead since step 10" in first
    since, again = note(health_of(dead=1.0), since, 20)
    assert again is None
    assert since == {"decoder.path4.reduce": 10}
    since, both = note(health_of(dead=1.0, gradient=0.0), since, 50)
    assert both is not None
    assert "dead since step 10" in both
    assert "no gradient arrives since step 50" in both
    since, none = note(health_of(), since, 100)
    assert (since, none) == ({}, None)
    assert note(health_of(dead=1.0), since, 150)[1] is not None


def test_looked_at_are_the_first_steps_and_the_ends_of_log_intervals() -> None:
    assert [step for step in range(1, 121) if is_due(step, 50)] == [1, 10, 20, 50, 100]


def test_most_of_the_steps_decide_whether_a_layer_is_unread() -> None:
    rows = [(1.0, 1.0), (0.0, 1.0), (0.0, 0.0)]
    log = [LoggedHealth(step, Health((), {"bn": row})) for step, row in enumerate(rows)]
    assert unread_streams(log) == {"bn": (True, False)}
    assert unread_streams(()) == {}


def test_layers_that_no_gradient_reached_are_unread_unless_nothing_is_exchanged() -> None:
    layer = ChannelExchange(ModalBatchNorm2d(4, 2), threshold=0.01)
    log = [LoggedHealth(1, Health((), {"0": (0.0, 0.0)}))]

    def found() -> GammaDiagnosis:
        states = layer_states(torch.nn.Sequential(layer))
        return with_health(diagnose(states, ("rgb", "depth"), 1e-3), states, log)

    assert found().verdict == "unread"
    assert found().evidence[0].endswith("so that whatever falls there is no choice")
    torch.nn.init.constant_(layer.norm.weight, 0.001)
    assert "4 gammas are below the threshold because nothing held them" in found().evidence[0]
    layer.active = False
    assert found().verdict == "no exchange"
