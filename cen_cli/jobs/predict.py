"""Labelling one aligned set of images of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cen_cli import builders
from cen_cli.analysis.predictions import panel_row, picture
from cen_cli.data.transforms import resize_view
from cen_cli.data.views import read_view
from cen_cli.errors import UsageError
from cen_cli.models.segmenter import Segmenter
from cen_cli.reporting.prediction import write_prediction
from cen_cli.results import ENSEMBLE, ClassShare, Prediction

FRAMED = "nyudv2"
"""The kind of data whose depth images keep the white frame that the others have lost."""


def predict(
    checkpoint: str | Path,
    inputs: Mapping[str, str | Path],
    *,
    out: str | Path = "prediction",
    device: str = "auto",
) -> Prediction:
    """Label one view, one file for each modality of the network, and write the label map and an overlay into `out`.

    The view is brought to the size at which the recipe's networks are scored, the labels back to that of the files.
    Raises UsageError for a translation network, and where files are missing or of no modality of the network.
    """
    loaded = builders.load(checkpoint, device)
    network, classes = loaded.network, len(loaded.class_names)
    if not isinstance(network, Segmenter):
        raise UsageError(
            f"{checkpoint}: this network translates images, it does not label them",
            hint=f"use it with: cen translate --inputs {' '.join(loaded.modalities)} --ckpt {checkpoint}",
        )
    _check_named(inputs, loaded.modalities)
    framed = loaded.recipe.data.kind == FRAMED
    view = read_view("prediction", inputs, loaded.specs, classes=classes, crop_depth=framed)
    seen = resize_view(view, loaded.recipe.evaluation_size)
    row = panel_row(network, loaded.specs, seen, size=view.size, averaging=builders.averaging(loaded.recipe))
    labels = row.predictions.get(ENSEMBLE, next(iter(row.predictions.values())))
    colors = builders.palette(loaded.recipe)
    written = write_prediction(Path(out), labels, picture(view), classes, colors)
    shares = np.bincount(labels.ravel(), minlength=classes) / labels.size
    largest_first = [int(index) for index in np.argsort(-shares) if shares[index]]
    return Prediction(
        files=tuple(str(path) for path in written),
        classes=tuple(ClassShare(loaded.class_names[index], float(shares[index])) for index in largest_first),
    )


def _check_named(inputs: Mapping[str, str | Path], modalities: tuple[str, ...]) -> None:
    """Raises UsageError saying which files are missing or unknown."""
    missing = [name for name in modalities if name not in inputs]
    unknown = [name for name in inputs if name not in modalities]
    if missing or unknown:
        problems = {"missing": missing, "unknown": unknown}
        listed = "; ".join(f"{what}: {', '.join(which)}" for what, which in problems.items() if which)
        raise UsageError(
            f"this network takes one file for each of {', '.join(modalities)}; {listed}",
            hint=" ".join(f"--input {name}=FILE" for name in modalities),
        )
