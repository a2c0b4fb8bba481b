"""`cen convert`: published torch files as checkpoints of cen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cen_cli.cli import options
from cen_cli.cli.options import argument, option


def convert(
    file: Annotated[Path, argument("FILE", "A published torch file (.pth).")],
    arch: Annotated[
        Literal["refinenet", "unet", "discriminator", "resnet"] | None,
        option(
            None,
            "What it holds: the authors' segmentation network, generator or discriminator, or torchvision's "
            "ResNet [default: seen from its names].",
        ),
    ] = None,
    inputs: Annotated[
        list[str] | None,
        option(
            "NAME...",
            "The modalities in the order of the file's norms, for example shade texture; commas may join them "
            "[default, for two streams of segmentation: rgb depth].",
            options.INPUTS,
        ),
    ] = None,
    target: Annotated[str | None, option("NAME", "What a generator makes.")] = None,
    out: Annotated[
        Path | None,
        option("CKPT", "The file to write, NAME.safetensors [default: beside FILE, under its name].", "-o", "--out"),
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
    from cen_cli.reporting import tables
    from cen_cli.reporting.networks import render_conversion

    report = job.convert(file, arch=arch, inputs=inputs or (), target=target, out=out)
    tables.print_result(report, render_conversion(report), json=json)
