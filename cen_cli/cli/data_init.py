"""`cen data init`: a draft recipe for a folder that nobody prepared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cen_cli.cli import options
from cen_cli.cli.options import argument, option


def init(
    folder: Annotated[Path, argument("DIR", "A folder of images.")],
    out: Annotated[Path | None, option("FILE", "The recipe to write [default: <DIR's name>.toml].")] = None,
    target: Annotated[
        str | None, option("NAME", "Translate to this modality [default: label maps are learned where there are any].")
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
    from cen_cli.reporting import tables
    from cen_cli.reporting.data import render_draft
    from cen_cli.reporting.progress import Terminal

    file, made, found = job.draft_recipe(folder, out, target=target, listener=Terminal())
    document = {"recipe": str(file), "target": made, "survey": found}
    tables.print_result(document, render_draft(found, made, str(file)), json=json)
