"""`cen data init`: a draft recipe for a folder that nobody prepared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cen_cli.cli import options


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of images.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The recipe to write [default: <DIR's name>.toml].")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            metavar="NAME",
            help="Translate to this modality [default: label maps are learned where there are any].",
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Write a draft recipe for a folder of images.

    Finds out by their names which files belong together, and by their contents what they are: photographs, other
    images, measurements such as depth with their invalid values, label maps with their classes. The recipe says beside
    everything it concluded what that rests on. An existing file is never overwritten.

    Examples:

        cen data init orchard

        cen data init orchard --out my-orchard.toml

        cen data init orchard --target nir --json
    """
    from cen_cli.jobs import data as job
    from cen_cli.reporting import console, tables
    from cen_cli.reporting.data import render_draft
    from cen_cli.reporting.progress import Terminal

    file, made, found = job.draft_recipe(folder, out, target=target, listener=Terminal())
    if json:
        console.print_json({"recipe": str(file), "target": made, "survey": found})
    else:
        tables.show(console.out(), render_draft(found, made, str(file)))
