"""What a training tells to TensorBoard, W&B and MLflow, where a recipe asks for it: a listener beside the display.

Each tracker is a package of its own, writes into the run's folder and touches no network, unless its own environment
variables say otherwise (WANDB_MODE, MLFLOW_TRACKING_URI). One that fails is left out with a warning: the training and
its own events go on.
"""

from __future__ import annotations

import importlib.util
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from cen_cli.errors import UnavailableError
from cen_cli.results import SCALAR_METRICS, Listener, StepReport, ValidationReport

Draw = Callable[[], np.ndarray]


class Writer(Protocol):
    """One tracker's side of a run."""

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Numbers after `step` optimiser steps, by name."""

    def histograms(self, values: Mapping[str, np.ndarray], step: int) -> None:
        """Values [C] of a distribution, by name."""

    def picture(self, name: str, pixels: np.ndarray, step: int) -> None:
        """A picture, uint8 [H, W, 3]."""

    def close(self) -> None:
        """Everything is written."""


class _TensorBoard:
    """Event files in `tensorboard/`; those after the step at which a run is resumed no longer show."""

    def __init__(self, run: Path, recipe: Mapping[str, str], step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(run / "tensorboard"), purge_step=step + 1)
        self._writer.add_text("recipe", "\n".join(f"    {key} = {value}" for key, value in recipe.items()), step)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def histograms(self, values: Mapping[str, np.ndarray], step: int) -> None:
        for name, array in values.items():
            self._writer.add_histogram(name, array, step)

    def picture(self, name: str, pixels: np.ndarray, step: int) -> None:
        self._writer.add_image(name, pixels, step, dataformats="HWC")

    def close(self) -> None:
        self._writer.close()


class _WandB:
    """A run in `wandb/`, offline unless WANDB_MODE says otherwise; `wandb sync` sends it."""

    def __init__(self, run: Path, recipe: Mapping[str, str], step: int) -> None:
        import wandb

        del step  # W&B itself drops steps that it has
        self._wandb = wandb
        mode = os.environ.get("WANDB_MODE", "offline")
        self._run = wandb.init(project="cen", name=run.name, dir=str(run), config=dict(recipe), mode=mode)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        self._run.log(dict(values), step=step)

    def histograms(self, values: Mapping[str, np.ndarray], step: int) -> None:
        self._run.log({name: self._wandb.Histogram(array) for name, array in values.items()}, step=step)

    def picture(self, name: str, pixels: np.ndarray, step: int) -> None:
        self._run.log({name: self._wandb.Image(pixels)}, step=step)

    def close(self) -> None:
        self._run.finish()


class _MLflow:
    """A run in `mlruns/`, or where MLFLOW_TRACKING_URI says; distributions are files, since MLflow has none."""

    def __init__(self, run: Path, recipe: Mapping[str, str], step: int) -> None:
        from mlflow import MlflowClient

        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # newer versions write folders only where this is set
        self._client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI", (run.resolve() / "mlruns").as_uri()))
        experiment = self._client.get_experiment_by_name("cen")
        number = experiment.experiment_id if experiment else self._client.create_experiment("cen")
        own = f"tags.cen_run = '{run.resolve()}'"
        found = self._client.search_runs([number], own, max_results=1) if step else []
        tags = {"cen_run": str(run.resolve())}
        self._id = (found[0] if found else self._client.create_run(number, tags=tags, run_name=run.name)).info.run_id
        for key, value in recipe.items() if not found else ():
            self._client.log_param(self._id, key.replace('"', ""), value)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._client.log_metric(self._id, name, value, step=step)

    def histograms(self, values: Mapping[str, np.ndarray], step: int) -> None:
        self._client.log_dict(
            self._id, {name: array.tolist() for name, array in values.items()}, f"gammas/{step:07}.json"
        )

    def picture(self, name: str, pixels: np.ndarray, step: int) -> None:
        self._client.log_image(self._id, pixels, f"{name}/{step:07}.png")

    def close(self) -> None:
        self._client.set_terminated(self._id)


TRACKERS: dict[str, Callable[[Path, Mapping[str, str], int], Writer]] = {
    "tensorboard": _TensorBoard,
    "wandb": _WandB,
    "mlflow": _MLflow,
}
"""What starts each tracker, of a run, its recipe as text by key, and the step after which it goes on."""


def check_trackers(names: Sequence[str]) -> None:
    """Raises UnavailableError where the package of a tracker is not installed."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise UnavailableError(
                f'train.trackers names "{name}", a package that is not installed', hint=f"pip install '.[{name}]'"
            )


