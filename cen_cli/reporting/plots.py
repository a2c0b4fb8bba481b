"""Pictures of gammas over a run and over channels (S-Fig 5, 11, 12), of replaced shares, of sweeps (S-Fig 13).

Functions take plain arrays and write one PNG each, whole or not at all. Matplotlib is imported on first use and its
global state is left alone. Colours are those of Okabe and Ito, which colour-blind readers can tell apart.
"""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cen_cli.reporting import formats
from cen_cli.reporting.files import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = npt.NDArray[Any]

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#000000")
KEPT, FALLEN = "#0072B2", "#D55E00"
DPI = 110
FIRST_CHANNELS = 128
"""Pressed channels drawn per modality, as in S-Fig 5."""


def modality_colour(index: int) -> str:
    """The colour of the index-th modality in every plot."""
    return COLOURS[index % len(COLOURS)]


# --- S-Fig 5 ------------------------------------------------------------------------------------------------------


def gamma_trajectories(
    steps: Array,
    gammas: Array,
    pressed: Array,
    *,
    modalities: Sequence[str],
    threshold: float,
    title: str,
    out: Path,
) -> Path:
    """|gamma| of the pressed channels against the step, one panel per modality (S-Fig 5).

    steps [R]; gammas [R, M, C], signed; pressed bool [M, C]. At most the first 128 pressed channels are drawn.
    """
    figure = _figure(3.6 * len(modalities) + 0.8, 3.4)
    panels = figure.subplots(1, len(modalities), sharey=True, squeeze=False)[0]
    highest = max(threshold, float(np.abs(gammas[:, pressed]).max(initial=0)))
    for m, (axes, modality) in enumerate(zip(panels, modalities, strict=True)):
        channels = np.flatnonzero(pressed[m])
        _trajectories(axes, steps, np.abs(gammas[:, m, channels[:FIRST_CHANNELS]]), threshold)
        drawn = min(len(channels), FIRST_CHANNELS)
        axes.set_title(f"{modality}: {drawn} of {len(channels)} pressed channels", fontsize=9)
    panels[0].set_ylabel("|gamma|")
    panels[0].set_ylim(0, 1.05 * highest)
    figure.suptitle(title, fontsize=10)
    figure.legend(handles=_trajectory_legend(threshold), loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return _write(figure, out)


def _trajectories(axes: Axes, steps: Array, values: Array, threshold: float) -> None:
    """Lines of [R, channels]; those that end below the threshold stand out."""
    fallen = values[-1] < threshold
    style: dict[str, Any] = {"linewidth": 0.6, "alpha": 0.6, "marker": "." if len(steps) == 1 else ""}
    if (~fallen).any():
        axes.plot(steps, values[:, ~fallen], color=KEPT, **style)
    if fallen.any():
        axes.plot(steps, values[:, fallen], color=FALLEN, **style)
    axes.axhline(threshold, color="black", linewidth=0.8, linestyle="--")
    axes.set_xlabel("step")
    axes.margins(x=0)
    _plain(axes)


def _trajectory_legend(threshold: float) -> list[Any]:
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], color=KEPT, label="ends above the threshold"),
        Line2D([], [], color=FALLEN, label="ends below it"),
        Line2D([], [], color="black", linestyle="--", linewidth=0.8, label=f"threshold {threshold:g}"),
    ]


# --- S-Fig 11, 12 -------------------------------------------------------------------------------------------------


def gamma_proportions(gammas: Array, pressed: Array, *, modalities: Sequence[str], title: str, out: Path) -> Path:
    """Each modality's share of |gamma| in every channel of one layer (S-Fig 11); gammas and pressed are [M, C]."""
    figure = _figure(8.0, 3.2)
    axes = figure.subplots()
    _proportions(axes, gammas, pressed)
    _name_parts(axes, pressed, modalities)
    axes.set_xlabel("channel")
    axes.set_ylabel("share of |gamma|")
    axes.set_title(title, fontsize=10, pad=18)
    _modality_legend(figure, modalities)
    return _write(figure, out)


def all_proportions(
    gammas: Mapping[str, Array], pressed: Mapping[str, Array], *, modalities: Sequence[str], title: str, out: Path
) -> Path:
    """`gamma_proportions` of all layers in one grid (S-Fig 12); layer name -> [M, C]."""
    columns = min(4, len(gammas))
    rows = math.ceil(len(gammas) / columns)
    figure = _figure(2.7 * columns + 0.6, 1.35 * rows + 0.9)
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    names = formats.short_names(list(gammas))
    for axes, (layer, values), name in zip(grid, gammas.items(), names, strict=False):
        _proportions(axes, values, pressed[layer])
        axes.set_title(name, fontsize=7, pad=3)
        axes.tick_params(labelsize=6)
    for axes in grid[len(gammas) :]:
        axes.set_visible(False)
    figure.suptitle(title, fontsize=10)
    figure.supylabel("share of |gamma| in every channel", fontsize=8)
    _modality_legend(figure, modalities)
    return _write(figure, out)


def proportions(gammas: Array) -> npt.NDArray[np.float64]:
    """|gamma[m, c]| / sum over m of |gamma[m, c]|, [M, C]; 0 for all where a channel has no gamma at all."""
    sizes = np.abs(gammas).astype(np.float64)
    totals = sizes.sum(axis=0, keepdims=True)
    return np.divide(sizes, totals, out=np.zeros_like(sizes), where=totals > 0)


