"""A robustness report as tables: missing modalities, corruptions, what each branch relies on, classes.

A cell is the score and, behind it, its change against whole inputs, in the metric's own direction: less IoU and more
MAE are both worse. JSON holds drops, which are positive where it is worse.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import RenderableType
from rich.table import Table

from cen_cli.reporting import formats, plots, scores
from cen_cli.reporting.tables import facts, new_table
from cen_cli.results import (
    ENSEMBLE,
    AlteredScores,
    CorruptedScores,
    Evaluation,
    Fill,
    Robustness,
    Scores,
    SegmentationScores,
    lower_is_better,
)

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
    "noise": "normal; sigma as a share of the range, or of the measured value itself",
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
    for metric in SHOWN[report.full.task]:
        yield f"Modalities missing: {_unit(metric)}, and its change"
        yield _missing_table(report, metric)
    yield from _render_class(report)


def _missing_table(report: Robustness, metric: str) -> Table:
    table = new_table("present", "missing is", numbers=tuple(report.full.scores))
    table.add_row("all", formats.ABSENT, *_whole(report.full, metric), style="bold", end_section=True)
    for line, before in zip(report.missing, [None, *report.missing], strict=False):
        present = "" if before is not None and before.present == line.present else " + ".join(line.present)
        table.add_row(present, line.fill, *_cells(report.full, line, metric))
    return table


def _render_corrupted(report: Robustness) -> Iterator[RenderableType]:
    used = {line.corruption for line in report.corrupted}
    yield "Strengths of corruptions:"
    yield facts((name, words) for name, words in CORRUPTIONS.items() if name in used)
    yield ""
    for modality, lines in _by_modality(report.corrupted).items():
        yield f"{modality} corrupted: {_unit(report.metric)}, and its change"
        yield _corrupted_table(report, lines)


def _corrupted_table(report: Robustness, lines: Sequence[CorruptedScores]) -> Table:
    table = new_table("corruption", "strength", numbers=tuple(report.full.scores))
    table.add_row("none", formats.ABSENT, *_whole(report.full, report.metric), style="bold", end_section=True)
    for line in lines:
        name = line.corruption if line.level == 1 else ""
        table.add_row(name, f"{line.strength:.0%}", *_cells(report.full, line, report.metric))
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
    branch, whole = list(report.full.scores.items())[-1]
    if not isinstance(whole, SegmentationScores):
        return
    yield f"IoU per class, percent: {branch}, in the place of what is missing {first}"
    table = new_table("class", numbers=("all", *(f"without\n{name}" for name in alone)))
    for index, name in enumerate(report.full.class_names):
        ious = [_class_iou(evaluation.scores[branch], index) for evaluation in (report.full, *alone.values())]
        table.add_row(name, *ious)
    yield table


def _class_iou(branch: Scores, index: int) -> str:
    assert isinstance(branch, SegmentationScores), "one task in one report"
    return formats.percent(branch.class_iou[index])


# --- cells ------------------------------------------------------------------------------------------------------------


def _unit(metric: str) -> str:
    return scores.HEADINGS[metric] + (", percent" if scores.WRITTEN[metric] is formats.percent else "")


def _whole(full: Evaluation, metric: str) -> list[str]:
    return [scores.written(metric, getattr(branch, metric)) for branch in full.scores.values()]


def _cells(full: Evaluation, line: AlteredScores, metric: str) -> list[str]:
    """Score and change of every branch."""
    between = " " if len(full.scores) <= MOST_IN_A_LINE else "\n"
    return [
        between.join((scores.written(metric, value), _signed(metric, value - getattr(full.scores[branch], metric))))
        for branch, value in _values(line.evaluation, metric).items()
    ]


def _values(evaluation: Evaluation, metric: str) -> dict[str, float]:
    return {branch: float(getattr(item, metric)) for branch, item in evaluation.scores.items()}


def _signed(metric: str, change: float) -> str:
    if math.isnan(change):
        return formats.ABSENT
    size = scores.written(metric, abs(change))
    return size if size == scores.written(metric, 0.0) else f"{'-' if change < 0 else '+'}{size}"


def _by_modality(lines: Sequence[CorruptedScores]) -> dict[str, list[CorruptedScores]]:
    by_modality: dict[str, list[CorruptedScores]] = {}
    for line in lines:
        by_modality.setdefault(line.modality, []).append(line)
    return by_modality


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
    """Every branch's score against the strength of each corruption, in the tables' units, as PNG. Raises SaveError."""
    panels = {
        modality: {name: _levels(report, [line for line in lines if line.corruption == name]) for name in _names(lines)}
        for modality, lines in _by_modality(report.corrupted).items()
    }
    return plots.scores_by_level(panels, metric=_unit(report.metric), out=path)


def _names(lines: Sequence[CorruptedScores]) -> list[str]:
    return list(dict.fromkeys(line.corruption for line in lines))


def _levels(report: Robustness, lines: Sequence[CorruptedScores]) -> plots.Levels:
    """The scores whole, then by level."""
    factor = scores.FACTORS.get(report.metric, 1)
    evaluations = [_values(each, report.metric) for each in (report.full, *(line.evaluation for line in lines))]
    curves = {branch: [factor * values[branch] for values in evaluations] for branch in report.full.scores}
    return plots.Levels([0.0, *(100 * line.strength for line in lines)], curves)
