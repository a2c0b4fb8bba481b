"""How the scores of each task are written: units and digits, columns of the tables, and what the numbers mean.

A score reads the same wherever text shows it: segmentation's shares in [0, 1] as percentages, KID times 100, as the
paper prints both, translation's other scores in their own unit. JSON, CSV and recipes hold the plain values.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from cen_cli.reporting import formats
from cen_cli.results import SCALAR_METRICS, Evaluation

Write = Callable[[float | None], str]


def _fixed(digits: int) -> Write:
    def write(value: float | None) -> str:
        return formats.ABSENT if value is None or math.isnan(value) else f"{value:.{digits}f}"

    return write


def _hundredfold(value: float | None) -> str:
    return _fixed(2)(None if value is None else 100 * value)


WRITTEN: dict[str, Write] = {
    "pixel_accuracy": formats.percent,
    "mean_accuracy": formats.percent,
    "mean_iou": formats.percent,
    "mae": _fixed(4),
    "mse": _fixed(4),
    "psnr": _fixed(2),
    "ssim": _fixed(4),
    "fid": _fixed(2),
    "kid": _hundredfold,
}
"""How the value of each scalar metric is written in text."""


FACTORS = {"pixel_accuracy": 100, "mean_accuracy": 100, "mean_iou": 100, "kid": 100}
"""What text and plots multiply a value by, where it is not 1."""


HEADINGS = {
    "pixel_accuracy": "pixel acc",
    "mean_accuracy": "mean acc",
    "mean_iou": "mean IoU",
    "mae": "MAE",
    "mse": "MSE",
    "psnr": "PSNR dB",
    "ssim": "SSIM",
    "fid": "FID",
    "kid": "KID x 100",
}
"""How the metrics are called that have a column of their own."""


def written(metric: str, value: float | None) -> str:
    """A score by its metric, named with or without its branch: `rgb.mean_iou` 0.511 is `51.10`."""
    return WRITTEN[metric.rpartition(".")[2]](value)


@dataclasses.dataclass(frozen=True)
class Column:
    """One column of a table of scores: what stands in it for each branch."""

    heading: str
    write: Callable[[Any], str]
    """From the scores of a branch, of the task's own kind."""


def _scalar(metric: str) -> Column:
    return Column(HEADINGS[metric], lambda scores: written(metric, getattr(scores, metric)))


def _interval(scores: Any) -> str:
    if not (math.isfinite(scores.fid_low) and math.isfinite(scores.fid_high)):
        return formats.ABSENT
    return f"{scores.fid_low:.2f} .. {scores.fid_high:.2f}"


@dataclasses.dataclass(frozen=True)
class ScoreText:
    """What the reports need to know of a task."""

    tables: tuple[tuple[Column, ...], ...]
    """The columns of each table below each other; one without any number is left out."""
    watched: str
    """The metric that is shown of every branch while a network trains."""
    watched_heading: str
    convention: Callable[[Evaluation], tuple[str, ...]]
    """How the numbers were computed and scaled, in lines of at most 80 columns."""


def _segmentation_convention(evaluation: Evaluation) -> tuple[str, ...]:
    del evaluation
    return (
        "Percent. One confusion matrix over the split; classes absent from the truth are",
        "left out of the means; void never counts.",
    )


def _translation_convention(evaluation: Evaluation) -> tuple[str, ...]:
    lines = [
        "MAE, MSE: of values in [-1, 1] over valid pixels; lower is better. S-Table 6",
        "prints both x 10^-1: 1.12 there would be 0.1120 here. PSNR in dB and SSIM: means",
        "over the images; higher is better.",
    ]
    if has_numbers(evaluation, DISTANCES):
        lines += [
            "FID, with its 95% interval, and KID, with the spread over its subsets",
            "where they differ: lower is better.",
        ]
    if evaluation.protocol == "paper":
        lines += [
            "Paper protocol, as the authors' release evaluates: dropout draws while images",
            "are made; before FID and KID every image is stretched to its own extremes.",
        ]
    return tuple(lines)


DISTANCES = (
    _scalar("fid"),
    Column("FID interval", _interval),
    _scalar("kid"),
    Column("spread x 100", lambda scores: _hundredfold(scores.kid_std)),
)

TEXTS = {
    "segmentation": ScoreText(
        tables=(tuple(map(_scalar, ("pixel_accuracy", "mean_accuracy", "mean_iou"))),),
        watched="mean_iou",
        watched_heading="mean IoU %",
        convention=_segmentation_convention,
    ),
    "translation": ScoreText(
        tables=(tuple(map(_scalar, ("mae", "mse", "psnr", "ssim"))), DISTANCES),
        watched="mae",
        watched_heading="MAE",
        convention=_translation_convention,
    ),
}
"""By task."""


def column_values(evaluation: Evaluation, column: Column) -> list[str]:
    """What stands in a column, branch by branch."""
    return [column.write(scores) for scores in evaluation.scores.values()]


def has_numbers(evaluation: Evaluation, columns: tuple[Column, ...]) -> bool:
    """Whether any of the columns holds a number."""
    return any(value != formats.ABSENT for column in columns for value in column_values(evaluation, column))


def watched(evaluation: Evaluation) -> dict[str, str]:
    """The metric shown while a network trains, by branch."""
    metric = TEXTS[evaluation.task].watched
    return {branch: written(metric, getattr(scores, metric)) for branch, scores in evaluation.scores.items()}


def metric_line(evaluation: Evaluation) -> str:
    """All scalar metrics on one line of `branch.metric=value` words, ensemble first; without what was not computed."""
    head = f"metrics: split={evaluation.split} protocol={evaluation.protocol} samples={evaluation.samples}"
    missing = [f"without={modality}/{fill}" for modality, fill in evaluation.missing.items()]
    words = [
        f"{branch}.{metric}={written(metric, getattr(scores, metric))}"
        for branch, scores in reversed(evaluation.scores.items())
        for metric in SCALAR_METRICS[evaluation.task]
        if any(not math.isnan(getattr(each, metric)) for each in evaluation.scores.values())
    ]
    return " ".join([head, *missing, *words])
