"""What `cen bench`, `cen convert`, `cen compact` and `cen export` did with a network, for a terminal."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

from rich.console import RenderableType
from rich.table import Table

from cen_cli.reporting import formats, tables
from cen_cli.results import Bench, Compaction, Compared, Conversion, Export, PartCost, Spread
from cen_cli.wording import listed

MILLI = 1000
GIGA = 1e9


def render_bench(bench: Bench) -> list[RenderableType]:
    """What was measured, times, memory, and where the time goes."""
    height, width = bench.size
    heading = [
        ("recipe", f"{bench.recipe} ({bench.task}) of {', '.join(bench.modalities)}"),
        ("device", f"{bench.device}, {bench.precision}, {bench.threads} threads"),
        ("batch", f"{bench.batch} views of {height} x {width}"),
        ("network", f"{formats.count(bench.parameters)} parameters, {formats.operations(bench.macs)} MACs per view"),
        ("measured", f"{bench.rounds} rounds of {bench.steps}: median, and range over the rounds"),
    ]
    parts: list[RenderableType] = [tables.facts(heading), _times(bench), *_memory(bench)]
    if bench.parts:
        parts += ["Where the time of a training iteration goes, loading included:", _shares(bench)]
    parts += ["What a step's convolutions and matrix products reach, and the peak here:", _peaks(bench)]
    return [*parts, *(f"note: {note}" for note in bench.notes)]


def _times(bench: Bench) -> RenderableType:
    rows = [
        (name, _ms(spread.median), _range(spread, MILLI), formats.number(bench.batch / spread.median))
        for name, spread in (("training step", bench.step), ("inference, one batch", bench.inference))
    ]
    return tables.new_table("", numbers=("ms", "range", "views/s"), rows=rows)


def _memory(bench: Bench) -> list[RenderableType]:
    rows = [
        ("parameters", formats.size(bench.parameter_bytes)),
        ("gradients", formats.size(bench.gradient_bytes)),
        ("optimiser", formats.size(bench.optimizer_bytes)),
        ("kept for the backward", formats.size(bench.activation_bytes)),
    ]
    if bench.peak_bytes is not None:
        what = "peak of the process" if bench.device == "cpu" else "peak on the device"
        rows.append((what, formats.size(bench.peak_bytes)))
    return ["Memory:", tables.facts(rows)]


def _shares(bench: Bench) -> RenderableType:
    rows = [
        (item.part, _ms(item.seconds.median), formats.percent(item.share.median, 1), _range(item.share, 100))
        for item in bench.parts
    ]
    return tables.new_table("part", numbers=("ms", "%", "range of %"), rows=rows)


def _peaks(bench: Bench) -> RenderableType:
    table = tables.new_table("", numbers=("GFLOP/s", "% of it reached"))
    table.add_row("training step", formats.number(bench.flops_per_second / GIGA), formats.ABSENT)
    for peak in bench.peaks:
        share = formats.percent(bench.shares_of_peak[peak.work], 1)
        table.add_row(f"{peak.work} alone", formats.number(peak.flops_per_second / GIGA), share)
    return table


def _ms(seconds: float) -> str:
    return formats.number(MILLI * seconds)


def _range(spread: Spread, factor: float) -> str:
    return f"{formats.number(factor * spread.lowest)} .. {formats.number(factor * spread.highest)}"


MOST_LISTED = 3


def render_conversion(report: Conversion) -> list[RenderableType]:
    """What was found in the file and written, what was left out, and what to do next."""
    made = f" -> {report.target}" if report.target else ""
    unused = f", of which {len(report.unused)} have no use: {listed(report.unused, MOST_LISTED)}"
    used = unused if report.unused else ", all used"
    pairs = [
        ("file", report.file),
        ("holds", report.network),
        *([("modalities", ", ".join(report.inputs) + made)] if report.inputs else []),
        ("parameters", formats.count(report.parameters)),
        ("tensors", formats.count(report.tensors) + used),
        *((name, formats.number(value)) for name, value in report.remarks.items()),
        ("written", report.checkpoint),
    ]
    notes = [f"note: {note}" for note in report.notes]
    return [tables.facts(pairs), *notes, *(f"next: {command}" for command in report.next)]


COSTS_LEGEND = (
    "MACs: of the convolutions. parameters: numbers that the file holds.",
    "memory: of the weights while it runs, where every stream has filters of its own.",
)


def render_compaction(report: Compaction, following: str) -> list[RenderableType]:
    """What became of channels and norms, costs before and after, how it was checked, what to do next."""
    height, width = report.size
    names = [f"{path}, {formats.size(count)}" for path, count in report.files.items()]
    kept = f", {report.kept} kept: they go by each image's own statistics" if report.kept else ""
    norms = f"{report.folded} folded{kept}"
    pairs = [*zip(("from", "written"), names, strict=True), *_channels(report), ("norms", norms)]
    parts: list[RenderableType] = [tables.facts(pairs)]
    parts += [f"one view of {height} x {width}, all modalities", _costs(report.parts), *COSTS_LEGEND]
    if report.parts[0].seconds:
        parts += [f"forward on {report.device}, before and after in turn, medians", _compared_times(report.parts)]
    return [*parts, *render_checked(report.compared, report.notes), f"next: {following}"]


def render_export(report: Export, source: str) -> list[RenderableType]:
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
    return [tables.facts(pairs), *render_checked(report.compared, report.notes)]


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


def _costs(parts: Iterable[PartCost]) -> Table:
    table = tables.new_table("part", numbers=("MACs", "after", "parameters", "after", "memory", "after"))
    for part in parts:
        macs = [formats.operations(value) if value else formats.ABSENT for value in part.macs]
        counts = [formats.count(value) for value in part.parameters]
        table.add_row(part.part, *macs, *counts, *(formats.size(value) for value in part.memory))
    return table


def _compared_times(parts: Iterable[PartCost]) -> Table:
    table = tables.new_table("part", numbers=("ms", "after", "ratio", "range"))
    for part in parts:
        before, after = (1e3 * statistics.median(values) for values in zip(*part.seconds, strict=True))
        assert part.ratio is not None, "it was measured"
        spread = f"{part.lowest:.2f}-{part.highest:.2f}"
        table.add_row(part.part, f"{before:.2f}", f"{after:.2f}", f"{part.ratio:.2f}", spread)
    return table
