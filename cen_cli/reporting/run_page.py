"""The page of a run, `cen report`: what stands on it, in which order and in which words."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from cen_cli.reporting import exchange_tables, formats, html, scores, tables
from cen_cli.results import (
    TOTAL,
    ExchangeRow,
    ExpectedScore,
    GammaDiagnosis,
    GammaRecovery,
    GammaRow,
    LoggedHealth,
    LoggedValidation,
    ReplacedAtStep,
    RunLog,
    RunProgress,
)


def render_health(log: Sequence[LoggedHealth]) -> list[RenderableType]:
    """Every part of the network at the first step and at the last one recorded; nothing without a log."""
    if not log:
        return []
    first, last = log[0], log[-1]
    before = {part.name: part for part in first.health.parts}
    columns = ("% dead", "% positive", f"gradient, step {first.step}", f"step {last.step}")
    table = tables.new_table("part", numbers=columns)
    for part in last.health.parts:
        shares = [formats.percent(share, 1) for share in (part.dead, part.positive)]
        gradients = [formats.number(each.gradient) for each in (before.get(part.name, part), part)]
        table.add_row(part.name, *shares, *gradients)
    explained = (
        f"Units of each part's worst layer that are positive nowhere in the batch and get no gradient, its positive "
        f"values, and the norm of the task's gradient; {len(log)} steps were recorded."
    )
    return [f"Health of the network at step {last.step}:", table, explained]


@dataclasses.dataclass(frozen=True)
class RunReport:
    """All that the page of a run is made of."""

    run: str
    recipe: str
    """Its name."""
    task: str
    modalities: tuple[str, ...]
    target: str | None
    """Of a translation."""
    changed: Mapping[str, Any]
    """Recipe keys that differ from their defaults."""
    toml: str
    """The whole recipe."""
    environment: Mapping[str, Any]
    progress: RunProgress
    log: RunLog
    best: LoggedValidation | None
    """The best validation; None before the first."""
    of_best: bool
    """Whether the analyses below are of its checkpoint, or else of the last one."""
    best_by: str
    expected: Sequence[ExpectedScore]
    scored_split: str
    """The split that `cen eval` scores and the expected scores are of."""
    diagnosis: GammaDiagnosis
    gammas: Sequence[GammaRow]
    recoveries: Sequence[GammaRecovery]
    stages: Sequence[ExchangeRow]
    layers: Sequence[ExchangeRow]
    records: Sequence[ReplacedAtStep]
    plots: Mapping[str, bytes]
    """PNG files by the name under which they are drawn, without suffix."""
    views: bytes | None
    """A picture of some views of the split."""
    views_absent: str
    """Why there is none."""
    commands: Sequence[tuple[str, str]]
    """What may be done next: what for, and the command."""


CURVES = {
    "losses": "Loss terms, averaged over log intervals.",
    "scores": "Validation scores of every output.",
    "rates": "Learning rates by parameter group.",
    "replaced": "Replaced channels of the whole network, percent of the pressed part.",
}
"""Plots of the log by name, with their captions; in the order of the page."""

CONFUSION = {"confusion": "Share of every true class, in percent, that the network labels as every class."}
EXCHANGE_PLOTS = {
    "replaced-over-epochs": "Replaced share of the pressed part, layer by layer over training.",
    "replaced-over-steps": "Replaced share of the pressed part, layer by layer over training.",
}
GAMMA_PLOTS = {
    "gamma-trajectories": "|gamma| of each modality's part in one layer, over training; broken line: the threshold.",
    "gamma-proportions": "Each modality's share of |gamma| in every channel of one layer.",
}
ALL_PROPORTIONS = {"gamma-proportions-all": "Each modality's share of |gamma| in every channel of all layers."}

HASH = 16
"""Characters shown of versions and of the data's long fingerprints."""

UNHARMFUL = ("healthy", "no exchange", "fixed")
"""Diagnoses that are no reason to worry about a run."""


