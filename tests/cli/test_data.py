"""`cen data rooms`: the built-in set as files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cen_cli.cli import app
from cen_cli.data.rooms import DOMAINS

SMALL = ["--size", "32", "--views", "1", "--train-rooms", "2", "--val-rooms", "1", "--test-rooms", "0"]


def test_rooms_are_written_where_asked_and_only_the_domains_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "rooms"
    assert app.main(["data", "rooms", str(out), *SMALL, "--domains", "rgb, depth_sensor", "--domains", "labels"]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{out}\n"
    assert "rendering: 3/3" in captured.err
    assert "3 views of 3 domains" in captured.err
    assert {folder.name for folder in (out / "train").iterdir()} == {"rgb", "depth_sensor", "labels"}
    assert len(list((out / "train" / "rgb").glob("*.png"))) == 2
    assert len(list((out / "val" / "labels").glob("*.png"))) == 1


def test_the_command_that_trains_on_them_asks_for_the_same_rooms(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "rooms"
    words = [*SMALL, "--test-rooms", "1", "--domains", "rgb,depth_sensor,labels"]
    assert app.main(["data", "rooms", str(out), *words]) == 0
    command = capsys.readouterr().err.rpartition("next: cen ")[2].split()
    assert app.main([*command, "--set", "train.batch=2", "--device", "cpu", "--dry-run", "--json"]) == 0
    assert app.main(["train", "rooms", "--data-root", str(out), "--dry-run"]) == 2
    assert "holds rooms of other settings: size = 32, not 96; train_rooms = 2, not 300" in capsys.readouterr().err


def test_rooms_as_json_name_all_domains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["data", "rooms", str(tmp_path / "rooms"), *SMALL, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == {"folder": str(tmp_path / "rooms"), "views": 3, "domains": list(DOMAINS), "next": ""}


def test_house_style_is_another_set_for_another_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*SMALL, "--test-rooms", "1", "--domains", "rgb_clean"]
    assert app.main(["data", "rooms", str(tmp_path / "random"), *words]) == 0
    assert "cen train rooms --data-root" in capsys.readouterr().err
    assert app.main(["data", "rooms", str(tmp_path / "house"), *words, "--palette-style", "house"]) == 0
    assert "cen train rooms-translate --data-root" in capsys.readouterr().err
    pictures = [(tmp_path / style / "val" / "rgb_clean" / "0000_0.png").read_bytes() for style in ("random", "house")]
    assert pictures[0] != pictures[1]


def test_unknown_domain_suggests_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["data", "rooms", str(tmp_path / "x"), "--domains", "rgb,depth_senso"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: --domains: unknown domain 'depth_senso'",
        "hint: did you mean 'depth_sensor'?",
    ]
    assert app.main(["data", "rooms", str(tmp_path / "x"), "--domains", "qqq"]) == 2
    assert "known domains: rgb, rgb_clean" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
