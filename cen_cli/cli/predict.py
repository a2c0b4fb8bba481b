"""`cen predict`: labels the user's own images, one pair (or tuple) of files, or whole folders and lists."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cen_cli.cli import options
from cen_cli.cli.options import option
from cen_cli.errors import DataError, UsageError


def predict(
    checkpoint: options.Checkpoint,
    inputs: Annotated[
        list[str], option("MODALITY=PATH", "A file, a folder or a list (.txt), once per modality.", "--input")
    ],
    out: Annotated[Path, option("DIR", "Folder for the pictures.")] = Path("prediction"),
    device: options.Device = "auto",
    engine: options.Engine = "torch",
    json: options.Json = False,
) -> None:
    """Label images by a trained segmentation network.

    Writes label maps and overlays, and prints the share of each class. Files are stored as the training data were
    (8-bit RGB; 16-bit depth in the data set's own unit), and of one size unless the recipe resizes. The label map, a
    palette PNG of class indices, has that size too.

    With a folder for each modality, or a text file that lists paths, every view is labelled, into labels/ and overlay/.
    Files of one view have one name in all folders, or stand in one line of all lists. What is there already is kept, so
    an interrupted call goes on where it stopped. Views that cannot be read are skipped with a warning, and the exit
    code is then 1. Of a video, give a folder of its frames.

    Examples:
        cen predict runs/rooms-261123-101500 --input rgb=a.png --input depth=b.png
        cen predict runs/rooms-261123-101500 --input rgb=frames/rgb --input depth=frames/depth --out labelled
        cen predict checkpoints/best/model.safetensors --input rgb=a.png --input depth=b.png --out labelled --json
    """
    from cen_cli.jobs import predict as job
    from cen_cli.jobs.own_images import are_several
    from cen_cli.reporting import prediction, tables
    from cen_cli.reporting.progress import Terminal

    files = _files(inputs)
    if are_several(map(Path, files.values())):
        many = job.predict_views(checkpoint, files, out=out, device=device, engine=engine, listener=Terminal())
        tables.print_result(many, prediction.render_predictions(many), json=json)
        if many.skipped:
            total = many.labelled + many.kept + len(many.skipped)
            raise DataError(f"{len(many.skipped)} of {total} views were skipped, see above; the others are written")
        return
    done = job.predict(checkpoint, files, out=out, device=device, engine=engine)
    tables.print_result(done, prediction.render_prediction(done), json=json)


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
