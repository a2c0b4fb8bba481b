"""What is said of one predicted picture."""

from __future__ import annotations

import dataclasses

Frame = tuple[float, float, float, float]
"""A region of a picture as (top, left, bottom, right), shares of its height and width."""


@dataclasses.dataclass(frozen=True)
class ClassShare:
    """How much of a predicted label map belongs to one class, in [0, 1]."""

    class_name: str
    share: float


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What was written of one labelled view, and what it shows."""

    files: tuple[str, ...]
    classes: tuple[ClassShare, ...]
    """Those that the label map holds, the largest first."""


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What was written of many labelled views."""

    folder: str
    """Holds labels/<view>.png and overlay/<view>.png."""
    labelled: int
    """Views that were labelled now."""
    kept: int
    """Views that had been labelled by this network before, and were kept."""
    skipped: tuple[str, ...]
    """Why, one sentence for each view that could not be."""
    images_per_second: float | None
    """Views read, labelled and written in a second; None where there was nothing to do."""
    classes: tuple[ClassShare, ...]
    """Of the pixels labelled now, the largest first."""


@dataclasses.dataclass(frozen=True)
class Translations:
    """What was made of views by a translation network."""

    network: str
    """The run or checkpoint."""
    inputs: tuple[str, ...]
    target: str
    protocol: str
    files: tuple[str, ...]
    contact_sheet: str
    views: int
    """Views that were translated."""
    skipped: tuple[str, ...]
    """Why, one sentence for each view that was not."""
