"""`cen bench`: what a recipe's training and inference cost on this machine."""

from __future__ import annotations

from typing import Annotated, Any

from cen_cli.cli import options
from cen_cli.cli.options import option


def bench(
    recipe: options.RecipeName,
    batch: Annotated[int | None, option("N", "Views in a step [default: the recipe's train.batch].", min=1)] = None,
    rounds: Annotated[int, option("N", "Rounds, over which medians and ranges are.", min=1)] = 5,
    steps: Annotated[int, option("N", "Steps in each round, whose times are averaged.", min=1)] = 2,
    overrides: options.Overrides = None,
    data_root: options.DataRoot = None,
    device: options.Device = "auto",
    json: options.Json = False,
) -> None:
    """Profile a recipe on this machine: times, memory, parts.

    Measures a training step and inference, the memory they hold, and which part takes how much of the time. Trains a
    new network for a few steps and throws it away; no run is made. Every time is the median over the rounds, with the
    range beside it. What the step reaches stands beside what a matrix product and a convolution reach here.

    Examples:
        cen bench rooms
        cen bench nyudv2 --data-root /data/nyudv2 --batch 2 --rounds 3 --steps 1
        cen bench rooms-translate --set train.precision=bf16 --json
    """
    from cen_cli.jobs import train as job
    from cen_cli.recipe.overrides import with_options
    from cen_cli.reporting import tables
    from cen_cli.reporting.networks import render_bench
    from cen_cli.reporting.progress import Terminal

    changes = with_options(overrides or (), train__batch=batch)
    common: dict[str, Any] = {"changes": changes, "data_root": data_root, "device": device, "listener": Terminal()}
    measured = job.bench(recipe, rounds=rounds, steps=steps, **common)
    tables.print_result(measured, render_bench(measured), json=json)
