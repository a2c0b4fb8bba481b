"""What becomes of a network's scores when its inputs are not what they should be."""

from __future__ import annotations

import dataclasses
import enum

from cen_cli.results.scores import Evaluation


class Fill(enum.StrEnum):
    """What takes the place of a missing modality (see `cen_cli.data.altered.missing`)."""

    ZERO = "zero"
    MEAN = "mean"
    NOISE = "noise"
    OTHER = "other"


@dataclasses.dataclass(frozen=True)
class AlteredScores:
    """Scores with something done to the inputs of every view."""

    evaluation: Evaluation
    drop: dict[str, float]
    """By branch: how much worse the report's metric is than with whole inputs; positive where it is worse."""


@dataclasses.dataclass(frozen=True)
class MissingScores(AlteredScores):
    """Scores with some modalities missing."""

    present: tuple[str, ...]
    missing: tuple[str, ...]
    fill: Fill


@dataclasses.dataclass(frozen=True)
class CorruptedScores(AlteredScores):
    """Scores with one modality corrupted."""

    modality: str
    corruption: str
    level: int
    """1, 2 or 3."""
    strength: float
    """The share that this level stands for (`cen_cli.data.altered.corruptions`)."""


@dataclasses.dataclass(frozen=True)
class Reliance:
    """What one branch, or the ensemble, takes from each modality."""

    branch: str
    weight: float | None
    """Of the branch in the ensemble, softmax(alpha)."""
    score: float
    """The report's metric with whole inputs."""
    swapped: dict[str, float]
    """By modality: how much worse the metric becomes when that input alone is another view's. A branch's own input
    should matter; another modality's reaches it only through exchange or fusion."""


@dataclasses.dataclass(frozen=True)
class Robustness:
    """A network on one split, with whole, missing and corrupted inputs."""

    metric: str
    """Of which drops speak, without its branch."""
    seed: int
    """Of noise, holes and of which other views' images are taken."""
    full: Evaluation
    missing: tuple[MissingScores, ...]
    corrupted: tuple[CorruptedScores, ...]
    reliance: tuple[Reliance, ...]
    notes: tuple[str, ...]
    """What was left out, and why."""
