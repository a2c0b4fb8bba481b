"""Learning rates as pure functions of the optimiser step, and the first exchange that they predict.

Constant; staged: the paper's training, one rate per stage of epochs; poly: base * (1 - step / total) ** power; cosine:
base * (1 + cos(pi * step / total)) / 2; linear: constant, then straight down to 0. Each may warm up linearly over its
first steps.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Literal

Rate = float | tuple[float, ...]
"""One base rate, or one for each stage."""


@dataclasses.dataclass(frozen=True)
class Schedule:
    """When the learning rate changes; `rate` says to what."""

    kind: Literal["constant", "staged", "poly", "cosine", "linear"]
    total_steps: int
    stage_steps: tuple[int, ...] = ()
    """Steps of each stage; they sum to `total_steps` (staged only)."""
    power: float = 0.9
    constant_steps: int = 0
    """Steps before the rate begins to fall straight to 0 (linear only)."""
    warmup_steps: int = 0

    def rate(self, base: Rate, step: int) -> float:
        """The learning rate of optimiser step `step` (0-based, below `total_steps`)."""
        value = base[self.stage(step)] if isinstance(base, tuple) else base
        if self.kind == "poly":
            value *= (1 - step / self.total_steps) ** self.power
        if self.kind == "cosine":
            value *= (1 + math.cos(math.pi * step / self.total_steps)) / 2
        if self.kind == "linear":
            value *= min(1.0, (self.total_steps - step) / (self.total_steps - self.constant_steps))
        if step < self.warmup_steps:
            value *= (step + 1) / self.warmup_steps
        return value

    def stage(self, step: int) -> int:
        """Index of the stage that step `step` belongs to; 0 where there are no stages."""
        ends = list(itertools.accumulate(self.stage_steps))
        return next((index for index, end in enumerate(ends) if step < end), max(len(ends) - 1, 0))


def first_exchange_step(
    schedule: Schedule, base: Rate, *, sparsity: float, gap: float, optimizer: str, momentum: float
) -> int | None:
    """Step at which the L1 penalty alone has carried a pressed gamma over `gap` = |gamma| - threshold.

    SGD with momentum mu moves it by lr * v a step, v = mu * v + sparsity from 0 on; Adam, whose step does not depend on
    the gradient's size, by lr. The task's gradient comes on top: this is when exchanging may start, not when it must.
    None where the run ends before.
    """
    if gap < 0:
        return 0
    if sparsity <= 0:
        return None
    pull, momentum = (1.0, 0.0) if optimizer in ("adam", "adamw") else (sparsity, momentum)
    travelled = velocity = 0.0
    for step in range(schedule.total_steps):
        if travelled > gap:
            return step
        velocity = momentum * velocity + pull
        travelled += schedule.rate(base, step) * velocity
    return None
