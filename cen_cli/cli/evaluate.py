"""`cen eval`: scores a trained network on a split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cen_cli.cli import options

if TYPE_CHECKING:
    from cen_cli.build import Network
    from cen_cli.data.views import ViewDataset
    from cen_cli.recipe.schema import Recipe


def evaluate(
    checkpoint: options.Checkpoint,
    split: Annotated[
        str | None, typer.Option("--split", help="train, val or test [default: the recipe's eval.split].")
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option("--protocol", help="strict or paper [default: the recipe's eval.protocol].", show_default=False),
    ] = None,
    scales: Annotated[
        str | None,
        typer.Option(
            "--scales",
            metavar="S,S,...",
            help="Segmentation: label by the mean probabilities at these scales [default: the recipe's eval.scales].",
            show_default=False,
        ),
    ] = None,
    flip: Annotated[
        bool | None,
        typer.Option(
            "--flip/--no-flip",
            help="Segmentation: average with mirror images, too [default: the recipe's eval.flip].",
            show_default=False,
        ),
    ] = None,
    inception_weights: options.InceptionWeights = None,
    save_images: Annotated[
        int, typer.Option("--save-images", min=0, help="Also write a panel of the first N views of the split.")
    ] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of those pictures [default: images/ of the run].")
    ] = None,
    overrides: options.Overrides = None,
    data_root: options.DataRoot = None,
    device: options.Device = "auto",
    json: options.Json = False,
) -> None:
    """Score a checkpoint on a split: per branch, for the ensemble, and per class.

    Translations are scored by MAE, MSE, PSNR, SSIM and, where the Inception weights are at hand, FID and KID. Scores
    that the recipe expects are shown beside; one that is missed ends the command with exit code 1.

    Examples:

        cen eval runs/rooms-261123-101500

        cen eval runs/rooms-261123-101500 --split val --save-images 8

        cen eval runs/nyudv2-261123-101500 --scales 0.75,1,1.25 --flip

        cen eval checkpoints/best/model.safetensors --data-root /data/nyudv2 --json

        cen eval runs/rooms-translate-261123-101500 --protocol paper --inception-weights weights.pth
    """
    from cen_cli import build
    from cen_cli.engine.device import resolve_device
    from cen_cli.engine.rundir import locate
    from cen_cli.errors import ExpectationError
    from cen_cli.recipe.load import override
    from cen_cli.reporting import console, tables
    from cen_cli.reporting.progress import counting
    from cen_cli.results import as_json

    where = resolve_device(device)
    model = build.load(checkpoint, device)
    given = [
        *(overrides or []),
        *([f"eval.split={split}"] if split else []),
        *([f"eval.protocol={protocol}"] if protocol else []),
        *([f"eval.scales=[{scales}]"] if scales is not None else []),
        *([f"eval.flip={str(flip).lower()}"] if flip is not None else []),
    ]
    recipe = override(model.recipe, given, data_root=data_root, source=checkpoint)
    score = build.scorer(recipe, where, inception_weights=inception_weights)
    with counting("rendering rooms") as progress:
        data = build.dataset(recipe, recipe.eval.split, progress=progress)
    build.check_fits(model, data, checkpoint)
    with counting("evaluating") as progress:
        evaluation = score(model, data, split=recipe.eval.split, after_batch=lambda done: progress(done, len(data)))
    expected = options.expected_scores(recipe, evaluation)
    located = locate(checkpoint)
    folder = out or (located.run or located.model_file.parent) / "images"
    images = _save_panels(model, data, recipe, save_images, folder) if save_images else None
    if json:
        document = {"evaluation": as_json(evaluation), "expected": as_json(expected), "images": images and str(images)}
        console.print_json(document)
    else:
        tables.show(console.out(), tables.evaluation_parts(evaluation, expected))
        if evaluation.class_names:
            tables.show(console.out(), tables.class_parts(evaluation))
        if images:
            console.note(f"pictures: {images}")
    missed = [line.metric for line in expected if line.met is False]
    if missed:
        raise ExpectationError(f"below what the recipe expects: {', '.join(missed)}")


def _save_panels(model: Network, data: ViewDataset, recipe: Recipe, count: int, folder: Path) -> Path:
    """One picture: a row per view with inputs, truth, branches and ensemble."""
    from cen_cli.cli.view_pictures import picture_of_views
    from cen_cli.reporting.files import write_png

    views = range(min(count, len(data)))
    return write_png(folder / f"{recipe.eval.split}.png", picture_of_views(model, data, recipe, views))
