"""Trackers: files of each package, read back by it, say what the run's own events say; nothing without being asked."""

from __future__ import annotations

import importlib.util
import io
import json
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import cen_cli
from cen_cli.builders import dataset
from cen_cli.errors import RecipeError, UnavailableError
from cen_cli.jobs.pictures import picture_of_views
from cen_cli.results import Listener
from tests.tiny import write_nyudv2, write_recipe

Kept = dict[str, dict[int, float]]
"""By name of a number: its value by step."""


def read_tensorboard(run: Path) -> tuple[Kept, dict[str, str], dict[str, int]]:
    """Numbers, recipe keys, and how many values the gammas of every layer hold."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard")).Reload()
    numbers = {name: {event.step: event.value for event in events.Scalars(name)} for name in events.Tags()["scalars"]}
    text = events.Tensors("recipe/text_summary")[0].tensor_proto.string_val[0].decode()
    recipe = {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in text.splitlines())}
    histograms = events.Tags()["histograms"]
    return numbers, recipe, {name: int(events.Histograms(name)[-1].histogram_value.num) for name in histograms}


def read_mlflow(run: Path) -> tuple[Kept, dict[str, str], dict[str, int]]:
    """As `read_tensorboard`."""
    from mlflow import MlflowClient

    client = MlflowClient((run.resolve() / "mlruns").as_uri())
    (found,) = client.search_runs([client.get_experiment_by_name("cen").experiment_id])
    number = found.info.run_id
    numbers = {
        name: {metric.step: metric.value for metric in client.get_metric_history(number, name)}
        for name in found.data.metrics
    }
    (file,) = (run / "mlruns").rglob("gammas/*.json")
    gammas = json.loads(file.read_text())
    return numbers, dict(found.data.params), {name: len(values) for name, values in gammas.items()}


def records(content: bytes) -> Iterator[bytes]:
    """What a file of W&B holds: after 7 bytes, LevelDB's log format (32 KiB blocks of checksum, length, kind, part)."""
    place, parts = 7, b""
    while place + 7 <= len(content):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        length, kind = struct.unpack_from("<HB", content, place + 4)
        parts += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


def read_wandb(run: Path) -> tuple[Kept, dict[str, str], dict[str, int]]:
    """As `read_tensorboard`."""
    import wandb
    from wandb.proto import wandb_internal_pb2

    wandb.teardown()  # its process writes the last lines when it ends

    (file,) = (run / "wandb").rglob("*.wandb")
    numbers: Kept = {}
    recipe: dict[str, str] = {}
    sizes: dict[str, int] = {}
    for data in records(file.read_bytes()):
        record = wandb_internal_pb2.Record.FromString(data)
        for item in record.run.config.update:
            recipe[item.key] = json.loads(item.value_json)
        items = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        for name, value in items.items():
            if isinstance(value, dict) and "values" in value:
                sizes[name] = sum(value["values"])
            elif name.endswith("/values"):  # a distribution in several entries
                sizes[name.removesuffix("/values")] = sum(value)
            elif isinstance(value, int | float):
                numbers.setdefault(name, {})[items["_step"]] = value
    return numbers, recipe, sizes


READERS: dict[str, Callable[[Path], Any]] = {
    "tensorboard": read_tensorboard,
    "wandb": read_wandb,
    "mlflow": read_mlflow,
}


def picture_in_tensorboard(run: Path) -> bytes:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (image,) = EventAccumulator(str(run / "tensorboard")).Reload().Images("views")
    return image.encoded_image_string


PICTURES: dict[str, Callable[[Path], bytes]] = {
    "tensorboard": picture_in_tensorboard,
    "wandb": lambda run: next((run / "wandb").rglob("media/images/views_*.png")).read_bytes(),
    "mlflow": lambda run: next((run / "mlruns").rglob("views/*.png")).read_bytes(),
}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tracked")
    return write_recipe(folder / "tiny.toml", write_nyudv2(folder / "data"))


