"""`cen eval`: scores a trained network on a split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cen_cli.cli import options

if TYPE_CHECKING:
    from cen_cli.data.views import ViewDataset
    from cen_cli.models.segmenter import Segmenter


def evaluate(
    checkpoint: options.Checkpoint,
    split: Annotated[
        str | None, typer.Option("--split", help="train, val or test [default: the recipe's eval.split].")
    ] = None,
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

    Scores that the recipe expects are shown beside; one that is missed ends the command with exit code 1.

    Examples:

        cen eval runs/rooms-261123-101500

        cen eval runs/rooms-261123-101500 --split val --save-images 8

        cen eval checkpoints/best/model.safetensors --data-root /data/nyudv2 --json
    """
    from cen_cli import build
    from cen_cli.data.loading import evaluation_loader
    from cen_cli.engine.device import resolve_device, resolve_precision
    from cen_cli.engine.evaluate import evaluate_segmentation
    from cen_cli.engine.rundir import locate
    from cen_cli.errors import ExpectationError
    from cen_cli.recipe.load import override
    from cen_cli.reporting import console, tables
    from cen_cli.reporting.progress import counting
    from cen_cli.results import as_json

    where = resolve_device(device)
    model = build.load(checkpoint, device)
    given = [*(overrides or []), *([f"eval.split={split}"] if split else [])]
    recipe = override(model.recipe, given, data_root=data_root, source=checkpoint)
    with counting("rendering rooms") as progress:
        data = build.dataset(recipe, recipe.eval.split, progress=progress)
    build.check_classes(model, data, checkpoint)
    with counting("evaluating") as progress:
        evaluation = evaluate_segmentation(
            model,
            evaluation_loader(data, batch=recipe.eval.batch, workers=recipe.data.workers),
            device=where,
            precision=resolve_precision(recipe.train.precision, where),
            class_names=data.class_names,
            split=recipe.eval.split,
            protocol=recipe.eval.protocol,
            after_batch=lambda done: progress(done, len(data)),
        )
    expected = options.expected_scores(recipe, evaluation)
    located = locate(checkpoint)
    folder = out or (located.run or located.model_file.parent) / "images"
    images = _save_panels(model, data, save_images, folder, recipe.eval.split) if save_images else None
    if json:
        document = {"evaluation": as_json(evaluation), "expected": as_json(expected), "images": images and str(images)}
        console.print_json(document)
    else:
        tables.show(console.out(), tables.evaluation_parts(evaluation, expected))
        tables.show(console.out(), tables.class_parts(evaluation))
        if images:
            console.note(f"pictures: {images}")
    missed = [line.metric for line in expected if line.met is False]
    if missed:
        raise ExpectationError(f"below what the recipe expects: {', '.join(missed)}")


def _save_panels(model: Segmenter, data: ViewDataset, count: int, folder: Path, split: str) -> Path:
    """One picture: a row per view with inputs, truth, branches and ensemble."""
    from cen_cli import build
    from cen_cli.analysis.predictions import panel_rows
    from cen_cli.reporting import panels

    rows = list(panel_rows(model, data, range(min(count, len(data)))))
    return panels.write_panel(folder / f"{split}.png", rows, data.class_names, build.palette(model.recipe))
