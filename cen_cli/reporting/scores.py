"""How the scores of each task are written: units and digits, columns of the tables, and what the numbers mean.

A score reads the same wherever text shows it: segmentation's shares in [0, 1] as percentages, KID times 100, as the
paper prints both, translation's other scores in their own unit. JSON, CSV and recipes hold the plain values.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from cen_cli.reporting import formats
from cen_cli.results import SCALAR_METRICS, Evaluation

Columns = Mapping[str, Callable[[Any], str]]
"""Columns of a table by heading: what stands in each of a branch, from its scores, which are of the task's kind."""


@dataclasses.dataclass(frozen=True)
class Metric:
    """How a scalar metric is called where it has a column of its own, and how its value is written in text."""

    heading: str
    digits: int
    factor: int = 1
    """What text and plots multiply a value by."""
    percent: bool = False
    """Whether that makes it a percentage."""


METRICS = {
    "pixel_accuracy": Metric("pixel acc", 2, 100, percent=True),
    "mean_accuracy": Metric("mean acc", 2, 100, percent=True),
    "mean_iou": Metric("mean IoU", 2, 100, percent=True),
    "mae": Metric("MAE", 4),
    "mse": Metric("MSE", 4),
    "psnr": Metric("PSNR dB", 2),
    "ssim": Metric("SSIM", 4),
    "fid": Metric("FID", 2),
    "kid": Metric("KID x 100", 2, 100),
}

WATCHED = {"segmentation": "mean_iou", "translation": "mae"}
"""By task: the metric that is shown of every branch while a network trains."""


def metric_of(name: str) -> Metric:
    """The metric of this name, with or without its branch."""
    return METRICS[name.rpartition(".")[2]]


def written(name: str, value: float | None) -> str:
    """A score by its metric, named with or without its branch: `rgb.mean_iou` 0.511 is `51.10`."""
    metric = metric_of(name)
    return formats.ABSENT if value is None or math.isnan(value) else f"{metric.factor * value:.{metric.digits}f}"


def _scalars(*names: str) -> Columns:
    return {METRICS[name].heading: partial(_scalar, name) for name in names}


def _scalar(name: str, scores: Any) -> str:
    return written(name, getattr(scores, name))


def _interval(scores: Any) -> str:
    if not (math.isfinite(scores.fid_low) and math.isfinite(scores.fid_high)):
        return formats.ABSENT
    return f"{scores.fid_low:.2f} .. {scores.fid_high:.2f}"


DISTANCES: Columns = {
    **_scalars("fid"),
    "FID interval": _interval,
    **_scalars("kid"),
    "spread x 100": lambda scores: written("kid", scores.kid_std),
}

TABLES: dict[str, tuple[Columns, ...]] = {
    "segmentation": (_scalars("pixel_accuracy", "mean_accuracy", "mean_iou"),),
    "translation": (_scalars("mae", "mse", "psnr", "ssim"), DISTANCES),
}
"""By task: the tables below each other; one without any number is left out."""


def convention(evaluation: Evaluation) -> list[str]:
    """How the numbers were computed and scaled, in lines of at most 80 columns."""
    if evaluation.task == "segmentation":
        return [
            "Percent. One confusion matrix over the split; classes absent from the truth are",
            "left out of the means; void never counts.",
        ]
    lines = [
        "MAE, MSE: of values in [-1, 1] over valid pixels; lower is better. S-Table 6",
        "prints both x 10^-1, of values whose scale is unknown. PSNR in dB and SSIM: means",
        "over the images; higher is better.",
    ]
    if filled(evaluation, DISTANCES):
        lines += [
            "FID, with its 95% interval, and KID, with the spread over its subsets",
            "where they differ: lower is better.",
        ]
    if evaluation.protocol == "paper":
        lines += [
            "Paper protocol, as the authors' release evaluates: dropout draws while images",
            "are made; before FID and KID every image is stretched to its own extremes.",
        ]
    return lines


def filled(evaluation: Evaluation, columns: Columns) -> dict[str, list[str]]:
    """The columns that hold a number: what stands in them, branch by branch."""
    cells = {heading: [write(each) for each in evaluation.scores.values()] for heading, write in columns.items()}
    return {heading: texts for heading, texts in cells.items() if set(texts) != {formats.ABSENT}}


def by_branch(evaluation: Evaluation, metric: str) -> dict[str, float]:
    """The values of a metric, named without its branch."""
    return {branch: float(getattr(scores, metric)) for branch, scores in evaluation.scores.items()}


def watched(evaluation: Evaluation) -> dict[str, str]:
    """The metric shown while a network trains, by branch."""
    metric = WATCHED[evaluation.task]
    return {branch: written(metric, value) for branch, value in by_branch(evaluation, metric).items()}


def watched_heading(evaluation: Evaluation) -> str:
    """How that metric is called, with its unit."""
    metric = METRICS[WATCHED[evaluation.task]]
    return f"{metric.heading} %" if metric.percent else metric.heading


def metric_line(evaluation: Evaluation) -> str:
    """All scalar metrics on one line of `branch.metric=value` words, ensemble first; without what was not computed."""
    head = f"metrics: split={evaluation.split} protocol={evaluation.protocol} samples={evaluation.samples}"
    missing = [f"without={modality}/{fill}" for modality, fill in evaluation.missing.items()]
    values = {metric: by_branch(evaluation, metric) for metric in SCALAR_METRICS[evaluation.task]}
    words = [
        f"{branch}.{metric}={written(metric, of_branches[branch])}"
        for branch in reversed(evaluation.scores)
        for metric, of_branches in values.items()
        if not all(map(math.isnan, of_branches.values()))
    ]
    return " ".join([head, *missing, *words])