@pytest.mark.filterwarnings("ignore")  # of the trackers' own packages
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.skipif(importlib.util.find_spec(name) is None, reason=f"no {name} here"))
        for name in READERS
    ],
)
def test_a_tracker_keeps_what_the_events_say(recipe: Path, tmp_path: Path, name: str) -> None:
    run = tmp_path / "run"
    changes = (f'train.trackers=["{name}"]', "train.epochs=1", "train.log_every=1")
    cen_cli.train(recipe, changes=changes, out=run, device="cpu")
    numbers, keys, gammas = READERS[name](run)
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    steps = [event for event in events if event["kind"] == "step"]
    assert steps
    for event in steps:
        told = {f"loss/{key}": value for key, value in event["losses"].items()}
        told |= {f"rate/{key}": value for key, value in event["learning_rates"].items()}
        for key, value in told.items():
            assert numbers[key][event["step"]] == pytest.approx(value, rel=1e-5), key
    (validation,) = (event for event in events if event["kind"] == "validation")
    for branch in ("rgb", "depth", "ensemble"):
        score = validation["evaluation"]["scores"][branch]["mean_iou"]
        assert numbers[f"val/{branch}.mean_iou"][validation["step"]] == pytest.approx(score, rel=1e-5)
    assert 0 <= numbers["replaced/rgb"][steps[-1]["step"]] <= 1
    assert keys["train.epochs"] == "1"
    loaded = cen_cli.load(run)
    expected = picture_of_views(loaded, dataset(loaded.recipe, "val"), loaded.recipe, range(4), longest=256)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(PICTURES[name](run)))), np.asarray(expected))
    (layer, *_) = sorted(gammas)
    assert layer.startswith("gamma/encoder.")
    assert np.all(np.array(list(gammas.values())) >= 8)


@pytest.mark.filterwarnings("ignore")
def test_a_resumed_run_goes_on_in_tensorboard(recipe: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    changes = ('train.trackers=["tensorboard"]', "train.epochs=1", "train.log_every=1")
    cen_cli.train(recipe, changes=changes, out=run, device="cpu")
    before = read_tensorboard(run)[0]
    cen_cli.resume(run, device="cpu")
    assert read_tensorboard(run)[0] == before


class Warned(Listener):
    """Keeps warnings, and takes the trackers' folder away once a step is over."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.warnings: list[str] = []

    def on_warning(self, text: str, hint: str | None = None) -> None:
        self.warnings.append(text)

    def on_progress(self, epoch: int, step: int, total_steps: int) -> None:
        if step == 1:
            shutil.rmtree(self.run / "tensorboard")
            (self.run / "tensorboard").touch()


def test_a_tracker_that_fails_is_named_once_and_the_run_goes_on(
    recipe: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    warned = Warned(run)
    changes = ('train.trackers=["tensorboard"]', "train.log_every=1")
    summary = cen_cli.train(recipe, changes=changes, out=run, device="cpu", listener=warned)
    assert summary.steps == 8
    told = [text for text in warned.warnings if "tensorboard" in text]
    assert len(told) == 1
    assert told[0].startswith("tensorboard failed and is told no more: [Errno ")
    assert "Traceback" not in capfd.readouterr().err


def test_nothing_is_written_unasked_and_unknown_ones_are_refused(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cen_cli.train(recipe, changes=("train.epochs=1",), out=tmp_path / "run", device="cpu")
    assert not {"tensorboard", "wandb", "mlruns"} & {path.name for path in (tmp_path / "run").iterdir()}
    with pytest.raises(RecipeError, match=r"train\.trackers"):
        cen_cli.train(recipe, changes=('train.trackers=["visdom"]',), out=tmp_path / "other", device="cpu")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match=r'train\.trackers names "wandb"'):
        cen_cli.train(recipe, changes=('train.trackers=["wandb"]',), out=tmp_path / "other", device="cpu")
    assert not (tmp_path / "other").exists()
