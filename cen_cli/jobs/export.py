"""A trained network as an equal one for inference alone, and as a file for other programs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from cen_cli import builders
from cen_cli.analysis import compaction
from cen_cli.analysis.export import OPSET, check_installed, compare_onnx, fewest_pixels, graph_outputs, onnx_file
from cen_cli.errors import UsageError
from cen_cli.files import check_free, write_bytes, write_new_directory
from cen_cli.jobs.probes import find_probes, network_size, size_multiple
from cen_cli.models.device import resolve_device
from cen_cli.models.norms import set_norm_statistics
from cen_cli.results import Compaction, Export
from cen_cli.runs.checkpoint import MODEL_FILE, write_tensors
from cen_cli.runs.directory import Located, locate

COMPACT = "compact"
ONNX = ".onnx"


def compact(
    checkpoint: str | Path,
    *,
    out: str | Path | None = None,
    rounds: int = 5,
    data_root: str | None = None,
    device: str = "auto",
) -> Compaction:
    """Write the compact form of a network into the new folder `out` (absent: compact/ of the run).

    Compared with the network on random images and on real ones where the recipe's data are at hand; `rounds` of timing.
    Raises MismatchError, with nothing written, where outputs differ by more than 1e-4.
    """
    source, where, located = str(checkpoint), resolve_device(device), locate(checkpoint)
    folder = Path(out) if out else _default_folder(located)
    check_free(folder, "give another name with --out")
    loaded = builders.load(checkpoint)
    made = builders.compact(loaded, source)
    probes, notes = find_probes(loaded, data_root, source)
    report = compaction.described(
        loaded.network,
        made.loaded.network,
        (loaded.network.state_dict(), made.tensors),
        compaction.compare(loaded.network, made.loaded.network, probes),
        size=network_size(loaded),
        device=where,
        rounds=rounds,
        notes=notes,
    )
    write_new_directory(folder, lambda new: write_tensors(new / MODEL_FILE, made.tensors, made.metadata))
    files = (located.model_file, folder / MODEL_FILE)
    return dataclasses.replace(report, files={str(file): file.stat().st_size for file in files})


def export(checkpoint: str | Path, onnx: str | Path, *, data_root: str | None = None) -> Export:
    """Write a network as one ONNX file, compared with it as `compact` compares.

    Raises UnavailableError without the packages for ONNX, UsageError for a file that exists or cannot be written,
    MismatchError, with nothing written, where outputs differ by more than 1e-4.
    """
    check_installed()
    file, source = Path(onnx), str(checkpoint)
    if file.suffix != ONNX:
        raise UsageError(f"--onnx {file}: files of this kind end in {ONNX}", hint=f"--onnx {file.with_suffix(ONNX)}")
    check_free(file, "give another name with --onnx")
    if not file.parent.is_dir():
        raise UsageError(f"--onnx {file}: there is no folder {file.parent}", hint="make it first")
    loaded = builders.load(checkpoint)
    network = loaded.network
    set_norm_statistics(network, loaded.recipe.eval.norm_statistics)
    probes, notes = find_probes(loaded, data_root, source)
    content = onnx_file(network, builders.labels_of_network(loaded))
    report = Export(
        opset=OPSET,
        inputs=network.modalities,
        outputs=graph_outputs(network),
        multiple=size_multiple(network),
        fewest=fewest_pixels(network),
        compared=compare_onnx(network, content, probes),
        notes=tuple(notes),
        files={str(file): len(content)},
    )
    write_bytes(file, content)
    return report


def _default_folder(located: Located) -> Path:
    """compact/ of a run; NAME-compact beside a checkpoint's folder, or beside a file that lies in another."""
    if located.run is not None:
        return located.run / COMPACT
    file = located.model_file
    named = file.resolve().parent if file.name == MODEL_FILE else file.with_suffix("")
    return named.with_name(f"{named.name}-{COMPACT}")
