"""Who is told how work goes: a live display, plain lines, or nobody."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from cen_cli.results.sweeps import MemberOutcome, SweepReport
from cen_cli.results.training import RunSummary, StepReport, TrainingPlan, ValidationReport

if TYPE_CHECKING:
    import numpy as np

Advance = Callable[[int, int], None]
"""Called with (done, total)."""


def unheard(done: int, total: int) -> None:
    """An `Advance` that nobody hears."""
    del done, total


class Listener:
    """Hears of everything and says nothing; a display overrides what it shows."""

    def on_note(self, text: str) -> None:
        """Something a person should know."""

    def on_warning(self, text: str, hint: str | None = None) -> None:
        """Something was left out, and what may be done about it."""

    def counting(self, description: str) -> AbstractContextManager[Advance]:
        """Work that can be counted: inside the block, the function is told (done, total) after each piece."""
        del description
        return nullcontext(unheard)

    def on_start(self, plan: TrainingPlan) -> None:
        """Training is about to begin."""

    def on_progress(self, epoch: int, step: int, total_steps: int) -> None:
        """A step is over, of the `epoch`-th epoch counted from 1; called after each."""

    def on_step(self, report: StepReport) -> None:
        """A log interval is over."""

    def on_gammas(self, step: int, gammas: Mapping[str, np.ndarray]) -> None:
        """The gammas of every exchanging layer at a validation after `step` steps: [C] by "layer/modality"."""

    def on_validation(self, report: ValidationReport) -> None:
        """A validation is over."""

    def on_end(self, summary: RunSummary) -> None:
        """Training is over."""

    def on_member(self, outcome: MemberOutcome, *, metric: str, ended: int, total: int) -> None:
        """A member of a sweep has ended, the `ended`-th of `total`; `metric`: the sweep's last."""

    def on_report(self, report: SweepReport) -> None:
        """A sweep is over but for its pictures."""


SILENT = Listener()
"""Nobody."""
