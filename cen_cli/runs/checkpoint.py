"""Checkpoints: `model.safetensors`, `training.safetensors` and `state.json` in one folder, replaced whole.

`model.safetensors` alone is enough to evaluate, predict and analyse: its metadata carry the resolved recipe, the class
names and how each modality is encoded. Both tensor files carry a digest of their contents, so that corruption is found
when they are read and not as a wrong number later. No pickle is written or read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from cen_cli.errors import CheckpointError, UsageError
from cen_cli.files import read_json, whole_directory, write_bytes, write_directory, write_json
from cen_cli.models.streams import current_state
from cen_cli.wording import listed

MODEL_FILE = "model.safetensors"
TRAINING_FILE = "training.safetensors"
STATE_FILE = "state.json"
FORMAT = "cen-1"
COMPACT = "compact"
"""In the metadata of a compact network: which form its tensors have."""
PUT_BACK = "put the run's own file back; its networks can be used without it, as with: cen eval RUN/checkpoints/best"
"""What to do about a damaged file of a run that no other file can stand in for."""
LEAVE_OUT = "move the file away: what the gammas did over training is then left out, and all else goes on"
"""What to do about damaged records of gammas."""


def write_checkpoint(
    folder: Path,
    *,
    model: Mapping[str, Tensor],
    metadata: Mapping[str, str],
    training: Mapping[str, Tensor],
    state: Mapping[str, Any],
) -> None:
    """Replace the checkpoint `folder`. Raises SaveError, with the previous checkpoint untouched, where it fails."""

    def fill(new: Path) -> None:
        write_tensors(new / MODEL_FILE, model, metadata)
        write_tensors(new / TRAINING_FILE, training, {})
        write_json(new / STATE_FILE, state)

    write_directory(folder, fill)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors and string metadata as safetensors, with a digest of both; equal contents give equal bytes."""
    flat = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    labels = {**metadata, "format": FORMAT}
    write_bytes(path, _ordered(save(flat, {**labels, "digest": _digest(flat, labels)})))


def _ordered(content: bytes) -> bytes:
    """A safetensors file with its metadata in order; safetensors itself writes them in one that changes."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at multiples of 8 bytes
    return b"".join((len(text).to_bytes(8, "little"), text, memoryview(content)[start:]))


def read_tensors(path: Path, *, hint: str | None = None) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a file that `write_tensors` wrote: tensors and metadata; `hint` says what to do where it is damaged.

    Raises UsageError for a missing file; CheckpointError for one that is truncated, corrupted or not ours.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such checkpoint file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError, RuntimeError) as error:  # the last, of torch, where the file goes meanwhile
        raise CheckpointError(
            f"{path}: not a readable safetensors file ({error})",
            hint=hint or "the file is truncated, or of another format; give a run directory or its model.safetensors",
        ) from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path}: a safetensors file, but not a checkpoint of cen (no format {FORMAT!r} in its metadata)",
            hint="give a run directory, or the model.safetensors of one of its checkpoints",
        )
    if metadata.get("digest") not in (_digest(tensors, metadata), _digest(tensors)):
        raise CheckpointError(
            f"{path}: corrupted, its contents do not match its digest",
            hint=hint
            or "copy the file again, or use the run's other checkpoint (checkpoints/last or checkpoints/best)",
        )
    return tensors, metadata


def read_state(folder: Path) -> dict[str, Any]:
    """Read a checkpoint's `state.json`. Raises CheckpointError where it is missing or damaged."""
    path = (whole_directory(folder) or folder) / STATE_FILE
    try:
        document = read_json(path)
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder}: no {STATE_FILE}, nothing to resume from", hint=PUT_BACK) from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not readable as JSON ({error})", hint=PUT_BACK) from error
    if not isinstance(document, dict):
        raise CheckpointError(f"{path}: not the state of a training run", hint=PUT_BACK)
    return document


def load_weights(model: torch.nn.Module, tensors: Mapping[str, Tensor], source: Path) -> None:
    """Load weights into a model, every key used. Raises CheckpointError naming keys or shapes that do not fit."""
    own, tensors = model.state_dict(), current_state(model, tensors)
    problems = [f"missing {name}" for name in own if name not in tensors]
    problems += [f"unexpected {name}" for name in tensors if name not in own]
    problems += [
        f"{name} has shape {list(tensors[name].shape)}, the model {list(own[name].shape)}"
        for name in own
        if name in tensors and tensors[name].shape != own[name].shape
    ]
    if problems:
        raise CheckpointError(
            f"{source}: does not fit the recipe's model: {listed(problems, separator='; ')}",
            hint="the checkpoint comes from another recipe, or from another version of it",
        )
    check_finite(tensors, source)
    model.load_state_dict(tensors)


def check_finite(tensors: Mapping[str, Tensor], source: Path) -> None:
    """Raises CheckpointError naming the tensors of a file that hold NaN or infinity."""
    if odd := not_finite(tensors):
        raise CheckpointError(
            f"{source}: NaN or infinity in {listed(odd)}: the training diverged, or the file was changed",
            hint="use the run's other checkpoint (checkpoints/last or checkpoints/best), or train again",
        )


def not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """The names of the tensors that hold NaN or infinity."""
    return [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]


def auxiliary_tensors(modules: Mapping[str, torch.nn.Module]) -> dict[str, Tensor]:
    """The weights of networks beside the model, such as a discriminator, as `training.safetensors` holds them."""
    return {
        f"auxiliary.{name}/{key}": value
        for name, module in modules.items()
        for key, value in module.state_dict().items()
    }


def load_auxiliaries(modules: Mapping[str, torch.nn.Module], training: Mapping[str, Tensor], source: Path) -> None:
    """Load what `auxiliary_tensors` gave. Raises CheckpointError where keys or shapes do not fit."""
    for name, module in modules.items():
        load_weights(module, tensors_under(training, f"auxiliary.{name}/"), source)


def tensors_under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose name begins with the prefix, under the rest of their name."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _digest(tensors: Mapping[str, Tensor], labels: Mapping[str, str] | None = None) -> str:
    """SHA-256 over names, types, shapes and bytes of all tensors and, unless None, over the metadata but for itself.

    Files of version 0.1 have a digest of the tensors alone.
    """
    sha = hashlib.sha256()
    if labels is not None:
        sha.update(json.dumps(sorted((name, text) for name, text in labels.items() if name != "digest")).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        sha.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()
