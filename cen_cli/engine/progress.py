"""How far a training run is, how fast it goes, and the settings of its loop."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass
class Progress:
    """How far a run is; saved in state.json and restored from it."""

    epoch: int = 0
    """Epochs whose validation is over."""
    batch: int = 0
    """Batches already seen in the current epoch."""
    step: int = 0
    skipped: int = 0
    """Steps in which gradients were not finite, in fp16; they left the network as it was."""
    seconds: float = 0.0
    best_value: float | None = None
    best_step: int = 0
    best: dict[str, Any] | None = None
    best_replaced: list[dict[str, Any]] | None = None
    """Replaced channels of the best checkpoint; None in runs of earlier versions."""
    last: dict[str, Any] | None = None
    worse: int = 0
    """Validations since the best one."""
    window: dict[str, float] = dataclasses.field(default_factory=dict)
    """Sums of the loss terms over the unfinished log interval."""
    window_steps: int = 0
    events_size: int = 0
    ill_since: dict[str, int] = dataclasses.field(default_factory=dict)
    """Dead layers, and parts that no gradient reaches, with the step in which they were first seen so."""


@dataclasses.dataclass(frozen=True)
class FitSettings:
    """The loop's own settings, as the recipe's `[train]` table has them."""

    epochs: int
    batch: int
    workers: int
    seed: int
    validate_every: int
    record_gammas_every: int
    log_every: int
    checkpoint_every: int
    best_by: str
    patience: int | None
    """Validations without a better score after which training ends; None: all epochs."""
