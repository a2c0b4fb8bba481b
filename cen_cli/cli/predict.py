"""`cen predict`: labels one pair (or tuple) of the user's own images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cen_cli.cli import options
from cen_cli.errors import UsageError


def predict(
    checkpoint: options.Checkpoint,
    inputs: Annotated[
        list[str], typer.Option("--input", help="MODALITY=FILE, once per modality of the network.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for the pictures.")] = Path("prediction"),
    device: options.Device = "auto",
    json: options.Json = False,
) -> None:
    """Label one aligned set of images: writes the label map and an overlay, and prints what was found.

    Files are stored as the training data were (8-bit RGB; 16-bit depth in the data set's own unit) and are of one size.
    The label map, a palette PNG of class indices, has that size too.

    Examples:

        cen predict runs/rooms-261123-101500 --input rgb=a.png --input depth=b.png

        cen predict checkpoints/best/model.safetensors --input rgb=a.png --input depth=b.png --out labelled --json
    """
    from cen_cli.jobs import predict as job
    from cen_cli.reporting import console, prediction, tables

    done = job.predict(checkpoint, _files(inputs), out=out, device=device)
    if json:
        console.print_json(done)
    else:
        tables.show(console.out(), prediction.prediction_parts(done))


def _files(inputs: list[str]) -> dict[str, str]:
    """MODALITY=FILE, each modality once. Raises UsageError for anything else."""
    files: dict[str, str] = {}
    for entry in inputs:
        name, _, file = entry.partition("=")
        if not name or not file:
            raise UsageError("--input takes MODALITY=FILE", hint="for example --input rgb=a.png --input depth=b.png")
        if name in files:
            raise UsageError(f"--input {name}=...: given twice", hint="one file for each modality")
        files[name] = file
    return files
