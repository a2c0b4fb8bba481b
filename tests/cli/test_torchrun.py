"""`torchrun -m cen_cli train`: two processes on a CPU train one run, are stopped and killed, and go on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Cen
from tests.engine.test_ranks import ENVIRONMENT, TORCHRUN
from tests.engine.test_resume import assert_same, last_logged
from tests.tiny import write_nyudv2, write_recipe

SETTINGS = ("train.log_every=1", "train.checkpoint_every=4", "eval.batch=1")
LAST_STEP = 32
DAMAGED = "000017.png"
"""Read by rank 1 in one of the first steps."""
POSIX = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds processes in /proc, which Linux has")


def ranked(*words: object) -> subprocess.Popen[str]:
    """`cen` in two processes that torchrun starts."""
    command = [*TORCHRUN, "-m", "cen_cli", *map(str, words), "--device", "cpu", "--json"]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """How it ended: exit code, stdout, stderr."""
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err


def wait_for(run: Path, step: int, process: subprocess.Popen[str]) -> None:
    """Until the run has logged the step."""
    deadline = time.monotonic() + 200
    while last_logged(run) < step:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the run logs nothing"
        time.sleep(0.01)


def saved(run: Path) -> dict:
    return json.loads((run / "checkpoints" / "last" / "state.json").read_text())


def rank_of(launcher: int, rank: int) -> int:
    """The process that is this rank."""
    for child in Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split():
        if f"RANK={rank}" in Path(f"/proc/{child}/environ").read_text().split("\0"):
            return int(child)
    raise AssertionError("no such rank")


@POSIX
def test_two_processes_stopped_and_killed_end_as_if_nothing_had_happened(cen: Cen, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "tiny.toml", write_nyudv2(tmp_path / "data", train=32))
    straight, run = tmp_path / "straight", tmp_path / "run"
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    code, out, err = ended(ranked("train", recipe, "--out", straight, *settings))
    assert code == 0, err
    summary = json.loads(out)["summary"]  # one document: rank 0's
    assert summary["steps"] == LAST_STEP
    assert summary["last"]["samples"] == 4
    assert saved(straight)["ranks"] == 2
    assert json.loads((straight / "environment.json").read_text())["devices"] == 2
    document = cen("eval", straight / "checkpoints" / "last", "--split", "val", "--device", "cpu", "--json").document
    assert document["evaluation"]["scores"] == summary["last"]["scores"]

    depth = tmp_path / "data" / "depth" / DAMAGED
    whole = depth.read_bytes()
    depth.write_bytes(whole[:60] + bytes(len(whole) - 60))
    code, out, err = ended(ranked("train", recipe, "--out", run, *settings))
    assert code != 0
    assert err.count(f"{depth}: ") == err.count("the run is saved at step") == 1  # said by the rank that read it
    assert "error: rank 1: " in err
    assert 0 < saved(run)["progress"]["step"] == last_logged(run) < 6
    depth.write_bytes(whole)

    first = ranked("train", "--resume", run)
    wait_for(run, 6, first)
    first.send_signal(signal.SIGTERM)
    code, out, err = ended(first)
    assert code != 0
    assert err.count("interrupted: stopped at step") == 1
    stopped_at = saved(run)["progress"]["step"]
    assert last_logged(run) == stopped_at < 18

    second = ranked("train", "--resume", run)
    wait_for(run, 18, second)
    os.kill(rank_of(second.pid, 1), signal.SIGKILL)
    code, out, err = ended(second)
    assert code != 0
    assert "error: rank 0: another process of this training has ended" in err
    assert "internal error" not in err
    assert stopped_at < saved(run)["progress"]["step"] < LAST_STEP
    alone = Path(shutil.copytree(run, tmp_path / "alone"))

    code, _, err = ended(ranked("train", "--resume", run))
    assert code == 0, err
    assert_same(run, straight)

    again = cen("train", "--resume", alone, "--device", "cpu")
    assert "note: trained on 2 devices before, on 1 now" in again.err
    assert saved(alone)["progress"]["step"] == LAST_STEP
    assert saved(alone)["ranks"] == 1


def test_what_two_cannot_share_is_refused_once(tmp_path: Path, tiny_recipe: Path) -> None:
    code, out, err = ended(ranked("train", tiny_recipe, "--out", tmp_path / "run", "--set", "train.batch=3"))
    assert code != 0
    assert out == ""
    message = "train.batch = 3 with 8 training views: 2 devices take equal parts of a batch, and 3 views make none"
    assert err.count(message) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("rank", ["0", "1"])
def test_what_is_no_training_is_refused_by_the_first(
    cen: Cen, tiny_recipe: Path, rank: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "2", "RANK": rank, "LOCAL_RANK": rank}.items():
        monkeypatch.setenv(name, value)
    first = rank == "0"
    assert ("error: --dry-run measures one device" in cen("train", tiny_recipe, "--dry-run", code=2).err) == first
    assert ("error: cen eval under torchrun" in cen("eval", tiny_recipe, code=2).err) == first
    assert cen("train", tiny_recipe, "--dry-run", code=2).out == ""
