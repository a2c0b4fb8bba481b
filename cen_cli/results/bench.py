"""What `cen bench` measured of a recipe."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from typing import ClassVar


@dataclasses.dataclass(frozen=True)
class Spread:
    """A quantity over rounds."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def over(cls, values: Sequence[float]) -> Spread:
        """Median and range of the values, at least one."""
        return cls(statistics.median(values), min(values), max(values))


@dataclasses.dataclass(frozen=True)
class PartTime:
    """What one part of a training iteration took."""

    part: str
    seconds: Spread
    """In one iteration."""
    share: Spread
    """Of the whole iteration, in [0, 1]."""


@dataclasses.dataclass(frozen=True)
class Peak:
    """What the machine reaches at a kind of work that does nothing else."""

    work: str
    flops_per_second: float


@dataclasses.dataclass(frozen=True)
class Bench:
    """Times and memory of a recipe's training and inference on one machine."""

    DERIVED: ClassVar = ("flops_per_second", "shares_of_peak")

    recipe: str
    task: str
    device: str
    precision: str
    threads: int
    modalities: tuple[str, ...]
    batch: int
    """Views in one step, and in one forward of the inference."""
    size: tuple[int, int]
    """Height and width of the training images."""
    rounds: int
    steps: int
    """In each round, whose times are means over them."""
    parameters: int
    macs: int
    """Multiply-accumulates of one forward of one view, all modalities."""
    step: Spread
    """Seconds of one training step on a batch that is at hand, nothing watched."""
    inference: Spread
    """Seconds of one forward of a batch in evaluation mode."""
    parts: tuple[PartTime, ...]
    """Of a training iteration, loading included; empty where the parts of a step cannot be told apart."""
    parameter_bytes: int
    activation_bytes: int
    """Kept by one training step for its backward."""
    optimizer_bytes: int
    peak_bytes: int | None
    """On a device: the most that was allocated. On the CPU: the most that the process held, all it does included."""
    step_flops: int
    """Floating-point operations of the convolutions and matrix products in one training step."""
    peaks: tuple[Peak, ...]
    """Measured in the same process, in the same precision."""
    notes: tuple[str, ...] = ()

    @property
    def flops_per_second(self) -> float:
        """What the training step reaches."""
        return self.step_flops / self.step.median

    @property
    def shares_of_peak(self) -> dict[str, float]:
        """The same as a share of each peak, by the work."""
        return {peak.work: self.flops_per_second / peak.flops_per_second for peak in self.peaks}
