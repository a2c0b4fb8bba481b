"""Result records as tables for a terminal: scores, classes, training plan, dry run, run summary, recipes.

Every function returns the parts of one report in reading order; `show` prints them. A part that is a string is printed
as one unwrapped line, so that it can be copied or grepped whole. Numbers never wrap or lose digits and fit into 80
columns; names fold onto a second line where they must.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from rich import box
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table

from cen_cli.reporting import formats, scores
from cen_cli.reporting.console import out, print_json
from cen_cli.results import (
    ENSEMBLE,
    DryRun,
    Evaluation,
    ExpectedScore,
    ReplacedCount,
    RunSummary,
    SegmentationScores,
    TrainingPlan,
)
from cen_cli.wording import command, listed


def confusion_sentences(evaluation: Evaluation) -> list[str]:
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


T = TypeVar("T")
K = TypeVar("K", bound=Hashable)

ALERT = "collapsed: cen analyze-gammas says why"
"""Said of a modality that is `collapsed`."""


FOLDED = 5
"""The narrowest column of names that fold."""
UNBOUNDED = 10_000


def show(console: Console, parts: Iterable[RenderableType]) -> None:
    """Print the parts of a report; strings as they are, on one line each, without markup or wrapping."""
    for part in parts:
        if isinstance(part, str):
            console.print(part, markup=False, highlight=False, soft_wrap=True)
        else:
            own = console.width
            console.width = max(own, _least_width(console, part))
            console.print(part, crop=False)
            console.width = own


def _least_width(console: Console, part: RenderableType) -> int:
    """What a table needs so that no column is cut, if it is one; where a terminal is narrower, lines run on."""
    if not isinstance(part, Table):
        return 0
    folding = [column for column in part.columns if not column.no_wrap]
    lengths = [max(cell_len(str(cell)) for cell in (column.header, *column.cells)) for column in folding]
    whole = part.__rich_measure__(console, console.options.update(width=UNBOUNDED)).maximum
    return whole - sum(max(length - FOLDED, 0) for length in lengths)


def print_result(document: Any, parts: Iterable[RenderableType], *, json: bool) -> None:
    """What a command has to say, on stdout: one JSON document, or the parts of a report for people."""
    if json:
        print_json(document)
    else:
        show(out(), parts)


def new_table(
    *names: str, numbers: Sequence[str], rows: Iterable[Sequence[str]] = (), whole: Sequence[str] = ()
) -> Table:
    """An open table whose `numbers` columns are right-aligned; they and `whole` never wrap, the other columns fold."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for name in names:
        table.add_column(name, overflow="fold", no_wrap=name in whole)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def facts(pairs: Iterable[tuple[str, str]]) -> Table:
    """Names and values in two columns without rules; long values fold."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(name, value)
    return table


def grouped(items: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """The items by their keys, both in the order in which they come."""
    groups: dict[K, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


# --- evaluation ---------------------------------------------------------------------------------------------------


def render_evaluation(
    evaluation: Evaluation, expected: Sequence[ExpectedScore] = (), *, title: str | None = None
) -> list[RenderableType]:
    """Scores per branch and ensemble, their convention, remarks, the expected scores, one line of metrics to copy."""
    words = [f"{modality} (in its place: {fill})" for modality, fill in evaluation.missing.items()]
    without = f" without {' and '.join(words)}" if words else ""
    heading = title or f"{evaluation.split} split{without}, {_measured(evaluation)}"
    parts: list[RenderableType] = [heading, *score_tables(evaluation)]
    parts += [f"checkpoint: {evaluation.checkpoint}"] if evaluation.checkpoint else []
    parts += [*scores.convention(evaluation), *(f"note: {text}" for text in evaluation.notes)]
    if expected:
        parts += render_expected(expected)
    return [*parts, scores.metric_line(evaluation)]


def _measured(evaluation: Evaluation) -> str:
    return f"{formats.count(evaluation.samples)} samples, {evaluation.protocol} protocol"


def score_tables(evaluation: Evaluation) -> list[Table]:
    """The task's tables, one row per branch and one for the ensemble; the first has the learned weight of each branch.

    Columns and tables without any number are left out.
    """
    known = evaluation.weights
    weights = [f"{known[branch]:.3f}" if branch in known else formats.ABSENT for branch in evaluation.scores]
    first, *others = (scores.filled(evaluation, columns) for columns in scores.TABLES[evaluation.task])
    tables = []
    for cells in ({"weight": weights, **first}, *filter(None, others)):
        table = new_table("branch", numbers=tuple(cells))
        for branch, *values in zip(evaluation.scores, *cells.values(), strict=True):
            table.add_row(branch, *values, style="bold" if branch == ENSEMBLE else None)
        tables.append(table)
    return tables


def render_expected(expected: Sequence[ExpectedScore]) -> list[RenderableType]:
    """Expected beside obtained scores with the verdict of each, then where the expected numbers come from."""
    verdicts = {True: "met", False: "MISSED", None: "no score"}
    table = new_table("metric", whole=("metric",), numbers=("expected", "tolerance", "obtained", "verdict"))
    for line in expected:
        numbers = [scores.written(line.metric, value) for value in (line.expected, line.tolerance, line.obtained)]
        style = "bold red" if line.met is False else None
        table.add_row(line.metric, *numbers, "not judged" if line.elsewhere else verdicts[line.met], style=style)
    parts: list[RenderableType] = [table, facts((line.metric, line.source) for line in expected)]
    if elsewhere := sorted({line.elsewhere for line in expected} - {""}):
        parts.append(f"Not judged here: expected are the scores of {' and '.join(elsewhere)}.")
    return parts


def render_class(evaluation: Evaluation) -> list[RenderableType]:
    """IoU of every class per branch, and the last branch's accuracy; classes absent from the truth show `-`.

    Nothing for a task without classes.
    """
    branches = {name: item for name, item in evaluation.scores.items() if isinstance(item, SegmentationScores)}
    if not branches:
        return []
    last, last_scores = list(branches.items())[-1]
    columns = [item.class_iou for item in branches.values()] + [last_scores.class_accuracy]
    rows = [(name, *map(formats.percent, row)) for name, *row in zip(evaluation.class_names, *columns, strict=True)]
    table = new_table("class", numbers=(*branches, f"{last} acc"), rows=rows)
    return ["IoU per class and, last, accuracy per class, percent", table, *confusion_sentences(evaluation)]


# --- training -----------------------------------------------------------------------------------------------------


def render_plan(plan: TrainingPlan) -> list[RenderableType]:
    """What a run is about to do, and the settings that differ from the defaults."""
    total = formats.count(sum(plan.parameters.values()))
    groups = " + ".join(f"{formats.count(value)} {name}" for name, value in plan.parameters.items())
    ratio = plan.bf16_over_fp32
    measured = "" if ratio is None else f" (measured: a step in bf16 takes {ratio:.2f} of fp32's time)"
    rows = [
        ("recipe", f"{plan.name} ({plan.task})"),
        ("modalities", ", ".join(plan.modalities) + (f" -> {plan.target}" if plan.target else "")),
        ("device", f"{plan.device}, {plan.precision}{measured}"),
        ("samples", f"{formats.count(plan.train_samples)} train, {formats.count(plan.validation_samples)} validation"),
        ("steps", f"{formats.count(plan.total_steps)} = {plan.epochs} epochs x {plan.steps_per_epoch}"),
        ("parameters", f"{total} = {groups}"),
    ]
    if not plan.resumed:
        rows.append(("first exchange", _first_exchange(plan)))
    if plan.exchanges:
        rows.append(("exchanges", f"after {formats.count(len(plan.exchanges))} norms: {_places(plan.exchanges)}"))
    if plan.start:
        rows.append(("starts from", plan.start))
    if plan.run is not None:
        rows.append(("run", plan.run))
    for index, (key, value) in enumerate(plan.changed.items()):
        shown = repr(value) if isinstance(value, str) else value
        rows.append(("" if index else "changed", f"{key} = {shown}"))
    return [facts(rows)]


def _places(layers: Sequence[str]) -> str:
    """The layers by their part of the network: `encoder.layer1 (0.bn1, 0.bn2, and 2 more), encoder.layer2 (...)`."""
    parts: dict[str, list[str]] = {}
    for layer in layers:
        network, stage, *place = layer.split(".")
        parts.setdefault(f"{network}.{stage}", []).append(".".join(place))
    return ", ".join(f"{part} ({listed(places, most=2)})" for part, places in parts.items())


def _first_exchange(plan: TrainingPlan) -> str:
    if not plan.exchanges:
        return "none, as no layer of this network exchanges"
    if plan.first_exchange_step is None:
        return "none expected in this run from the sparsity penalty alone"
    if plan.first_exchange_step == 0:
        return "from the first step"
    return f"about step {formats.count(plan.first_exchange_step)} from the sparsity penalty alone"


def render_dry_run(dry: DryRun) -> list[RenderableType]:
    """The plan, and what one step cost and gave."""
    sizes = {
        "parameters": dry.parameter_bytes,
        "gradients": dry.gradient_bytes,
        "activations": dry.activation_bytes,
        "optimiser": dry.optimizer_bytes,
    }
    split = " + ".join(f"{formats.size(size)} {what}" for what, size in sizes.items())
    rows = [
        ("MACs", f"{formats.operations(dry.macs)} per training crop, all modalities"),
        ("memory", f"about {formats.size(sum(sizes.values()))} = {split}"),
        ("one step", f"{dry.step_seconds:.2f} s"),
        ("the run", f"about {formats.duration(dry.run_seconds)}, loading and validations aside"),
        ("losses", "  ".join(f"{name} {formats.number(value)}" for name, value in dry.losses.items())),
    ]
    return [*render_plan(dry.plan), "", facts(rows), "Dry run: nothing was written."]


def render_summary(summary: RunSummary) -> list[RenderableType]:
    """How a run ended: its best scores beside the expected ones, the last ones, replaced channels, the next command."""
    best = f"best by {summary.best_by}, step {formats.count(summary.best_step)}: {_measured(summary.best)}"
    parts = render_evaluation(summary.best, summary.expected, title=best)
    if summary.best_step != summary.steps:
        last = f"last, step {formats.count(summary.steps)}: {_measured(summary.last)}"
        parts = [last, *score_tables(summary.last), *parts]
    if summary.replaced:
        shares = ", ".join(map(replaced_words, summary.replaced))
        parts.append(f"replaced share of the pressed channels: {shares}")
    steps = f"{formats.count(summary.steps)} steps, {summary.epochs} epochs in {formats.duration(summary.seconds)}"
    return [*parts, f"{steps}: {summary.run}", f"next: {command('eval', summary.run)}"]


def replaced_words(item: ReplacedCount) -> str:
    """One modality's replaced share of its pressed channels, with the alert where nearly all are gone."""
    words = f"{item.modality} {formats.percent(item.share_of_pressed, 1)}%"
    return f"{words} ({ALERT})" if item.collapsed else words


def catalog_table(kind: str, summaries: Mapping[str, str]) -> Table:
    """What is shipped of a kind, such as recipes: names and what each is for, one row each."""
    return new_table(kind, "what it is", whole=(kind,), numbers=(), rows=summaries.items())
