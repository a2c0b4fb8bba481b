"""`cen exchange-stats`: how many channels a trained network replaces, where, and by whose."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cen_cli.cli import options
from cen_cli.wording import command


class By(StrEnum):
    """What one row of the table stands for."""

    LAYER = "layer"
    STAGE = "stage"


def exchange_stats(
    checkpoint: options.Checkpoint,
    by: Annotated[By, typer.Option(help="One row per exchanging layer, or per stage of the encoder.")] = By.LAYER,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the plot [default: plots/ of the run].")
    ] = None,
    device: options.Device = "cpu",
    json: options.Json = False,
) -> None:
    """Count replaced channels per layer and modality.

    Each row names the donors, whose mean takes the channels' place. With three modalities and more, each donor stands
    with its part of the donors' |gamma|. A run directory also gives the replaced share over the recorded steps, and a
    plot of it: layers against epochs.

    Examples:
        cen exchange-stats runs/rooms-261123-101500
        cen exchange-stats runs/rooms-261123-101500 --by stage
        cen exchange-stats checkpoints/best/model.safetensors --json
    """
    from cen_cli.jobs.analyze import exchange_statistics
    from cen_cli.reporting import console, exchange_tables, tables
    from cen_cli.reporting.progress import Terminal

    found = exchange_statistics(
        checkpoint, by="stage" if by is By.STAGE else "layer", out=out, device=device, listener=Terminal()
    )
    if json:
        console.print_json(found)
        return
    tables.show(console.out(), [f"checkpoint: {found.checkpoint}"])
    if not found.exchanges:
        tables.show(console.out(), ["This network was built without exchange: nothing is replaced."])
        return
    tables.show(console.out(), exchange_tables.render_exchange(found.rows, by=by.value))
    if found.steps:
        tables.show(console.out(), exchange_tables.render_steps(found.steps))
    last = f"plot: {found.plot}" if found.plot else "No recorded gammas beside this checkpoint: nothing over training."
    tables.show(console.out(), [last, f"next: {command('analyze-gammas', checkpoint)}"])
