"""Pictures of gammas: over a run (S-Fig 5), over channels (S-Fig 11, 12), and Theorem 1 (S-Fig 4).

Several networks stand in one picture, to be compared: with and without exchange, or with gammas pressed nowhere,
everywhere and in disjoint parts.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cen_cli.reporting import formats
from cen_cli.reporting.figures import (
    FALLEN,
    KEPT,
    Array,
    modality_colour,
    modality_legend,
    new_figure,
    plain,
    write_figure,
)
from cen_cli.results import Attraction, below_threshold

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FIRST_CHANNELS = 128
"""Pressed channels drawn per modality, as in S-Fig 5."""


@dataclasses.dataclass(frozen=True)
class NetworkGammas:
    """The gammas of one network of M modalities, by exchanging layer."""

    label: str
    """What stands beside its plots."""
    modalities: Sequence[str]
    gammas: Mapping[str, Array]
    """[M, C]; signed or not."""
    pressed: Mapping[str, Array]
    """Bool [M, C]."""
    threshold: float
    penalised: bool = True
    """Whether anything presses them at all."""
    steps: Array | None = None
    """Steps of the run's records, [R]; None without a history."""
    history: Mapping[str, Array] | None = None
    """[R, M, C]."""


# --- S-Fig 5 ------------------------------------------------------------------------------------------------------


def gamma_trajectories(networks: Sequence[NetworkGammas], layer: str, out: Path) -> Path:
    """|gamma| of a layer's pressed channels against the step: a row per network, a panel per modality (S-Fig 5).

    Only networks with a history are drawn, and at most the first 128 pressed channels of each.
    """
    drawn = [network for network in networks if network.history is not None]
    columns = max(len(network.modalities) for network in drawn)
    figure = new_figure(3.6 * columns + 0.8, 2.7 * len(drawn) + 0.7)
    grid = figure.subplots(len(drawn), columns, sharey=True, squeeze=False)
    highest = 0.0
    for network, row in zip(drawn, grid, strict=True):
        assert network.steps is not None
        assert network.history is not None
        values, pressed = np.abs(network.history[layer]), network.pressed[layer]
        highest = max(highest, network.threshold, float(values[:, pressed].max(initial=0)))
        for m, (axes, modality) in enumerate(zip(row, network.modalities, strict=False)):
            channels = np.flatnonzero(pressed[m])
            _trajectories(axes, network.steps, values[:, m, channels[:FIRST_CHANNELS]], network.threshold)
            count = min(len(channels), FIRST_CHANNELS)
            what = "pressed channels" if network.penalised else "channels of its part"
            axes.set_title(f"{modality}: {count} of {len(channels)} {what}", fontsize=9)
        for axes in row[len(network.modalities) :]:
            axes.set_visible(False)
        row[0].set_ylabel("|gamma|" if len(drawn) == 1 else f"{network.label}\n|gamma|", fontsize=9)
    grid[0, 0].set_ylim(0, 1.05 * highest)
    which = "pressed gammas" if any(network.penalised for network in drawn) else "gammas"
    figure.suptitle(f"{layer}: {which} over training", fontsize=10)
    handles = _trajectory_legend({network.threshold for network in drawn})
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return write_figure(figure, out)


def _trajectories(axes: Axes, steps: Array, values: Array, threshold: float) -> None:
    """Lines of [R, channels]; those that end below the threshold stand out."""
    fallen = below_threshold(values[-1], threshold)
    style: dict[str, Any] = {"linewidth": 0.6, "alpha": 0.6, "marker": "." if len(steps) == 1 else ""}
    if (~fallen).any():
        axes.plot(steps, values[:, ~fallen], color=KEPT, **style)
    if fallen.any():
        axes.plot(steps, values[:, fallen], color=FALLEN, **style)
    axes.axhline(threshold, color="black", linewidth=0.8, linestyle="--")
    axes.set_xlabel("step")
    axes.margins(x=0)
    plain(axes)


def _trajectory_legend(thresholds: set[float]) -> list[Any]:
    from matplotlib.lines import Line2D

    said = " or ".join(f"{threshold:g}" for threshold in sorted(thresholds))
    return [
        Line2D([], [], color=KEPT, label="ends above the threshold"),
        Line2D([], [], color=FALLEN, label="ends below it"),
        Line2D([], [], color="black", linestyle="--", linewidth=0.8, label=f"threshold {said}"),
    ]


# --- S-Fig 11, 12 -------------------------------------------------------------------------------------------------


