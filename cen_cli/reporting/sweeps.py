"""A sweep's report: a table beside the paper's numbers, verdicts on its orderings; as text, Markdown or CSV.

Cells are the mean over seeds and, behind `±`, their sample standard deviation. The last columns hold the last metric
against the sweep's reference row: mean difference over common seeds and the p-value of a paired t-test.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich.console import RenderableType

from cen_cli.reporting import formats, scores
from cen_cli.reporting.tables import new_table
from cen_cli.results import MemberOutcome, PlannedMember, SweepCell, SweepReport, SweepRow, SweepVerdict


def _conventions(report: SweepReport, mark: str) -> str:
    """How the table is to be read; `mark` stands before the paper's numbers, where there are any."""
    paper = any(cell.paper is not None for row in report.rows for cell in row.cells)
    parts = ["mean ± standard deviation over seeds", *([f"behind {mark} the paper's number"] if paper else [])]
    words = "; ".join([*parts, "p: paired t-test over seeds"])
    return f"{report.split} split; {words}; reference: {report.reference}"


def sweep_parts(report: SweepReport) -> list[RenderableType]:
    """The report's tables and verdicts in reading order."""
    head = [report.title, _conventions(report, "a bar")]
    parts: list[RenderableType] = [*head]
    for group, rows in _by_group(report.rows).items():
        headings, lines = _grid(rows, report.reference)
        table = new_table(report.groups.get(group, "row"), numbers=headings)
        for row, cells in zip(rows, lines, strict=True):
            table.add_row(row.label, *cells, style="bold" if row.label == report.reference else None)
        parts.append(table)
    if report.source:
        parts.append(f"paper's numbers: {report.source}")
    parts += [_verdict_line(verdict, report.groups) for verdict in report.verdicts]
    return [*parts, *(f"note: {note}" for note in report.notes)]


def sweep_markdown(report: SweepReport) -> str:
    """The same as Markdown tables."""
    lines = [f"**{report.title}**", "", f"{_conventions(report, 'a stroke')}.", ""]
    for group, rows in _by_group(report.rows).items():
        headings, cells = _grid(rows, report.reference)
        lines += [
            _markdown_row([report.groups.get(group, "row"), *headings]),
            _markdown_row(["---"] * (len(headings) + 1)),
        ]
        lines += [_markdown_row([row.label, *texts]) for row, texts in zip(rows, cells, strict=True)]
        lines.append("")
    lines += [f"- {_verdict_line(verdict, report.groups)}" for verdict in report.verdicts]
    return "\n".join(lines) + "\n"


