"""Scores of a sweep's rows over seeds, and what they say about the paper's orderings."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from cen_cli.results.channels import ReplacedCount
from cen_cli.results.scores import Evaluation


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


@dataclasses.dataclass(frozen=True)
class PlannedMember:
    """One run of a sweep before it is trained."""

    member: MemberOutcome
    expected_seconds: float | str
    """How long it took, or may take by a few steps of its row; or why that cannot be said."""


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
        """The verdict: holds, does not hold, mixed, or open where no seed has both rows."""
        if not self.seeds:
            return "open"
        whole = "holds" if self.holds == self.seeds else "does not hold" if not self.holds else "mixed"
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
    verdicts: tuple[SweepVerdict, ...] = ()
    groups: dict[str, str] = dataclasses.field(default_factory=dict)
    """How groups are called, by name."""
    notes: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    """The logs of members that were trained for this report and failed."""