def _proportions(axes: Axes, gammas: Array, pressed: Array) -> None:
    """Stacked steps of one layer, first modality at the bottom, with lines where one own part ends."""
    edges = np.arange(gammas.shape[1] + 1)
    tops = np.vstack([np.zeros(gammas.shape[1]), np.cumsum(proportions(gammas), axis=0)])
    for m in range(len(gammas)):
        low, high = (np.append(row, row[-1]) for row in (tops[m], tops[m + 1]))
        axes.fill_between(edges, low, high, step="post", color=modality_colour(m), linewidth=0)
    for _, _, stop in own_parts(pressed)[:-1]:
        axes.axvline(stop, color="black", linewidth=1.0, linestyle="--")
    axes.set_xlim(0, gammas.shape[1])
    axes.set_ylim(0, 1)
    _plain(axes)


def own_parts(pressed: Array) -> list[tuple[int, int, int]]:
    """(modality, first channel, channel after the last) of every own part; empty where parts are not disjoint."""
    if (pressed.sum(axis=0) > 1).any():
        return []
    found = [(m, np.flatnonzero(row)) for m, row in enumerate(pressed)]
    return [(m, int(channels[0]), int(channels[-1]) + 1) for m, channels in found if len(channels)]


def _name_parts(axes: Axes, pressed: Array, modalities: Sequence[str]) -> None:
    """Write above the plot which modality is pressed where."""
    parts = own_parts(pressed)
    for m, start, stop in parts:
        middle = (start + stop) / 2
        axes.text(middle, 1.02, f"own part of {modalities[m]}", ha="center", va="bottom", fontsize=8)
    if not parts:
        axes.text(pressed.shape[1] / 2, 1.02, "all modalities pressed everywhere", ha="center", va="bottom", fontsize=8)


def _modality_legend(figure: Figure, modalities: Sequence[str]) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=modality_colour(m), label=modality) for m, modality in enumerate(modalities)]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=8)


# --- replaced share over steps ------------------------------------------------------------------------------------


def replaced_over_steps(
    steps: Array, shares: Array, *, layers: Sequence[str], modalities: Sequence[str], title: str, out: Path
) -> Path:
    """Replaced share of the pressed part as a heat map of layer against step, one panel per modality.

    steps [R]; shares [R, L, M] in [0, 1], layers in network order, drawn from top to bottom.
    """
    names = formats.short_names(layers)
    longest = max(len(name) for name in names)
    figure = _figure(3.4 * len(modalities) + 0.08 * longest + 1.2, max(2.6, 0.17 * len(layers) + 1.4))
    panels = figure.subplots(1, len(modalities), sharey=True, squeeze=False)[0]
    for m, (axes, modality) in enumerate(zip(panels, modalities, strict=True)):
        image = axes.pcolormesh(
            _edges(steps), np.arange(len(layers) + 1), shares[:, :, m].T, cmap="cividis", vmin=0, vmax=1
        )
        axes.set_title(modality, fontsize=9)
        axes.set_xlabel("step")
    panels[0].set_yticks(np.arange(len(layers)) + 0.5, names, fontsize=7)
    panels[0].invert_yaxis()
    bar = figure.colorbar(image, ax=list(panels), fraction=0.04, pad=0.02, aspect=max(20, len(layers)))
    bar.set_label("replaced share of the pressed part", fontsize=8)
    figure.suptitle(title, fontsize=10)
    return _write(figure, out)


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

    places: Sequence[float]
    means: Sequence[float]
    spreads: Sequence[float]
    """Standard deviations over seeds."""
    shares: Sequence[float]
    """Replaced share of the pressed channels, in [0, 1]."""


def score_and_share(curves: Mapping[str, Curve], *, key: str, metric: str, title: str, out: Path) -> Path:
    """One panel per group: a score with its spread (left axis) and the replaced share (right) against a key's value."""
    figure = _figure(4.2 * len(curves) + 0.6, 3.2)
    panels = figure.subplots(1, len(curves), squeeze=False)[0]
    for axes, (group, curve) in zip(panels, curves.items(), strict=True):
        axes.errorbar(curve.places, curve.means, yerr=curve.spreads, color=KEPT, marker="o", markersize=4, capsize=3)
        axes.set_xscale("log")
        axes.set_xlabel(key)
        axes.set_ylabel(metric, color=KEPT)
        axes.set_title(group, fontsize=9)
        right = axes.twinx()
        shares = [100 * share for share in curve.shares]
        right.plot(curve.places, shares, color=FALLEN, linestyle="--", marker="s", markersize=4)
        right.set_ylabel("replaced channels, % of the pressed part", color=FALLEN)
        right.set_ylim(-2, 102)
    figure.suptitle(title, fontsize=10)
    return _write(figure, out)


# --- files --------------------------------------------------------------------------------------------------------


def _figure(width: float, height: float) -> Figure:
    """A figure of the given size in inches, drawn by Agg whatever backend is set."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def _write(figure: Figure, out: Path) -> Path:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return write_whole(buffer.getvalue(), out)
