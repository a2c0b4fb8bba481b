"""The tensors of a published file, and how they are brought under our names, every one used or accounted for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real

import torch
from torch import Tensor

from cen_cli.errors import CheckpointError
from cen_cli.wording import listed

WRAPPED = "segmenter"
"""Key of the state dict where it lies in a dict with other things."""
WRAPPER = "module"
"""Component that wrappers add to names: DataParallel in front, the release's own around every shared layer."""
ROW = "{m}"
"""In a published name: the number of the modality whose row this is."""
COUNTERS = r".*\.num_batches_tracked"
"""Regular expression of the norms' counters, which nothing here reads."""


@dataclass(frozen=True)
class PublishedTensors:
    """A state dict whose names have lost the component `module` wherever it stood."""

    source: str
    """The file, for messages."""
    tensors: Mapping[str, Tensor]
    stored_names: Mapping[str, str]
    """By name: how the file calls it."""
    remarks: Mapping[str, float]
    """Numbers that stood beside the state dict: the epoch, the best score."""

    def size(self, name: str, axis: int) -> int:
        """The length of a tensor's axis. Raises CheckpointError where there is no such tensor, or no such axis."""
        tensor = self.tensors.get(name)
        if tensor is None:
            raise CheckpointError(f"{self.source}: missing tensor {name}, which tells the network's size")
        if tensor.dim() <= axis:
            raise CheckpointError(f"{self.source}: {name} has shape {list(tensor.shape)}, which is no layer's")
        return tensor.shape[axis]

    def numbered(self, pattern: str) -> int:
        """How many of the names match the regular expression in full."""
        return sum(re.fullmatch(pattern, name) is not None for name in self.tensors)


def published_tensors(content: object, source: str) -> PublishedTensors:
    """The state dict in what a torch file holds: bare, or in a dict under `WRAPPED`.

    Raises CheckpointError for anything else, saying what it is.
    """
    if isinstance(content, Sequence) and not isinstance(content, str):
        raise CheckpointError(
            f"{source}: a list of {len(content)} entries, not a checkpoint",
            hint="lists hold the norms' weights epoch by epoch; the checkpoint is another file",
        )
    state, remarks = content, {}
    if isinstance(content, Mapping) and WRAPPED in content:
        state, remarks = content[WRAPPED], {name: value for name, value in content.items() if name != WRAPPED}
    if not isinstance(state, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise CheckpointError(
            f"{source}: not a state dict (names to tensors) but {_described(content)}",
            hint=f"what is read is a state dict, bare or in a dict under {WRAPPED!r}",
        )
    if not state:
        raise CheckpointError(f"{source}: holds no tensor")
    return _named(state, source, {str(key): float(value) for key, value in remarks.items() if isinstance(value, Real)})


def _named(state: Mapping[str, Tensor], source: str, remarks: Mapping[str, float]) -> PublishedTensors:
    stored: dict[str, str] = {}
    for name in state:
        plain = ".".join(part for part in name.split(".") if part != WRAPPER)
        if plain in stored:
            raise CheckpointError(f"{source}: {stored[plain]} and {name} are the same tensor by name")
        stored[plain] = name
    return PublishedTensors(source, {plain: state[name] for plain, name in stored.items()}, stored, remarks)


def _described(content: object) -> str:
    if isinstance(content, Mapping):
        names = [str(name) for name in content][:4]
        return f"a dict with {', '.join(names) or 'nothing'}{', ...' if len(content) > 4 else ''}"
    return type(content).__name__


@dataclass(frozen=True)
class Fitted:
    """Tensors under our names, and those of the file that no network here uses."""

    tensors: dict[str, Tensor]
    unused: tuple[str, ...]
    """As the file calls them."""


def fit(
    published: PublishedTensors,
    own: Mapping[str, Tensor],
    name_of: Callable[[str], str],
    *,
    modalities: int = 1,
    unused: str = "",
) -> Fitted:
    """Every tensor of `own` (a state dict of ours; shapes count, not values) from the file, as float32.

    Args:
        published: the file's tensors.
        own: what is to be filled.
        name_of: our name -> the published one; with `ROW` in it, one tensor per modality becomes a row of ours.
        modalities: M.
        unused: regular expression of published names that a network here has no use for.

    Raises CheckpointError listing what is missing, unknown, of another shape, or no finite number.
    """
    sources = {name: _sources(name_of(name), modalities) for name in own}
    used = {name for names in sources.values() for name in names}
    rest = [name for name in published.tensors if name not in used]
    problems = [f"missing {name}" for name in sorted(used) if name not in published.tensors]
    problems += [f"unknown {published.stored_names[name]}" for name in rest if not re.fullmatch(unused, name)]
    for name, names in sources.items():
        shape = own[name].shape[1:] if ROW in name_of(name) else own[name].shape
        for source in names:
            if source in published.tensors:
                problems += _problems_of(published.stored_names[source], published.tensors[source], shape)
    if problems:
        raise CheckpointError(f"{published.source}: does not fit: {listed(problems, separator='; ')}")
    tensors = {}
    for name, names in sources.items():
        rows = [published.tensors[source].detach().to(torch.float32, copy=True) for source in names]
        tensors[name] = torch.stack(rows) if ROW in name_of(name) else rows[0]
    return Fitted(tensors, tuple(published.stored_names[name] for name in rest))


def _sources(template: str, modalities: int) -> list[str]:
    return [template.replace(ROW, str(m)) for m in range(modalities)] if ROW in template else [template]


def _problems_of(name: str, tensor: Tensor, shape: torch.Size) -> list[str]:
    if tensor.shape != shape:
        return [f"{name} has shape {list(tensor.shape)}, expected {list(shape)}"]
    if tensor.layout != torch.strided or not tensor.is_floating_point():
        return [f"{name} is {tensor.dtype} ({tensor.layout}), expected plain floating-point numbers"]
    if tensor.untyped_storage().nbytes() < tensor.numel() * tensor.element_size():
        return [f"{name} has shape {list(shape)}, and the file holds fewer numbers"]
    return [] if bool(tensor.isfinite().all()) else [f"{name} holds NaN or infinity"]
