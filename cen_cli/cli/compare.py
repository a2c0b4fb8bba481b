"""`cen compare`: several runs side by side, their scores and the views on which they differ most."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cen_cli.cli import options


def compare(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Two or more runs or checkpoints.", show_default=False)
    ],
    split: Annotated[
        str | None, typer.Option("--split", help="train, val or test [default: the first recipe's eval.split].")
    ] = None,
    images: Annotated[
        int, typer.Option("--images", min=0, help="Also draw the N views on which the networks differ most.")
    ] = 0,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The picture.")] = Path("comparison.png"),
    inception_weights: options.InceptionWeights = None,
    data_root: options.DataRoot = None,
    device: options.Device = "auto",
    json: options.Json = False,
) -> None:
    """Score runs on one split and print them side by side; the first is what the others are held against.

    Runs of one recipe that differ in their seed count as one network: mean, spread, a paired test. The picture shows
    inputs, truth and one column a network, with the region framed in which they differ most.

    Examples:

        cen compare runs/rooms-261123-101500 runs/rooms-none-261123-104500 --images 4

        cen compare sweeps/table7-rooms/shared/seed-* sweeps/table7-rooms/shared-half-exchange/seed-*
    """
    from cen_cli.jobs import compare as job
    from cen_cli.reporting import console, sweeps, tables
    from cen_cli.reporting.progress import Terminal
    from cen_cli.results import as_json

    report = job.compare(
        runs,
        split=split,
        images=images,
        out=out,
        inception_weights=inception_weights,
        data_root=data_root,
        device=device,
        listener=Terminal(),
    )
    if json:
        console.print_json({**as_json(report), "picture": str(out) if images else None})
        return
    tables.show(console.out(), sweeps.sweep_parts(report))
    if images:
        console.note(f"picture: {out}")
