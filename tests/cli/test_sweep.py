"""`cen sweep`: a grid from first run to table, stopped and continued, and what does not fit."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock

from cen_cli.runs.checkpoint import read_tensors
from tests.cli.conftest import Cen

SWEEP = """
title = "tiny table"
source = "nowhere"
base = "{base}"
seeds = [0]
split = "val"
metrics = ["rgb.mean_iou", "ensemble.mean_iou"]
reference = "on"
[set.train]
epochs = 1
[variants.on]
label = "exchanging"
[variants.off]
set = {{ exchange.choose = "none" }}
[paper.on]
"ensemble.mean_iou" = 0.511
[orderings."exchange > no exchange"]
metric = "ensemble.mean_iou"
better = "on"
worse = "off"
"""


@pytest.fixture
def grid(tmp_path: Path, tiny_recipe: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sweep of two members beside which the runs go."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "grid.toml"
    path.write_text(SWEEP.format(base=tiny_recipe))
    return path


def test_from_the_first_run_to_the_table(cen: Cen, grid: Path) -> None:
    listed = cen("sweep", grid, "--dry-run", "--json").document
    assert [entry["expected_seconds"] for entry in listed] == [None, None]
    before = cen("sweep", grid, "--dry-run", "--time", "--device", "cpu", "--json").document
    assert [entry["member"]["state"] for entry in before] == ["new", "new"]
    assert all(0 < entry["expected_seconds"] < 600 for entry in before)
    assert not Path("sweeps").exists()

    ended = cen("sweep", grid, "--device", "cpu", "--jobs", "2")
    assert "training 2 of 2 members, 2 at a time" in ended.err
    assert "one seed, no verdict" in ended.out
    for variant in ("on", "off"):
        run = Path("sweeps") / "grid" / variant / "seed-0"
        assert (run / "checkpoints" / "last" / "model.safetensors").is_file()
        assert "finished 4 steps" in run.with_name("seed-0.log").read_text()

    again = cen("sweep", grid, "--device", "cpu", "--json")
    assert "training" not in again.err
    rows = {row["variant"]: row for row in again.document["rows"]}
    for variant, row in rows.items():
        scored = json.loads(cen("eval", f"sweeps/grid/{variant}/seed-0", "--split", "val", "--json").out)
        values = {cell["metric"]: cell["values"]["0"] for cell in row["cells"]}
        assert values["ensemble.mean_iou"] == scored["evaluation"]["scores"]["ensemble"]["mean_iou"]
        assert values["rgb.mean_iou"] == scored["evaluation"]["scores"]["rgb"]["mean_iou"]
    assert rows["on"]["cells"][1]["paper"] == 0.511

    assert "nowhere: no such folder; nothing has been trained" in cen("sweep", grid, "--show", "--out", "nowhere").err
    markdown = cen("sweep", grid, "--show", "--as", "markdown").out
    assert "| exchanging | 1/1 | " in markdown
    assert "behind a stroke the paper's number" in markdown
    assert " / 51.10 |" in markdown
    lines = cen("sweep", grid, "--show", "--as", "csv").out.splitlines()
    assert lines[0] == "group,variant,metric,seed,value,paper,checkpoint"
    assert len(lines) == 5
    assert all(line.endswith(",last") for line in lines[1:])
    assert "val split, checkpoint last of each run" in markdown
    times = cen("sweep", grid, "--dry-run", "--json").document
    assert [entry["member"]["state"] for entry in times] == ["done", "done"]

    outcome = Path("sweeps/grid/on/seed-0/outcome.json")
    whole = outcome.read_text()
    for damaged in ("{}", "[]", whole.replace('"seconds"', '"minutes"'), whole.replace("null", '"x"'), "[" * 100_000):
        outcome.write_text(damaged)
        assert f"{outcome}: cannot be read" in cen("sweep", grid, "--show", code=2).err
    outcome.write_text(whole)

    plain = grid.read_text()
    for other in (plain.replace('split = "val"', 'split = "train"'), 'checkpoint = "best"\n' + plain):
        grid.write_text(other)  # scores of another split or checkpoint are not those of this sweep
        assert [entry["member"]["state"] for entry in cen("sweep", grid, "--dry-run", "--json").document] == [
            "stopped"
        ] * 2

    grid.write_text(plain.replace("epochs = 1", "epochs = 2"))
    refused = cen("sweep", grid, code=2)
    assert "was trained by another recipe than the sweep has now: train.epochs differ" in refused.err
    assert "--out" in refused.err


def test_a_killed_sweep_goes_on_where_it_was(cen: Cen, grid: Path) -> None:
    """Killed with -9 in the middle of a member, its child saves and ends; what comes out is as if nothing happened.

    Of two sweeps that race for the member one goes on with it.
    """
    grid.write_text(grid.read_text().replace("epochs = 1", "epochs = 10\ncheckpoint_every = 3"))
    words = ["-m", "cen_cli", "sweep", str(grid), "--device", "cpu", "--shard", "1/2"]
    run = Path("sweeps") / "grid" / "on" / "seed-0"
    last = run / "checkpoints" / "last" / "model.safetensors"
    process = subprocess.Popen([sys.executable, *words, "--out", "sweeps/grid"], stderr=subprocess.DEVNULL)
    _wait_for(last.is_file)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    _wait_for(lambda: _free(run.with_name("seed-0.lock")))
    assert not (run / "outcome.json").exists()
    with subprocess.Popen([sys.executable, *words, "--out", "sweeps/grid"], stderr=subprocess.DEVNULL) as rival:
        cen("sweep", grid, "--shard", "1/2", "--device", "cpu")
    assert rival.returncode == 0
    assert cen("sweep", grid, "--show", "--json").document["rows"][0]["done"] == 1
    log = run.with_name("seed-0.log").read_text()
    assert log.count("continuing after step") == 1
    assert log.count("finished 40 steps") == 1
    lines = map(json.loads, (run / "events.jsonl").read_text().splitlines())
    steps = [line["step"] for line in lines if line["kind"] == "step"]
    assert steps == sorted(set(steps))

    cen("sweep", grid, "--shard", "1/2", "--device", "cpu", "--out", "whole")
    expected, _ = read_tensors(Path("whole/on/seed-0/checkpoints/last/model.safetensors"))
    found, _ = read_tensors(last)
    assert all((found[name] == tensor).all() for name, tensor in expected.items())


def test_a_run_of_another_sweep_takes_its_place_wherever_the_data_are(cen: Cen, grid: Path, tiny_root: Path) -> None:
    shutil.copytree(tiny_root, "before")
    cen("sweep", grid, "--shard", "1/2", "--device", "cpu", "--data-root", "before")
    Path("before").rename("now")
    other = grid.with_name("other.toml")
    other.write_text(grid.read_text().replace("variants.on", "variants.first").replace('"on"', '"first"'))
    other.write_text(other.read_text().replace("paper.on", "paper.first"))
    copied = Path("sweeps/other/first/seed-0")
    shutil.copytree("sweeps/grid/on/seed-0", copied)
    (copied / "outcome.json").unlink()
    before = (copied / "checkpoints" / "last" / "model.safetensors").read_bytes()
    report = cen("sweep", other, "--shard", "1/2", "--device", "cpu", "--data-root", "now", "--json").document
    assert report["rows"][0]["done"] == 1
    assert (copied / "checkpoints" / "last" / "model.safetensors").read_bytes() == before


def _wait_for(condition) -> None:
    until = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < until, "nothing happened"
        time.sleep(0.1)


def _free(lock: Path) -> bool:
    try:
        with FileLock(lock).acquire(timeout=0):
            return True
    except TimeoutError:
        return False


def test_a_member_that_fails_is_named_and_tried_again(cen: Cen, grid: Path, tiny_recipe: Path) -> None:
    text = grid.read_text()
    grid.write_text(text.replace('exchange.choose = "none"', 'exchange.choose = "none", optimizer.encoder_lr = 1e30'))
    ended = cen("sweep", grid, "--device", "cpu", code=1)
    assert "1 members failed" in ended.err
    assert "off/seed-0.log, exit code 1: the loss is not finite" in ended.err
    report = cen("sweep", grid, "--show", "--json").document
    assert {row["variant"]: (row["done"], row["failed"]) for row in report["rows"]} == {"on": (1, 0), "off": (0, 1)}
    assert report["verdicts"][0]["words"] == "open, no seed has both scores"


def test_data_that_are_not_there_stop_a_sweep_before_its_first_member(cen: Cen, grid: Path) -> None:
    grid.write_text(grid.read_text().replace("[set.train]", '[set.data]\nroot = "/nowhere"\n[set.train]'))
    ended = cen("sweep", grid, "--device", "cpu", code=1)
    assert "/nowhere" in ended.err
    assert "training" not in ended.err
    assert not Path("sweeps").exists()


def test_a_member_that_another_process_trains_is_left_to_it(cen: Cen, grid: Path) -> None:
    lock = Path("sweeps/grid/on/seed-0.lock")
    lock.parent.mkdir(parents=True)
    with FileLock(lock):
        ended = cen("sweep", grid, "--shard", "1/2", "--device", "cpu")
        assert "another process trains it" in ended.err
        states = [entry["member"]["state"] for entry in cen("sweep", grid, "--dry-run", "--json").document]
    assert states == ["running", "new"]


def test_a_sweep_that_cannot_be_written_is_shown(cen: Cen, grid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = Path("sweeps/grid/on/seed-0.lock")
    lock.parent.mkdir(parents=True)
    lock.touch()

    def read_only(lock: FileLock, timeout: float) -> None:
        raise OSError(errno.EROFS, "Read-only file system", lock.lock_file)

    monkeypatch.setattr(FileLock, "acquire", read_only)
    rows = cen("sweep", grid, "--show", "--json").document["rows"]
    assert [row["done"] for row in rows] == [0, 0]


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "a/b"])
def test_a_shard_that_is_none(cen: Cen, grid: Path, shard: str) -> None:
    assert f"--shard {shard}: I/N with 1 <= I <= N" in cen("sweep", grid, "--shard", shard, code=2).err


def test_only_members_that_match_are_trained(cen: Cen, grid: Path) -> None:
    rows = cen("sweep", grid, "--only", "off/*", "--device", "cpu", "--json").document["rows"]
    assert {row["variant"]: row["done"] for row in rows} == {"on": 0, "off": 1}
    listed = cen("sweep", grid, "--only", "off/*", "--dry-run", "--json").document
    assert [entry["member"]["variant"] for entry in listed] == ["off"]
    listed = cen("sweep", grid, "--only", "off/*", "--only", "on/*", "--dry-run", "--json").document
    assert {entry["member"]["variant"] for entry in listed} == {"on", "off"}
    refused = cen("sweep", grid, "--only", "off/*", "--only", "*/seed-7", code=2)
    assert "--only '*/seed-7' matches none of 2 members" in refused.err
    assert "the first is 'on/seed-0'" in refused.err


def test_a_setting_goes_to_the_members_that_read_it(cen: Cen, grid: Path) -> None:
    text = grid.read_text().replace('exchange.choose = "none"', 'model.fusion = "concat"')
    grid.write_text(text)
    ended = cen("sweep", grid, "--dry-run", "--set", "exchange.sparsity=0.5")
    assert "--set exchange.sparsity=0.5: not read by off, which are as without it" in ended.err
    refused = cen("sweep", grid, "--dry-run", "--set", "unet.levels=5", code=2)
    assert "--set 'unet.levels=5': no member reads this key" in refused.err


def test_show_and_dry_run_exclude_each_other(cen: Cen, grid: Path) -> None:
    assert "leave out one of them" in cen("sweep", grid, "--show", "--dry-run", code=2).err


def test_an_estimate_trains_nothing(cen: Cen, grid: Path) -> None:
    assert "--time estimates without training" in cen("sweep", grid, "--time", code=2).err
    assert not Path("sweeps").exists()


def test_a_sweep_that_is_not_there(cen: Cen) -> None:
    ended = cen("sweep", "table7-room", code=2)
    assert "no sweep 'table7-room'" in ended.err
    assert "did you mean 'table7-rooms'" in ended.err


def test_data_that_are_not_there_leave_the_time_unknown(cen: Cen, grid: Path) -> None:
    grid.write_text(grid.read_text().replace("[set.train]", '[set.data]\nroot = "/nowhere"\n[set.train]'))
    ended = cen("sweep", grid, "--dry-run", "--time", "--device", "cpu")
    assert "unknown" in ended.out
    assert "/nowhere" in ended.out


def test_pictures_of_a_sweep(cen: Cen, grid: Path) -> None:
    """Curves over a key, gammas per channel and step, and the same views by each row, from one command."""
    layers = 'proportions = "layer4.1.bn2"\ntrajectories = "layer4.1.bn2"\n'
    figure = '[figure]\nkeys = ["exchange.threshold"]\nmetrics = ["ensemble.mean_accuracy", "ensemble.mean_iou"]\n'
    panel = '[panel]\nviews = 1\nby = ["difference", "darkest"]\nbranches = ["off"]\n'
    text = grid.read_text().replace("[set.train]", panel + figure + "[set.train]")
    grid.write_text(
        text.replace('choose = "none"', "threshold = 0.1").replace("seeds = [0]\n", "seeds = [0]\n" + layers)
    )
    ended = cen("sweep", grid, "--device", "cpu")
    for name in ("figure", "panel", "gamma-proportions", "gamma-proportions-all", "gamma-trajectories"):
        assert f"picture: sweeps/grid/{name}.png" in ended.err
        assert Path(f"sweeps/grid/{name}.png").stat().st_size > 1000

    fused = '[variants.concat]\nset = { model.fusion = "concat" }\n'
    coarse = "[variants.coarse]\nset = { exchange.stages = [3, 4] }\n"
    whole = grid.read_text()
    grid.write_text(
        whole.replace('"layer4.1.bn2"', '"layer2.1.bn2"').replace("[set.train]", fused + coarse + "[set.train]")
    )
    ended = cen("sweep", grid, "--device", "cpu")
    assert "not drawn" not in ended.err, "rows without that layer are left out"
    grid.write_text(whole)

    shutil.rmtree("sweeps/grid/off/seed-0/checkpoints")
    ended = cen("sweep", grid, "--show", "--device", "cpu")
    assert "| 51.10" in ended.out
    assert ended.err.count("not drawn: ") == 3
    assert "picture: sweeps/grid/figure.png" in ended.err


def test_pictures_that_name_what_is_not_there(cen: Cen, grid: Path) -> None:
    text = grid.read_text()
    grid.write_text(text.replace("[set.train]", '[panel]\nvariants = ["of"]\n[set.train]'))
    assert 'panel.variants = "of": one of the variants on, off' in cen("sweep", grid, "--dry-run", code=2).err
    grid.write_text(text.replace("seeds = [0]\n", 'seeds = [0]\nproportions = "bn2"\n'))
    ended = cen("sweep", grid, "--only", "on/*", "--device", "cpu")
    assert "not drawn: 8 exchanging layers end with 'bn2'" in ended.err
