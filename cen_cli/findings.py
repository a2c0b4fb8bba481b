"""Frozen records of what was seen in a data set, handed from data to reporting as those of `results` are.

Plain Python values only, so that every record can be written as JSON with `results.as_json`.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

Severity = Literal["error", "warning"]


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something about a data set that is wrong, or looks as if it were."""

    severity: Severity
    """`error`: training would stop or learn from something else than is meant. `warning`: perhaps."""
    split: str
    """Empty where several splits are concerned."""
    modality: str
    """As the recipe calls it, or `labels`; empty where it concerns several."""
    text: str
    hint: str | None = None
    views: tuple[str, ...] = ()
    """All views that it concerns, where it does not concern the whole split."""


@dataclasses.dataclass(frozen=True)
class ModalityFacts:
    """What the files of one modality, or the label maps, hold."""

    name: str
    expected: str
    """What the recipe or the data set says of it."""
    stored: tuple[str, ...]
    """Types of the files, the most frequent first; none where the files are no images."""
    sizes: tuple[tuple[int, int], ...]
    """Height and width of the files, the most frequent first."""
    low: float | None
    """The lowest stored value."""
    high: float | None
    """The highest stored value."""
    invalid: float | None
    """Share of pixels in which nothing was measured, or that have no class; None for images."""


@dataclasses.dataclass(frozen=True)
class LabelShare:
    """How much of the labelled pixels one class has, in [0, 1]."""

    class_name: str
    share: float


@dataclasses.dataclass(frozen=True)
class SplitFacts:
    """What was seen of one split."""

    split: str
    views: int
    looked_at: int
    """Views whose files were opened."""
    modalities: tuple[ModalityFacts, ...]
    labels: tuple[LabelShare, ...]
    """Every class; none where views are translated."""


@dataclasses.dataclass(frozen=True)
class DataCheck:
    """What `cen data check` found."""

    recipe: str
    splits: tuple[SplitFacts, ...]
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> int:
        """How many findings would make training stop or go wrong."""
        return sum(finding.severity == "error" for finding in self.findings)
