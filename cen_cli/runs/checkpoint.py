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
from cen_cli.models.streams import unstacked
from cen_cli.runs.files import write_bytes, write_directory, write_json

MODEL_FILE = "model.safetensors"
TRAINING_FILE = "training.safetensors"
STATE_FILE = "state.json"
FORMAT = "cen-1"
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
    """Write tensors and string metadata as safetensors, with a digest of the tensors."""
    flat = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    content = save(flat, {**metadata, "format": FORMAT, "digest": _digest(flat)})
    write_bytes(path, content)


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
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: not a readable safetensors file ({error})",
            hint=hint or "the file is truncated, or of another format; give a run directory or its model.safetensors",
        ) from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path}: a safetensors file, but not a checkpoint of cen (no format {FORMAT!r} in its metadata)",
            hint="give a run directory, or the model.safetensors of one of its checkpoints",
        )
    if metadata["digest"] != _digest(tensors):
        raise CheckpointError(
            f"{path}: corrupted, its contents do not match its digest",
            hint=hint
            or "copy the file again, or use the run's other checkpoint (checkpoints/last or checkpoints/best)",
        )
    return tensors, metadata


def read_state(folder: Path) -> dict[str, Any]:
    """Read a checkpoint's `state.json`. Raises CheckpointError where it is missing or damaged."""
    path = folder / STATE_FILE
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder}: no {STATE_FILE}, nothing to resume from", hint=PUT_BACK) from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not readable as JSON ({error})", hint=PUT_BACK) from error
    if not isinstance(document, dict):
        raise CheckpointError(f"{path}: not the state of a training run", hint=PUT_BACK)
    return document


def load_weights(model: torch.nn.Module, tensors: Mapping[str, Tensor], source: Path) -> None:
    """Load weights into a model, every key used. Raises CheckpointError naming keys or shapes that do not fit."""
    own, tensors = model.state_dict(), unstacked(model, tensors)
    problems = [f"missing {name}" for name in own if name not in tensors]
    problems += [f"unexpected {name}" for name in tensors if name not in own]
    problems += [
        f"{name} has shape {list(tensors[name].shape)}, the model {list(own[name].shape)}"
        for name in own
        if name in tensors and tensors[name].shape != own[name].shape
    ]
    if problems:
        shown = "; ".join(problems[:5]) + (f"; and {len(problems) - 5} more" if len(problems) > 5 else "")
        raise CheckpointError(
            f"{source}: does not fit the recipe's model: {shown}",
            hint="the checkpoint comes from another recipe, or from another version of it",
        )
    model.load_state_dict(tensors)


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


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes of all tensors."""
    sha = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        sha.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()
