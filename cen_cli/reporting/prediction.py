"""What `cen predict` shows: the label map, an overlay on the photograph, and the classes that were found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from cen_cli.reporting.files import write_png
from cen_cli.reporting.formats import percent
from cen_cli.reporting.panels import Palette, default_palette, overlay
from cen_cli.reporting.tables import new_table
from cen_cli.results import ClassShare, Prediction, Predictions


def write_prediction(
    folder: Path,
    labels: npt.NDArray[np.uint8],
    image: npt.NDArray[Any] | None,
    classes: int,
    palette: Palette | None,
    *,
    view: str = "",
) -> list[Path]:
    """Write `labels.png` (palette PNG of class indices) and, over a uint8 picture [H, W, 3], `overlay.png`.

    Of one `view` of several: overlay/<view>.png, then labels/<view>.png. Raises SaveError.
    """
    written = []
    colors = palette or default_palette(classes)
    indexed = Image.fromarray(labels, mode="P")
    indexed.putpalette([value for color in colors for value in color])
    if image is not None:
        over = Image.fromarray(overlay(image, labels, colors))
        written.append(write_png(output_file(folder, "overlay", view), over))
    return [write_png(output_file(folder, "labels", view), indexed), *written]


def output_file(folder: Path, what: str, view: str = "") -> Path:
    """Where "labels" or "overlay" go, of the only view or of one of several."""
    return folder / what / f"{view}.png" if view else folder / f"{what}.png"


def render_prediction(done: Prediction) -> list[RenderableType]:
    """The classes of the label map, largest first, and where it was written."""
    return [_share_table(done.classes), Text("\n".join(f"wrote {path}" for path in done.files))]


def render_predictions(done: Predictions) -> list[RenderableType]:
    """The classes of the label maps that were made now, how many, how fast they were made, and where they are."""
    speed = "" if done.images_per_second is None else f", {done.images_per_second:.3g} images a second"
    kept = f", {done.kept} labelled before" if done.kept else ""
    skipped = f", {len(done.skipped)} skipped" if done.skipped else ""
    line = f"{done.labelled} views labelled{kept}{skipped}{speed}"
    table = [_share_table(done.classes)] if done.classes else []
    heading = ["of the views labelled now:"] if done.kept and table else []
    return [*heading, *table, line, Text(f"wrote {done.folder}")]


def _share_table(classes: Sequence[ClassShare]) -> Table:
    return new_table("class", numbers=("%",), rows=[(item.class_name, percent(item.share)) for item in classes])
