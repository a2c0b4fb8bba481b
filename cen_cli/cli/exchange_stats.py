"""`cen exchange-stats`: how many channels a trained network replaces, where, and by whose."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from cen_cli.cli import options
from cen_cli.cli.options import option
from cen_cli.wording import command


class By(StrEnum):
    """What one row of the table stands for."""

    LAYER = "layer"
    STAGE = "stage"


def exchange_stats(
    checkpoint: options.Checkpoint,
    by: Annotated[By, option(None, "One row per exchanging layer, or per stage of the encoder.")] = By.LAYER,
    out: Annotated[Path | None, option("DIR", "Folder of the plot [default: plots/ of the run].")] = None,
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
    from cen_cli.reporting import exchange_tables, tables
    from cen_cli.reporting.progress import Terminal

    found = exchange_statistics(
        checkpoint, by="stage" if by is By.STAGE else "layer", out=out, device=device, listener=Terminal()
    )
    parts = [*exchange_tables.render_statistics(found), f"next: {command('analyze-gammas', checkpoint)}"]
    tables.print_result(found, parts if found.exchanges else parts[:-1], json=json)
