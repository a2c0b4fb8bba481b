"""What `cen convert` did, for a terminal."""

from __future__ import annotations

from cen_cli.reporting import formats, tables
from cen_cli.results import Conversion
from cen_cli.wording import listed

MOST_LISTED = 3


def render_conversion(report: Conversion) -> tables.Renderables:
    """What was found in the file and written, what was left out, and what to do next."""
    made = f" -> {report.target}" if report.target else ""
    pairs = [
        ("file", report.file),
        ("holds", report.network),
        *([("modalities", ", ".join(report.inputs) + made)] if report.inputs else []),
        ("parameters", formats.count(report.parameters)),
        ("tensors", _tensors(report)),
        *((name, formats.number(value)) for name, value in report.remarks.items()),
        ("written", report.checkpoint),
    ]
    notes = [f"note: {note}" for note in report.notes]
    table = tables.facts(pairs)
    return [table, *notes, *(f"next: {command}" for command in report.next)]


def _tensors(report: Conversion) -> str:
    """How many were used, and which were not."""
    if not report.unused:
        return f"{formats.count(report.tensors)}, all used"
    unused = listed(report.unused, MOST_LISTED)
    return f"{formats.count(report.tensors)}, of which {len(report.unused)} have no use: {unused}"
