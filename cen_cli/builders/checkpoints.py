"""A checkpoint -> a network ready for use, by the recipe that the checkpoint carries."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cen_cli.analysis.onnx_engine import run_by_onnx
from cen_cli.builders.networks import Network, network, placed
from cen_cli.builders.precision import in_precision_of_run
from cen_cli.data.modality import Encoding, ModalitySpec
from cen_cli.data.views import ViewDataset
from cen_cli.errors import CheckpointError, RecipeError, UsageError
from cen_cli.models.compact import put_compact_layers
from cen_cli.models.device import Precision, resolve_device, resolve_precision
from cen_cli.models.norms import set_norm_statistics
from cen_cli.models.streams import ModalOutput
from cen_cli.recipe.load import dump_toml, parse_recipe
from cen_cli.recipe.schema import Recipe
from cen_cli.runs.checkpoint import COMPACT, load_weights, read_tensors
from cen_cli.runs.directory import locate
from cen_cli.wording import one_line_each

RETRIES = 2
"""How often a checkpoint is looked for again that is being replaced while it is read."""
COMPACT_FORM = "1"


@dataclasses.dataclass(frozen=True)
class LoadedNetwork:
    """A trained network, with how it was trained and on what.

    Called like the network: `loaded(images)` takes normalised float32 [B, 3, H, W] by modality, or one stacked tensor,
    and returns a `ModalOutput`. Whatever else is asked of it (`parameters()`, `branches`, ...) is the network's.
    """

    network: Network
    recipe: Recipe
    class_names: tuple[str, ...]
    """Of a segmentation, in the order of its channels."""
    specs: tuple[ModalitySpec, ...]
    """How each modality's files are stored and normalised."""
    target: ModalitySpec | None
    """The same of what a translation makes."""
    compact: bool = False
    """Whether it is one for inference alone, made by `cen compact`."""
    file: Path | None = None
    """What it was read from; None for a network that is being trained."""
    engine: str = "torch"
    """What computes its outputs: "torch" or "onnx"."""

    @property
    def modalities(self) -> tuple[str, ...]:
        """The inputs, in the order of the streams."""
        return self.network.modalities

    @property
    def device(self) -> torch.device:
        """Where its weights lie."""
        return next(self.network.parameters()).device

    @property
    def task(self) -> str:
        """`segmentation` or `translation`."""
        return self.network.task

    @property
    def target_spec(self) -> ModalitySpec | None:
        """The earlier name of `target`."""
        return self.target

    def precision(self, recipe: Recipe) -> Precision:
        """What it labels and translates in by this recipe: what it is scored in, but for ONNX Runtime, in fp32."""
        if self.engine == "onnx":
            return "fp32"
        known = recipe if self.file is None else in_precision_of_run(recipe, self.file, self.device)
        return resolve_precision(known.train.precision, self.device)

    def __call__(self, inputs: Mapping[str, Tensor] | Tensor) -> ModalOutput:
        """What `StreamNetwork.forward` makes of normalised images, [B, 3, H, W] by modality or one stacked tensor."""
        output: ModalOutput = self.network(inputs)
        return output

    def __getattr__(self, name: str) -> Any:
        if name == "network":  # while a copy is being made
            raise AttributeError(name)
        return getattr(self.network, name)


def load(path: str | Path, device: str = "cpu", engine: str = "torch") -> LoadedNetwork:
    """A trained network, in evaluation mode.

    Args:
        path: a run directory (its best checkpoint, or the last), a checkpoint directory or a `model.safetensors`, also
            by its address: https://... or hf://OWNER/REPO/FILE[@REVISION], and behind it #sha256=HEX, if you like.
        device: "cpu", "cuda", "cuda:N", "mps", or "auto" for the fastest that is there.
        engine: "torch", or "onnx": ONNX Runtime makes the outputs, on the CPU and in fp32, compared on the first batch.

    Raises:
        UsageError: there is no such path, no such device or no such engine.
        UnavailableError: the packages of ONNX are not installed.
        CheckpointError: the file is damaged, does not fit its recipe or cannot be downloaded.
    """
    file, (tensors, metadata) = _read(path)
    loaded = from_tensors(tensors, metadata, file)
    where = torch.device("cpu") if (engine, device) == ("onnx", "auto") else resolve_device(device)
    placed(loaded.network, where, loaded.recipe).eval()
    if engine == "onnx" and where.type == "cpu":
        run_by_onnx(loaded.network)
    elif engine != "torch":
        raise UsageError(f"--engine {engine} on {where}: torch, or on the CPU onnx", hint="use --engine torch")
    return dataclasses.replace(loaded, engine=engine)


def _read(path: str | Path) -> tuple[Path, tuple[dict[str, Tensor], dict[str, str]]]:
    """The file that `path` names, and what it holds; looked for again where a training replaces it meanwhile."""
    for _ in range(RETRIES if os.path.isdir(path) else 0):
        with suppress(UsageError, CheckpointError):
            file = locate(path).model_file
            return file, read_tensors(file)
    file = locate(path).model_file
    return file, read_tensors(file)


