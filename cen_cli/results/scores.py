"""Scores of networks: of one branch, of a whole evaluation, and beside what a recipe expects."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from cen_cli.results.records import from_json

ENSEMBLE = "ensemble"
"""Name under which the ensemble's scores stand beside those of the branches (named after their modality)."""


@dataclasses.dataclass(frozen=True)
class SegmentationScores:
    """Scores of one confusion matrix, each in [0, 1] (P Table 2).

    `class_iou` and `class_accuracy` hold one entry per class, NaN for a class that the truth never shows; such classes
    are left out of both means.
    """

    pixel_accuracy: float
    mean_accuracy: float
    mean_iou: float
    class_accuracy: tuple[float, ...]
    class_iou: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class TranslationScores:
    """How close translated images come to the true ones (S-Tables 6, 8, 9); NaN for what was not computed.

    MAE and MSE are those of values in [-1, 1] over valid pixels; PSNR (dB) and SSIM are means over the images. FID and
    KID compare the images' Inception features; `fid_low` and `fid_high` bound FID's interval, `kid_std` is
    the spread over KID's subsets, and neither FID nor KID is multiplied by 100.
    """

    mae: float
    mse: float
    psnr: float
    ssim: float
    fid: float = math.nan
    fid_low: float = math.nan
    fid_high: float = math.nan
    kid: float = math.nan
    kid_std: float = math.nan


Scores = SegmentationScores | TranslationScores


SCORES: dict[str, type[Scores]] = {"segmentation": SegmentationScores, "translation": TranslationScores}
"""The record of one branch's scores, by task."""


SCALAR_METRICS: dict[str, tuple[str, ...]] = {
    "segmentation": ("pixel_accuracy", "mean_accuracy", "mean_iou"),
    "translation": ("mae", "mse", "psnr", "ssim", "fid", "kid"),
}
"""By task: the scores that recipes may choose a checkpoint by and expect, and that stand in tables."""


LOWER_IS_BETTER = frozenset({"mae", "mse", "fid", "kid"})


def is_better(metric: str, value: float, than: float) -> bool:
    """Whether `value` is the better one of the metric, named with or without its branch."""
    return value < than if lower_is_better(metric) else value > than


def lower_is_better(metric: str) -> bool:
    """Whether less is better, of a metric named with or without its branch."""
    return metric.rpartition(".")[2] in LOWER_IS_BETTER


@dataclasses.dataclass(frozen=True)
class Confused:
    """How often one class is taken for another."""

    truth: str
    labelled: str
    share: float
    """Of the class's true pixels, in [0, 1]."""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Scores of every branch and of the ensemble over one split."""

    task: str
    split: str
    protocol: str
    samples: int
    scores: dict[str, Scores]
    """By modality, then `ENSEMBLE` (absent from networks of one modality)."""
    weights: dict[str, float]
    """The ensemble's learned weight of each modality; they sum to 1."""
    class_names: tuple[str, ...] = ()
    """Of a segmentation."""
    notes: tuple[str, ...] = ()
    """What a reader of the scores must know: a metric that was not available, a choice that departs from the usual."""
    missing: dict[str, str] = dataclasses.field(default_factory=dict)
    """By modality that the network was scored without: what took its place (zero, mean, noise or other)."""
    checkpoint: str = ""
    """The file with the network's weights; empty for one that is being trained."""
    confusion: tuple[tuple[int, ...], ...] = ()
    """Of a segmentation's ensemble: pixels by true class (rows) and labelled class (columns)."""

    def __post_init__(self) -> None:
        """Raise ValueError for scores of another task."""
        kind = SCORES.get(self.task)
        if kind is None or not self.scores or not all(isinstance(each, kind) for each in self.scores.values()):
            raise ValueError(f"no scores of the task {self.task!r}")

    def most_confused(self, most: int = 5) -> list[Confused]:
        """The pairs of classes with the largest shares of the one's true pixels labelled as the other."""
        pairs = [
            Confused(self.class_names[truth], self.class_names[said], pixels / sum(row))
            for truth, row in enumerate(self.confusion)
            for said, pixels in enumerate(row)
            if pixels and truth != said
        ]
        return sorted(pairs, key=lambda pair: -pair.share)[:most]

    def metric(self, name: str) -> float:
        """The value of `branch.metric`, for example `ensemble.mean_iou` or `rgb.mae`.

        `ensemble` means the only branch where there is one modality. Raises KeyError for an unknown name.
        """
        branch, _, field = name.rpartition(".")
        if branch == ENSEMBLE and len(self.scores) == 1:
            branch = next(iter(self.scores))
        scores = self.scores[branch]
        if field not in SCALAR_METRICS[self.task]:
            raise KeyError(name)
        return float(getattr(scores, field))

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Evaluation:
        """Read back what `as_json` wrote; None stands for NaN. Raises ValueError for what it did not write."""
        return from_json(cls, document)


@dataclasses.dataclass(frozen=True)
class ExpectedScore:
    """One line of a recipe's `[expected]` table beside what was obtained."""

    metric: str
    expected: float
    tolerance: float
    source: str
    obtained: float | None
    elsewhere: str = ""
    """How the expected score is computed, where the obtained one was not computed so."""

    @property
    def met(self) -> bool | None:
        """Whether the obtained score is worse by no more than the tolerance; None where nothing can be said."""
        if self.elsewhere or self.obtained is None or math.isnan(self.obtained):
            return None
        gap = self.expected - self.obtained
        return (-gap if lower_is_better(self.metric) else gap) <= self.tolerance


@dataclasses.dataclass(frozen=True)
class EvaluationReport:
    """What became of an evaluation."""

    evaluation: Evaluation
    expected: tuple[ExpectedScore, ...] = ()
    """What the recipe expects, beside what was obtained."""
    images: str | None = None
    """The file of pictures, where some were asked for."""
