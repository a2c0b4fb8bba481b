"""What all plots share: figures without matplotlib's global state, colours, and PNGs written whole or not at all.

Matplotlib is imported on first use. Colours are those of Okabe and Ito, which colour-blind readers can tell apart.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from cen_cli.reporting.files import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = npt.NDArray[Any]

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#000000")
KEPT, FALLEN = "#0072B2", "#D55E00"
DPI = 110


def modality_colour(index: int) -> str:
    """The colour of the index-th modality in every plot."""
    return COLOURS[index % len(COLOURS)]


def modality_legend(figure: Figure, modalities: Sequence[str]) -> None:
    """Name the modalities' colours below the plots."""
    from matplotlib.patches import Patch

    handles = [Patch(color=modality_colour(m), label=modality) for m, modality in enumerate(modalities)]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=8)


def new_figure(width: float, height: float, dpi: int = DPI) -> Figure:
    """A figure of the given size in inches, drawn by Agg whatever backend is set."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def plain(axes: Axes) -> None:
    """Take away the frame's upper and right line."""
    axes.spines[["top", "right"]].set_visible(False)


def write_figure(figure: Figure, out: Path) -> Path:
    """Write a figure as PNG; dollars in its words are no mathematics. Raises SaveError."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        if text.get_text():  # the numbers on axes, which may be powers, are not set yet
            text.set_parse_math(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return write_whole(buffer.getvalue(), out)
