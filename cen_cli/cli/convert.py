"""`cen convert`: published torch files as checkpoints of cen."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cen_cli.cli import options


class Arch(StrEnum):
    """What a published file may hold."""

    REFINENET = "refinenet"
    UNET = "unet"
    DISCRIMINATOR = "discriminator"
    RESNET = "resnet"


def convert(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A published torch file (.pth).")],
    arch: Annotated[
        Arch | None,
        typer.Option(
            "--arch",
            help="What it holds: the authors' segmentation network, generator or discriminator, or torchvision's "
            "ResNet [default: seen from its names].",
        ),
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            options.INPUTS,
            metavar="NAME...",
            help="The modalities in the order of the file's norms, for example shade texture; commas may join them "
            "[default, for two streams of segmentation: rgb depth].",
        ),
    ] = None,
    target: Annotated[str | None, typer.Option(metavar="NAME", help="What a generator makes.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="CKPT",
            help="The file to write, NAME.safetensors [default: beside FILE, under its name].",
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Convert a published checkpoint for use by these commands.

    FILE is one of the authors' checkpoints, or torchvision's weights of a ResNet. Which network it is, its depth,
    classes, levels, channels and number of modalities are seen from the names and shapes of its tensors. What becomes
    of segmentation networks and generators carries a recipe, so that eval, predict, translate, exchange-stats and
    analyze-gammas take it as it is; a ResNet's becomes a file for model.weights. Nothing in FILE is executed, and
    nothing is overwritten.

    Examples:
        cen convert nyudv2-resnet101.pth
        cen convert generator.pth --inputs shade texture --target rgb -o shade-texture.safetensors
        cen convert resnet101-63fe2227.pth -o resnet101.safetensors
        cen convert network.pth --arch refinenet --inputs rgb depth normal --json
    """
    from cen_cli.jobs import convert as job
    from cen_cli.reporting import console, tables
    from cen_cli.reporting.conversion import render_conversion

    report = job.convert(file, arch=arch and arch.value, inputs=inputs or (), target=target, out=out)
    if json:
        console.print_json(report)
    else:
        tables.show(console.out(), render_conversion(report))
