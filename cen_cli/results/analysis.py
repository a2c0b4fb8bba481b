"""What an analysis of a trained network found, with the files of its plots."""

from __future__ import annotations

import dataclasses

from cen_cli.results.attraction import Attraction
from cen_cli.results.channels import (
    ExchangeRow,
    GainRow,
    GammaDiagnosis,
    GammaRecovery,
    GammaRow,
    ReplacedAtStep,
    WhatIfRow,
)


@dataclasses.dataclass(frozen=True)
class GammaAnalysis:
    """What the scaling factors of a trained network say."""

    checkpoint: str
    run: str | None
    threshold: float | None
    """None where no layer exchanges."""
    metric: str
    """By which thresholds are compared, as branch.metric."""
    rows: tuple[GammaRow, ...]
    diagnosis: GammaDiagnosis
    attraction: Attraction | None
    """Theorem 1 against gradients, where that was asked for."""
    what_if: tuple[WhatIfRow, ...] | None
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