def sweep_csv(report: SweepReport) -> str:
    """One line per row, metric and seed, values in the metric's own unit; the paper's number on each."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["group", "variant", "metric", "seed", "value", "paper"])
    for row in report.rows:
        for cell in row.cells:
            paper = "" if cell.paper is None else cell.paper
            for seed, value in cell.values.items():
                writer.writerow([row.group, row.variant, cell.metric, seed, value, paper])
    return text.getvalue()


def members_parts(planned: Sequence[PlannedMember]) -> list[RenderableType]:
    """Every member with its state, and how long it took or may take."""
    table = new_table("member", "run", numbers=("seed", "state", "time"))
    for entry in planned:
        outcome, expected = entry.member, entry.expected_seconds
        about = "" if outcome.seconds is not None else "about "
        time = "unknown" if isinstance(expected, str) else about + formats.duration(expected)
        table.add_row(_row_name(outcome), outcome.run, str(outcome.seed), outcome.state, time)
    left = [entry.expected_seconds for entry in planned if entry.member.state != "done"]
    reasons = dict.fromkeys(reason for reason in left if isinstance(reason, str))
    known = formats.duration(sum(seconds for seconds in left if not isinstance(seconds, str)))
    total = f"{len(planned) - len(left)} of {len(planned)} members are done; the others take about {known} one by one"
    return [table, total + (", and some are unknown" if reasons else ""), *(f"note: {reason}" for reason in reasons)]


def outcome_line(outcome: MemberOutcome, metric: str) -> str:
    """One member that has ended, on one line."""
    head = f"{_row_name(outcome)} seed {outcome.seed}: {outcome.state}"
    if outcome.evaluation is None:
        return f"{head} ({outcome.run}.log)" if outcome.state == "failed" else head
    name = f"ensemble.{metric.rpartition('.')[2]}"
    value = scores.written(name, outcome.evaluation.metric(name))
    return f"{head}, {name} {value}, {formats.duration(outcome.seconds)}"


def _row_name(outcome: MemberOutcome) -> str:
    return "/".join(filter(None, (outcome.group, outcome.variant)))


def write_sweep_figure(
    path: Path, report: SweepReport, places: dict[tuple[str, str], float], *, key: str, metric: str
) -> Path:
    """A score and the replaced share against a key's value (S-Fig 13), mean and standard deviation over seeds, as PNG.

    `places`: (group, variant) -> the key's value. Rows without a finished member are left out. Raises SaveError.
    """
    from cen_cli.reporting.plots import Curve, score_and_share

    curves = {}
    for group, rows in _by_group(report.rows).items():
        shown = sorted((row for row in rows if row.done), key=lambda row: places[row.group, row.variant])
        cells = [next(cell for cell in row.cells if cell.metric == metric) for row in shown]
        curves[report.groups.get(group, "")] = Curve(
            places=[places[row.group, row.variant] for row in shown],
            means=[cell.mean for cell in cells],
            spreads=[0.0 if math.isnan(cell.std) else cell.std for cell in cells],
            shares=[row.replaced for row in shown],
        )
    return score_and_share(curves, key=key, metric=metric, title=report.title, out=path)


def _by_group(rows: Iterable[SweepRow]) -> dict[str, list[SweepRow]]:
    groups: dict[str, list[SweepRow]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    return groups


def _grid(rows: Sequence[SweepRow], reference: str) -> tuple[tuple[str, ...], list[list[str]]]:
    """Headings and cells of one group: seeds, one column a metric, replaced channels if any, then the comparison."""
    replaced = ["replaced %"] if any(not math.isnan(row.replaced) for row in rows) else []
    shown = [index for index in range(len(rows[0].cells)) if any(_has_number(row.cells[index]) for row in rows)]
    headings = ("seeds", *(rows[0].cells[index].metric for index in shown), *replaced, "difference", "p")
    lines = []
    for row in rows:
        failed = f" ({row.failed} failed)" if row.failed else ""
        shares = [formats.percent(row.replaced, 1) for _ in replaced]
        scored = [_with_paper(row.cells[index]) for index in shown]
        compared = [formats.ABSENT] * 2 if row.label == reference else _compared(row.cells[-1])
        lines.append([f"{row.done}/{row.members}{failed}", *scored, *shares, *compared])
    return headings, lines


def _has_number(cell: SweepCell) -> bool:
    return bool(cell.values) or cell.paper is not None


def _compared(cell: SweepCell) -> list[str]:
    """Difference to the reference row and its p-value."""
    return [_signed(cell), formats.probability(cell.p_value)]


def _with_paper(cell: SweepCell) -> str:
    paper = "" if cell.paper is None else f" | {scores.written(cell.metric, cell.paper)}"
    if math.isnan(cell.mean):
        return formats.ABSENT + paper
    spread = "" if math.isnan(cell.std) else f" ± {scores.written(cell.metric, cell.std)}"
    return f"{scores.written(cell.metric, cell.mean)}{spread}{paper}"


def _signed(cell: SweepCell) -> str:
    if math.isnan(cell.difference):
        return formats.ABSENT
    sign = "+" if cell.difference >= 0 else "-"
    return sign + scores.written(cell.metric, abs(cell.difference))


def _verdict_line(verdict: SweepVerdict, groups: Mapping[str, str]) -> str:
    where = f"{groups[verdict.group]}: " if verdict.group else ""
    words = f"{where}{verdict.claim} ({verdict.metric}): {verdict.words}"
    if not verdict.seeds:
        return words
    size = scores.written(verdict.metric, abs(verdict.difference))
    p_value = "" if math.isnan(verdict.p_value) else f", p {formats.probability(verdict.p_value, equals='= ')}"
    return f"{words}; by {'-' if verdict.difference < 0 else ''}{size} on average{p_value}"


def _markdown_row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"
