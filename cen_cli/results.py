"""Frozen records handed between floors: what the engine and the analyses return and what reporting shows.

Plain Python values only (no tensors, no torch), so that every record can be written as JSON with `as_json`.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

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
    KID compare the images' Inception features; `fid_low` and `fid_high` bound FID's bootstrap interval, `kid_std` is
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
"""By task: the scores that choose a checkpoint, stand in tables and may be expected."""

LOWER_IS_BETTER = frozenset({"mae", "mse", "fid", "kid"})


def is_better(metric: str, value: float, than: float) -> bool:
    """Whether `value` is the better one of the metric, named with or without its branch."""
    return value < than if _lower_is_better(metric) else value > than


def _lower_is_better(metric: str) -> bool:
    return metric.rpartition(".")[2] in LOWER_IS_BETTER


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
        """Read back what `as_json` wrote; None stands for NaN."""
        kind = SCORES[document["task"]]
        scores = {
            branch: kind(**{field: _with_nan(value) for field, value in fields.items()})
            for branch, fields in document["scores"].items()
        }
        lists = {name: tuple(document.get(name, ())) for name in ("class_names", "notes")}
        return cls(**{**document, "scores": scores, **lists})


@dataclasses.dataclass(frozen=True)
class ReplacedCount:
    """Replaced channels of one modality, over the whole network or one layer."""

    modality: str
    replaced: int
    pressed: int
    """Channels on which the L1 penalty acts (the own part, or all channels)."""
    channels: int

    @property
    def share_of_pressed(self) -> float:
        """Replaced channels as a share of the pressed part, in [0, 1]."""
        return self.replaced / self.pressed if self.pressed else 0.0

    @property
    def share_of_all(self) -> float:
        """Replaced channels as a share of all channels, in [0, 1]."""
        return self.replaced / self.channels if self.channels else 0.0


TOTAL = "total"
"""Stands for the layer in rows that count the whole network."""


@dataclasses.dataclass(frozen=True)
class ExchangeRow(ReplacedCount):
    """Replaced channels of one modality in one exchanging layer (or stage, or in total)."""

    layer: str
    donors: tuple[str, ...]
    """Modalities whose mean takes the replaced channels' place."""


@dataclasses.dataclass(frozen=True)
class GammaRow:
    """Distribution of |gamma| of one modality in one exchanging layer."""

    layer: str
    modality: str
    channels: int
    quantiles: tuple[float, float, float, float, float]
    """Minimum, quartiles, maximum of |gamma| over all channels of the layer."""
    below_inside: float
    """Share of the own part with |gamma| < threshold, in [0, 1]."""
    below_outside: float
    """Share of the rest with |gamma| < threshold; NaN where there is no rest."""
    overlap: float
    """Share of all channels below the threshold in this modality and in at least one other (a dead donor)."""


@dataclasses.dataclass(frozen=True)
class GammaRecovery:
    """What became of one modality's pressed gammas over the recorded steps of a run (S-Fig 5)."""

    modality: str
    fell: int
    """Pressed gammas that were below the threshold in at least one record."""
    returned: int
    """Of those, how many were at or above the threshold in any later record."""
    ended_above: int
    """Of those, how many were at or above the threshold in the last record."""


@dataclasses.dataclass(frozen=True)
class GammaDiagnosis:
    """What the gammas say about a network, in words."""

    verdict: str
    """`healthy`, `collapsed`, `no effect`, `no exchange` or `fixed` (a control)."""
    evidence: tuple[str, ...]
    """The numbers that the verdict rests on, one sentence each."""
    advice: str
    """What to change, or that nothing needs changing."""


@dataclasses.dataclass(frozen=True)
class ReplacedAtStep:
    """Replaced channels of every modality, over the whole network, in one record of a run."""

    step: int
    replaced: tuple[ReplacedCount, ...]


Frame = tuple[float, float, float, float]
"""A region of a picture as (top, left, bottom, right), shares of its height and width."""


@dataclasses.dataclass(frozen=True)
class ClassShare:
    """How much of a predicted label map belongs to one class, in [0, 1]."""

    class_name: str
    share: float


@dataclasses.dataclass(frozen=True)
class TrainingPlan:
    """What a run is about to do: shown at its start and by `--dry-run`."""

    name: str
    task: str
    device: str
    precision: str
    modalities: tuple[str, ...]
    train_samples: int
    validation_samples: int
    epochs: int
    steps_per_epoch: int
    parameters: dict[str, int]
    """Parameters by group: encoder, decoder, gamma, ensemble."""
    first_exchange_step: int | None
    """Step at which SGD's drift alone brings the first pressed gamma below the threshold; None where it never does."""
    changed: dict[str, Any]
    """Recipe keys that differ from their defaults."""
    run: str | None
    """The run directory; None in a dry run."""
    target: str | None = None
    """The modality that is made of the others (translation)."""

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.epochs * self.steps_per_epoch


@dataclasses.dataclass(frozen=True)
class DryRun:
    """What `cen train --dry-run` measured on one step."""

    plan: TrainingPlan
    macs: int
    """Multiply-accumulates of one forward of one training crop, all modalities."""
    parameter_bytes: int
    activation_bytes: int
    """Bytes kept for the backward pass of one training batch."""
    optimizer_bytes: int
    losses: dict[str, float]
    step_seconds: float


