"""Pictures of classes, of replaced shares over a run, of sweeps (S-Fig 13), and of scores on corrupted inputs.

Functions take plain arrays and write one PNG each, whole or not at all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cen_cli.reporting import formats
from cen_cli.reporting.figures import FALLEN, KEPT, Array, literal, modality_colour, new_figure, plain, write_figure
from cen_cli.results import Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
    axes.set_xticks(range(len(class_names)), literal(class_names), rotation=90, fontsize=7)
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
    axes.set_xticks(range(classes), literal(evaluation.class_names), rotation=90, fontsize=size)
    axes.set_yticks(range(classes), literal(evaluation.class_names), fontsize=size)
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
    title: str,
    out: Path,
    steps_per_epoch: int | None = None,
) -> Path:
    """Replaced share of the pressed part as a heat map of layer against step, one panel per modality.

    steps [R]; shares [R, L, M] in [0, 1], layers in network order, drawn from top to bottom. With `steps_per_epoch` the
    axis counts epochs.
    """
    places = np.asarray(steps) / (steps_per_epoch or 1)
    names = formats.short_names(layers)
    longest = max(len(name) for name in names)
    figure = new_figure(3.4 * len(modalities) + 0.08 * longest + 1.2, max(2.6, 0.17 * len(layers) + 1.4))
    panels = figure.subplots(1, len(modalities), sharey=True, squeeze=False)[0]
    for m, (axes, modality) in enumerate(zip(panels, modalities, strict=True)):
        image = axes.pcolormesh(
            _edges(places), np.arange(len(layers) + 1), shares[:, :, m].T, cmap="cividis", vmin=0, vmax=1
        )
        axes.set_title(modality, fontsize=9)
        axes.set_xlabel("epoch" if steps_per_epoch else "step")
    panels[0].set_yticks(np.arange(len(layers)) + 0.5, names, fontsize=7)
    panels[0].invert_yaxis()
    bar = figure.colorbar(image, ax=list(panels), fraction=0.04, pad=0.02, aspect=max(20, len(layers)))
    bar.set_label("replaced share of the pressed part", fontsize=8)
    figure.suptitle(title, fontsize=10)
    return write_figure(figure, out)


def _edges(steps: Array) -> npt.NDArray[np.float64]:
    """Cell borders [R + 1] halfway between records; one record gets a cell of width 1."""
    centres = np.asarray(steps, dtype=np.float64)
    if len(centres) == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middles = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([centres[:1], middles, centres[-1:]])


# --- S-Fig 13 -----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Curve:
    """A score over the values of a key: one entry per value, in ascending order."""

    title: str
    key: str
    """What the horizontal axis says."""
    score: str
    """What the left axis says."""
    places: Sequence[float]
    means: Sequence[float]
    spreads: Sequence[float]
    """Standard deviations over seeds."""
    shares: Sequence[float]
    """Replaced share of the pressed channels, in percent."""
    share_spreads: Sequence[float]


def score_and_share(curves: Sequence[Curve], *, title: str, bars: str, out: Path) -> Path:
    """A panel per curve: a score (left axis) and the replaced share (right), with their spreads, against a key's value.

    `bars` says below what the bars are.
    """
    figure = new_figure(4.4 * len(curves) + 0.4, 3.5)
    for axes, curve in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves, strict=True):
        style = {"markersize": 4, "capsize": 3}
        axes.errorbar(curve.places, curve.means, yerr=curve.spreads, color=KEPT, marker="o", **style)
        axes.set_xscale("log")
        axes.set_xlabel(curve.key)
        axes.set_ylabel(curve.score, color=KEPT)
        axes.set_title(curve.title, fontsize=9)
        right = axes.twinx()
        dashed = {"linestyle": "--", "marker": "s", **style}
        right.errorbar(curve.places, curve.shares, yerr=curve.share_spreads, color=FALLEN, **dashed)
        right.set_ylabel("replaced of the pressed channels, %", color=FALLEN, fontsize=8)
        right.set_ylim(-4, 104)
    figure.suptitle(title, fontsize=10)
    figure.supxlabel(bars, fontsize=8)
    return write_figure(figure, out)


MARKERS = "ovD^P<X>"


@dataclasses.dataclass(frozen=True)
class Point:
    """A row of a sweep: what it costs and scores."""

    label: str
    macs: float
    """10^9 a view."""
    mean: float
    spread: float
    alone: bool
    """Whether it has one modality alone."""


def score_and_cost(panels: Mapping[tuple[str, str], Sequence[Point]], *, title: str, out: Path) -> Path:
    """A panel per (heading, score): scores with their spreads over seeds against multiply-accumulates."""
    figure = new_figure(6.4 * len(panels) + 0.4, 4.4)
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, ((heading, score), points) in zip(grid, panels.items(), strict=True):
        for index, point in enumerate(points):
            marker = "s" if point.alone else MARKERS[index % len(MARKERS)]
            place = {"color": f"C{index % 10}", "marker": marker, "linestyle": "none", "capsize": 3}
            axes.errorbar([point.macs], [point.mean], yerr=[point.spread], label=point.label, **place)
        axes.set_xlabel("G MACs a view")
        axes.set_ylabel(score)
        axes.set_title(heading, fontsize=9)
        axes.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
        plain(axes)
    figure.suptitle(title, fontsize=10)
    return write_figure(figure, out)


# --- robustness ---------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Levels:
    """Scores at growing strengths of one corruption, from none on."""

    strengths: Sequence[float]
    """In percent."""
    scores: Mapping[str, Sequence[float]]
    """By branch, in the unit of the axis."""


def scores_by_level(rows: Mapping[str, Mapping[str, Levels]], *, metric: str, out: Path) -> Path:
    """One row of panels per modality, one panel per corruption: a score by branch against the strength.

    rows: modality -> corruption -> scores; the last of several branches is drawn in black.
    """
    columns = max(len(panels) for panels in rows.values())
    figure = new_figure(2.6 * columns + 0.6, 2.2 * len(rows) + 0.7)
    grid = figure.subplots(len(rows), columns, sharey=True, squeeze=False)
    for line, (modality, panels) in zip(grid, rows.items(), strict=True):
        for axes, (corruption, levels) in zip(line, panels.items(), strict=False):
            _levels(axes, levels)
            axes.set_title(f"{modality}: {corruption}", fontsize=9)
        for axes in line[len(panels) :]:
            axes.set_visible(False)
        line[0].set_ylabel(metric, fontsize=8)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=8)
    return write_figure(figure, out)


def _levels(axes: Axes, levels: Levels) -> None:
    for index, (branch, values) in enumerate(levels.scores.items()):
        colour = "black" if 0 < index == len(levels.scores) - 1 else modality_colour(index)
        axes.plot(levels.strengths, values, color=colour, marker="o", markersize=3, label=branch)
    axes.set_xticks(levels.strengths, [f"{strength:g}" for strength in levels.strengths])
    axes.set_xlabel("strength, percent", fontsize=8)
    axes.tick_params(labelsize=7)
    plain(axes)
