"""Pictures of a run's log: losses, learning rates, validation scores, replaced channels.

Small figures, one each, that can be read on a telephone. The axis counts epochs where the log says how long one is.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

from cen_cli.reporting.figures import COLOURS, modality_colour, new_figure, plain, write_figure
from cen_cli.reporting.scores import METRICS, WATCHED, by_branch, watched_heading
from cen_cli.reporting.tables import grouped
from cen_cli.results import ENSEMBLE, LoggedStep, LoggedValidation, RunLog

WIDTH, HEIGHT, DPI = 4.6, 3.1, 160
BLACK = COLOURS[-1]
FACTOR = 10
"""Between the largest and the smallest value of an axis that is logarithmic."""
WORD = 16
"""Names up to this length stand beside each other in a legend."""

Series = Mapping[str, Sequence[float]]


def draw_curves(log: RunLog, branches: Sequence[str], folder: Path) -> list[Path]:
    """Write what can be drawn of the log into the folder and return the paths; none for an empty log.

    `branches` have the same colours in all of them.
    """
    written = []
    if log.steps:
        written += [loss_curves(log, branches, folder / "losses.png"), rate_curves(log, folder / "rates.png")]
    if log.validations:
        written.append(score_curves(log, branches, folder / "scores.png"))
    if any(step.replaced for step in log.steps):
        written.append(replaced_curves(log, branches, folder / "replaced.png"))
    return written


def loss_curves(log: RunLog, branches: Sequence[str], out: Path) -> Path:
    """Every loss term, averaged over log intervals; on a logarithmic axis where they differ by much."""
    series = {name: [step.losses[name] for step in log.steps] for name in log.steps[0].losses}
    values = [value for each in series.values() for value in each]
    wide = min(values) > 0 and max(values) / min(values) > FACTOR
    return _drawn(log, log.steps, series, "loss", out, branches=branches, logarithmic=wide)


def rate_curves(log: RunLog, out: Path) -> Path:
    """Learning rates of every parameter group."""
    series = {name: [step.learning_rates[name] for step in log.steps] for name in log.steps[0].learning_rates}
    return _drawn(log, log.steps, series, "learning rate", out)


def score_curves(log: RunLog, branches: Sequence[str], out: Path) -> Path:
    """The score that is watched while a network trains, of every branch and the ensemble, at every validation."""
    first = log.validations[0].evaluation
    metric = WATCHED[first.task]
    values = [by_branch(each.evaluation, metric) for each in log.validations]
    series = {branch: [METRICS[metric].factor * each[branch] for each in values] for branch in first.scores}
    return _drawn(log, log.validations, series, watched_heading(first), out, branches=branches, marker="o")


def replaced_curves(log: RunLog, branches: Sequence[str], out: Path) -> Path:
    """Replaced channels of the whole network, percent of the pressed part."""
    logged = [step for step in log.steps if step.replaced]
    series = {
        item.modality: [100 * step.replaced[m].share_of_pressed for step in logged]
        for m, item in enumerate(logged[0].replaced)
    }
    return _drawn(log, logged, series, "replaced, % of the pressed part", out, branches=branches, from_zero=True)


def _drawn(
    log: RunLog,
    logged: Sequence[LoggedStep | LoggedValidation],
    series: Series,
    label: str,
    out: Path,
    *,
    branches: Sequence[str] = (),
    logarithmic: bool = False,
    from_zero: bool = False,
    marker: str = "",
) -> Path:
    """One panel with a line for each of the series over what was logged; equal ones share a line.

    Branches have their colours, other terms those that are left; the ensemble is black and broken.
    """
    series = merged(series)
    figure = new_figure(WIDTH, HEIGHT, DPI)
    axes = figure.subplots()
    places = [each.step / (log.steps_per_epoch or 1) for each in logged]
    own = {branch: modality_colour(index) for index, branch in enumerate(branches)}
    marker = marker or ("." if len(places) == 1 else "")
    left = itertools.cycle([colour for colour in COLOURS[:-1] if colour not in own.values()] or ["0.5"])
    for name, values in series.items():
        first = name.partition(", ")[0]
        colour = BLACK if name == ENSEMBLE else own[first] if first in own else next(left)
        line = "--" if name == ENSEMBLE else "-"
        axes.plot(places, values, line, color=colour, label=name, linewidth=1.4, marker=marker, markersize=3.5)
    axes.set(xlabel="epoch" if log.steps_per_epoch else "step", ylabel=label)
    axes.set_xlim(left=0)
    if logarithmic:
        axes.set_yscale("log")
    if from_zero:
        axes.set_ylim(0, max(100.0, *(value for values in series.values() for value in values)) * 1.02)
    axes.grid(alpha=0.25)
    plain(axes)
    columns = 3 if max(map(len, series)) <= WORD else 1
    figure.legend(loc="outside lower center", ncols=columns, frameon=False, fontsize=8)
    return write_figure(figure, out)


def merged(series: Series) -> Series:
    """Equal series as one, under the names of all."""
    names = grouped(series, lambda name: tuple(series[name]))
    return {", ".join(same): values for values, same in names.items()}