@dataclasses.dataclass(frozen=True)
class StepReport:
    """One log interval of training."""

    epoch: int
    step: int
    total_steps: int
    losses: dict[str, float]
    """Loss terms averaged over the interval; `total` is what was minimised."""
    learning_rates: dict[str, float]
    replaced: tuple[ReplacedCount, ...]
    samples_per_second: float


@dataclasses.dataclass(frozen=True)
class ValidationReport:
    """One validation during training."""

    epoch: int
    step: int
    evaluation: Evaluation
    best_by: str
    value: float
    is_best: bool


@dataclasses.dataclass(frozen=True)
class RunSummary:
    """How a training run ended."""

    run: str
    epochs: int
    steps: int
    seconds: float
    last: Evaluation
    best: Evaluation
    best_step: int
    best_by: str
    replaced: tuple[ReplacedCount, ...]


@dataclasses.dataclass(frozen=True)
class Conversion:
    """What `cen convert` found in a published file and made of it."""

    kind: str
    """`refinenet`, `unet`, `discriminator` or `resnet`."""
    network: str
    """In words: depth, classes, layers, channels."""
    inputs: tuple[str, ...]
    """The modalities; none where the file holds no network of streams."""
    target: str | None
    parameters: int
    tensors: int
    """In the file."""
    unused: tuple[str, ...]
    """Of these, the ones that the network has no use for."""
    remarks: dict[str, float]
    """Numbers that stood beside the state dict, as the file calls them."""
    notes: tuple[str, ...] = ()
    """What a user of the result must know."""


@dataclasses.dataclass(frozen=True)
class ExpectedScore:
    """One line of a recipe's `[expected]` table beside what was obtained."""

    metric: str
    expected: float
    tolerance: float
    source: str
    obtained: float | None

    @property
    def met(self) -> bool | None:
        """Whether the obtained score is worse by no more than the tolerance; None where there is no such score."""
        if self.obtained is None or math.isnan(self.obtained):
            return None
        gap = self.expected - self.obtained
        return (-gap if _lower_is_better(self.metric) else gap) <= self.tolerance


@dataclasses.dataclass(frozen=True)
class MemberOutcome:
    """What became of one run of a sweep."""

    group: str
    variant: str
    seed: int
    run: str
    """Its run directory."""
    state: str
    """`done`, `failed`, `running` (somewhere), `stopped` (to be resumed) or `new`."""
    evaluation: Evaluation | None = None
    """Of a member that is done."""
    replaced: tuple[ReplacedCount, ...] = ()
    seconds: float | None = None
    """Training time of a member that is done."""


@dataclasses.dataclass(frozen=True)
class SweepCell:
    """One score of one row over its seeds."""

    metric: str
    values: dict[int, float]
    """By seed; only those that are done."""
    mean: float
    std: float
    """Sample standard deviation; NaN with fewer than two seeds."""
    paper: float | None
    difference: float
    """Mean over common seeds of this row minus the reference row; NaN where there is no common seed."""
    p_value: float
    """Of a paired t-test of that difference over the seeds, two-sided; NaN with fewer than two."""


@dataclasses.dataclass(frozen=True)
class SweepRow:
    """One row of a sweep's table."""

    group: str
    variant: str
    label: str
    members: int
    done: int
    failed: int
    cells: tuple[SweepCell, ...]
    replaced: float
    """Replaced share of the pressed part over all modalities, mean over seeds; NaN where nothing can be replaced."""


@dataclasses.dataclass(frozen=True)
class SweepVerdict:
    """Whether something that the paper's numbers say holds in ours."""

    claim: str
    group: str
    metric: str
    holds: int
    """Seeds in which it holds."""
    seeds: int
    """Seeds in which both rows are done."""
    difference: float
    """Mean of better minus worse, signed so that a positive number is for the claim."""
    p_value: float

    @property
    def words(self) -> str:
        """The verdict: holds, does not hold, mixed, or open where no seed has both rows."""
        if not self.seeds:
            return "open"
        whole = "holds" if self.holds == self.seeds else "does not hold" if not self.holds else "mixed"
        return f"{whole}, {self.holds} of {self.seeds} seeds"


@dataclasses.dataclass(frozen=True)
class SweepReport:
    """A sweep as it stands."""

    title: str
    source: str
    reference: str
    split: str
    task: str
    rows: tuple[SweepRow, ...]
    verdicts: tuple[SweepVerdict, ...] = ()
    groups: dict[str, str] = dataclasses.field(default_factory=dict)
    """How groups are called, by name."""
    notes: tuple[str, ...] = ()


def _with_nan(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_with_nan(item) for item in value)
    return math.nan if value is None else value


def as_json(record: Any) -> Any:
    """Turn a record into what `json.dumps` takes: dataclasses to objects, tuples to lists, NaN and infinity to None."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        fields = {field.name: as_json(getattr(record, field.name)) for field in dataclasses.fields(record)}
        if isinstance(record, SweepVerdict):
            fields["words"] = record.words
        if isinstance(record, ReplacedCount):
            fields |= {"share_of_pressed": record.share_of_pressed, "share_of_all": record.share_of_all}
        return fields
    if isinstance(record, dict):
        return {str(key): as_json(value) for key, value in record.items()}
    if isinstance(record, (list, tuple)):
        return [as_json(value) for value in record]
    if isinstance(record, float) and not math.isfinite(record):
        return None
    return record
