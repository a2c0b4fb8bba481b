"""`cen report`: everything about a run on one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cen_cli.cli import options
from cen_cli.cli.options import argument, option


def report(
    run: Annotated[str, argument("RUN", "A run directory, or a checkpoint in one.")],
    out: Annotated[Path | None, option("FILE", "The page [default: report.html in the run].")] = None,
    images: Annotated[int, option("N", "Views of the split whose pictures are shown; 0 reads no data.", min=0)] = 4,
    data_root: options.DataRoot = None,
    device: options.Device = "cpu",
    json: options.Json = False,
) -> None:
    """Write all about a run on one HTML page.

    Verdict, scores, curves, exchange, gammas, pictures, recipe, environment: the page holds everything and loads
    nothing, so it can be mailed or opened anywhere. Scores are those of the run's validations; nothing is evaluated
    again. Where the data are not at hand, the page says so in the pictures' place.

    Examples:
        cen report runs/rooms-261123-101500
        cen report runs/rooms-261123-101500 --out report.html --images 8
        cen report runs/nyudv2-261123-101500 --data-root /data/nyudv2
    """
    from cen_cli.jobs import report as job
    from cen_cli.reporting import formats, tables
    from cen_cli.reporting.progress import Terminal

    written = job.report(run, out=out, images=images, data_root=data_root, device=device, listener=Terminal())
    lines = [written.headline, f"report: {written.report} ({formats.size(Path(written.report).stat().st_size)})"]
    tables.print_result(written, [*lines, f"next: {written.next}"], json=json)
