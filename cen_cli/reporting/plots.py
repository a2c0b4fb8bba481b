"""Pictures of classes and of replaced shares over a run: one PNG each, written whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cen_cli.reporting import formats
from cen_cli.reporting.figures import Array, modality_colour, new_figure, plain, write_figure
from cen_cli.results import Evaluation
from cen_cli.wording import printable

# --- classes ------------------------------------------------------------------------------------------------------


def class_shares(splits: Mapping[str, Sequence[float]], *, class_names: Sequence[str], out: Path) -> Path:
    """The share of the labelled pixels of every class, in percent on a logarithmic axis: a bar for each split."""
    figure = new_figure(2.4 + 0.32 * len(class_names), 3.2)
    axes = figure.subplots()
    width = 0.8 / len(splits)
    for number, (split, shares) in enumerate(splits.items()):
        places = np.arange(len(class_names)) + (number - (len(splits) - 1) / 2) * width
        axes.bar(places, 100 * np.asarray(shares), width, label=split, color=modality_colour(number))
    axes.set_yscale("log")
    axes.set_xticks(range(len(class_names)), [*map(printable, class_names)], rotation=90, fontsize=7)
    axes.set_ylabel("% of the labelled pixels", fontsize=8)
    axes.legend(fontsize=7, frameon=False)
    plain(axes)
    return write_figure(figure, out)


MOST_WRITTEN = 16
"""Of more classes, shares are not written into the picture of the confusion."""


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
    names = [*map(printable, evaluation.class_names)]
    axes.set_xticks(range(classes), names, rotation=90, fontsize=size)
    axes.set_yticks(range(classes), names, fontsize=size)
    axes.set_xlabel("labelled", fontsize=8)
    axes.set_ylabel("true", fontsize=8)
    for row, column in np.argwhere(counts > 0) if classes <= MOST_WRITTEN else ():
        colour = "black" if shares[row, column] > 0.6 else "white"
        axes.text(column, row, f"{100 * shares[row, column]:.0f}", ha="center", va="center", fontsize=6, color=colour)
    figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02).set_label("share of the true class", fontsize=8)
    return write_figure(figure, out)


# --- replaced share over steps ------------------------------------------------------------------------------------


def replaced_over_steps(
    steps: Array,
    shares: Array,
    *,
    layers: Sequence[str],
    modalities: Sequence[str],
    out: Path,
    steps_per_epoch: int | None = None,
) -> Path:
    """Replaced share of the pressed part as a heat map of layer against step, one panel per modality.

    steps [R]; shares [R, L, M], above 1 where channels outside that part are replaced too, layers in network order,
    drawn from top to bottom. With `steps_per_epoch` the axis counts epochs.
    """
    places = np.asarray(steps) / (steps_per_epoch or 1)
    names = formats.short_names(layers)
    longest = max(len(name) for name in names)
    most = max(1.0, float(np.max(shares)))
    figure = new_figure(3.4 * len(modalities) + 0.08 * longest + 1.2, max(2.6, 0.17 * len(layers) + 1.4))
    panels = figure.subplots(1, len(modalities), sharey=True, squeeze=False)[0]
    for m, (axes, modality) in enumerate(zip(panels, modalities, strict=True)):
        image = axes.pcolormesh(
            _edges(places), np.arange(len(layers) + 1), shares[:, :, m].T, cmap="cividis", vmin=0, vmax=most
        )
        axes.set_title(modality, fontsize=9)
        axes.set_xlabel("epoch" if steps_per_epoch else "step")
        if len(places) == 1:
            axes.set_xticks(places)  # of a cell whose width means nothing
    panels[0].set_yticks(np.arange(len(layers)) + 0.5, names, fontsize=7)
    panels[0].invert_yaxis()
    bar = figure.colorbar(image, ax=list(panels), fraction=0.04, pad=0.02, aspect=max(20, len(layers)))
    bar.set_label("replaced share of the pressed part", fontsize=8)
    figure.suptitle("Replaced channels over training", fontsize=10)
    return write_figure(figure, out)


def _edges(steps: Array) -> npt.NDArray[np.float64]:
    """Cell borders [R + 1] halfway between records; one record gets a cell of width 1."""
    centres = np.asarray(steps, dtype=np.float64)
    if len(centres) == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middles = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([centres[:1], middles, centres[-1:]])
