"""A run that is killed or stopped anywhere and resumed ends as if it had not been, bit for bit."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cen_cli.engine.segmentation import SegmentationTask
from cen_cli.engine.task import NetworkTask
from cen_cli.errors import DataError, WorkerError
from cen_cli.jobs.train import train
from cen_cli.runs.checkpoint import read_tensors
from tests.tiny import write_nyudv2, write_recipe

COMMAND = [sys.executable, "-c", "import sys; from cen_cli.cli.app import main; sys.exit(main())", "train"]
KEYS = ("train.log_every=1", "train.checkpoint_every=4", "train.modality_dropout=0.3")
SETTINGS = [*(word for key in KEYS for word in ("--set", key)), "--device", "cpu", "--json"]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}
LAST_STEP = 32


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("resume")
    return write_recipe(folder / "tiny.toml", write_nyudv2(folder / "data", train=32))


@pytest.fixture(scope="module")
def straight(recipe) -> Path:
    run = recipe.parent / "straight"
    subprocess.run([*COMMAND, str(recipe), "--out", str(run), *SETTINGS], env=ENVIRONMENT, check=True, timeout=120)
    return run


def stop_after(recipe: Path, run: Path, step: int, number: signal.Signals, workers: int, *, group: bool = False) -> int:
    """Start a run, send it a signal once it has logged `step`, and return its exit code."""
    options = [*SETTINGS, "--set", f"data.workers={workers}", "--out", str(run)]
    with subprocess.Popen(
        [*COMMAND, str(recipe), *options], env=ENVIRONMENT, stderr=subprocess.PIPE, start_new_session=group
    ) as process:
        deadline = time.monotonic() + 100
        while last_logged(run) < step:
            assert process.poll() is None, process.stderr.read().decode()
            assert time.monotonic() < deadline, "the run logs nothing"
            time.sleep(0.002)
        (os.killpg if group else os.kill)(process.pid, number)
        process.wait(timeout=60)
        return process.returncode


def last_logged(run: Path) -> int:
    try:
        lines = (run / "events.jsonl").read_text().splitlines()
        return json.loads(lines[-1])["step"] if lines else 0
    except (FileNotFoundError, ValueError):  # not there yet, or a line half written
        return 0


def saved_at(run: Path) -> int:
    return json.loads((run / "checkpoints" / "last" / "state.json").read_text())["progress"]["step"]


def resume(run: Path) -> None:
    options = ["--device", "cpu", "--json"]
    subprocess.run([*COMMAND, "--resume", str(run), *options], env=ENVIRONMENT, check=True, timeout=120)


def assert_same(run: Path, straight: Path) -> None:
    for name in ("events.jsonl", "metrics.json"):
        assert (run / name).read_bytes() == (straight / name).read_bytes(), name
    checkpoint = "checkpoints/last"
    for name in ("gammas.safetensors", f"{checkpoint}/model.safetensors", f"{checkpoint}/training.safetensors"):
        assert tensors_of(run / name) == tensors_of(straight / name), name
    states = [json.loads((each / "checkpoints" / "last" / "state.json").read_text()) for each in (run, straight)]
    for state in states:
        del state["progress"]["seconds"]
    assert states[0] == states[1]
    assert states[0]["progress"]["step"] == LAST_STEP


def tensors_of(path: Path) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in read_tensors(path)[0].items()}


@pytest.mark.parametrize("workers", [0, 2])
def test_killed_in_the_middle_of_an_epoch(recipe, straight, tmp_path, workers):
    run = tmp_path / "run"
    assert stop_after(recipe, run, 6, signal.SIGKILL, workers) == -signal.SIGKILL
    assert last_logged(run) < LAST_STEP
    resume(run)
    assert_same(run, straight)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_by_a_signal_it_saves_and_exits(recipe, straight, tmp_path, number, code):
    run = tmp_path / "run"
    assert stop_after(recipe, run, 18, number, workers=0) == code
    assert last_logged(run) == saved_at(run) < LAST_STEP
    resume(run)
    assert_same(run, straight)


def test_a_signal_to_the_whole_process_group_spares_the_workers(recipe, straight, tmp_path):
    run = tmp_path / "run"
    assert stop_after(recipe, run, 6, signal.SIGTERM, workers=2, group=True) == 143
    resume(run)
    assert_same(run, straight)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the workers in /proc, which Linux has")
def test_a_worker_that_is_killed_costs_nothing_but_the_wait(recipe, straight, tmp_path):
    run = tmp_path / "run"
    options = [*SETTINGS, "--set", "data.workers=2", "--out", str(run)]
    with subprocess.Popen([*COMMAND, str(recipe), *options], env=ENVIRONMENT, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 100
        while process.poll() is None and time.monotonic() < deadline:
            if last_logged(run) >= 6:
                kill_children(process.pid)
            time.sleep(0.01)
        text = process.stderr.read().decode()
        process.kill()
    assert process.returncode == 1, text
    assert "error: a loading worker died" in text
    assert "the run is saved at step" in text
    assert "lower data.workers" in text
    assert f"cen train {run}/recipe.toml --resume {run} --set data.workers=0" in text
    resume(run)
    assert_same(run, straight)


def kill_children(pid: int) -> None:
    for child in children(pid):
        try:
            os.kill(child, signal.SIGKILL)
        except ProcessLookupError:
            continue


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_worker_that_dies_during_a_validation_costs_nothing(recipe, straight, tmp_path, monkeypatch):
    whole = NetworkTask.validate

    def dies(task, after_batch=None, limit=None):
        if limit is None:
            raise WorkerError("a loading worker died", hint="lower data.workers")
        return whole(task, after_batch, limit)

    with monkeypatch.context() as changed:
        changed.setattr(NetworkTask, "validate", dies)
        with pytest.raises(WorkerError, match=f"the run is saved at step 16 of {LAST_STEP}"):
            train(recipe, changes=KEYS, out=tmp_path / "run", device="cpu")
    assert saved_at(tmp_path / "run") == 16
    resume(tmp_path / "run")
    assert_same(tmp_path / "run", straight)


@pytest.mark.parametrize(("during", "step"), [("step", 5), ("validate", 16)])
def test_files_that_cannot_be_read_for_a_while_cost_nothing(recipe, straight, tmp_path, monkeypatch, during, step):
    folder, away = recipe.parent / "data" / "depth", recipe.parent / "away"
    task = SegmentationTask if during == "step" else NetworkTask
    whole = getattr(task, during)

    def unplugged(self, *arguments, **options):
        if "limit" not in options if during == "validate" else arguments[-1] == step - 1:
            folder.rename(away)
        return whole(self, *arguments, **options)

    with monkeypatch.context() as changed:
        changed.setattr(task, during, unplugged)
        with pytest.raises(DataError, match=f"depth.*no such file\nthe run is saved at step {step} of {LAST_STEP}"):
            train(recipe, changes=KEYS, out=tmp_path / "run", device="cpu")
    away.rename(folder)
    assert saved_at(tmp_path / "run") == step
    resume(tmp_path / "run")
    assert_same(tmp_path / "run", straight)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the workers in /proc, which Linux has")
def test_workers_of_a_killed_run_end_by_themselves(recipe, tmp_path):
    run = tmp_path / "run"
    options = [*SETTINGS, "--set", "data.workers=2", "--set", "train.epochs=100", "--out", str(run)]
    with subprocess.Popen([*COMMAND, str(recipe), *options], env=ENVIRONMENT, stderr=subprocess.DEVNULL) as process:
        deadline, workers = time.monotonic() + 100, []
        while last_logged(run) < 1 or len(workers) < 2:
            assert time.monotonic() < deadline, "the run logs nothing"
            workers = children(process.pid)
        process.kill()
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < deadline, "orphans"
        time.sleep(0.05)