def from_tensors(tensors: Mapping[str, Tensor], metadata: Mapping[str, str], source: Path) -> LoadedNetwork:
    """The network, on the CPU, of which a file holds these tensors and metadata; errors as in `load`."""
    labels = _labels(metadata, source)
    model = network(labels["recipe"], len(labels["class_names"]), weights="none")
    compact = COMPACT in metadata
    if compact:
        tensors = _put_compact_layers(model, tensors, metadata[COMPACT], source)
    load_weights(model, tensors, source)
    set_norm_statistics(model, labels["recipe"].eval.norm_statistics)
    return LoadedNetwork(model, **labels, compact=compact, file=source)


def _put_compact_layers(model: Network, tensors: Mapping[str, Tensor], form: str, source: Path) -> Mapping[str, Tensor]:
    """The state that the network then loads. Raises CheckpointError where the tensors are not those of its layers."""
    if form != COMPACT_FORM:
        raise CheckpointError(f"{source}: a compact network of form {form!r}, which this version of cen does not know")
    try:
        return put_compact_layers(model, tensors)
    except (KeyError, ValueError, RuntimeError, IndexError) as error:
        raise CheckpointError(
            f"{source}: does not fit the recipe's model ({' '.join(str(error).split())})",
            hint="compact the original checkpoint again: cen compact CKPT",
        ) from error


def check_trainable(model: LoadedNetwork, source: str, what: str) -> None:
    """Raises UsageError for a compact network, which lacks `what`."""
    if model.compact:
        raise UsageError(
            f"{source}: a compact network, made for inference; {what}",
            hint="give the checkpoint that it was made from",
        )


def check_statistics(model: LoadedNetwork, recipe: Recipe, source: str) -> None:
    """Raises UsageError where a compact network is to normalise by other statistics than it was made for."""
    own = model.recipe.eval.norm_statistics
    if model.compact and recipe.eval.norm_statistics != own:
        raise UsageError(
            f"{source}: a compact network, made for eval.norm_statistics = {own!r}, which cannot be changed any more",
            hint="evaluate the checkpoint that it was made from, or compact that one again",
        )


def labels_of(
    recipe: Recipe, class_names: Sequence[str], specs: Sequence[ModalitySpec], target: ModalitySpec | None
) -> dict[str, str]:
    """What `model.safetensors` carries beside the weights, for `load` to read back."""
    return {
        "recipe": dump_toml(recipe),
        "task": recipe.task,
        "modalities": json.dumps(list(recipe.data.inputs)),
        "classes": json.dumps(list(class_names)),
        "specs": json.dumps([dataclasses.asdict(spec) for spec in specs]),
        "target": json.dumps(None if target is None else dataclasses.asdict(target)),
    }


def labels_of_network(model: LoadedNetwork, *, compact: bool = False) -> dict[str, str]:
    """The same for a loaded network, or for its compact form."""
    form = {COMPACT: COMPACT_FORM} if compact else {}
    return labels_of(model.recipe, model.class_names, model.specs, model.target) | form


def _labels(metadata: Mapping[str, str], file: Path) -> dict[str, Any]:
    """What `labels_of` was given, under its names in `LoadedNetwork`.

    Raises CheckpointError where a label is missing or damaged.
    """
    try:
        target = json.loads(metadata.get("target", "null"))
        return {
            "recipe": parse_recipe(metadata["recipe"], source=f"{file}: its recipe"),
            "class_names": _class_names(metadata["classes"]),
            "specs": tuple(_spec(document) for document in json.loads(metadata["specs"])),
            "target": None if target is None else _spec(target),
        }
    except KeyError as error:
        raise CheckpointError(
            f"{file}: holds no network (no {error} in its metadata)",
            hint="give a run directory, or the model.safetensors of one of its checkpoints",
        ) from error
    except RecipeError as error:
        raise CheckpointError(error.message, hint="the file is damaged, or of another version of cen") from error
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{file}: its metadata are damaged ({error})", hint="copy the file again") from error


def _class_names(text: str) -> tuple[str, ...]:
    names = tuple(json.loads(text))
    if not one_line_each(names):
        raise ValueError("a class without a name of one line")
    return names


def _spec(document: dict[str, Any]) -> ModalitySpec:
    known: dict[str, Any] = {key: tuple(document[key]) for key in ("mean", "std")}
    encoding = document.get("encoding")
    if encoding is not None:
        known["encoding"] = Encoding(**encoding | {"invalid": tuple(encoding["invalid"])})
    return ModalitySpec(**document | known)


def check_fits(model: LoadedNetwork, data: ViewDataset, source: str) -> None:
    """Raises UsageError where a network was trained on other classes than a data set has."""
    if tuple(model.class_names) != tuple(data.class_names):
        raise UsageError(f"{source}: trained on {len(model.class_names)} other classes than this data set has")
