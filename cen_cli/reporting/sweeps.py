"""A sweep's report: a table beside the paper's numbers, verdicts on its orderings; as text, Markdown or CSV.

Cells are the mean over seeds and, behind `±`, their sample standard deviation. The last columns hold the last metric
that has numbers against the reference row: mean difference over common seeds and the p-value of a paired t-test.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.text import Text

from cen_cli.reporting import formats, scores
from cen_cli.reporting.tables import grouped, new_table
from cen_cli.results import SCALAR_METRICS, MemberOutcome, PlannedMember, SweepCell, SweepReport

WIDEST = 120
"""Columns that a block takes at most, piped too."""

GAP = 3
"""What stands between two columns."""


@dataclass(frozen=True)
class WideTable:
    """Rows with a name each; its columns stand in blocks where the terminal is too narrow for all of them.

    Each block repeats the names of the rows, which fold at words, so that no name, number or heading is ever cut.
    """

    name: str
    """Over the rows' names."""
    headings: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str]]]
    """A row's name, and a cell for each of the headings."""
    bold: str = ""
    """The name of the row that stands out."""
    together: int = 1
    """How many of the last columns stay in one block."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """One table a block."""
        width = min(options.max_width, WIDEST)
        longest = max(cell_len(name) for name in (self.name, *(name for name, _ in self.rows)))
        names = min(longest, max(width // 3, 16))
        for block in self._blocks(width - names - GAP):
            table = new_table(self.name, numbers=[self.headings[column] for column in block])
            table.columns[0].width = names
            for name, cells in self.rows:
                table.add_row(name, *(cells[column] for column in block), style="bold" if name == self.bold else None)
            yield table

    def _blocks(self, room: int) -> Iterator[list[int]]:
        """The columns of each block, as many as there is room for."""
        last = len(self.headings) - self.together
        units = [[column] for column in range(last)] + [list(range(last, len(self.headings)))]
        block: list[int] = []
        for unit in units:
            if block and sum(map(self._width, block + unit)) > room:
                yield block
                block = []
            block = block + unit
        yield block

    def _width(self, column: int) -> int:
        texts = (*self.headings[column].splitlines(), *(cells[column] for _, cells in self.rows))
        return max(map(cell_len, texts)) + GAP


def _conventions(report: SweepReport, mark: str) -> list[str]:
    """How the table is to be read, line by line; `mark` stands before the paper's numbers, where there are any."""
    paper = any(cell.paper is not None for row in report.rows for cell in row.cells)
    parts = ["mean ± standard deviation over seeds", *([f"behind {mark} the paper's number"] if paper else [])]
    words = "; ".join([*parts, "p: paired t-test"])
    seeds = max((row.members for row in report.rows), default=0)
    once = ["one seed: no spread, no test, no verdict"] if seeds == 1 else []
    scored = f"{report.split} split" + (f", checkpoint {report.checkpoint} of each run" if report.checkpoint else "")
    return [f"{scored}; reference: {report.reference}", words, *once]


def render_sweep(report: SweepReport) -> list[RenderableType]:
    """The report's tables and verdicts in reading order."""
    parts: list[RenderableType] = [Text(report.title), *map(Text, _conventions(report, "a bar"))]
    parts += _score_tables(report, "\n")
    if report.source:
        parts.append(Text(f"paper's numbers: {report.source}"))
    parts += _verdict_tables(report)
    return [*parts, *map(Text, report.advice), *(Text(f"note: {note}") for note in report.notes)]


def sweep_markdown(report: SweepReport) -> str:
    """The same as Markdown tables."""
    source = [f"The paper's numbers: {report.source}.", ""] if report.source else []
    lines = [f"**{report.title}**", "", *source, f"{'; '.join(_conventions(report, 'a stroke'))}.", ""]
    for table in (*_score_tables(report, " "), *_verdict_tables(report)):
        head = [[table.name, *table.headings], ["---"] * (len(table.headings) + 1)]
        for cells in (*head, *((name, *texts) for name, texts in table.rows)):
            lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
        lines.append("")
    lines += [f"- {sentence}" for sentence in (*report.advice, *(f"note: {note}" for note in report.notes))]
    return "\n".join(lines).rstrip("\n") + "\n"


