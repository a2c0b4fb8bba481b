"""Pictures of a sweep: sensitivity to the values of keys (S-Fig 13), and scores against what the networks cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cen_cli.errors import CenError
from cen_cli.reporting import scores
from cen_cli.reporting.figures import FALLEN, KEPT, new_figure, plain, write_figure
from cen_cli.reporting.sweeps import score_heading
from cen_cli.reporting.tables import grouped
from cen_cli.results import SweepReport, SweepRow, commonest_metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KEYS_IN_WORDS = {
    "exchange.sparsity": "weight of the sparsity penalty, lambda",
    "exchange.threshold": "threshold of replacing a channel, theta",
}
"""How a figure's axis calls a recipe's key."""
MARKERS = "ovD^P<X>"

Point = tuple[float, SweepRow]
"""The value of a key, and the row that has it."""


def write_sweep_figure(
    path: Path, report: SweepReport, values: Mapping[tuple[str, str], Mapping[str, float]], metrics: Sequence[str]
) -> Path:
    """A score (left axis) and the replaced share (right), with their spreads, against the values of keys, as PNG.

    `values`: (group, variant) -> the keys' values. There is a panel per group and key: it holds the rows that differ
    from the reference in its key alone, and shows the first of the metrics that the group has. Rows without a finished
    member are left out. Raises SaveError, and CenError where no reference has one.
    """
    done = [row for row in report.rows if row.done]
    panels: list[tuple[str, str, str, list[Point]]] = []
    for group, rows in grouped(done, attrgetter("group")).items():
        metric = next((name for name in metrics for cell in rows[0].cells if cell.metric == name and cell.values), None)
        reference = next((row.variant for row in rows if row.label == report.reference), None)
        if metric is None or reference is None:
            continue
        for key, points in _varied(rows, {row.variant: values[group, row.variant] for row in rows}, reference).items():
            panels.append((report.groups.get(group, ""), key, metric, points))
    if not panels:
        raise CenError(f"{path.name}: no group has its reference row, {report.reference}, yet")
    figure = new_figure(4.4 * len(panels) + 0.4, 3.5)
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw_sensitivity(axes, *panel)
    figure.suptitle(report.title, fontsize=10)
    seeds = sorted({row.done for row in done})
    counts = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    bars = f"Points: means over {counts} seeds; bars: standard deviation over them."
    figure.supxlabel("One seed each: no spread." if seeds[-1] == 1 else bars, fontsize=8)
    return write_figure(figure, path)


def _varied(
    rows: Sequence[SweepRow], values: Mapping[str, Mapping[str, float]], reference: str
) -> dict[str, list[Point]]:
    """For each key the rows that differ from the reference in it alone, by its value, in ascending order."""
    points: dict[str, list[Point]] = {}
    for key in values[reference]:
        same = {**values[reference], key: None}
        alike = [(values[row.variant][key], row) for row in rows if {**values[row.variant], key: None} == same]
        points[key] = sorted(alike, key=itemgetter(0))
    return points


def _draw_sensitivity(axes: Axes, title: str, key: str, metric: str, points: Sequence[Point]) -> None:
    places = [place for place, _ in points]
    cells = [row.cell(metric) for _, row in points]
    known = scores.metric_of(metric)
    style: dict[str, Any] = {"markersize": 4, "capsize": 3}
    means = [known.factor * cell.mean for cell in cells]
    spreads = [known.factor * np.nan_to_num(cell.std) for cell in cells]
    axes.errorbar(places, means, yerr=spreads, color=KEPT, marker="o", **style)
    axes.set(xlabel=KEYS_IN_WORDS.get(key, key))
    least = min((place for place in places if place > 0), default=1.0)
    axes.set_xscale("symlog", linthresh=least) if 0 in places else axes.set_xscale("log")
    if len({*places}) == 1 and least in places:  # a logarithmic axis of one point has no ends
        axes.set_xlim(least / 10, least * 10)
    axes.set_ylabel(_axis(metric), color=KEPT)
    axes.set_title(title, fontsize=9)
    right = axes.twinx()
    shares = [100 * row.replaced for _, row in points]
    spreads = [100 * np.nan_to_num(row.replaced_std) for _, row in points]
    right.errorbar(places, shares, yerr=spreads, color=FALLEN, linestyle="--", marker="s", **style)
    right.set_ylabel("replaced of the pressed channels, %", color=FALLEN, fontsize=8)
    right.set_ylim(-4, np.nanmax([104, *(share + 4 for share in shares)]))  # anywhere, shares may pass 100


def _axis(metric: str) -> str:
    return score_heading(metric) + (", %" if scores.metric_of(metric).percent else "")


def write_cost_figure(path: Path, report: SweepReport) -> Path:
    """Scores with their spreads against multiply-accumulates, a panel per group, as PNG. Raises SaveError."""
    scored = [row for row in report.rows if row.cost and any(cell.values for cell in row.cells)]
    groups = grouped(scored, attrgetter("group"))
    places = {name: index for index, name in enumerate(dict.fromkeys(row.variant for row in report.rows))}
    figure = new_figure(6.4 * len(groups) + 0.4, 4.4)
    for axes, (group, rows) in zip(figure.subplots(1, len(groups), squeeze=False)[0], groups.items(), strict=True):
        metric = commonest_metric(rows)
        factor = scores.metric_of(metric).factor
        for row in [each for each in rows if each.cell(metric).values]:
            index = places[row.variant]
            assert row.cost is not None, "those without are left out"
            cell = row.cell(metric)
            marker = "s" if row.alone else MARKERS[index % len(MARKERS)]
            style = {"color": f"C{index % 10}", "marker": marker, "linestyle": "none", "capsize": 3}
            spread = factor * np.nan_to_num(cell.std)
            axes.errorbar([row.cost.macs / 1e9], [factor * cell.mean], yerr=[spread], label=row.label, **style)
        axes.set(xlabel="G MACs a view", ylabel=_axis(metric))
        axes.set_title(report.groups.get(group, ""), fontsize=9)
        axes.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
        plain(axes)
    figure.suptitle(report.title, fontsize=10)
    return write_figure(figure, path)
