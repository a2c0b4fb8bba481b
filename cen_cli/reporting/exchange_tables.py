"""Gammas and replaced channels as tables: what `cen analyze-gammas` and `cen exchange-stats` print."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table

from cen_cli.reporting import formats, scores, tables
from cen_cli.results import (
    TOTAL,
    Attraction,
    ExchangeRow,
    ExchangeStatistics,
    GainRow,
    GammaAnalysis,
    GammaDiagnosis,
    GammaRecovery,
    GammaRow,
    ReplacedAtStep,
    ThresholdRow,
)

GAMMA_LEGEND = (
    "|gamma|: minimum, quartiles, maximum over all channels of the layer.",
    "in, out: percent below the threshold inside the pressed part, and in the rest.",
    "overlap: percent of channels below it here and in another modality as well.",
)
EXCHANGE_LEGEND = (
    "replaced: channels that take the donors' mean, or one's (exchange.donors).",
    "% pressed: of the part that a sparsity penalty would press; % all: of all.",
)
ATTRACTION_LEGEND = (
    "predicted: mean of 2 Phi(lambda / sigma) - 1; observed: share of batches with |gradient| < lambda; percent.",
    "Brier: mean squared error of the prediction; constant: of the observed share said of every gamma alike.",
    "replaced: gammas without a gradient: their channel is replaced, and gives to no other; not among the others.",
)
GAIN_LEGEND = (
    "kept, replaced: mean of -dL/da of (1 - a) own + a others, L the task's loss; positive: replacing lowers it.",
    "> 0: percent of the channels that may be replaced; correlation: rank correlation of |gamma| and gain.",
)
GATES_UNRECORDED = "What gates mix is not recorded: nothing over training."
MIXED_LEGEND = "% mixed: how much of the others gates mix into the channels that may be replaced, mean."
CHOSEN_LEGEND = "gain in, out: mean first-order gain of replaced channels, and of kept ones, as the choice sees it."
DONOR_LEGEND = "donors: percent that each gives, of a mean by |gamma|, averaged over channels."

UNFOLDED = 20
"""Names of layers up to this length stay on one line."""


def render_gamma(rows: Sequence[GammaRow]) -> list[RenderableType]:
    """One row per layer and modality, then what the columns mean."""
    layers = [row.layer for row in rows]
    names = formats.short_names(layers)
    table = _dense_table("layer", names, numbers=("min", "25%", "50%", "75%", "max", "in", "out", "overlap"))
    for row, name in zip(rows, names, strict=True):
        shares = [formats.percent(share, 1) for share in (row.below_inside, row.below_outside, row.overlap)]
        table.add_row(name, row.modality, *map(formats.short, row.quantiles), *shares)
    return [*_heading(layers), table, *GAMMA_LEGEND]


def render_diagnosis(diagnosis: GammaDiagnosis) -> list[RenderableType]:
    """The verdict, the numbers behind it, and what to change."""
    lines = [("diagnosis", diagnosis.verdict)]
    lines += [("because" if not index else "", text) for index, text in enumerate(diagnosis.evidence)]
    return [tables.facts([*lines, ("advice", diagnosis.advice)])]


def render_recovery(recoveries: Sequence[GammaRecovery]) -> list[RenderableType]:
    """Of the gammas that once fell below the threshold, how many came back."""
    columns = ("fell below", "came back", "above at the end", "% came back")
    rows = []
    for item in recoveries:
        share = formats.percent(item.returned / item.fell if item.fell else None, 1)
        rows.append((item.modality, str(item.fell), str(item.returned), str(item.ended_above), share))
    heading = "Gammas of each modality's part over the recorded steps:"
    return [heading, tables.new_table("modality", numbers=columns, rows=rows)]


def render_attraction(measured: Attraction) -> list[RenderableType]:
    """Theorem 1 against gradients, per modality; against the fates of fallen gammas; and what the columns mean."""
    events = tables.new_table("modality", numbers=("gammas", "predicted", "observed", "Brier", "constant", "replaced"))
    fates = tables.new_table("modality", numbers=("fell", "stayed", "% stayed", "predicted", "Brier"))
    for row in measured.rows:
        shares = [formats.percent(share, 1) for share in (row.predicted, row.observed)]
        briers = [formats.number(value) for value in (row.brier, row.brier_constant)]
        events.add_row(row.modality, formats.count(row.gammas), *shares, *briers, formats.count(row.replaced))
        counts = [formats.count(value) for value in (row.fell, row.stayed)]
        stayed = formats.percent(row.stayed / row.fell if row.fell else None, 1)
        predicted = formats.percent(row.predicted_of_fallen, 1)
        fates.add_row(row.modality, *counts, stayed, predicted, formats.number(row.brier_of_fallen))
    heading = (
        f"Theorem 1 with lambda = {measured.sparsity:g}, predicted from {measured.batches} training batches and "
        "observed on others:"
    )
    parts: list[RenderableType] = [heading, events]
    parts += ATTRACTION_LEGEND
    if any(row.fell for row in measured.rows):
        parts += ["Of the gammas that once fell below the threshold, percent that stayed there:", fates]
    return parts


def render_gain(rows: Sequence[GainRow]) -> list[RenderableType]:
    """What replacing gains, one row per layer and modality, then what the columns mean."""
    layers = [row.layer for row in rows]
    names = formats.short_names(layers)
    table = _dense_table("layer", names, numbers=("channels", "kept", "replaced", "% > 0", "correlation"))
    for row, name in zip(rows, names, strict=True):
        means = [_gain(value) for value in (row.kept, row.replaced)]
        positive, correlation = formats.percent(row.positive, 0), formats.number(row.correlation)
        table.add_row(name, row.modality, formats.count(row.channels), *means, positive, correlation)
    return ["First-order gain of replacing:", *_heading(layers), table, *GAIN_LEGEND]


def _gain(value: float) -> str:
    return formats.ABSENT if math.isnan(value) else f"{value:+.1e}"


def render_thresholds(rows: Sequence[ThresholdRow], metric: str, own: float) -> list[RenderableType]:
    """What would be replaced and scored at other thresholds; the network's own is marked."""
    score = metric.rpartition(".")[2]
    modalities = [count.modality for count in rows[0].replaced]
    outputs = list(rows[0].evaluation.scores)
    table = tables.new_table(numbers=("threshold", *(f"% {name}" for name in modalities), *outputs))
    for row in rows:
        shares = [formats.percent(count.share_of_pressed, 1) for count in row.replaced]
        values = [scores.written(score, row.evaluation.metric(f"{name}.{score}")) for name in outputs]
        mark, style = ("*", "bold") if row.threshold == own else ("", None)
        table.add_row(f"{mark}{row.threshold:.3g}", *shares, *values, style=style)
    heading = (
        f"At other thresholds (* its own), {rows[0].evaluation.split} split: % of the pressed part replaced, {score}:"
    )
    return [heading, table]


