"""`cen exchange-stats`: how many channels a trained network replaces, where, and by whose."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from cen_cli.cli import options


class By(StrEnum):
    """What one row of the table stands for."""

    LAYER = "layer"
    STAGE = "stage"


def exchange_stats(
    checkpoint: options.Checkpoint,
    by: Annotated[
        By, typer.Option("--by", help="One row per exchanging layer, or per stage of the encoder.")
    ] = By.LAYER,
    device: options.Device = "cpu",
    json: options.Json = False,
) -> None:
    """Count replaced channels per layer and modality, with their donors and totals.

    A run directory also gives the replaced share over the recorded steps.

    Examples:
        cen exchange-stats runs/rooms-261123-101500
        cen exchange-stats runs/rooms-261123-101500 --by stage
        cen exchange-stats checkpoints/best/model.safetensors --json
    """
    from cen_cli import build
    from cen_cli.analysis.exchange import replaced_at_steps, rows_of_states
    from cen_cli.analysis.gammas import history_of_run
    from cen_cli.analysis.layers import layer_states
    from cen_cli.engine.rundir import locate
    from cen_cli.reporting import console, exchange_tables, tables

    located = locate(checkpoint)
    model = build.load(checkpoint, device)
    states = layer_states(model)
    history = history_of_run(located.run, states)
    rows = rows_of_states(states, model.modalities, by.value)
    steps = replaced_at_steps(history, states) if history else ()
    if json:
        console.print_json(
            {"checkpoint": str(located.model_file), "by": by.value, "rows": rows, "steps": steps or None}
        )
        return
    tables.show(console.out(), [f"checkpoint: {located.model_file}"])
    if not any(state.replaceable.any() for state in states):
        tables.show(console.out(), ["This network was built without exchange: nothing is replaced."])
        return
    tables.show(console.out(), exchange_tables.exchange_parts(rows, by=by.value))
    if steps:
        tables.show(console.out(), exchange_tables.steps_parts(steps))
    tables.show(console.out(), [f"next: cen analyze-gammas {checkpoint}"])
