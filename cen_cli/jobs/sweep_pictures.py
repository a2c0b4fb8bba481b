"""The pictures of a sweep, where it has them: S-Fig 13's curves, S-Fig 11 and 12's gammas, S-Fig 6 to 10's panels."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from cen_cli import builders
from cen_cli.jobs.compare import draw_views
from cen_cli.jobs.exchanging import load_exchanging
from cen_cli.recipe.sweeps import Member, Sweep, value_in
from cen_cli.reporting import gamma_plots
from cen_cli.reporting.sweeps import write_sweep_figure
from cen_cli.results import SweepReport


def draw(grid: Sweep, report: SweepReport, found: Sequence[Member], folder: Path, device: str) -> list[Path]:
    """Write what the sweep draws of the members that are done, into its folder. Raises SaveError."""
    drawn: list[Path] = []
    done = {(row.group, row.variant): min(row.cells[-1].values, default=None) for row in report.rows if row.done}
    members = [member for member in found if done.get((member.group, member.variant)) == member.seed]
    if grid.figure is not None and done:
        keys = grid.figure.keys
        values = {(each.group, each.variant): {key: value_in(each.recipe, key) for key in keys} for each in found}
        drawn.append(write_sweep_figure(folder / "figure.png", report, values, grid.figure.metrics))
    for group in dict.fromkeys(member.group for member in members):
        rows = {grid.variants[each.variant].label or each.variant: each for each in members if each.group == group}
        prefix = f"{group}-" if group else ""
        if grid.proportions:
            drawn += _proportions(rows, grid.proportions, folder, prefix, device)
        if grid.panel:
            drawn.append(_panel(rows, grid, folder, prefix, device))
    return drawn


def _proportions(rows: dict[str, Member], layer: str, folder: Path, prefix: str, device: str) -> list[Path]:
    """S-Fig 11 and 12: each modality's share of every gamma, the first finished seed of each row."""
    networks = [
        dataclasses.replace(load_exchanging(str(folder / member.name), device).as_drawn(), label=label)
        for label, member in rows.items()
    ]
    (name,) = [name for name in networks[0].gammas if name.endswith(layer)]
    return [
        gamma_plots.gamma_proportions(networks, name, folder / f"{prefix}gamma-proportions.png"),
        gamma_plots.all_proportions(networks, folder / f"{prefix}gamma-proportions-all.png"),
    ]


def _panel(rows: dict[str, Member], grid: Sweep, folder: Path, prefix: str, device: str) -> Path:
    """S-Fig 6 to 10: the views on which the rows differ most, the first finished seed of each."""
    models = {label: builders.load(str(folder / member.name), device) for label, member in rows.items()}
    data = {label: builders.dataset(member.recipe, grid.split) for label, member in rows.items()}
    return draw_views(models, data, grid.panel, folder / f"{prefix}panel.png")
