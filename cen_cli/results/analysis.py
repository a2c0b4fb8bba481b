"""What an analysis of a trained network found, with the files of its plots; Theorem 1 held against gradients."""

from __future__ import annotations

import dataclasses

from cen_cli.results.channels import (
    ExchangeRow,
    GainRow,
    GammaDiagnosis,
    GammaRecovery,
    GammaRow,
    ReplacedAtStep,
    ThresholdRow,
)


@dataclasses.dataclass(frozen=True)
class AttractionRow:
    """Pressed gammas of one modality. Shares and probabilities lie in [0, 1]; NaN where there is nothing to average."""

    modality: str
    gammas: int
    """Pressed gammas of all layers that have a gradient: those whose channel is not replaced."""
    predicted: float
    """Mean predicted probability of being attracted to 0."""
    observed: float
    """Share of (gamma, batch) in which the task's gradient was smaller than lambda, on batches not predicted from."""
    brier: float
    """Mean squared difference between that event, 1 or 0, and its predicted probability."""
    brier_constant: float
    """The same of the observed share as everybody's prediction: what a useful prediction has to be below."""
    replaced: int
    """Pressed gammas without a gradient, as their channel is replaced and gives to none: attracted with certainty."""
    fell: int = 0
    """Pressed gammas that were once recorded below the threshold, replaced ones among them."""
    stayed: int = 0
    """Of these, those that were below it in every later record."""
    predicted_of_fallen: float = float("nan")
    """Mean predicted probability of the fallen ones; that of those without a gradient is 1."""
    brier_of_fallen: float = float("nan")
    """Mean squared difference between their prediction and whether they stayed."""


@dataclasses.dataclass(frozen=True)
class CalibrationBin:
    """Gammas whose predicted probability lies in [low, high)."""

    low: float
    high: float
    gammas: int
    predicted: float
    """Mean prediction."""
    observed: float
    """Share of (gamma, batch) in which the gradient was smaller than lambda."""
    below: float
    """Share of these gammas that are below the threshold now; NaN where those below it are replaced and have no
    gradient, so that none of them is here."""


@dataclasses.dataclass(frozen=True)
class Attraction:
    """Theorem 1 measured on one network."""

    sparsity: float
    """lambda."""
    batches: int
    """Batches that the predictions rest on; as many others, or one fewer, were observed."""
    rows: tuple[AttractionRow, ...]
    bins: tuple[CalibrationBin, ...]
    """Over all modalities, ten of equal width; empty ones are left out."""


@dataclasses.dataclass(frozen=True)
class GammaAnalysis:
    """What the scaling factors of a trained network say."""

    checkpoint: str
    run: str | None
    exchanges: bool
    """Whether any channel may be replaced."""
    threshold: float | None
    """Below which gammas are counted; None of a network without a layer that could exchange."""
    metric: str
    """By which thresholds are compared, as branch.metric."""
    rows: tuple[GammaRow, ...]
    diagnosis: GammaDiagnosis
    attraction: Attraction | None
    """Theorem 1 against gradients, where that was asked for."""
    what_if: tuple[ThresholdRow, ...] | None
    """At other thresholds, where that was asked for."""
    recoveries: tuple[GammaRecovery, ...] | None
    """Of a run with recorded gammas."""
    plots: tuple[str, ...]
    gains: tuple[GainRow, ...] | None = None
    """First-order gains beside the gammas, where that was asked for."""


@dataclasses.dataclass(frozen=True)
class ExchangeStatistics:
    """How many channels a trained network replaces, where, and by whose."""

    checkpoint: str
    by: str
    """What one row stands for: `layer` or `stage`."""
    exchanges: bool
    """Whether any channel may be replaced."""
    rows: tuple[ExchangeRow, ...]
    steps: tuple[ReplacedAtStep, ...] | None
    """Of a run with recorded gammas."""
    plot: str | None


@dataclasses.dataclass(frozen=True)
class WrittenReport:
    """The page about a run."""

    report: str
    verdict: str
    """`good`, `bad` or `open`."""
    headline: str
    """The verdict in one sentence."""
    diagnosis: GammaDiagnosis
    pictures: bool
    """Whether it shows views of the data."""
    next: str
    """The command that is most pressing."""
