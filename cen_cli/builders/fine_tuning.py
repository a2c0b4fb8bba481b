"""A new network that starts from a trained one of ours: other classes, other modalities, everything else the same."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from cen_cli.data.modality import ModalitySpec
from cen_cli.errors import CheckpointError
from cen_cli.models.exchange import below_threshold, exchange_layers, exchanging_layers
from cen_cli.models.fusion.blocks import InputConcat
from cen_cli.models.fusion.placement import Junction
from cen_cli.models.norms import ModalNorm
from cen_cli.models.streams import current_state
from cen_cli.recipe.schema import Recipe
from cen_cli.recipe.wording import show_value
from cen_cli.runs.checkpoint import FORMAT, check_finite
from cen_cli.runs.directory import locate
from cen_cli.wording import listed

STAND_IN = "rgb"
"""The modality whose norms and copies a modality starts from that the trained network has not."""
CHOSEN = ("fixed", "gate", "gain", "donor")
"""What a network remembers of the channels that it chose."""
HEADS = re.compile(r"decoder\.classifier\..*|decoder\.auxiliary\.2\..*|ensemble\..*")
"""What belongs to the classes, or to the modalities as they were."""
LEFT_OUT = re.compile(
    rf"{HEADS.pattern}|decoder\.auxiliary\..*|.*\.copies\.\d+\..*|.*\.({'|'.join(CHOSEN)}|gradient_square)"
)
"""What a new network need not take: heads, the copies of modalities that it has not, choices of channels and the
running squares of gradients, which scale the penalty."""


def own_checkpoint(weights: str) -> Path | None:
    """The `model.safetensors` that `weights` names, itself or as a run; None where it names something else."""
    if weights in ("none", "imagenet"):
        return None  # whatever lies in a folder of that name
    path = Path(weights).expanduser()
    if path.is_dir():
        return locate(path).model_file
    if path.suffix != ".safetensors" or not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            labels = file.metadata() or {}
    except (SafetensorError, OSError):
        return None  # whoever reads it says so
    trained = labels.get("format") == FORMAT and labels.keys() >= {"modalities", "recipe"}  # and no converted encoder
    return path if trained else None


@torch.no_grad()
def start_from(
    network: nn.Module, modalities: Sequence[str], tensors: Mapping[str, Tensor], trained: Sequence[str], source: Path
) -> str:
    """Load a trained network's tensors, of the modalities `trained`, into a new one; returns a remark on what it left.

    Modalities are matched by name. Raises CheckpointError where one has no match and there is no `rgb` to stand in,
    where they have changed places, where tensors do not fit, or hold NaN or infinity.
    """
    check_finite(tensors, source)
    moved = any(name in trained and name != place for name, place in zip(modalities, trained, strict=False))
    if moved and len(modalities) == len(trained):  # own parts and the columns of fusing blocks go by places
        raise CheckpointError(
            f"{source}: trained on {', '.join(trained)}, not {', '.join(modalities)}",
            hint="data.inputs that it was trained on keep their places",
        )
    named = {name: name if name in trained else STAND_IN for name in modalities}
    for name, origin in named.items():
        if origin not in trained:
            raise CheckpointError(f"{source}: has no modality {name!r} to start from, and no {STAND_IN!r} in its place")
    rows = origin_rows(modalities, trained)
    tables = {name for name, module in network.named_modules() if isinstance(module, ModalNorm)}
    stored, problems = current_state(network, tensors), []
    taken: set[str] = set()
    for name, own in network.state_dict().items():
        if HEADS.fullmatch(name):
            continue
        origin = re.sub(r"\.copies\.(\d+)\.", lambda match: f".copies.{rows[int(match[1])]}.", name)
        if origin not in stored:
            origin = re.sub(r"\.norm(\.\w+)$", r"\1", origin)  # where it did not exchange
        value = stored.get(origin)
        taken.add(origin)
        if value is not None and name.rpartition(".")[0] in tables and len(value) == len(trained) > 1:
            value = value[rows]
        elif value is not None and name.rpartition(".")[0] in tables:
            value = value.expand(len(own), -1)
        if value is None:
            problems.append(f"missing {name}")
        elif value.shape != own.shape:
            problems.append(f"{name} has shape {list(value.shape)}, here {list(own.shape)}")
        else:
            own.copy_(value)
    problems += [f"unexpected {name}" for name in stored if name not in taken and not LEFT_OUT.fullmatch(name)]
    if problems:
        raise CheckpointError(
            f"{source}: does not fit the recipe's model: {listed(problems, separator='; ')}",
            hint="model and sharing must be those of the run whose weights are taken, but for classes and modalities",
        )
    by_place = [str(name) for name in [*trained, *modalities[len(trained) :]]]
    starts = [
        f"{name} starts from {_start(network, STAND_IN, displaced)}"
        for name, displaced in zip(named, by_place, strict=False)
        if name not in trained
    ]
    lost = 0 if [*modalities] == [*trained] else _lost_channels(network)
    starts += [f"{lost} gammas that had fallen lie in no part in which they are replaced"] if lost else []
    return ", ".join([f"{source} without its classifier and ensemble", *starts])


def origin_rows(modalities: Sequence[str], trained: Sequence[str]) -> list[int]:
    """Of which of the modalities `trained` each one takes what is its own: its namesake's, or the stand-in's."""
    return [trained.index(name if name in trained else STAND_IN) for name in modalities]


def _lost_channels(network: nn.Module) -> int:
    """Channels of all streams that carry next to nothing and are not replaced: other modalities have other parts."""
    layers = exchanging_layers(network).values()
    fallen = (below_threshold(layer.gamma, layer.threshold) & ~layer.replaceable for layer in layers)
    return sum(int(lost.sum()) for lost in fallen)


def replaced_before(
    network: nn.Module, tensors: Mapping[str, Tensor], run: Recipe, rows: Sequence[int]
) -> dict[str, Tensor]:
    """Bool [M, C] by layer: what a trained network replaced, whose `rows` have just been loaded into a new one."""
    found = {}
    for name, layer in exchange_layers(network).items():
        fixed = tensors.get(f"{name}.fixed")
        if fixed is not None:
            found[name] = fixed[list(rows)].cpu()
        elif run.exchange.choose == "gamma" and f"{name}.norm.weight" in tensors:
            found[name] = (below_threshold(layer.gamma, run.exchange.threshold) & layer.replaceable).cpu()
    return found


def given_back(network: nn.Module, before: Mapping[str, Tensor]) -> str:
    """What to say where channels that were replaced in training are not any more, and carry what nothing trained."""
    now = {name: layer.replaced().cpu() for name, layer in exchange_layers(network).items()}
    lost = sum(int((was & ~now.get(name, torch.zeros_like(was))).sum()) for name, was in before.items())
    return f", {lost} channels that it replaced are not replaced here, though nothing has trained them" if lost else ""


def normalized_before(weights: str, specs: Sequence[ModalitySpec]) -> str:
    """What to say where the run whose weights are taken normalised a modality otherwise; or ""."""
    file = own_checkpoint(weights)
    if file is None:
        return ""
    with safe_open(file, framework="pt") as opened:
        stored = {each["name"]: each for each in json.loads((opened.metadata() or {}).get("specs", "[]"))}
    for spec in specs:
        trained = stored.get(spec.name)
        if trained is not None and not np.allclose((spec.mean, spec.std), (trained["mean"], trained["std"])):
            mean, std = (show_value(list(trained[key])) for key in ("mean", "std"))
            return f"the weights were trained otherwise: [data.normalize.{spec.name}] mean = {mean}, std = {std}"
    return ""


def _start(network: nn.Module, stand_in: str, displaced: str) -> str:
    """From what a new modality starts: fusing convolutions, of all modalities side by side, know places alone."""
    parts = dict(network.named_modules())
    if any(isinstance(part, InputConcat) and name.startswith("encoder.") for name, part in parts.items()):
        return displaced
    blocks = [part.block for part in parts.values() if isinstance(part, Junction) and part.block is not None]
    fusing = any(True for block in blocks for _ in block.parameters())
    return f"{stand_in}, in the fusing blocks from {displaced}" if fusing else stand_in


@torch.no_grad()
def keep_choices(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Let a new network go on from the channels that a trained one, of the same choice, replaced at its end."""
    for name, own in network.state_dict().items():
        if name.rpartition(".")[2] in CHOSEN and name in tensors and tensors[name].shape == own.shape:
            own.copy_(tensors[name])
