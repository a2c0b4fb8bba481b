"""What `cen compact` and `cen export` did, for a terminal."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

from rich.console import RenderableType
from rich.table import Table

from cen_cli.reporting import formats, tables
from cen_cli.results import Compaction, Compared, Export, PartCost

COSTS_LEGEND = (
    "MACs: of the convolutions. parameters: numbers that the file holds.",
    "memory: of the weights while it runs, where every stream has filters of its own.",
)


def render_compaction(report: Compaction, following: str) -> tables.Renderables:
    """What became of channels and norms, costs before and after, how it was checked, what to do next."""
    height, width = report.size
    names = [f"{path}, {formats.size(count)}" for path, count in report.files.items()]
    pairs = [*zip(("from", "written"), names, strict=True), *_channels(report), ("norms", _norms(report))]
    parts: list[RenderableType] = [tables.facts(pairs)]
    parts += [f"one view of {height} x {width}, all modalities", _costs(report.parts), *COSTS_LEGEND]
    if report.parts[0].seconds:
        parts += [f"forward on {report.device}, before and after in turn, medians", _times(report.parts)]
    return [*parts, *render_checked(report.compared, report.notes), f"next: {following}"]


def render_export(report: Export, source: str) -> tables.Renderables:
    """What the file takes and gives, and how it was checked."""
    ((written, written_bytes),) = report.files.items()
    sides = f"{report.fewest} or more" if report.multiple == 1 else f"multiples of {report.multiple}"
    if report.size is not None:
        sides = f"{report.size[0]} and {report.size[1]} alone, as a graph of a timm encoder is for one size"
    pairs = [
        ("from", source),
        ("written", f"{written}, {formats.size(written_bytes)}, opset {report.opset}"),
        ("inputs", f"{', '.join(report.inputs)}: float32 [B, 3, H, W], normalised as in training"),
        ("outputs", f"{', '.join(report.outputs)}: float32 [B, K, h, w]"),
        ("B, H, W", f"any number of views; height and width: {sides}"),
    ]
    facts = tables.facts(pairs)
    return [facts, *render_checked(report.compared, report.notes)]


def render_checked(compared: Iterable[Compared], notes: Iterable[str]) -> list[RenderableType]:
    """The images that outputs were compared on, and remarks."""
    rows = [(item.images, f"{item.difference:.1e}") for item in compared]
    table = tables.new_table("compared on", numbers=("largest difference",), rows=rows)
    return [table, *(f"note: {note}" for note in notes)]


def _channels(report: Compaction) -> list[tuple[str, str]]:
    """Replaced and removed channels of each modality."""
    if not report.replaced:
        return [("channels", "this network exchanges none")]
    words = [
        f"{name} {formats.count(count)} replaced, {formats.count(report.removed[name])} no longer computed"
        for name, count in report.replaced.items()
    ]
    heading = f"channels of {formats.count(report.channels)}"
    return [(heading if not index else "", text) for index, text in enumerate(words)]


def _norms(report: Compaction) -> str:
    folded = f"{report.folded} folded"
    return folded if not report.kept else f"{folded}, {report.kept} kept: they go by each image's own statistics"


def _costs(parts: Iterable[PartCost]) -> Table:
    table = tables.new_table("part", numbers=("MACs", "after", "parameters", "after", "memory", "after"))
    for part in parts:
        macs = [formats.operations(value) if value else formats.ABSENT for value in part.macs]
        counts = [formats.count(value) for value in part.parameters]
        table.add_row(part.part, *macs, *counts, *(formats.size(value) for value in part.memory))
    return table


def _times(parts: Iterable[PartCost]) -> Table:
    table = tables.new_table("part", numbers=("ms", "after", "ratio", "range"))
    for part in parts:
        before, after = (1e3 * statistics.median(values) for values in zip(*part.seconds, strict=True))
        assert part.ratio is not None, "it was measured"
        spread = f"{part.lowest:.2f}-{part.highest:.2f}"
        table.add_row(part.part, f"{before:.2f}", f"{after:.2f}", f"{part.ratio:.2f}", spread)
    return table
