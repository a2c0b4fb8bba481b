"""A trained network as an equal one for inference alone, and as a file for other programs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from cen_cli import builders
from cen_cli.analysis.compaction import compaction_report, compare
from cen_cli.analysis.equality import ComparedBatch, random_batches, real_batches
from cen_cli.analysis.export import (
    OPSET,
    check_installed,
    compare_onnx,
    fewest_pixels,
    graph_outputs,
    onnx_file,
    takes_one_size,
)
from cen_cli.builders import LoadedNetwork, Network
from cen_cli.builders.precision import in_precision_of_run
from cen_cli.data.views import FileViews
from cen_cli.errors import UsageError
from cen_cli.files import check_free, check_new_directory, write_bytes, write_new_directory
from cen_cli.models.compact import compact_sites, compact_tensors
from cen_cli.models.device import resolve_device
from cen_cli.models.exchange import exchanging_layers
from cen_cli.recipe.load import override
from cen_cli.results import Compaction, Export
from cen_cli.runs.checkpoint import MODEL_FILE, write_tensors
from cen_cli.runs.directory import Located, locate
from cen_cli.wording import command

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
    check_new_directory(folder, "give another name with --out")
    loaded = builders.load(checkpoint)
    builders.check_trainable(loaded, source, "it is compact already")
    if any(layer.mixes for layer in exchanging_layers(loaded.network).values()):
        raise UsageError(
            f"{source}: its gates mix channels, which no index stands for",
            hint="train with exchange.budget, which hardens the gates",
        )
    data = _data_at_hand(loaded, data_root, source)
    size = evaluated_size(loaded, data)
    like = torch.empty(3, *size)
    if not compact_sites(loaded.network, like):
        raise UsageError(
            f"{source}: nothing to compact: no channel is replaced, and instance norms by each image's own statistics "
            "cannot be folded",
            hint=f"{command('exchange-stats', source)} shows what is replaced",
        )
    recipe = in_precision_of_run(loaded.recipe, located.model_file, where)  # the new folder has no run to say so
    metadata = builders.labels_of_network(dataclasses.replace(loaded, recipe=recipe), compact=True)
    tensors = compact_tensors(loaded.network, like)
    compact = builders.from_tensors(tensors, metadata, located.model_file).network.eval()
    made = builders.placed(compact, loaded.device, loaded.recipe)
    batches, notes = _compared_batches(loaded, data, size)
    report = compaction_report(
        loaded.network,
        made,
        (loaded.network.state_dict(), tensors),
        compare(loaded.network, made, batches),
        size=size,
        device=where,
        rounds=rounds,
        notes=notes,
    )
    write_new_directory(folder, lambda new: write_tensors(new / MODEL_FILE, tensors, metadata))
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
        name = file.with_suffix(ONNX) if file.name else file / f"network{ONNX}"
        raise UsageError(f"--onnx {file}: files of this kind end in {ONNX}", hint=f"--onnx {name}")
    check_free(file, "give another name with --onnx")
    if not file.parent.is_dir():
        raise UsageError(f"--onnx {file}: there is no folder {file.parent}", hint="make it first")
    loaded = builders.load(checkpoint)
    network = loaded.network
    data = _data_at_hand(loaded, data_root, source)
    size = evaluated_size(loaded, data)
    batches, notes = _compared_batches(loaded, data, size, one_size=takes_one_size(network))
    content = onnx_file(network, builders.labels_of_network(loaded), size)
    report = Export(
        opset=OPSET,
        inputs=network.modalities,
        outputs=graph_outputs(network),
        multiple=_size_multiple(network),
        fewest=fewest_pixels(network),
        size=size if takes_one_size(network) else None,
        compared=compare_onnx(network, content, batches),
        notes=tuple(notes),
        files={str(file): len(content)},
    )
    write_bytes(file, content)
    return report


def _data_at_hand(loaded: LoadedNetwork, data_root: str | None, source: str) -> FileViews | None:
    recipe = override(loaded.recipe, (), data_root=data_root, source=source)
    return builders.at_hand(recipe, recipe.eval.split)


def evaluated_size(loaded: LoadedNetwork, data: FileViews | None) -> tuple[int, int]:
    """Height and width that the network is evaluated at; else, where that is not known, those it was trained at."""
    recipe, multiple = loaded.recipe, _size_multiple(loaded.network)
    size = recipe.scored_size or (recipe.data.crop if data is None else data.view(0).size)
    return size if all(side % multiple == 0 for side in size) else recipe.data.crop


def _size_multiple(network: Network) -> int:
    """What the sides of its images must be multiples of: 1 for segmentation, a power of 2 for a U-Net."""
    return getattr(network, "size_multiple", 1)


def _compared_batches(
    loaded: LoadedNetwork, data: FileViews | None, size: tuple[int, int], *, one_size: bool = False
) -> tuple[list[ComparedBatch], list[str]]:
    """Random images and, where the recipe's data are at hand, real ones; then remarks on what could not be had.

    `one_size`: whether `size` is the one height and width that may be compared.
    """
    multiple = _size_multiple(loaded.network)
    random = random_batches(loaded.modalities, size, 0 if one_size else multiple)
    if data is None:
        lack = "the recipe's data are not at hand: compared on random images only (--data-root names the data)"
        return random, [lack]
    real = real_batches(data, loaded.recipe.eval.split, multiple)
    real = [batch for batch in real if not one_size or batch.size == size]
    lack = "its views are of sizes that it does not take: compared on random images only"
    return [*random, *real], [] if real else [lack]


def _default_folder(located: Located) -> Path:
    """compact/ of a run; NAME-compact beside a checkpoint's folder, or beside a file that lies in another."""
    if located.run is not None:
        return located.run / COMPACT
    file = located.model_file
    named = file.resolve().parent if file.name == MODEL_FILE else file.with_suffix("")
    return named.with_name(f"{named.name}-{COMPACT}")
