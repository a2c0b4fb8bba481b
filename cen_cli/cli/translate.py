"""`cen translate`: makes images of another modality, from the user's own files or from views of the recipe's split."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cen_cli.cli import options
from cen_cli.cli.options import argument, option
from cen_cli.errors import DataError

VIEWS = 8
"""Views of a split that are translated where --count does not say it."""


def translate(
    images: Annotated[
        list[Path] | None,
        argument(
            "IMAGES",
            "Your own images, before --inputs or behind a --: for each input, in that order, one file or one "
            "folder [default: views of the recipe's data set].",
        ),
    ] = None,
    inputs: Annotated[
        list[str] | None,
        option(
            "NAME...",
            "What is given, for example shade texture: all words up to the next option. May be repeated; commas "
            "may join names [default: the inputs of --ckpt].",
            options.INPUTS,
        ),
    ] = None,
    target: Annotated[str | None, option("NAME", "What is to be made.")] = None,
    checkpoint: Annotated[
        str | None,
        option(
            "CKPT|RUN",
            "The network [default: the newest finished run in runs/ with these inputs and this target].",
            "--ckpt",
        ),
    ] = None,
    split: options.Split = None,
    count: Annotated[
        int | None, option("N", f"Only the first N views [default: {VIEWS} of a split, all of your own].", min=1)
    ] = None,
    out: Annotated[
        Path | None, option("DIR", "A new folder [default: translations/<name of run or checkpoint>].")
    ] = None,
    protocol: Annotated[
        Literal["strict", "paper"] | None,
        option(
            None,
            "strict: images as the network makes them. paper: as the authors' release evaluates, dropout draws "
            "and every image is stretched [default: the recipe's eval.protocol].",
        ),
    ] = None,
    overrides: options.Overrides = None,
    data_root: options.DataRoot = None,
    device: options.Device = "auto",
    engine: options.Engine = "torch",
    json: options.Json = False,
) -> None:
    """Make images of another modality by a translation network.

    Of each view, what every input's branch makes of it, and what their ensemble does. Names are those of Taskonomy's
    domains or in short shade, texture, edge, depth, normal, rgb. Your own files are stored as the training data were
    (8-bit pictures; 16-bit depth and edges in the data set's own units); all inputs of a view show the same scene,
    pixel by pixel, and have one size. They are brought to the network's size, and what it makes back to the size of
    your files. Files of folders belong together by their name.

    Writes OUT/<view>_<branch>.png and OUT/<view>_ensemble.png, pictures with 8 bits and depth with 16 as the data set
    stores it, and OUT/contact_sheet.png: inputs, branches, ensemble and, where known, the truth. Views that cannot be
    read are skipped with a warning, and the exit code is then 1.

    Examples:
        cen translate --inputs shade texture
        cen translate --inputs shade texture --target rgb --split val --count 20 --out pictures
        cen translate shade.png texture.png --inputs shade texture
        cen translate --inputs shade,texture --ckpt runs/rooms-translate-261123-101500 -- shades/ textures/
    """
    from cen_cli.jobs import translate as job
    from cen_cli.recipe.overrides import with_options
    from cen_cli.reporting import tables
    from cen_cli.reporting.progress import Terminal
    from cen_cli.reporting.translation import render_translation

    done = job.translate(
        images or (),
        inputs=inputs or (),
        target=target,
        checkpoint=checkpoint,
        split=split,
        count=count if images else count or VIEWS,
        out=out,
        changes=with_options(overrides or (), eval__protocol=protocol),
        data_root=data_root,
        device=device,
        engine=engine,
        listener=Terminal(),
    )
    tables.print_result(done, render_translation(done), json=json)
    if done.skipped:
        total = done.views + len(done.skipped)
        raise DataError(f"{len(done.skipped)} of {total} views were skipped, see above; the others are written")
