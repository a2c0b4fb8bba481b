"""What `cen data check` and `cen data init` show: what files hold, what they are taken for, and what looks wrong."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from cen_cli.reporting import formats
from cen_cli.reporting.tables import facts, new_table
from cen_cli.results.findings import DataCheck, Finding, LabelShare, SplitFacts, Survey
from cen_cli.wording import listed

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
    for part in split.modalities:
        values = formats.ABSENT if part.low is None else f"{part.low:.6g} .. {part.high:.6g}"
        stored = ", ".join(part.stored) or "no image files"
        table.add_row(part.name, stored, _sizes(part.sizes), values, part.expected, formats.percent(part.invalid))
    return table


def _sizes(sizes: Sequence[tuple[int, int]]) -> str:
    return listed((f"{height}x{width}" for height, width in sizes), MOST_SIZES)


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


# --- cen data init ----------------------------------------------------------------------------------------------------


def survey_parts(survey: Survey, target: str | None, recipe: str) -> list[RenderableType]:
    """What was found in a folder, what was concluded and why, what was written, what to do next."""
    table = new_table("modality", "files", "size", "values", "taken for", numbers=("number",))
    for modality in survey.modalities:
        role = f"{modality.meaning.kind}{' (target)' if modality.name == target else ''}"
        values = f"{modality.low:.6g} .. {modality.high:.6g}"
        types = ", ".join(modality.types)
        table.add_row(modality.name, types, _sizes(modality.sizes), values, role, str(modality.files))
    labels = survey.labels
    if labels is not None:
        classes = f"{len(labels.classes)} classes"
        types = ", ".join(labels.types)
        role = "labels" if target is None else "labels (not used)"
        table.add_row("labels", types, _sizes(labels.sizes), classes, role, str(labels.files))
    sentences = [(part.name, "; ".join([part.pattern, *part.meaning.evidence])) for part in survey.modalities]
    if labels is not None and target is None:
        sentences.append(("labels", "; ".join([labels.pattern, *labels.evidence])))
    sentences += [("views", _views(survey)), *(("note", note) for note in survey.notes)]
    task = f"a translation to {target}" if target else "a segmentation"
    advice = "the guesses above may be wrong" + ("" if target else ", and classes need their names")
    inputs = [part.name for part in survey.modalities if part.name != target]
    asked = [f"after the first training, which fusion to take: cen sweep fusions --recipe {recipe} --budget 2h"]
    return [
        table,
        facts(sentences),
        f"wrote {recipe}: {task}. Open it: {advice}.",
        f"next: cen data check {recipe}, then: cen train {recipe}",
        *(asked if len(inputs) > 1 else []),
    ]


def _views(survey: Survey) -> str:
    views = f"{formats.count(survey.complete)} with all their files"
    if survey.complete < survey.views:
        views += f", {formats.count(survey.views - survey.complete)} without (left out)"
    if survey.groups:
        views += f", in {survey.groups} groups"
    if not survey.splits:
        return views
    val = "" if "val" in survey.splits else "; val is a share of train"
    return f"{views}, divided by folders into {', '.join(survey.splits)}, which is kept{val}"