def render_exchange(rows: Sequence[ExchangeRow], *, by: str = "layer") -> list[RenderableType]:
    """One row per layer (or stage) and modality with the totals last, then what the columns mean."""
    layers = [row.layer for row in rows if row.layer != TOTAL]
    names = [*formats.short_names(layers), *(TOTAL for _ in rows[len(layers) :])]
    gated, chosen = any(row.mixed is not None for row in rows), any(row.gain is not None for row in rows)
    more = (*(["% mixed"] if gated else []), *(["gain in", "out"] if chosen else []))
    columns = ("replaced", "pressed", "channels", "% pressed", "% all", *more)
    table = _dense_table(by, names, numbers=columns, last="donors")
    for row, name in zip(rows, names, strict=True):
        numbers = [formats.count(value) for value in (row.replaced, row.pressed, row.channels)]
        shares = [formats.percent(share, 1) for share in (row.share_of_pressed, row.share_of_all)]
        numbers += [*shares, *([formats.percent(row.mixed, 1)] if gated else [])]
        numbers += [_gain(value) for value in row.gain or ()]
        style = "bold" if row.layer == TOTAL else None
        table.add_row(name, row.modality, *numbers, _donors(row), style=style)
    several = any(len(row.donors) > 1 for row in rows)
    legends = [(several, DONOR_LEGEND), (gated, MIXED_LEGEND), (chosen, CHOSEN_LEGEND)]
    return [*_heading(layers), table, *EXCHANGE_LEGEND, *(legend for shown, legend in legends if shown)]


