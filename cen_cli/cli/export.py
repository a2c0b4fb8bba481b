"""`cen export`: a trained network as a file for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cen_cli.cli import options
from cen_cli.errors import UsageError

SUFFIX = ".onnx"


def export(
    checkpoint: options.Checkpoint,
    onnx: Annotated[
        Path, typer.Option("--onnx", metavar="FILE", help="The ONNX file to write, NAME.onnx.", show_default=False)
    ],
    data_root: options.DataRoot = None,
    json: options.Json = False,
) -> None:
    """Write a trained network as one ONNX file, with any batch and any size of images that the network takes.

    Inputs are named after the modalities, outputs branch_NAME for each branch and ensemble. What the file says is
    compared with what the network says, in float32, at two sizes and two batch sizes, on random images and on real ones
    where the recipe's data are at hand: where it differs by more than 1e-4, nothing is written and the exit code is 1.

    Needs the extra packages onnx, onnxscript and onnxruntime. A compact network (cen compact) makes a faster file.

    Examples:
        cen export runs/rooms-261123-101500 --onnx rooms.onnx
        cen export runs/rooms-261123-101500/compact --onnx rooms.onnx --json
    """
    from cen_cli import builders
    from cen_cli.analysis.export import OPSET, check_installed, compare_onnx, fewest_pixels, graph_outputs, onnx_file
    from cen_cli.cli.probes import check_free, find_probes, size_multiple
    from cen_cli.models.norms import set_norm_statistics
    from cen_cli.reporting import console, tables
    from cen_cli.reporting.compaction import export_parts
    from cen_cli.results import Export, as_json
    from cen_cli.runs.files import write_bytes

    check_installed()
    if onnx.suffix != SUFFIX:
        raise UsageError(
            f"--onnx {onnx}: files of this kind end in {SUFFIX}", hint=f"--onnx {onnx.with_suffix(SUFFIX)}"
        )
    check_free(onnx, "--onnx")
    if not onnx.parent.is_dir():
        raise UsageError(f"--onnx {onnx}: there is no folder {onnx.parent}", hint="make it first")
    model = builders.load(checkpoint)
    set_norm_statistics(model, model.recipe.eval.norm_statistics)
    probes, notes = find_probes(model, data_root, checkpoint)
    content = onnx_file(model, builders.labels_of_network(model))
    report = Export(
        opset=OPSET,
        inputs=model.modalities,
        outputs=graph_outputs(model),
        multiple=size_multiple(model),
        fewest=fewest_pixels(model),
        compared=compare_onnx(model, content, probes),
        notes=tuple(notes),
    )
    write_bytes(onnx, content)
    if json:
        document = {"checkpoint": checkpoint, "written": str(onnx), "file_bytes": len(content), **as_json(report)}
        console.print_json(document)
    else:
        tables.show(console.out(), export_parts(report, checkpoint, str(onnx), len(content)))