def sweep_csv(report: SweepReport) -> str:
    """One line per row, metric and seed, values in the metric's own unit; the paper's number on each."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["group", "variant", "metric", "seed", "value", "paper", "checkpoint"])
    for row in report.rows:
        for cell in row.cells:
            paper = "" if cell.paper is None else cell.paper
            for seed, value in cell.values.items():
                writer.writerow([row.group, row.variant, cell.metric, seed, value, paper, report.checkpoint])
    return text.getvalue()


def render_members(planned: Sequence[PlannedMember]) -> list[RenderableType]:
    """Every member with its state, and how long it took or may take."""
    table = new_table("member", "run", numbers=("seed", "state", "time"))
    for entry in planned:
        outcome, expected = entry.member, entry.expected_seconds
        about = "" if outcome.seconds is not None or expected is None else "about "
        time = "unknown" if isinstance(expected, str) else about + formats.duration(expected)
        table.add_row(_row_name(outcome), outcome.run, str(outcome.seed), outcome.state, time)
    left = [entry.expected_seconds for entry in planned if entry.member.state != "done"]
    reasons = dict.fromkeys(reason for reason in left if isinstance(reason, str))
    known = [seconds for seconds in left if seconds is not None and not isinstance(seconds, str)]
    total = f"{len(planned) - len(left)} of {len(planned)} members are done"
    if known or reasons:
        total += f"; the others take about {formats.duration(sum(known))} one by one"
        total += ", and some are unknown" if len(known) < len(left) else ""
    return [table, total, *(f"note: {reason}" for reason in reasons)]


def outcome_line(outcome: MemberOutcome, metric: str) -> str:
    """One member that has ended, on one line."""
    head = f"{_row_name(outcome)} seed {outcome.seed}: {outcome.state}"
    if outcome.evaluation is None:
        return f"{head} ({outcome.run}.log)" if outcome.state == "failed" else head
    task = outcome.evaluation.task
    wanted = metric.rpartition(".")[2]
    name = f"ensemble.{wanted if wanted in SCALAR_METRICS[task] else scores.WATCHED[task]}"
    value = scores.written(name, outcome.evaluation.metric(name))
    return f"{head}, {name} {value}, {formats.duration(outcome.seconds)}"


def _row_name(outcome: MemberOutcome) -> str:
    return "/".join(filter(None, (outcome.group, outcome.variant)))


def _score_tables(report: SweepReport, between: str) -> list[WideTable]:
    """A table per group: seeds, one column a metric, replaced channels and costs if any, then the comparison.

    The last metric that has a number is compared. `between` stands between a heading's branch and its metric.
    """
    tables = []
    for group, rows in grouped(report.rows, attrgetter("group")).items():
        columns = range(len(rows[0].cells))
        known = [i for i in columns if any(row.cells[i].values or row.cells[i].paper is not None for row in rows)]
        shown = known or [*columns]
        names = [score_heading(rows[0].cells[index].metric, between) for index in shown]
        replaced = [f"replaced{between}%"] if any(not math.isnan(row.replaced) for row in rows) else []
        costs = [f"M{between}parameters", f"G{between}MACs"] if any(row.cost for row in rows) else []
        headings = ("seeds", *names, *replaced, *costs, f"difference,{between}{names[-1].replace(between, ' ')}", "p")
        lines = []
        for row in rows:
            failed = f" ({row.failed} failed)" if row.failed else ""
            cells = [f"{row.done}/{row.members}{failed}", *(_with_paper(row.cells[index]) for index in shown)]
            cells += [formats.percent(row.replaced, 1)] if replaced else []
            if costs:
                spent = (row.cost.parameters / 1e6, row.cost.macs / 1e9) if row.cost else (None, None)
                cells += map(formats.number, spent)
            compared = row.cells[shown[-1]]
            difference = [_signed(compared), formats.probability(compared.p_value)]
            cells += [formats.ABSENT] * 2 if row.label == report.reference else difference
            lines.append((row.label, cells))
        tables.append(WideTable(report.groups.get(group, "row"), headings, lines, report.reference, together=2))
    return tables


def score_heading(metric: str, between: str = " ") -> str:
    """A metric by its branch and its name in tables."""
    return f"{metric.rpartition('.')[0]}{between}{scores.metric_of(metric).heading}"


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


def _verdict_tables(report: SweepReport) -> list[WideTable]:
    """A table per group: each ordering, its verdict, by how much the better row is better on average, its p-value."""
    groups: dict[str, list[tuple[str, list[str]]]] = {}
    for verdict in report.verdicts:
        sign = "-" if verdict.difference < 0 else ""
        size = sign + scores.written(verdict.metric, abs(verdict.difference))
        cells = [verdict.words, size if verdict.seeds else formats.ABSENT, formats.probability(verdict.p_value)]
        name = f"{verdict.claim} ({score_heading(verdict.metric)})"
        heading = "ordering" + (f": {report.groups[verdict.group]}" if verdict.group else "")
        groups.setdefault(heading, []).append((name, cells))
    return [WideTable(heading, ("verdict", "better by", "p"), verdicts) for heading, verdicts in groups.items()]
