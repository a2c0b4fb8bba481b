"""What is said of predicted pictures, and the rows in which they are shown."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

Frame = tuple[float, float, float, float]
"""A region of a picture as (top, left, bottom, right), shares of its height and width."""


@dataclasses.dataclass(frozen=True)
class ClassShare:
    """How much of a predicted label map, or of a split's labelled pixels, belongs to one class, in [0, 1]."""

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


@dataclasses.dataclass(frozen=True)
class PictureRow:
    """One view in a panel or a contact sheet, as NumPy arrays of one height and width.

    Pictures are uint8 [H, W, 3], depth maps float32 [H, W] in metres with 0 = invalid, label maps uint8 [H, W] with
    255 = void.
    """

    name: str
    inputs: dict[str, Array]
    """By modality: pictures and depth maps."""
    truth: Array | None
    """A label map; of a translation a picture or a depth map."""
    outputs: dict[str, Array]
    """By branch, then the ensemble: of the same kind."""
    frame: Frame | None = None
    """A region to be framed in every picture."""
    quantity: tuple[str, str, float] = ("depth", "m", 0.0)
    """What depth maps measure, their unit, and what 0 measures; an empty name where that is not one thing."""
