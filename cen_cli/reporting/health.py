"""What a run saw of its network's health, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType

from cen_cli.reporting import formats, tables
from cen_cli.results import LoggedHealth


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
