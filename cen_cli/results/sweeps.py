"""Scores of a sweep's rows over seeds, and what they say about the orderings that it states."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar

from cen_cli.results.channels import ReplacedCount
from cen_cli.results.scores import Evaluation

SIGNIFICANT = 0.05
"""The p-value below which a difference over seeds is more than chance: its 95% interval leaves 0 out."""


@dataclasses.dataclass(frozen=True)
class NetworkCost:
    """What a network costs in use, as it was trained: `cen compact` may make it cheaper."""

    parameters: int
    macs: int
    """Multiply-accumulates of its convolutions and matrix products for one view at the evaluated size."""


@dataclasses.dataclass(frozen=True)
class MemberOutcome:
    """What became of one run of a sweep."""

    group: str
    variant: str
    seed: int
    run: str
    """Its run directory."""
    state: str
    """`done`, `failed`, `running` (somewhere), `stopped` (to be resumed) or `new`."""
    evaluation: Evaluation | None = None
    """Of a member that is done."""
    replaced: tuple[ReplacedCount, ...] = ()
    seconds: float | None = None
    """Training time of a member that is done."""
    cost: NetworkCost | None = None
    """Of a member that is done; None where an earlier version wrote it down."""
    truths: str = ""
    """Fingerprint of what it was scored on; empty where an earlier version wrote it down, and of built-in rooms."""


@dataclasses.dataclass(frozen=True)
class PlannedMember:
    """One run of a sweep before it is trained."""

    member: MemberOutcome
    expected_seconds: float | str | None
    """How long it took, or may take by a few steps of its row; or why that cannot be said; None where unasked."""


@dataclasses.dataclass(frozen=True)
class SweepCell:
    """One score of one row over its seeds."""

    metric: str
    values: dict[int, float]
    """By seed; only those that are done."""
    mean: float
    std: float
    """Sample standard deviation; NaN with fewer than two seeds."""
    paper: float | None
    difference: float
    """Mean over common seeds of this row minus the reference row; NaN where there is no common seed."""
    p_value: float
    """Of a paired t-test of that difference over the seeds, two-sided; NaN with fewer than two."""


@dataclasses.dataclass(frozen=True)
class SweepRow:
    """One row of a sweep's table."""

    group: str
    variant: str
    label: str
    members: int
    done: int
    failed: int
    cells: tuple[SweepCell, ...]
    replaced: float
    """Replaced share of the pressed part over all modalities, mean over seeds; NaN where nothing can be replaced."""
    replaced_std: float = math.nan
    """Sample standard deviation of that; NaN with fewer than two seeds."""
    cost: NetworkCost | None = None
    """Of the row's network; None where none of its members says."""
    alone: bool = False
    """Whether it has one modality alone."""

    def cell(self, metric: str) -> SweepCell:
        """The row's scores of a metric that the sweep has."""
        return next(cell for cell in self.cells if cell.metric == metric)


def commonest_metric(rows: Sequence[SweepRow]) -> str:
    """The metric of which most rows have scores, the last of such; empty where none has any."""
    metrics = [cell.metric for cell in rows[0].cells[::-1]] if rows else []
    counts = {metric: sum(bool(row.cell(metric).values) for row in rows) for metric in metrics}
    return max(counts, key=counts.__getitem__) if any(counts.values()) else ""


@dataclasses.dataclass(frozen=True)
class SweepVerdict:
    """Whether something that the paper's numbers say holds in ours."""

    DERIVED: ClassVar = ("words",)

    claim: str
    group: str
    metric: str
    holds: int
    """Seeds in which it holds."""
    seeds: int
    """Seeds in which both rows are done."""
    difference: float
    """Mean of better minus worse, signed so that a positive number is for the claim."""
    p_value: float

    @property
    def words(self) -> str:
        """The verdict: holds, does not hold, or open where the difference may be chance; one seed gives none."""
        if self.seeds < 2:
            return "one seed, no verdict" if self.seeds else "open, no seed has both scores"
        whole = "open" if not self.p_value < SIGNIFICANT else "holds" if self.difference > 0 else "does not hold"
        return f"{whole}, {self.holds} of {self.seeds} seeds"


@dataclasses.dataclass(frozen=True)
class SweepReport:
    """A sweep as it stands."""

    title: str
    source: str
    reference: str
    split: str
    task: str
    rows: tuple[SweepRow, ...]
    checkpoint: str = ""
    """Which one of each run was scored, `last` or `best`; empty where the notes name them."""
    verdicts: tuple[SweepVerdict, ...] = ()
    groups: dict[str, str] = dataclasses.field(default_factory=dict)
    """How groups are called, by name."""
    notes: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    """The logs of members that were trained for this report and failed."""
    advice: tuple[str, ...] = ()
    """Which row to take, at which cost, and how sure that is; of a sweep that asks this."""
