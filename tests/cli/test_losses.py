"""`[loss]` from the command line: counted once, kept in the run, and refused where it cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cen_cli.builders import jobs
from tests.cli.conftest import Cen
from tests.tiny import write_recipe


def test_class_weights_are_counted_once_and_kept(cen: Cen, tmp_path: Path, tiny_root: Path, monkeypatch) -> None:
    recipe, run = write_recipe(tmp_path / "tiny.toml", tiny_root), tmp_path / "run"
    weighted = ["--set", "loss.class_weights=median", "--set", "loss.dice=0.5", "--set", "train.epochs=1"]
    cen("train", recipe, "--out", run, *weighted)
    pixels, shown = json.loads((run / "environment.json").read_text())["class_counts"]
    assert len(pixels) == len(shown) == 40
    assert pixels[0] > 0
    assert pixels[1] > 0
    assert shown[0] == shown[1] == sum(pixels)  # both classes are in every frame
    monkeypatch.setattr(jobs, "count_classes", lambda data: pytest.fail("counted again"))
    assert "rgb" in cen("train", "--resume", run).out
    cen("train", recipe, "--out", tmp_path / "plain", "--set", "train.epochs=1")
    first, plain = (
        next(line["losses"] for line in map(json.loads, events.read_text().splitlines()) if line["kind"] == "step")
        for events in (run / "events.jsonl", tmp_path / "plain" / "events.jsonl")
    )
    assert first["rgb"] != plain["rgb"]


def test_weights_are_one_for_each_class(cen: Cen, tmp_path: Path, tiny_root: Path) -> None:
    recipe = write_recipe(tmp_path / "tiny.toml", tiny_root)
    said = cen("train", recipe, "--out", tmp_path / "run", "--set", "loss.class_weights=[1.0,2.0]", code=2).err
    assert "loss.class_weights" in said
    assert "40 classes" in said
    assert not (tmp_path / "run").exists()


def test_translations_have_no_such_loss(cen: Cen, tmp_path: Path) -> None:
    said = cen("train", "rooms-translate", "--out", tmp_path / "run", "--set", "loss.dice=1.0", code=2).err
    assert "loss.dice" in said
    assert "translation" in said
