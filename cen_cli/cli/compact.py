"""`cen compact`: a trained network -> an equal one for inference, without what no output depends on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cen_cli.cli import options

if TYPE_CHECKING:
    from cen_cli.runs.directory import Located

FOLDER = "compact"


def compact(
    checkpoint: options.Checkpoint,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="A new folder [default: compact/ of the run, or NAME-compact beside a checkpoint].",
            show_default=False,
        ),
    ] = None,
    rounds: Annotated[
        int, typer.Option("--rounds", metavar="N", min=0, help="Rounds of timing, before and after in turn; 0: none.")
    ] = 5,
    data_root: options.DataRoot = None,
    device: options.Device = "auto",
    json: options.Json = False,
) -> None:
    """Make a trained network smaller for inference: filters of replaced channels go, norms are folded.

    What a stream makes of a channel that is replaced there and nowhere else is read by nobody, so it is no longer
    computed; the exchange becomes a fixed index. Norms by given statistics (batch norms) are folded into the
    convolutions. Outputs are compared on random images, and on real ones where the recipe's data are at hand, in
    float32: where they differ by more than 1e-4, nothing is written and the exit code is 1.

    What is written, DIR/model.safetensors, is taken by eval, predict, translate, compare and export. It cannot be
    trained further, and has no gammas to look into.

    Examples:
        cen compact runs/rooms-261123-101500
        cen compact runs/rooms-261123-101500/checkpoints/last --out rooms-compact
        cen compact checkpoints/best/model.safetensors --rounds 0 --json
    """
    from cen_cli import builders
    from cen_cli.analysis import compaction
    from cen_cli.cli.probes import check_free, find_probes, network_size
    from cen_cli.models.device import resolve_device
    from cen_cli.reporting import console, tables
    from cen_cli.reporting.compaction import compaction_parts
    from cen_cli.results import as_json
    from cen_cli.runs.checkpoint import MODEL_FILE, write_tensors
    from cen_cli.runs.directory import locate
    from cen_cli.runs.files import write_directory

    where, located = resolve_device(device), locate(checkpoint)
    folder = out or _default_folder(located)
    check_free(folder, "--out")
    model = builders.load(checkpoint)
    compacted = builders.compact(model, checkpoint)
    probes, notes = find_probes(model, data_root, checkpoint)
    compared = compaction.compare(model, compacted.network, probes)
    stored = (model.state_dict(), compacted.tensors)
    report = compaction.described(
        model,
        compacted.network,
        stored,
        compared,
        size=network_size(model),
        device=where,
        rounds=rounds,
        notes=notes,
    )
    write_directory(folder, lambda new: write_tensors(new / MODEL_FILE, compacted.tensors, compacted.metadata))
    files = {str(file): file.stat().st_size for file in (located.model_file, folder / MODEL_FILE)}
    following = f"cen {'eval' if model.task == 'segmentation' else 'translate --ckpt'} {folder}"
    if json:
        source, written = files
        document = {"checkpoint": source, "written": written, "file_bytes": list(files.values()), **as_json(report)}
        console.print_json({**document, "next": following})
    else:
        tables.show(console.out(), compaction_parts(report, files, following))


def _default_folder(located: Located) -> Path:
    """compact/ of a run; NAME-compact beside a checkpoint's folder, or beside a file that lies in another."""
    from cen_cli.runs.checkpoint import MODEL_FILE

    if located.run is not None:
        return located.run / FOLDER
    file = located.model_file
    named = file.resolve().parent if file.name == MODEL_FILE else file.with_suffix("")
    return named.with_name(f"{named.name}-{FOLDER}")
