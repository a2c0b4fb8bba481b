"""`cen exchange-stats`: how many channels a trained network replaces, where, and by whose."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
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
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder of the plot [default: plots/ of the run].", show_default=False),
    ] = None,
    device: options.Device = "cpu",
    json: options.Json = False,
) -> None:
    """Count replaced channels per layer and modality, with their donors and totals.

    With three modalities and more, each donor stands with its part of the donors' |gamma|. A run directory also gives
    the replaced share over the recorded steps, and a plot of it: layers against epochs.

    Examples:
        cen exchange-stats runs/rooms-261123-101500
        cen exchange-stats runs/rooms-261123-101500 --by stage
        cen exchange-stats checkpoints/best/model.safetensors --json
    """
    from cen_cli.analysis.exchange import replaced_at_steps, rows_of_states
    from cen_cli.cli.subject import draw_replaced, load_subject
    from cen_cli.reporting import console, exchange_tables, tables
    from cen_cli.runs.directory import RunDirectory
    from cen_cli.runs.log import read_log

    subject = load_subject(checkpoint, device)
    rows = rows_of_states(subject.states, subject.model.modalities, by.value)
    epoch = read_log(RunDirectory(subject.run)).steps_per_epoch if subject.run else None
    history = subject.history
    steps = replaced_at_steps(history, subject.states, steps_per_epoch=epoch) if history else ()
    drawn = history is not None and subject.exchanges
    plot = draw_replaced(subject, out or subject.folder(), steps_per_epoch=epoch) if drawn else None
    if json:
        document = {"checkpoint": str(subject.file), "by": by.value, "rows": rows, "steps": steps or None}
        console.print_json({**document, "plot": plot and str(plot)})
        return
    tables.show(console.out(), [f"checkpoint: {subject.file}"])
    if not subject.exchanges:
        tables.show(console.out(), ["This network was built without exchange: nothing is replaced."])
        return
    tables.show(console.out(), exchange_tables.exchange_parts(rows, by=by.value))
    if steps:
        tables.show(console.out(), exchange_tables.steps_parts(steps))
    last = f"plot: {plot}" if plot else "No recorded gammas beside this checkpoint: nothing over training."
    tables.show(console.out(), [last, f"next: cen analyze-gammas {checkpoint}"])