def render_statistics(statistics: ExchangeStatistics) -> list[RenderableType]:
    """What a network replaces, by layer or stage and over the recorded steps."""
    head = f"checkpoint: {statistics.checkpoint}"
    if not statistics.exchanges:
        return [head, "This network was built without exchange: nothing is replaced."]
    steps = render_steps(statistics.steps) if statistics.steps else []
    none = "No recorded gammas beside this checkpoint: nothing over training."
    if any(row.mixed is not None for row in statistics.rows):
        none = GATES_UNRECORDED
    last = [f"plot: {statistics.plot}"] if statistics.plot else [] if steps else [none]
    return [head, *render_exchange(statistics.rows, by=statistics.by), *steps, *last]


def _donors(row: ExchangeRow) -> str:
    """The donors by name, each with what it gives where there are several."""
    if len(row.donors) < 2:
        return "".join(row.donors) or formats.ABSENT
    return ", ".join(f"{name} {formats.percent(part, 0)}" for name, part in row.donors.items())


def render_steps(records: Sequence[ReplacedAtStep]) -> list[RenderableType]:
    """Replaced channels in a few records of a run, one row per record and modality."""
    with_epochs = all(record.epoch is not None for record in records)
    table = tables.new_table(numbers=("step", *(["epoch"] if with_epochs else [])))
    table.add_column("modality", overflow="fold")
    for name in ("replaced", "% pressed", "% all"):
        table.add_column(name, justify="right", no_wrap=True)
    for record in records:
        when = [formats.count(record.step), *([f"{record.epoch:.1f}"] if record.epoch is not None else [])]
        for item in record.replaced:
            shares = [formats.percent(share, 1) for share in (item.share_of_pressed, item.share_of_all)]
            table.add_row(*when, item.modality, formats.count(item.replaced), *shares)
    return ["Replaced channels over the recorded steps:", table]


def _dense_table(by: str, names: Sequence[str], *, numbers: Sequence[str], last: str | None = None) -> Table:
    """Layer (or stage), modality, numbers and perhaps `last`, two spaces apart; modalities fold before layers do."""
    whole = [by] if max(map(len, names), default=0) <= UNFOLDED else []
    table = tables.new_table(by, "modality", numbers=numbers, whole=whole)
    table.padding = (0, 0, 0, 1)
    if last is not None:
        table.add_column(last, overflow="fold")
    return table


def _heading(layers: Sequence[str]) -> list[str]:
    """Says which component of the layers' names is left out below, if one is."""
    prefix = formats.common_prefix(layers)
    return [f"Layers of {prefix}:"] if prefix else []


def render_analysis(analysis: GammaAnalysis) -> list[RenderableType]:
    """What was found of a network's gammas, in reading order."""
    parts: list[RenderableType] = [f"checkpoint: {analysis.checkpoint}"]
    parts += render_gamma(analysis.rows) if analysis.rows else []
    if analysis.recoveries:
        parts += render_recovery(analysis.recoveries)
    elif analysis.rows:
        parts += ["No recorded gammas beside this checkpoint: no recovery counts, no plots over steps."]
    parts += render_attraction(analysis.attraction) if analysis.attraction else []
    parts += render_gain(analysis.gains) if analysis.gains else []
    if analysis.what_if and analysis.threshold is not None:
        parts += render_thresholds(analysis.what_if, analysis.metric, analysis.threshold)
    return [*parts, *render_diagnosis(analysis.diagnosis), *(f"plot: {path}" for path in analysis.plots)]