def gamma_proportions(networks: Sequence[NetworkGammas], layer: str, out: Path) -> Path:
    """Each modality's share of |gamma| in every channel of one layer, a row per network (S-Fig 11)."""
    figure = new_figure(8.0, 2.6 * len(networks) + 0.6)
    rows = figure.subplots(len(networks), 1, squeeze=False)[:, 0]
    for network, axes in zip(networks, rows, strict=True):
        pressed = network.pressed[layer] & network.penalised
        _proportions(axes, network.gammas[layer], pressed)
        _name_parts(axes, pressed, network.modalities)
        axes.set_ylabel("share of |gamma|")
        axes.set_title(layer if len(networks) == 1 else f"{network.label}: {layer}", fontsize=10, pad=18)
    rows[-1].set_xlabel("channel")
    modality_legend(figure, networks[0].modalities)
    return write_figure(figure, out)


def all_proportions(networks: Sequence[NetworkGammas], out: Path) -> Path:
    """`gamma_proportions` of all layers in one grid (S-Fig 12): a column per network where there are several."""
    cells = [(network, layer) for network in networks for layer in network.gammas]
    names = formats.short_names(list(networks[0].gammas))
    columns = min(4, len(names)) if len(networks) == 1 else len(networks)
    rows = math.ceil(len(cells) / columns)
    figure = new_figure(2.7 * columns + 0.6, 1.35 * rows + 0.9)
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    panels = grid.ravel() if len(networks) == 1 else grid.T.ravel()
    for place, (axes, (network, layer)) in enumerate(zip(panels, cells, strict=False)):
        _proportions(axes, network.gammas[layer], network.pressed[layer] & network.penalised)
        first = len(networks) > 1 and place % len(names) == 0
        title = names[place % len(names)]
        axes.set_title(f"{network.label}\n{title}" if first else title, fontsize=7, pad=3)
        axes.tick_params(labelsize=6)
    for axes in panels[len(cells) :]:
        axes.set_visible(False)
    figure.suptitle("Each modality's share of |gamma| per channel, all exchanging layers", fontsize=10)
    figure.supylabel("share of |gamma| in every channel", fontsize=8)
    modality_legend(figure, networks[0].modalities)
    return write_figure(figure, out)


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
    axes.set(xlim=(0, gammas.shape[1]), ylim=(0, 1))
    plain(axes)


def own_parts(pressed: Array) -> list[tuple[int, int, int]]:
    """(modality, first channel, channel after the last) of every own part; empty where parts are not disjoint."""
    if (pressed.sum(axis=0) > 1).any():
        return []
    places = [(m, np.flatnonzero(row)) for m, row in enumerate(pressed)]
    return [(m, int(channels[0]), int(channels[-1]) + 1) for m, channels in places if len(channels)]


def _name_parts(axes: Axes, pressed: Array, modalities: Sequence[str]) -> None:
    """Write above the plot which modality is pressed where."""
    whole = "all modalities pressed everywhere" if pressed.any() else "no modality pressed anywhere"
    parts = [(start, stop, f"own part of {modalities[m]}") for m, start, stop in own_parts(pressed)]
    for start, stop, words in parts or [(0, pressed.shape[1], whole)]:
        axes.text((start + stop) / 2, 1.02, words, ha="center", va="bottom", fontsize=8)


# --- S-Fig 4 ------------------------------------------------------------------------------------------------------


def theorem_1(ratios: Array, probabilities: Array, measured: Attraction | None, out: Path) -> Path:
    """Theorem 1's probability against lambda / |gradient| (S-Fig 4); where it was measured, its calibration beside it.

    ratios, probabilities [n]: the curve.
    """
    figure = new_figure(4.2 if measured is None else 8.4, 3.4)
    curve, *others = figure.subplots(1, 1 if measured is None else 2, squeeze=False)[0]
    curve.plot(ratios, probabilities, color=KEPT)
    curve.set(xlabel="lambda / |gradient|", ylabel="probability that gamma is attracted to 0", ylim=(0, 1.02))
    curve.margins(x=0)
    plain(curve)
    if measured is not None:
        _calibration(others[0], measured)
        figure.legend(loc="outside lower right", ncols=2, frameon=False, fontsize=7, markerscale=0.5)
    figure.suptitle("Theorem 1", fontsize=10)
    return write_figure(figure, out)


def _calibration(axes: Axes, measured: Attraction) -> None:
    """What was observed against what was predicted; the size of a point says how many gammas it stands for."""
    places = [item.predicted for item in measured.bins]
    most = max((item.gammas for item in measured.bins), default=1)
    sizes = [15 + 150 * item.gammas / most for item in measured.bins]
    axes.plot([0, 1], [0, 1], color="black", linestyle="--", linewidth=0.8)
    observed, below = [item.observed for item in measured.bins], [item.below for item in measured.bins]
    axes.scatter(places, observed, s=sizes, color=KEPT, alpha=0.7, label="|gradient| < lambda in other batches")
    if not np.isnan(below).all():
        axes.scatter(places, below, s=sizes, color=FALLEN, alpha=0.7, marker="s", label="below the threshold now")
    axes.set(xlabel="predicted probability", ylabel="observed share", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    plain(axes)
