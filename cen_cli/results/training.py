"""What a training run is about to do, is doing, and has done."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from cen_cli.results.channels import ReplacedCount
from cen_cli.results.log import LoggedStep, LoggedValidation
from cen_cli.results.scores import Evaluation, ExpectedScore


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
    exchanges: tuple[str, ...] = ()
    """Names of the layers that exchange."""
    bf16_over_fp32: float | None = None
    """A training step's time in bf16 as a share of that in fp32, where it was measured to choose between them."""
    start: str = ""
    """The trained network from which it starts, and what of it is left out."""
    resumed: bool = False
    """Whether it goes on from a checkpoint: then `first_exchange_step` and `start` say nothing."""

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.epochs * self.steps_per_epoch


@dataclasses.dataclass(frozen=True)
class DryRun:
    """What `cen train --dry-run` measured on two steps."""

    DERIVED: ClassVar = ("run_seconds",)

    plan: TrainingPlan
    macs: int
    """Multiply-accumulates of one forward of one training crop, all modalities."""
    parameter_bytes: int
    """Of all networks that are trained, and of the average of weights where there is one."""
    gradient_bytes: int
    activation_bytes: int
    """Bytes kept for the backward pass of one training batch."""
    optimizer_bytes: int
    losses: dict[str, float]
    step_seconds: float
    """Of the second step; the first one is slower."""

    @property
    def run_seconds(self) -> float:
        """What all steps of the run may take, without loading and validations."""
        return self.step_seconds * self.plan.total_steps


@dataclasses.dataclass(frozen=True)
class StepReport(LoggedStep):
    """A log interval that has just ended."""

    total_steps: int
    samples_per_second: float


@dataclasses.dataclass(frozen=True)
class ValidationReport(LoggedValidation):
    """A validation that has just ended."""

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
    """Of the best checkpoint."""
    expected: tuple[ExpectedScore, ...] = ()
    """What the recipe expects, beside the best validation's scores."""
