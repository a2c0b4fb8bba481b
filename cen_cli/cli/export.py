"""`cen export`: a trained network as a file for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cen_cli.cli import options
from cen_cli.cli.options import option


def export(
    checkpoint: options.Checkpoint,
    onnx: Annotated[Path, option("FILE", "The ONNX file to write, NAME.onnx.")],
    data_root: options.DataRoot = None,
    json: options.Json = False,
) -> None:
    """Write a trained network as one ONNX file.

    It takes any batch, and images of any size that the network takes. Inputs are named after the modalities, outputs
    branch_NAME for each branch and ensemble. What the file says is compared with what the network says, in float32, at
    two sizes and two batch sizes, on random images and on real ones where the recipe's data are at hand: where it
    differs by more than 1e-4, nothing is written and the exit code is 1.

    Needs the extra packages onnx, onnxscript and onnxruntime. A compact network (cen compact) makes a faster file.

    Examples:
        cen export runs/rooms-261123-101500 --onnx rooms.onnx
        cen export runs/rooms-261123-101500/compact --onnx rooms.onnx --json
    """
    from cen_cli.jobs import export as job
    from cen_cli.reporting import tables
    from cen_cli.reporting.compaction import render_export
    from cen_cli.results import as_json

    report = job.export(checkpoint, onnx, data_root=data_root)
    document = {"checkpoint": checkpoint, "written": str(onnx), "file_bytes": report.files[str(onnx)]}
    tables.print_result({**document, **as_json(report)}, render_export(report, checkpoint), json=json)
