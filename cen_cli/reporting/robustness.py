"""A robustness report as tables: missing modalities, corruptions, what each branch relies on, classes.

A cell is the score and, behind it, its change against whole inputs, in the metric's own direction: less IoU and more
MAE are both worse. JSON holds drops, which are positive where it is worse.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table

from cen_cli.reporting import formats, scores
from cen_cli.reporting.figures import modality_colour, new_figure, plain, write_figure
from cen_cli.reporting.tables import facts, grouped, new_table
from cen_cli.results import (
    ENSEMBLE,
    AlteredScores,
    CorruptedScores,
    Evaluation,
    Fill,
    Robustness,
    SegmentationScores,
    lower_is_better,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = {"segmentation": ("mean_iou",), "translation": ("mae", "psnr", "ssim")}
"""By task: the metrics of which missing modalities have a table; the other metrics stand in JSON."""
MOST_IN_A_LINE = 3
"""Branches up to which a score and its change stand on one line of a cell."""
FILLS = {
    Fill.ZERO: "0 as the network sees it",
    Fill.MEAN: "the mean of each channel",
    Fill.NOISE: "noise with the mean and spread of each channel",
    Fill.OTHER: "the same modality of another view",
}
CORRUPTIONS = {
    "noise": "normal; sigma as a share of the range, or of a measured value above the lowest of its range",
    "blur": "Gaussian; sigma as a share of the shorter side",
    "darkening": "the share of the light that is lost",
    "holes": "the share of the pixels that lose their measurement, in patches",
}


def render_robustness(report: Robustness) -> list[RenderableType]:
    """The report in reading order, and last one line of the ensemble's scores to copy."""
    full = report.full
    head = f"{full.split} split, {formats.count(full.samples)} samples, {full.protocol} protocol, seed {report.seed}"
    parts: list[RenderableType] = [head, f"checkpoint: {full.checkpoint}", ""]
    if report.missing:
        parts += _render_missing(report)
    parts += [*_render_corrupted(report), *_render_reliance(report)]
    notes = [f"note: left out: {text}" for text in report.notes] + [f"note: {text}" for text in full.notes]
    return [*parts, *notes, _line(report)]


# --- tables -----------------------------------------------------------------------------------------------------------


def _render_missing(report: Robustness) -> Iterator[RenderableType]:
    used = {line.fill for line in report.missing}
    yield "What takes the place of a missing modality:"
    yield facts((fill.value, words) for fill, words in FILLS.items() if fill in used)
    yield ""
    rows = [
        ("" if before and before.present == line.present else " + ".join(line.present), line.fill, line)
        for line, before in zip(report.missing, [None, *report.missing], strict=False)
    ]
    for metric in SHOWN[report.full.task]:
        yield f"Modalities missing: {_unit(metric)}, and its change"
        yield _table(report, metric, ("present", "missing is"), "all", rows)
    yield from _render_class(report)


def _render_corrupted(report: Robustness) -> Iterator[RenderableType]:
    used = {line.corruption for line in report.corrupted}
    yield "Strengths of corruptions:"
    yield facts((name, words) for name, words in CORRUPTIONS.items() if name in used)
    yield ""
    for modality, lines in grouped(report.corrupted, attrgetter("modality")).items():
        yield f"{modality} corrupted: {_unit(report.metric)}, and its change"
        rows = [(line.corruption if line.level == 1 else "", f"{line.strength:.0%}", line) for line in lines]
        yield _table(report, report.metric, ("corruption", "strength"), "none", rows)


def _table(
    report: Robustness, metric: str, names: tuple[str, str], whole: str, rows: Iterable[tuple[str, str, AlteredScores]]
) -> Table:
    """Scores of whole inputs in a row of their own; below what two columns say of altered ones, scores, changes."""
    table = new_table(*names, numbers=tuple(report.full.scores))
    values = [scores.written(metric, value) for value in scores.by_branch(report.full, metric).values()]
    table.add_row(whole, formats.ABSENT, *values, style="bold", end_section=True)
    for first, second, line in rows:
        table.add_row(first, second, *_cells(report.full, line, metric))
    return table


def _render_reliance(report: Robustness) -> Iterator[RenderableType]:
    modalities = tuple(report.reliance[0].swapped)
    yield f"Reliance: {_unit(report.metric)}, and its change when one input is another view's"
    sign = 1 if lower_is_better(report.metric) else -1
    table = new_table("branch", numbers=("weight", "whole", *(f"{name}\nswapped" for name in modalities)))
    for line in report.reliance:
        weight = formats.ABSENT if line.weight is None else f"{line.weight:.3f}"
        changes = [_signed(report.metric, sign * line.swapped[name]) for name in modalities]
        whole = scores.written(report.metric, line.score)
        table.add_row(line.branch, weight, whole, *changes, style="bold" if line.branch == ENSEMBLE else None)
    yield table


