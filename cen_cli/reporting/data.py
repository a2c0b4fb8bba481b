"""What `cen data check` shows: what the files of every split hold, the classes, and what looks wrong."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from cen_cli.findings import DataCheck, Finding, LabelShare, ModalityFacts, SplitFacts
from cen_cli.reporting import formats
from cen_cli.reporting.tables import new_table

STYLES = {"error": "bold red", "warning": "bold yellow"}
MOST_SIZES = 3


def check_parts(check: DataCheck, next_command: str) -> list[RenderableType]:
    """The report in reading order; it ends with what to do next."""
    parts: list[RenderableType] = []
    for split in check.splits:
        parts += [_split_line(split), _split_table(split)]
    if any(split.labels for split in check.splits):
        parts.append(_label_table(check.splits))
    parts += [line for finding in check.findings for line in finding_lines(finding)]
    return [*parts, verdict(check, next_command)]


def _split_line(split: SplitFacts) -> str:
    seen = "all" if split.looked_at == split.views else f"{formats.count(split.looked_at)} of them"
    return f"{split.split}: {formats.count(split.views)} views, {seen} looked at"


def _split_table(split: SplitFacts) -> Table:
    table = new_table("modality", "files", "size", "values", "expected", numbers=("invalid %",))
    for facts in split.modalities:
        values = formats.ABSENT if facts.low is None else f"{facts.low:.6g} .. {facts.high:.6g}"
        stored = ", ".join(facts.stored) or "not images"
        table.add_row(facts.name, stored, sizes(facts), values, facts.expected, formats.percent(facts.invalid))
    return table


def sizes(facts: ModalityFacts) -> str:
    """Sizes of files, the most frequent first."""
    more = f" and {len(facts.sizes) - MOST_SIZES} more" if len(facts.sizes) > MOST_SIZES else ""
    return ", ".join(f"{height}x{width}" for height, width in facts.sizes[:MOST_SIZES]) + more


def _label_table(splits: Sequence[SplitFacts]) -> Table:
    """The share of the labelled pixels that every class has, by split."""
    table = new_table("class", numbers=[f"{split.split} %" for split in splits])
    for number, share in enumerate(splits[0].labels):
        table.add_row(share.class_name, *(_share(split.labels, number) for split in splits))
    return table


def _share(labels: Sequence[LabelShare], number: int) -> str:
    share = labels[number].share
    return formats.percent(share) if share else formats.ABSENT


def finding_lines(finding: Finding) -> list[Text]:
    """A finding on a line, and its hint on another."""
    where = ", ".join(part for part in (finding.split, finding.modality) if part)
    lines = [
        Text.assemble((f"{finding.severity}: ", STYLES[finding.severity]), f"{where}: " if where else "", finding.text)
    ]
    return lines if finding.hint is None else [*lines, Text.assemble(("hint: ", "bold cyan"), finding.hint)]


def verdict(check: DataCheck, next_command: str) -> str:
    """Whether the data can be trained on."""
    warnings = len(check.findings) - check.errors
    counted = f"{_plural(check.errors, 'error')}, {_plural(warnings, 'warning')}"
    return counted if check.errors else f"{counted}; next: {next_command}"


def _plural(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"
