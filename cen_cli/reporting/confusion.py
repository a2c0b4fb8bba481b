"""Which classes are taken for which others: in words, as a table of numbers, and as a picture."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from cen_cli.reporting import formats
from cen_cli.reporting.figures import new_figure, write_figure
from cen_cli.results import Evaluation

MOST_WRITTEN = 16
"""Of more classes, shares are not written into the picture."""


def sentences(evaluation: Evaluation) -> list[str]:
    """The most confused pairs of classes; nothing where none is known."""
    pairs = [
        f"{formats.percent(pair.share, 1)}% of {pair.truth} is labelled {pair.labelled}"
        for pair in evaluation.most_confused()
    ]
    return [f"Most confused: {'; '.join(pairs)}."] if pairs else []


def confusion_csv(evaluation: Evaluation) -> str:
    """Pixels by true class (a row each) and labelled class (a column each), with the classes' names."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["true class", *evaluation.class_names])
    writer.writerows([name, *row] for name, row in zip(evaluation.class_names, evaluation.confusion, strict=True))
    return text.getvalue()


def draw_confusion(evaluation: Evaluation, out: Path) -> Path:
    """The share of every true class (rows) that is labelled as every class (columns), a PNG. Raises SaveError."""
    counts = np.array(evaluation.confusion, dtype=np.float64)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    classes = len(counts)
    side = 2.4 + 0.3 * min(classes, 40)
    figure = new_figure(side + 0.8, side)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    size = 8 if classes <= MOST_WRITTEN else 5
    axes.set_xticks(range(classes), evaluation.class_names, rotation=90, fontsize=size)
    axes.set_yticks(range(classes), evaluation.class_names, fontsize=size)
    axes.set_xlabel("labelled", fontsize=8)
    axes.set_ylabel("true", fontsize=8)
    for row, column in np.argwhere(counts > 0) if classes <= MOST_WRITTEN else ():
        colour = "black" if shares[row, column] > 0.6 else "white"
        axes.text(column, row, f"{100 * shares[row, column]:.0f}", ha="center", va="center", fontsize=6, color=colour)
    figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02).set_label("share of the true class", fontsize=8)
    return write_figure(figure, out)
