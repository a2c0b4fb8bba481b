"""The pictures of a sweep, where it has them: gammas (S-Fig 5, 11, 12), panels (S-Fig 6 to 10), curves (S-Fig 13)."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from cen_cli import builders
from cen_cli.analysis.comparison import Branches, Shown
from cen_cli.errors import CenError
from cen_cli.jobs.compare import draw_views
from cen_cli.jobs.exchanging import load_exchanging
from cen_cli.recipe.sweeps import Member, Panel, Sweep
from cen_cli.reporting import gamma_plots
from cen_cli.reporting.gamma_plots import NetworkGammas
from cen_cli.reporting.sweep_plots import write_cost_figure, write_sweep_figure
from cen_cli.results import Listener, SweepReport

Rows = Mapping[str, Member]
"""The first finished seed of each row of a group, by variant."""


def draw(
    grid: Sweep, report: SweepReport, members: Sequence[Member], folder: Path, device: str, listener: Listener
) -> None:
    """Write what the sweep draws of the members that are done into its folder; tell of what is or cannot be drawn."""
    for make in _pictures(grid, report, members, folder, device):
        try:
            for picture in make():
                listener.on_note(f"picture: {picture}")
        except CenError as error:
            listener.on_note(f"not drawn: {error.message}")


def _pictures(
    grid: Sweep, report: SweepReport, members_in: Sequence[Member], folder: Path, device: str
) -> list[Callable[[], list[Path]]]:
    done = {
        (row.group, row.variant): min((seed for cell in row.cells for seed in cell.values), default=None)
        for row in report.rows
        if row.done
    }
    members = [member for member in members_in if done.get((member.group, member.variant)) == member.seed]
    pictures: list[Callable[[], list[Path]]] = []
    if grid.figure is not None and done:
        keys = grid.figure.keys
        values = {
            (each.group, each.variant): {key: float(operator.attrgetter(key)(each.recipe)) for key in keys}
            for each in members_in
        }
        metrics = grid.figure.metrics
        pictures.append(lambda: [write_sweep_figure(folder / "figure.png", report, values, metrics)])
    if grid.advice and any(row.cost and any(cell.values for cell in row.cells) for row in report.rows):
        pictures.append(lambda: [write_cost_figure(folder / "score-and-cost.png", report)])
    for group in dict.fromkeys(member.group for member in members):
        rows = {each.variant: each for each in members if each.group == group}
        prefix = f"{folder}/{group}-" if group else f"{folder}/"
        if grid.proportions:
            pictures.append(partial(_proportions, grid, rows, folder, prefix, device))
        if grid.trajectories:
            pictures.append(partial(_trajectories, grid, rows, folder, prefix, device))
        if grid.panel is not None:
            pictures.append(partial(_panel, grid, grid.panel, rows, folder, prefix, device))
    return pictures


def _proportions(grid: Sweep, rows: Rows, folder: Path, prefix: str, device: str) -> list[Path]:
    """S-Fig 11 and 12: each modality's share of every gamma."""
    layer, networks = _networks(grid, rows, folder, device, grid.proportions)
    return [
        gamma_plots.gamma_proportions(networks, layer, Path(f"{prefix}gamma-proportions.png")),
        gamma_plots.all_proportions(networks, Path(f"{prefix}gamma-proportions-all.png")),
    ]


def _trajectories(grid: Sweep, rows: Rows, folder: Path, prefix: str, device: str) -> list[Path]:
    """S-Fig 5: gammas over the steps."""
    layer, networks = _networks(grid, rows, folder, device, grid.trajectories)
    return [gamma_plots.gamma_trajectories(networks, layer, Path(f"{prefix}gamma-trajectories.png"))]


def _checkpoint(grid: Sweep, folder: Path, member: Member) -> str:
    """The one that the table beside the picture is of."""
    return str(folder / member.name / "checkpoints" / grid.checkpoint)


def _networks(grid: Sweep, rows: Rows, folder: Path, device: str, end: str) -> tuple[str, list[NetworkGammas]]:
    """The layer whose name ends so, and the gammas of the rows that have it. Raises CenError where it is not one."""
    found = ((load_exchanging(_checkpoint(grid, folder, rows[each]), device), grid.label_of(each)) for each in rows)
    drawn = [dataclasses.replace(network.as_drawn(), label=label) for network, label in found if network.states]
    layers = list(dict.fromkeys(name for network in drawn for name in network.gammas))
    named = [name for name in layers if f".{name}".endswith(f".{end}")]
    if len(named) != 1:
        raise CenError(f"{len(named)} exchanging layers end with {end!r}", hint=f"there are {', '.join(layers)}")
    return named[0], [network for network in drawn if named[0] in network.gammas]


def _panel(grid: Sweep, panel: Panel, rows: Rows, folder: Path, prefix: str, device: str) -> list[Path]:
    """S-Fig 6 to 10: what the networks make of the same views."""
    shown = [variant for variant in panel.variants or rows if variant in rows]
    if not shown:
        return []
    models = {grid.label_of(each): builders.load(_checkpoint(grid, folder, rows[each]), device) for each in shown}
    data = {grid.label_of(each): builders.dataset(rows[each].recipe, grid.split) for each in shown}
    branches: Branches = {grid.label_of(each): "instead" for each in panel.branches}
    wanted = Shown(panel.views, panel.by)
    recipes = {grid.label_of(each): rows[each].recipe for each in shown}
    return [draw_views(models, data, recipes, wanted, Path(f"{prefix}panel.png"), branches)]
