"""What a run wrote into its log while it trained, and which parts of its network lived: dead units, gradients."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from cen_cli.results.channels import ReplacedCount
from cen_cli.results.scores import Evaluation

ALL = 0.99
"""Share of a layer's units from which on it counts as dead: a last one may still flicker."""


@dataclasses.dataclass(frozen=True)
class PartHealth:
    """A stage of the encoder, a path of the decoder, or another part of a network, over one batch."""

    name: str
    worst: str
    """Its layer with the most dead units."""
    dead: float
    """Share of units of that layer, in its worst stream, that are positive nowhere and get no gradient; in [0, 1]."""
    positive: float
    """Share of positive values of that layer in that stream, in [0, 1]."""
    gradient: float
    """Euclidean norm of the task's gradient with respect to a layer's output: the largest of the layers, in the stream
    in which that is smallest. 0: the part learns nothing there."""


@dataclasses.dataclass(frozen=True)
class Health:
    """Every part of a network, in its order."""

    parts: tuple[PartHealth, ...]
    exchanging: dict[str, tuple[float, ...]]
    """For each exchanging layer the norm of the task's gradient at its output, one a stream."""

    @property
    def dead(self) -> tuple[str, ...]:
        """Layers whose every unit is dead in a stream: the worst one of each part."""
        return tuple(part.worst for part in self.parts if part.dead >= ALL)

    @property
    def unreached(self) -> tuple[str, ...]:
        """Parts that no gradient of the task reaches in a stream: they learn nothing."""
        return tuple(part.name for part in self.parts if part.gradient == 0)


@dataclasses.dataclass(frozen=True)
class LoggedHealth:
    """What a run saw of its network's health in one step."""

    step: int
    health: Health


def unread_streams(log: Sequence[LoggedHealth]) -> dict[str, tuple[bool, ...]]:
    """For each exchanging layer and stream, whether no gradient of the task arrived in most of the recorded steps.

    Gammas that fell there fell because nothing held them, which is no choice of channels.
    """
    counts: dict[str, list[int]] = {}
    for logged in log:
        for name, gradients in logged.health.exchanging.items():
            row = counts.setdefault(name, [0] * len(gradients))
            counts[name] = [count + (gradient == 0) for count, gradient in zip(row, gradients, strict=True)]
    return {name: tuple(2 * count > len(log) for count in row) for name, row in counts.items()}


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
    settled: bool = False
    """Whether train.patience has ended it."""
    best_step: int = 0
    """Of its best checkpoint; 0 where no validation is over."""

    @property
    def finished(self) -> bool:
        """Whether no epoch is left, or wanted."""
        return self.settled or self.epochs >= self.of_epochs


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

    def validation_at(self, step: int) -> LoggedValidation | None:
        """The validation after so many steps; None where there was none."""
        return next((each for each in self.validations if each.step == step), None)
