"""What `cen translate` shows and writes: translated images, and a contact sheet of a few views.

Pictures are uint8 [H, W, 3]; depth maps are float [H, W] in metres with 0 where there is no measurement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image
from rich.console import RenderableType

from cen_cli.reporting.files import write_png
from cen_cli.reporting.panels import branch_caption, colour_depth, depth_range
from cen_cli.reporting.sheets import sheet
from cen_cli.reporting.tables import facts
from cen_cli.results import Frame

Array = npt.NDArray[Any]

LEGIBLE = 128
"""Pictures of a contact sheet whose longer side is shorter than this are enlarged by a whole factor."""
SIXTEEN_BITS = 65535


class TranslationRow(Protocol):
    """One view: what the network saw, what it made of it, and what is true. Rows of one sheet have the same columns."""

    @property
    def name(self) -> str:
        """The view's name, written above its row."""

    @property
    def inputs(self) -> Mapping[str, Array]:
        """Pictures or depth maps by modality."""

    @property
    def images(self) -> Mapping[str, Array]:
        """What was made, by branch, the ensemble last."""

    @property
    def truth(self) -> Array | None:
        """What should have been made, where that is known."""

    @property
    def frame(self) -> Frame | None:
        """A region to be framed in every picture, if any."""


def write_contact_sheet(path: Path, rows: Iterable[TranslationRow]) -> Path:
    """Write `contact_sheet` as a PNG. Raises SaveError."""
    return write_png(path, contact_sheet(rows))


def contact_sheet(rows: Iterable[TranslationRow]) -> Image.Image:
    """One row of pictures per view: inputs, every branch, the ensemble, the truth; captions above the columns.

    Depth maps of a row share one range of colours, which is written behind the view's name. Raises ValueError without
    rows or where columns differ.
    """
    drawn = [(*_pictures(row), row.frame) for row in rows]
    return sheet([pictures for _, pictures, _ in drawn], [name for name, *_ in drawn], [frame for *_, frame in drawn])


def _pictures(row: TranslationRow) -> tuple[str, dict[str, Array]]:
    """What is written above a row, and its columns as pictures by caption."""
    columns = {**row.inputs, **{branch_caption(name, row.inputs): image for name, image in row.images.items()}}
    if row.truth is not None:
        columns["truth"] = row.truth
    depths = [image for image in columns.values() if image.ndim == 2]
    if not depths:
        return row.name, {caption: _legible(image) for caption, image in columns.items()}
    span = depth_range(row.truth) if row.truth is not None and row.truth.ndim == 2 else depth_range(*depths)
    coloured = {name: colour_depth(image, span) if image.ndim == 2 else image for name, image in columns.items()}
    name = f"{row.name}    depth {span[0]:.2f} .. {span[1]:.2f} m"
    return name, {caption: _legible(image) for caption, image in coloured.items()}


def _legible(picture: Array) -> Array:
    """A picture [H, W, 3], its pixels repeated where it is small."""
    factor = -(-LEGIBLE // max(picture.shape[:2]))
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def write_translated(path: Path, image: Array, *, units: float = 1.0, invalid: int = 0) -> Path:
    """Write a translated image as PNG: a picture with 8 bits, a depth map with 16.

    Depth is stored in `units` per metre, `invalid` where it is 0. Raises SaveError.
    """
    return write_png(path, Image.fromarray(image if image.ndim == 3 else stored_depth(image, units, invalid)))


def stored_depth(depth: Array, units: float, invalid: int) -> Array:
    """Depth in metres as uint16 in `units` per metre; what is 0 metres is `invalid`, and nothing else is."""
    values = np.clip(np.round(depth.astype(np.float64) * units), 1, SIXTEEN_BITS)
    values = np.where(values == invalid, values - 1, values)
    return np.where(depth > 0, values, invalid).astype(np.uint16)


def translation_parts(
    pairs: Sequence[tuple[str, str]], images: Sequence[Path], contact: Path, views: int
) -> list[RenderableType]:
    """What was translated by what (names and values), and where it was written."""
    count = f"{len(images)} images of {views} view{'s' if views != 1 else ''}"
    listed = [*pairs, ("wrote", f"{count}: {images[0].parent}"), ("for example", images[-1].name)]
    return [facts([*listed, ("contact sheet", str(contact))])]