def run_page(report: RunReport) -> html.Page:
    """The page of a run."""
    tone, headline = judged(report)
    sections = [
        html.Section("scores", "Scores", tuple(_scores(report))),
        html.Section("training", "Training", tuple(_curves(report))),
        html.Section("exchange", "Exchange", tuple(_exchange(report))),
        html.Section("gammas", "Gammas", tuple(_gammas(report))),
        html.Section("pictures", "Pictures", tuple(_views(report))),
        html.Section("recipe", "Recipe", tuple(_recipe(report))),
        html.Section("environment", "Environment", (_environment(report.environment),)),
        html.Section("next", "What to do next", tuple(_next(report))),
    ]
    inputs = ", ".join(report.modalities) + (f" to {report.target}" if report.target else "")
    return html.Page(
        title=Path(report.run).resolve().name,
        subtitle=f"Recipe {report.recipe}: {report.task} of {inputs}",
        tone=tone,
        headline=headline,
        verdict=tuple(_verdict(report)),
        sections=tuple(sections),
        foot=f"Made by cen report {shlex.quote(report.run)}. Nothing on this page is loaded from elsewhere.",
    )


# --- verdict ------------------------------------------------------------------------------------------------------


def judged(report: RunReport) -> tuple[html.Tone, str]:
    """Whether the run is good, bad or open, and why in a few words."""
    if not report.progress.finished:
        return "open", f"Not finished: {report.progress.epochs} of {report.progress.of_epochs} epochs"
    if any(line.met is False for line in report.expected):
        return "bad", "Trained, but below what the recipe expects"
    if report.diagnosis.verdict not in UNHARMFUL:
        return "bad", f"Trained, but the exchange is not healthy: {report.diagnosis.verdict}"
    if report.expected and all(line.met for line in report.expected):
        return "good", "Trained, and as good as the recipe expects"
    if report.progress.settled:
        return "good", f"Trained until {report.best_by} got no better"
    return "good", "Trained to the end"


def _verdict(report: RunReport) -> Iterable[str]:
    """One sentence each on the run, its scores, what was expected, the exchange."""
    progress = report.progress
    duration = formats.duration(progress.seconds)
    yield f"{progress.epochs} of {progress.of_epochs} epochs, {formats.count(progress.steps)} steps in {duration}."
    if report.best is None:
        yield _without_best(report)
    else:
        evaluation = report.best.evaluation
        heading = scores.watched_heading(evaluation)
        branches = ", ".join(f"{branch} {value}" for branch, value in scores.watched(evaluation).items())
        yield f"{heading} on {evaluation.split}: {branches} (best by {report.best_by}, epoch {report.best.epoch})."
    known = [line for line in report.expected if line.met is not None]
    if known:
        yield f"{sum(bool(line.met) for line in known)} of {len(known)} expected scores met in this validation."
    if not report.stages:
        yield "No channels are exchanged in this network."
        return
    totals = [row for row in report.stages if row.layer == TOTAL]
    mixes = any(row.mixed is not None for row in totals)
    values = [(row.modality, row.share_of_pressed if row.mixed is None else row.mixed) for row in totals]
    shares = ", ".join(f"{modality} {formats.percent(value, 1)}%" for modality, value in values)
    what = "Mixed into the channels that may be replaced" if mixes else "Replaced of the pressed channels"
    yield f"Exchange: {report.diagnosis.verdict}. {what}: {shares}."


# --- sections -----------------------------------------------------------------------------------------------------


def _scores(report: RunReport) -> Iterable[html.Block]:
    best = report.best
    if best is None:
        yield html.Words(_without_best(report))
        return
    title = f"Best validation by {report.best_by}: epoch {best.epoch}, step {formats.count(best.step)}"
    yield from _of_validation(best, title)
    if report.expected:
        yield from html.blocks(tables.render_expected(report.expected))
    last = report.log.validations[-1]
    if last.step != best.step:
        title = f"Last validation: epoch {last.epoch}, step {formats.count(last.step)}"
        yield html.Folded(title, tuple(_of_validation(last, title)))
    yield from _pictures(report, CONFUSION, style="colours")
    classes = html.blocks(tables.render_class(best.evaluation))
    if classes:
        yield html.Folded(f"All {len(best.evaluation.class_names)} classes", classes)


def _of_validation(validation: LoggedValidation, title: str) -> Iterable[html.Block]:
    evaluation = validation.evaluation
    yield html.Words(f"{title}. {formats.count(evaluation.samples)} samples of {evaluation.split}.")
    yield from html.blocks([*tables.score_tables(evaluation), *scores.convention(evaluation)])
    yield from (html.Words(f"Note: {note}") for note in evaluation.notes)


