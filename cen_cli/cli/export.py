"""`cen compact` and `cen export`: a trained network for inference, as a checkpoint or for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cen_cli.cli import options
from cen_cli.cli.options import option
from cen_cli.results import as_json


def compact(
    checkpoint: options.Checkpoint,
    out: Annotated[
        Path | None, option("DIR", "A new folder [default: compact/ of the run, or NAME-compact beside a checkpoint].")
    ] = None,
    rounds: Annotated[int, option("N", "Rounds of timing, before and after in turn; 0: none.", min=0)] = 5,
    data_root: options.DataRoot = None,
    device: options.Device = "auto",
    json: options.Json = False,
) -> None:
    """Make a trained network smaller for inference.

    Filters of replaced channels go, and norms are folded. What a stream makes of a channel that is replaced there and
    nowhere else is read by nobody, so it is no longer computed; the exchange becomes a fixed index. Norms by given
    statistics (batch norms) are folded into the convolutions. Outputs are compared on random images, and on real ones
    where the recipe's data are there, in float32: where they differ by more than 1e-4, nothing is written and the
    exit code is 1.

    What is written, DIR/model.safetensors, is taken by eval, predict, translate, compare and export. It cannot be
    trained further, and has no gammas to analyse.

    Examples:
        cen compact runs/rooms-261123-101500
        cen compact runs/rooms-261123-101500/checkpoints/last --out rooms-compact
        cen compact checkpoints/best/model.safetensors --rounds 0 --json
    """
    from cen_cli.jobs import export as job
    from cen_cli.reporting import tables
    from cen_cli.reporting.networks import render_compaction
    from cen_cli.wording import command

    report = job.compact(checkpoint, out=out, rounds=rounds, data_root=data_root, device=device)
    source, written = report.files
    folder = Path(written).parent
    following = command(*(["eval"] if report.task == "segmentation" else ["translate", "--ckpt"]), folder)
    document = {"checkpoint": source, "written": written, "file_bytes": list(report.files.values())}
    document |= {**as_json(report), "next": following}
    tables.print_result(document, render_compaction(report, following), json=json)


def export(
    checkpoint: options.Checkpoint,
    onnx: Annotated[Path, option("FILE", "The ONNX file to write, NAME.onnx.")],
    data_root: options.DataRoot = None,
    json: options.Json = False,
) -> None:
    """Write a trained network as one ONNX file.

    It takes any batch, and images of any size that the network takes; with a timm encoder, of one size. Inputs are
    named after the modalities, outputs branch_NAME for each branch and ensemble. What the file says is compared with
    what the network says, in float32, at two sizes and two batch sizes, on random images and on real ones where the
    recipe's data are at hand: where it differs by more than 1e-4, nothing is written and the exit code is 1.

    Needs the extra packages onnx, onnxscript and onnxruntime. A compact network (cen compact) makes a faster file.

    Examples:
        cen export runs/rooms-261123-101500 --onnx rooms.onnx
        cen export runs/rooms-261123-101500/compact --onnx rooms.onnx --json
    """
    from cen_cli.jobs import export as job
    from cen_cli.reporting import tables
    from cen_cli.reporting.networks import render_export

    report = job.export(checkpoint, onnx, data_root=data_root)
    document = {"checkpoint": checkpoint, "written": str(onnx), "file_bytes": report.files[str(onnx)]}
    tables.print_result({**document, **as_json(report)}, render_export(report, checkpoint), json=json)
