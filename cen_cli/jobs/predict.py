"""Labelling images of one's own: one aligned set of files, or all of folders and lists."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cen_cli import builders
from cen_cli.analysis.pictures import labelled_row, picture
from cen_cli.builders import LoadedNetwork
from cen_cli.data.transforms import resize_view
from cen_cli.data.views import read_view
from cen_cli.errors import DataError, UsageError
from cen_cli.files import check_free, write_json
from cen_cli.jobs.own_images import find_views
from cen_cli.models.segmenter import Segmenter
from cen_cli.reporting.prediction import output_file, write_prediction
from cen_cli.results import ENSEMBLE, SILENT, ClassShare, Listener, Prediction, Predictions
from cen_cli.runs.directory import locate
from cen_cli.wording import command

WRITTEN = ("labels", "overlay")
NEW_FOLDER = "give a new folder with --out DIR"
NETWORK = "network.json"
"""In a folder of labels: which network they are of."""
FRAMED = "nyudv2"
"""The kind of data whose depth images keep the white frame that the others have lost."""


def predict(
    checkpoint: str | Path,
    inputs: Mapping[str, str | Path],
    *,
    out: str | Path = "prediction",
    device: str = "auto",
    engine: str = "torch",
) -> Prediction:
    """Label one view by a segmentation network, and write the label map and an overlay into the folder `out`.

    The view is brought to the size at which the recipe's networks are scored, the labels back to that of the files.

    Args:
        inputs: one file for each modality of the network, aligned, stored as the training data were; of one size, or of
            several where the recipe brings them to one.
        engine: "torch", or "onnx" for ONNX Runtime, as in `load`.

    Returns:
        the files that were written, and the share of each class.

    Raises:
        UsageError: the network translates images, a modality is missing or unknown, or `out` holds such files already.
        DataError: a file cannot be read, or is not what the network was trained on.
    """
    loaded = _load(checkpoint, inputs, device, engine)
    if folders := [name for name in loaded.modalities if Path(inputs[name]).is_dir()]:
        hint = "from Python predict_views labels all views of folders and lists; the command takes either by itself"
        raise UsageError(f"--input {folders[0]}={inputs[folders[0]]}: a folder, and one file is one view", hint=hint)
    for what in WRITTEN:
        check_free(output_file(Path(out), what), NEW_FOLDER)
    labels, written = _label(loaded, "prediction", inputs, Path(out))
    counts = np.bincount(labels.ravel(), minlength=len(loaded.class_names))
    return Prediction(files=tuple(map(str, written)), classes=_shares(loaded, counts))


def predict_views(
    checkpoint: str | Path,
    inputs: Mapping[str, str | Path],
    *,
    out: str | Path = "prediction",
    device: str = "auto",
    engine: str = "torch",
    listener: Listener = SILENT,
) -> Predictions:
    """Label all views of folders or lists of files, and write what `predict` does of each.

    Views that `out` holds already are kept, so that an interrupted call goes on.

    Args:
        inputs: one folder, or one text file with a file a line, for each modality of the network.
        engine: "torch", or "onnx" for ONNX Runtime, as in `load`.

    Returns:
        where the files are, and the share of each class; views that could not be read stand in `skipped`.

    Raises:
        UsageError: as `predict`, and where `out` holds labels of another network or of other files.
        DataError: none of the views can be read, or lists do not fit together.
    """
    loaded, folder = _load(checkpoint, inputs, device, engine), Path(out)
    paths = [Path(inputs[name]) for name in loaded.modalities]
    views = find_views(paths, loaded.modalities, loaded.specs, loaded.recipe)
    _claim(folder, checkpoint, {name: str(Path(inputs[name]).resolve()) for name in loaded.modalities}, views)
    todo = {view: files for view, files in views.items() if not output_file(folder, "labels", view).exists()}
    counts, skipped, start = np.zeros(len(loaded.class_names), np.int64), list[str](), time.monotonic()
    with listener.counting("labelling") as advance:
        for number, (view, files) in enumerate(todo.items(), start=1):
            try:
                labels, _ = _label(loaded, view, files, folder, view=view)
            except DataError as error:
                skipped.append(error.message)
                listener.on_warning(f"skipped: {error.message}", error.hint)
            else:
                counts += np.bincount(labels.ravel(), minlength=len(counts))
            advance(number, len(todo))
    if skipped and len(skipped) == len(views):
        if not (folder / "labels").exists():
            (folder / NETWORK).unlink()
        raise DataError(f"none of the {len(skipped)} views could be read, see above; nothing was written")
    done = len(todo) - len(skipped)
    return Predictions(
        folder=str(folder),
        labelled=done,
        kept=len(views) - len(todo),
        skipped=tuple(skipped),
        images_per_second=done / max(time.monotonic() - start, 1e-9) if done else None,
        classes=_shares(loaded, counts) if done else (),
    )


def _load(checkpoint: str | Path, inputs: Mapping[str, str | Path], device: str, engine: str) -> LoadedNetwork:
    """Raises UsageError for a network that translates, and where files are missing or unknown."""
    loaded = builders.load(checkpoint, device, engine)
    if not isinstance(loaded.network, Segmenter):
        raise UsageError(
            f"{checkpoint}: this network translates images, it does not label them",
            hint=f"use it with: {command('translate', '--inputs', *loaded.modalities, '--ckpt', checkpoint)}",
        )
    missing = [name for name in loaded.modalities if name not in inputs]
    unknown = [name for name in inputs if name not in loaded.modalities]
    if missing or unknown:
        problems = {"missing": missing, "unknown": unknown}
        listed = "; ".join(f"{what}: {', '.join(which)}" for what, which in problems.items() if which)
        raise UsageError(
            f"this network takes one file for each of {', '.join(loaded.modalities)}; {listed}",
            hint=" ".join(f"--input {name}=FILE" for name in loaded.modalities),
        )
    return loaded


def _label(
    loaded: LoadedNetwork, name: str, files: Mapping[str, str | Path], out: Path, *, view: str = ""
) -> tuple[np.ndarray, list[Path]]:
    """The label map of one view, uint8 [H, W], and what was written of it."""
    network, classes, recipe = loaded.network, len(loaded.class_names), loaded.recipe
    assert isinstance(network, Segmenter), "checked on loading"
    size, framed = recipe.scored_size, recipe.data.kind == FRAMED
    mixed = recipe.evaluation_size is not None
    read = read_view(name, files, loaded.specs, classes=classes, crop_depth=framed, mixed=mixed)
    shown = picture(read)
    whole = read.size if shown is None else shown.shape[:2]
    augmentation = builders.multi_scale_flip(recipe)
    row = labelled_row(
        network,
        loaded.specs,
        resize_view(read, size),
        size=whole,
        augmentation=augmentation,
        precision=loaded.precision(recipe),
    )
    labels = row.outputs.get(ENSEMBLE, next(iter(row.outputs.values())))
    colors = builders.palette(recipe)
    return labels, write_prediction(out, labels, shown, classes, colors, view=view)


def _shares(loaded: LoadedNetwork, counts: np.ndarray) -> tuple[ClassShare, ...]:
    """The classes that occur, by their pixels, the largest first."""
    largest_first = [int(index) for index in np.argsort(-counts) if counts[index]]
    return tuple(ClassShare(loaded.class_names[index], float(counts[index] / counts.sum())) for index in largest_first)


def _claim(
    folder: Path, checkpoint: str | Path, inputs: Mapping[str, str], views: Mapping[str, Mapping[str, Path]]
) -> None:
    """Note whose labels the folder holds. Raises UsageError where they are those of another network or other files."""
    files = {view: sorted(str(path.resolve()) for path in paths.values()) for view, paths in views.items()}
    with locate(checkpoint).model_file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    note = folder / NETWORK
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        if folder.is_file():
            check_free(folder, NEW_FOLDER)
        for what in WRITTEN:
            check_free(folder / what, NEW_FOLDER)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(note, {"checkpoint": str(checkpoint), "sha256": digest, "inputs": inputs, "files": files})
        return
    except (OSError, ValueError):
        known = {}
    known = known if isinstance(known, dict) else {}
    before = known.get("files")  # a list may have been rewritten; notes of version 0.1 name neither
    before = before if isinstance(before, dict) else {}
    of_others = known.get("inputs", inputs) != inputs or any(
        before.get(view, own) != own for view, own in files.items()
    )
    if known.get("sha256") != digest or of_others:
        other = "other files" if known.get("sha256") == digest else "another network"
        raise UsageError(f"{folder}: holds labels of {other} ({note.name})", hint=NEW_FOLDER)
    if before != files:
        write_json(note, known | {"files": before | files})
