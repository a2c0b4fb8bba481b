"""What a run wrote into its log while it trained."""

from __future__ import annotations

import dataclasses

from cen_cli.results.channels import ReplacedCount
from cen_cli.results.health import LoggedHealth
from cen_cli.results.scores import Evaluation, is_better


@dataclasses.dataclass(frozen=True)
class LoggedStep:
    """One log interval, up to and including `step`."""

    epoch: int
    step: int
    losses: dict[str, float]
    """Loss terms averaged over the interval; `total` is what was minimised."""
    learning_rates: dict[str, float]
    """By parameter group, in the interval's last step."""
    replaced: tuple[ReplacedCount, ...]
    """Of the whole network, after that step; empty where nothing can be replaced."""


@dataclasses.dataclass(frozen=True)
class LoggedValidation:
    """One validation, after `step` optimiser steps."""

    epoch: int
    step: int
    evaluation: Evaluation


@dataclasses.dataclass(frozen=True)
class RunProgress:
    """How far a run has come."""

    epochs: int
    """Epochs whose validation is over."""
    of_epochs: int
    steps: int
    seconds: float
    """Of training and validating, over all its starts."""

    @property
    def finished(self) -> bool:
        """Whether no epoch is left."""
        return self.epochs >= self.of_epochs


@dataclasses.dataclass(frozen=True)
class RunLog:
    """The log of a run, in the order in which it was written."""

    steps: tuple[LoggedStep, ...] = ()
    validations: tuple[LoggedValidation, ...] = ()
    health: tuple[LoggedHealth, ...] = ()

    @property
    def steps_per_epoch(self) -> int | None:
        """Optimiser steps of one epoch; None before the first validation, which is what tells where an epoch ends."""
        return next((validation.step // validation.epoch for validation in self.validations), None)

    def best(self, metric: str) -> LoggedValidation | None:
        """The validation that is best by `branch.metric`, the earlier of two equal ones; None where there is none."""
        best: LoggedValidation | None = None
        for each in self.validations:
            if best is None or is_better(metric, each.evaluation.metric(metric), than=best.evaluation.metric(metric)):
                best = each
        return best
