"""What `cen bench` prints."""

from __future__ import annotations

from rich.console import RenderableType

from cen_cli.reporting import formats, tables
from cen_cli.results import Bench, Spread

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
