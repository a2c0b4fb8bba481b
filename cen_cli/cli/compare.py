"""`cen compare`: several runs side by side, their scores and what they make of some views."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cen_cli.cli import options
from cen_cli.cli.options import argument, flag, option
from cen_cli.results import as_json


def compare(
    runs: Annotated[list[str], argument("RUN...", "Two or more runs or checkpoints.")],
    split: options.Split = None,
    images: Annotated[int, option("N", "Also draw N views, those that --by says.", min=0)] = 0,
    by: Annotated[
        list[str] | None,
        option(
            "difference|darkest|brightest",
            "difference: where the networks differ most; darkest or brightest: by their mean luminance; may be"
            " given several times, N views for each [default: difference].",
        ),
    ] = None,
    views: Annotated[
        list[str] | None, option("NAME", "Draw the view of this name, instead; may be given several times.")
    ] = None,
    branches: Annotated[
        bool, flag("--branches", "Draw what each branch makes, too, not the final outputs alone.")
    ] = False,
    out: Annotated[Path | None, option("FILE", "The picture [default: comparison.png].")] = None,
    inception_weights: options.InceptionWeights = None,
    data_root: options.DataRoot = None,
    device: options.Device = "auto",
    json: options.Json = False,
) -> None:
    """Score several runs, and print them side by side.

    The first is what the others are compared with. Runs of one recipe that differ in their seed count as one network:
    mean, spread, a paired test. The picture shows inputs, truth and one column a network, with the region framed in
    which they differ most.

    Examples:
        cen compare runs/rooms-261123-101500 runs/rooms-none-261123-104500 --images 4
        cen compare sweeps/fusion-nyudv2/*/seed-0 --images 2 --by darkest --by brightest
        cen compare sweeps/table7-rooms/shared/seed-* sweeps/table7-rooms/shared-half-exchange/seed-*
    """
    from cen_cli.jobs import compare as job
    from cen_cli.reporting import console, sweeps, tables
    from cen_cli.reporting.progress import Terminal

    drawn = images > 0 or bool(views)
    report = job.compare(
        runs,
        split=split,
        images=images,
        by=by or (),
        views=views or (),
        branches=branches,
        out=out,
        inception_weights=inception_weights,
        data_root=data_root,
        device=device,
        listener=Terminal(),
    )
    document = {**as_json(report), "picture": str(out or job.PICTURE) if drawn else None}
    tables.print_result(document, sweeps.render_sweep(report), json=json)
    if drawn and not json:
        console.note(f"picture: {out or job.PICTURE}")
