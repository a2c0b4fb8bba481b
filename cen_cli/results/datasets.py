"""Frozen records of what was seen in a data set, handed from data to reporting as those of `results` are.

Plain Python values only, so that every record can be written as JSON with `results.as_json`.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from cen_cli.results.pictures import ClassShare

Severity = Literal["error", "warning"]
Stored = Literal["uint8", "uint16", "int16", "float32"]


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
    mean: tuple[float, ...] = ()
    """Of what counts, by channel: in [0, 1] for images, in its unit for measurements; none of label maps."""
    std: tuple[float, ...] = ()
    """The standard deviation, as `mean`."""


@dataclasses.dataclass(frozen=True)
class SplitFacts:
    """What was seen of one split."""

    split: str
    views: int
    opened: int
    """Views whose files were opened."""
    modalities: tuple[ModalityFacts, ...]
    labels: tuple[ClassShare, ...]
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


@dataclasses.dataclass(frozen=True)
class Meaning:
    """What a modality's stored values seem to mean, by the recipe's keys of these names, and why."""

    kind: Literal["photograph", "image", "normals", "measurement"]
    evidence: tuple[str, ...]
    """Sentences, for people."""
    range: tuple[float, float] | None = None
    scale: float | None = None
    unit: str | None = None
    invalid: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True)
class InferredModality:
    """What the files of one modality hold and seem to be."""

    name: str
    pattern: str
    files: int
    types: tuple[str, ...]
    """Of the files opened, the most frequent first."""
    sizes: tuple[tuple[int, int], ...]
    low: float
    high: float
    """The lowest and highest stored values."""
    stored: Stored
    channels: int
    meaning: Meaning
    bands: tuple[int, ...] = ()
    """Which of the files' bands these are, counted from 1; all where none is named."""
    convert: bool = False
    """Whether files are to be brought to so many channels."""


@dataclasses.dataclass(frozen=True)
class InferredLabels:
    """What the label maps seem to hold."""

    pattern: str
    files: int
    types: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    color: bool
    classes: tuple[str, ...]
    first: int
    values: tuple[int, ...]
    """Stored values of the classes where they do not follow one another; else empty."""
    colors: tuple[tuple[int, int, int], ...]
    shares: tuple[float, ...]
    """Share of all pixels that each class has."""
    evidence: tuple[str, ...]
    tolerance: int = 0
    """How far stored values lie from those of the classes: above 0 in lossy files."""


@dataclasses.dataclass(frozen=True)
class InferredDataset:
    """What `cen data init` found in a folder."""

    folder: str
    modalities: tuple[InferredModality, ...]
    labels: InferredLabels | None
    views: int
    """Views by all names."""
    complete: int
    """Views of which every modality, and the label map, is there."""
    groups: int
    """Groups that {group} in the patterns tells apart; 0 without."""
    splits: tuple[str, ...]
    """What {split} in the patterns stands for; none without."""
    lists: dict[str, str]
    """By split, the list within the folder that names its views: of train and val, perhaps of test; or none."""
    opened: int
    """Files that were opened of each modality; of label maps all are."""
    size: tuple[int, int]
    """Height and width of the smallest view."""
    unread_labels: tuple[str, ...]
    """Families that are called label maps and cannot be read as such, and why."""
    notes: tuple[str, ...]
    """What was left out, and why."""


@dataclasses.dataclass(frozen=True)
class WrittenData:
    """A data set that was written as files."""

    folder: str
    views: int
    domains: tuple[str, ...]
    """The folders of a view's files."""
    next: str
    """A command that trains on them; empty where a split that it needs is empty."""