def _render_class(report: Robustness) -> Iterator[RenderableType]:
    """IoU of every class of the last branch, whole and with each modality alone missing, by the first fill."""
    first = report.missing[0].fill
    alone = {
        line.missing[0]: line.evaluation for line in report.missing if (len(line.missing), line.fill) == (1, first)
    }
    branch = list(report.full.scores)[-1]
    scored = [evaluation.scores[branch] for evaluation in (report.full, *alone.values())]
    ious = [item.class_iou for item in scored if isinstance(item, SegmentationScores)]
    if ious:
        yield f"IoU per class, percent: {branch}, in the place of what is missing {first}"
        rows = [(name, *map(formats.percent, row)) for name, *row in zip(report.full.class_names, *ious, strict=True)]
        yield new_table("class", numbers=("all", *(f"without\n{name}" for name in alone)), rows=rows)


# --- cells ------------------------------------------------------------------------------------------------------------


def _unit(metric: str) -> str:
    known = scores.METRICS[metric]
    return f"{known.heading}, percent" if known.percent else known.heading


def _cells(full: Evaluation, line: AlteredScores, metric: str) -> list[str]:
    """Score and change of every branch."""
    between = " " if len(full.scores) <= MOST_IN_A_LINE else "\n"
    return [
        between.join((scores.written(metric, value), _signed(metric, value - getattr(full.scores[branch], metric))))
        for branch, value in scores.by_branch(line.evaluation, metric).items()
    ]


def _signed(metric: str, change: float) -> str:
    if math.isnan(change):
        return formats.ABSENT
    size = scores.written(metric, abs(change))
    return size if size == scores.written(metric, 0.0) else f"{'-' if change < 0 else '+'}{size}"


def _line(report: Robustness) -> str:
    """The ensemble's scores with modalities missing on one line, by what is present and the fill."""
    name = f"{ENSEMBLE}.{report.metric}"
    cases: Mapping[str, Evaluation] = {"all": report.full} | {
        f"{'+'.join(line.present)}/{line.fill}": line.evaluation for line in report.missing
    }
    words = [f"{case}={scores.written(name, evaluation.metric(name))}" for case, evaluation in cases.items()]
    return " ".join([f"robustness: split={report.full.split} seed={report.seed} metric={name}", *words])


# --- picture ----------------------------------------------------------------------------------------------------------


def write_corruptions(path: Path, report: Robustness) -> Path:
    """Every branch's score against the strength of each corruption, in the tables' units, as PNG. Raises SaveError.

    One row of panels per modality, one panel per corruption.
    """
    by_modality = grouped(report.corrupted, attrgetter("modality"))
    rows = {modality: grouped(lines, attrgetter("corruption")) for modality, lines in by_modality.items()}
    columns = max(map(len, rows.values()))
    figure = new_figure(2.6 * columns + 0.6, 2.2 * len(rows) + 0.7)
    grid = figure.subplots(len(rows), columns, sharey=True, squeeze=False)
    for row, (modality, corruptions) in zip(grid, rows.items(), strict=True):
        for axes, (corruption, lines) in zip(row, corruptions.items(), strict=False):
            _levels(axes, report, lines)
            axes.set_title(f"{modality}: {corruption}", fontsize=9)
        for axes in row[len(corruptions) :]:
            axes.set_visible(False)
        row[0].set_ylabel(_unit(report.metric), fontsize=8)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=8)
    return write_figure(figure, path)


def _levels(axes: Axes, report: Robustness, lines: Sequence[CorruptedScores]) -> None:
    """The scores whole, then by level; the last of several branches is drawn in black."""
    strengths = [0.0, *(100 * line.strength for line in lines)]
    evaluations = [report.full, *(line.evaluation for line in lines)]
    for index, branch in enumerate(report.full.scores):
        colour = "black" if 0 < index == len(report.full.scores) - 1 else modality_colour(index)
        factor = scores.METRICS[report.metric].factor
        values = [factor * getattr(each.scores[branch], report.metric) for each in evaluations]
        axes.plot(strengths, values, color=colour, marker="o", markersize=3, label=branch)
    axes.set_xticks(strengths, [f"{strength:g}" for strength in strengths])
    axes.set_xlabel("strength, percent", fontsize=8)
    axes.tick_params(labelsize=7)
    plain(axes)