class Tracked(Listener):
    """Passes all on to whoever shows it, and tells the trackers numbers, distributions and pictures."""

    def __init__(self, shown: Listener, draw: Draw, trackers: Mapping[str, Callable[[], Writer]]) -> None:
        self._shown, self._draw = shown, draw
        for unkept in ("on_note", "on_warning", "on_start", "on_progress", "counting"):
            setattr(self, unkept, getattr(shown, unkept))
        self._writers: dict[str, Writer] = {}
        for name, start in trackers.items():
            with self._without_if_failing(name):
                self._writers[name] = start()

    def tell(self, what: Callable[[Writer], None]) -> None:
        """Do this with every tracker that has not failed."""
        for name, writer in list(self._writers.items()):
            with self._without_if_failing(name):
                what(writer)

    @contextmanager
    def _without_if_failing(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # whatever its package raises
            self._writers.pop(name, None)
            why = str(error) or type(error).__name__
            hint = "the run goes on and keeps its own events.jsonl"
            self.on_warning(f"{name} failed and is told no more: {why}", hint)

    def on_step(self, report: StepReport) -> None:
        """Losses, rates, replaced shares and views per second of one log interval."""
        values = {f"loss/{name}": value for name, value in report.losses.items()}
        values |= {f"rate/{name}": value for name, value in report.learning_rates.items()}
        values |= {f"replaced/{count.modality}": count.share_of_pressed for count in report.replaced}
        values["views_per_second"] = report.samples_per_second
        self.tell(lambda writer: writer.scalars(values, report.step))
        self._shown.on_step(report)

    def on_gammas(self, step: int, gammas: Mapping[str, np.ndarray]) -> None:
        """The distribution of every layer's gammas, one for each modality."""
        named = {f"gamma/{name}": values for name, values in gammas.items()}
        self.tell(lambda writer: writer.histograms(named, step))
        self._shown.on_gammas(step, gammas)

    def on_validation(self, report: ValidationReport) -> None:
        """The scores of every branch, none that was not computed; a few views of the split."""
        metrics = SCALAR_METRICS[report.evaluation.task]
        names = [f"{branch}.{metric}" for branch in report.evaluation.scores for metric in metrics]
        values = {f"val/{name}": report.evaluation.metric(name) for name in names}
        finite = {key: value for key, value in values.items() if np.isfinite(value)}
        self.tell(lambda writer: writer.scalars(finite, report.step))
        self.tell(lambda writer: writer.picture("views", self._draw(), report.step))
        self._shown.on_validation(report)


@contextmanager
def tracked(
    listener: Listener, names: Sequence[str], run: Path, recipe: Mapping[str, str], step: int, draw: Draw
) -> Iterator[Listener]:
    """`listener`, joined by these trackers of a run that goes on after `step`.

    `recipe`: values as text, by key. `draw`: makes a picture of views as the network sees them now, uint8 [H, W, 3].
    """
    if not names:
        yield listener
        return
    with _tensorboard_threads_quiet():
        told = Tracked(listener, draw, {name: partial(TRACKERS[name], run, recipe, step) for name in names})
        try:
            yield told
        finally:
            told.tell(lambda writer: writer.close())


@contextmanager
def _tensorboard_threads_quiet() -> Iterator[None]:
    """No traceback from TensorBoard's thread that writes: the next call raises its error."""
    loud = threading.excepthook

    def hook(failed: threading.ExceptHookArgs) -> None:
        if not type(failed.thread).__module__.startswith("tensorboard."):
            loud(failed)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = loud
