"""What `cen data check` and `cen data init` show: what files hold, what they are taken for, and what looks wrong."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from cen_cli.reporting import formats
from cen_cli.reporting.tables import facts, new_table
from cen_cli.results.datasets import DataCheck, Finding, InferredDataset, SplitFacts
from cen_cli.wording import command, listed

STYLES = {"error": "bold red", "warning": "bold yellow"}
MOST_SIZES = 3


def render_check(check: DataCheck, next_command: str) -> list[RenderableType]:
    """The report in reading order; it ends with what to do next."""
    parts: list[RenderableType] = []
    for split in check.splits:
        seen = "all" if split.opened == split.views else f"{formats.count(split.opened)} of them"
        parts += [f"{split.split}: {formats.count(split.views)} views, {seen} opened", _split_table(split)]
    if any(split.labels for split in check.splits):
        parts.append(_label_table(check.splits))
    parts += [line for finding in check.findings for line in finding_lines(finding)]
    return [*parts, verdict(check, next_command)]


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
    columns = [[formats.percent(line.share or None) for line in split.labels] for split in splits]
    rows = zip([line.class_name for line in splits[0].labels], *columns, strict=True)
    return new_table("class", numbers=[f"{split.split} %" for split in splits], rows=rows)


def finding_lines(finding: Finding) -> list[Text]:
    """A finding on a line, and its hint on another."""
    where = ", ".join(part for part in (finding.split, finding.modality) if part)
    label = (f"{finding.severity}: ", STYLES[finding.severity])
    hint = [] if finding.hint is None else [Text.assemble(("hint: ", "bold cyan"), finding.hint)]
    return [Text.assemble(label, f"{where}: " if where else "", finding.text), *hint]


def verdict(check: DataCheck, next_command: str) -> str:
    """Whether the data can be trained on."""
    warnings = len(check.findings) - check.errors
    counted = f"{_plural(check.errors, 'error')}, {_plural(warnings, 'warning')}"
    return counted if check.errors else f"{counted}; next: {next_command}"


def _plural(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


# --- cen data init ----------------------------------------------------------------------------------------------------


def render_draft(inferred: InferredDataset, target: str | None, recipe: str) -> list[RenderableType]:
    """What was found in a folder, what was concluded and why, what was written, what to do next."""
    table = new_table("modality", "files", "size", "values", "taken for", numbers=("number",))
    for modality in inferred.modalities:
        role = f"{modality.meaning.kind}{' (target)' if modality.name == target else ''}"
        values = f"{modality.low:.6g} .. {modality.high:.6g}"
        types = ", ".join(modality.types)
        table.add_row(modality.name, types, _sizes(modality.sizes), values, role, str(modality.files))
    labels = inferred.labels
    if labels is not None:
        classes = f"{len(labels.classes)} classes"
        types = ", ".join(labels.types)
        role = "labels" if target is None else "labels (not used)"
        table.add_row("labels", types, _sizes(labels.sizes), classes, role, str(labels.files))
    sentences = [(part.name, "; ".join([part.pattern, *part.meaning.evidence])) for part in inferred.modalities]
    if labels is not None and target is None:
        sentences.append(("labels", "; ".join([labels.pattern, *labels.evidence])))
    sentences += [("views", _views(inferred)), *(("note", note) for note in inferred.notes)]
    task = f"a translation to {target}" if target else "a segmentation"
    inputs = [part.name for part in inferred.modalities if part.name != target]
    asked = command("sweep", "fusions", "--recipe", recipe, "--budget", "2h")
    advice = "the conclusions above may be wrong" + ("" if target else ", and classes need their names")
    return [
        table,
        facts(sentences),
        f"wrote {recipe}: {task}. Open it: {advice}.",
        f"next: {command('data', 'check', recipe)}, then: {command('train', recipe)}",
        *([f"after the first training, which fusion to take: {asked}"] if len(inputs) > 1 else []),
    ]


def _views(inferred: InferredDataset) -> str:
    views = f"{formats.count(inferred.complete)} with all their files"
    if inferred.complete < inferred.views:
        views += f", {formats.count(inferred.views - inferred.complete)} without (left out)"
    if inferred.groups:
        views += f", in {inferred.groups} groups"
    if inferred.lists:
        return f"{views}, divided by {', '.join(inferred.lists.values())}"
    if not inferred.splits:
        return views
    val = "" if "val" in inferred.splits else "; val is a share of train"
    return f"{views}, divided by folders into {', '.join(inferred.splits)}, which is kept{val}"