def _curves(report: RunReport) -> Iterable[html.Block]:
    pictures = _pictures(report, CURVES)
    if pictures:
        yield html.Gallery(tuple(pictures))
    else:
        yield html.Words("Nothing has been logged yet.")
    yield from html.blocks(render_health(report.log.health))


def _exchange(report: RunReport) -> Iterable[html.Block]:
    if not report.stages:
        yield html.Words("Nothing is exchanged in this network: no channel takes the place of another.")
        return
    yield html.Words(_of_checkpoint(report))
    yield from html.blocks(exchange_tables.render_exchange(report.stages, by="stage"))
    yield from _pictures(report, EXCHANGE_PLOTS, style="colours")
    if report.records:
        yield from html.blocks(exchange_tables.render_steps(report.records))
    else:
        gated = any(row.mixed is not None for row in report.stages)
        none = "No gammas were recorded, so there is nothing over training."
        yield html.Words(exchange_tables.GATES_UNRECORDED if gated else none)
    yield html.Folded("Every layer", html.blocks(exchange_tables.render_exchange(report.layers)))


def _gammas(report: RunReport) -> Iterable[html.Block]:
    if report.gammas:
        yield html.Words(_of_checkpoint(report))
    yield from html.blocks(exchange_tables.render_diagnosis(report.diagnosis))
    if not report.gammas:
        return
    if report.recoveries:
        yield from html.blocks(exchange_tables.render_recovery(report.recoveries))
    yield from _pictures(report, GAMMA_PLOTS)
    everything = (*html.blocks(exchange_tables.render_gamma(report.gammas)), *_pictures(report, ALL_PROPORTIONS))
    yield html.Folded("Every layer", everything)


def _without_best(report: RunReport) -> str:
    """Why there are no scores."""
    step = report.progress.best_step
    if not step:
        return "No validation has finished yet, so there are no scores."
    return f"No scores: events.jsonl lacks the best validation, of step {formats.count(step)}; see cen eval."


def _of_checkpoint(report: RunReport) -> str:
    """Which of the run's checkpoints the tables are of."""
    step = report.progress.best_step
    which = f"the best checkpoint, of step {formats.count(step)}"
    if not report.of_best:
        missing = f", since {which}, is missing" if step else ""
        which = f"the newest checkpoint, of step {formats.count(report.progress.steps)}{missing}"
    return f"Tables and diagnosis are of {which}; what is shown over training goes up to the newest one."


def _views(report: RunReport) -> Iterable[html.Block]:
    if report.views is None:
        yield html.Words(report.views_absent)
        return
    made = f"what is made of them ({report.target})" if report.target else "labels"
    caption = f"Views of the split {report.scored_split}: inputs, {made} by every output, truth."
    yield html.Picture(report.views, f"{caption} One row for each view.", caption, style="colours")


def _pictures(report: RunReport, captions: Mapping[str, str], *, style: html.Style = "lines") -> list[html.Picture]:
    """Those of the plots that were drawn, in this order."""
    return [
        html.Picture(report.plots[name], alt=f"Plot. {caption}", caption=caption, style=style)
        for name, caption in captions.items()
        if name in report.plots
    ]


def _recipe(report: RunReport) -> Iterable[html.Block]:
    yield html.Words("Keys that differ from their defaults:")
    yield html.listing(tables.facts((key, _value(value)) for key, value in report.changed.items()))
    yield html.Folded("The whole recipe", (html.Code(report.toml),))


def _value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(_value(item) for item in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _environment(environment: Mapping[str, Any]) -> html.Listing:
    """What the run was started on; whatever the file holds, in its order."""
    pairs = []
    for key, value in environment.items():
        if key == "command" and isinstance(value, list):
            pairs.append((key, shlex.join(str(word) for word in value)))
        elif isinstance(value, Mapping):
            pairs.append((key, ", ".join(f"{name} {str(item)[:HASH]}" for name, item in value.items())))
        elif value is not None:
            pairs.append((key.replace("_", " "), str(value)))
    return html.listing(tables.facts(pairs))


def _next(report: RunReport) -> Iterable[html.Block]:
    if report.diagnosis.verdict not in UNHARMFUL:
        advice = report.diagnosis.advice
        yield html.Words(f"{advice[:1].upper()}{advice[1:].rstrip('.')}.")
    for purpose, command in report.commands:
        yield html.Words(f"{purpose}:")
        yield html.Code(command)
