"""`cen eval`: scores a trained network on a split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cen_cli.cli import options
from cen_cli.cli.robustness import Inputs, report_robustness
from cen_cli.results import Fill

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cen_cli.builders import Network
    from cen_cli.data.views import ViewDataset
    from cen_cli.recipe.schema import Recipe
    from cen_cli.results import Evaluation, ExpectedScore


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
    without: Annotated[
        list[str] | None,
        typer.Option(
            "--without",
            metavar="MODALITY",
            help="Score the network as if this modality were missing; may be given several times.",
            show_default=False,
        ),
    ] = None,
    robustness: Annotated[
        bool,
        typer.Option(
            "--robustness", help="Score it with every subset of the modalities missing, and with each one corrupted."
        ),
    ] = False,
    fill: Annotated[
        list[Fill] | None,
        typer.Option(
            "--fill",
            metavar="zero|mean|noise|other",
            help="What takes the place of a missing modality [default: zero; all of them with --robustness, where it "
            "may be given several times].",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed",
            metavar="N",
            min=0,
            help="Seed of noise, of holes and of which other view lends its image [default: 0].",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder of pictures [default: images/ of the run; plots/ with --robustness]."),
    ] = None,
    overrides: options.Overrides = None,
    data_root: options.DataRoot = None,
    device: options.Device = "auto",
    json: options.Json = False,
) -> None:
    """Score a checkpoint on a split: per branch, for the ensemble, and per class.

    Translations are scored by MAE, MSE, PSNR, SSIM and, where the Inception weights are at hand, FID and KID. Scores
    that the recipe expects are shown beside; one that is missed ends the command with exit code 1.

    With --without nothing is expected. With --robustness there are tables of missing and of corrupted modalities and of
    what each branch relies on, and a plot; FID and KID are left out.

    Examples:

        cen eval runs/rooms-261123-101500

        cen eval runs/rooms-261123-101500 --split val --save-images 8

        cen eval runs/rooms-261123-101500 --without depth --fill mean

        cen eval runs/rooms-261123-101500 --robustness

        cen eval runs/nyudv2-261123-101500 --scales 0.75,1,1.25 --flip

        cen eval checkpoints/best/model.safetensors --data-root /data/nyudv2 --json

        cen eval runs/rooms-translate-261123-101500 --protocol paper --inception-weights weights.pth
    """
    from cen_cli import builders
    from cen_cli.models.device import resolve_device
    from cen_cli.recipe.load import override
    from cen_cli.reporting.progress import counting
    from cen_cli.runs.directory import locate

    inputs = Inputs(tuple(without or ()), tuple(fill or ()), seed, robustness)
    inputs.check(pictures=save_images > 0, inception_weights=inception_weights is not None)
    where = resolve_device(device)
    model = builders.load(checkpoint, device)
    given = [
        *(overrides or []),
        *([f"eval.split={split}"] if split else []),
        *([f"eval.protocol={protocol}"] if protocol else []),
        *([f"eval.scales=[{scales}]"] if scales is not None else []),
        *([f"eval.flip={str(flip).lower()}"] if flip is not None else []),
        *(["eval.distances=false"] if robustness and model.task == "translation" else []),
    ]
    recipe = override(model.recipe, given, data_root=data_root, source=checkpoint)
    builders.check_statistics(model, recipe, checkpoint)
    score = builders.scorer(recipe, where, inception_weights=inception_weights)
    with counting("rendering rooms") as progress:
        data = builders.dataset(recipe, recipe.eval.split, progress=progress)
    builders.check_fits(model, data, checkpoint)
    located = locate(checkpoint)
    place = located.run or located.model_file.parent
    if robustness:
        report_robustness(model, data, score, inputs, recipe.eval.split, out or place / "plots", json=json)
        return
    with counting("evaluating") as progress:
        evaluation = inputs.scored(
            model,
            data,
            lambda views: score(
                model, views, split=recipe.eval.split, after_batch=lambda done: progress(done, len(views))
            ),
        )
    images = _save_panels(model, data, recipe, save_images, out or place / "images") if save_images else None
    _report(evaluation, [] if without else options.expected_scores(recipe, evaluation), images, json=json)


def _report(evaluation: Evaluation, expected: Sequence[ExpectedScore], images: Path | None, *, json: bool) -> None:
    """Print the scores. Raises ExpectationError where one that is expected is missed."""
    from cen_cli.reporting import console, tables
    from cen_cli.results import as_json

    if json:
        document = {"evaluation": as_json(evaluation), "expected": as_json(expected), "images": images and str(images)}
        console.print_json(document)
    else:
        tables.show(console.out(), tables.evaluation_parts(evaluation, expected))
        if evaluation.class_names:
            tables.show(console.out(), tables.class_parts(evaluation))
        if images:
            console.note(f"pictures: {images}")
    options.check_expected(expected)


def _save_panels(model: Network, data: ViewDataset, recipe: Recipe, count: int, folder: Path) -> Path:
    """One picture: a row per view with inputs, truth, branches and ensemble."""
    from cen_cli.cli.view_pictures import picture_of_views
    from cen_cli.reporting.files import write_png

    views = range(min(count, len(data)))
    return write_png(folder / f"{recipe.eval.split}.png", picture_of_views(model, data, recipe, views))
