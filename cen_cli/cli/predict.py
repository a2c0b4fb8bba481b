"""`cen predict`: labels one pair (or tuple) of the user's own images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cen_cli.cli import options
from cen_cli.errors import UsageError

if TYPE_CHECKING:
    from cen_cli.models.segmenter import Segmenter


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
    import numpy as np

    from cen_cli import builders
    from cen_cli.analysis.predictions import panel_row, picture
    from cen_cli.data.transforms import resize_view
    from cen_cli.data.views import read_view
    from cen_cli.models.segmenter import Segmenter
    from cen_cli.reporting import console, prediction, tables
    from cen_cli.results import ENSEMBLE, ClassShare, as_json

    model = builders.load(checkpoint, device)
    if not isinstance(model, Segmenter):
        raise UsageError(
            f"{checkpoint}: this network translates images, it does not label them",
            hint=f"use it with: cen translate --inputs {' '.join(model.modalities)} --ckpt {checkpoint}",
        )
    framed = model.recipe.data.kind == "nyudv2"  # its depth images keep the white frame that the others have lost
    files = _files(inputs, model)
    view = read_view("prediction", files, model.specs, classes=len(model.class_names), crop_depth=framed)
    size, resize = view.size, model.recipe.data.resize
    seen = view if resize is None else resize_view(view, resize)
    row = panel_row(model, seen, size=size, averaging=builders.averaging(model.recipe))
    labels = row.predictions.get(ENSEMBLE, next(iter(row.predictions.values())))
    colors = builders.palette(model.recipe)
    written = prediction.write_prediction(out, labels, picture(view), len(model.class_names), colors)
    counts = np.bincount(labels.ravel(), minlength=len(model.class_names)) / labels.size
    largest_first = [int(index) for index in np.argsort(-counts) if counts[index]]
    found = [ClassShare(model.class_names[index], float(counts[index])) for index in largest_first]
    if json:
        console.print_json({"files": [str(path) for path in written], "classes": as_json(found)})
    else:
        tables.show(console.out(), prediction.prediction_parts(found, written))


def _files(inputs: list[str], model: Segmenter) -> dict[str, str]:
    """MODALITY=FILE, each of the network's modalities once. Raises UsageError saying which are missing or unknown."""
    pairs = [entry.partition("=") for entry in inputs]
    names = [name for name, _, _ in pairs]
    if any(not name or not file for name, _, file in pairs):
        raise UsageError("--input takes MODALITY=FILE", hint="for example --input rgb=a.png --input depth=b.png")
    missing = [name for name in model.modalities if name not in names]
    unknown = [name for name in names if name not in model.modalities]
    if missing or unknown or len(set(names)) != len(names):
        repeated = sorted({name for name in names if names.count(name) > 1})
        problems = {"missing": missing, "unknown": unknown, "given twice": repeated}
        listed = "; ".join(f"{what}: {', '.join(which)}" for what, which in problems.items() if which)
        raise UsageError(
            f"this network takes one file for each of {', '.join(model.modalities)}; {listed}",
            hint=" ".join(f"--input {name}=FILE" for name in model.modalities),
        )
    return {name: file for name, _, file in pairs}
