"""What `cen predict` shows: the label map, an overlay on the photograph, and the classes that were found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from rich.console import RenderableType
from rich.text import Text

from cen_cli.reporting.files import write_png
from cen_cli.reporting.formats import percent
from cen_cli.reporting.panels import Palette, default_palette, overlay
from cen_cli.reporting.tables import new_table
from cen_cli.results import Prediction


def write_prediction(
    folder: Path, labels: npt.NDArray[np.uint8], image: npt.NDArray[Any] | None, classes: int, palette: Palette | None
) -> list[Path]:
    """Write `labels.png` (palette PNG of class indices) and, over a uint8 picture [H, W, 3], `overlay.png`.

    Raises SaveError.
    """
    colors = palette or default_palette(classes)
    indexed = Image.fromarray(labels, mode="P")
    indexed.putpalette([value for color in colors for value in color])
    written = [write_png(folder / "labels.png", indexed)]
    if image is not None:
        written.append(write_png(folder / "overlay.png", Image.fromarray(overlay(image, labels, colors))))
    return written


def prediction_parts(done: Prediction) -> list[RenderableType]:
    """The classes of the label map, largest first, and where it was written."""
    table = new_table("class", numbers=("share",))
    for item in done.classes:
        table.add_row(item.class_name, percent(item.share))
    return [table, Text("\n".join(f"wrote {path}" for path in done.files))]
