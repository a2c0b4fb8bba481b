"""Weights for a ResNet encoder: torchvision's ImageNet weights, or a file of a torchvision ResNet.

Read with `weights_only=True` or as safetensors; the classifier (`fc.*`) is left out, everything else must be there, in
the right shape.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torchvision.models import get_model_weights

from cen_cli.errors import CheckpointError
from cen_cli.models.torch_files import read_torch_file
from cen_cli.wording import listed

CONNECT_SECONDS = 10.0
"""A download that stays silent this long has failed."""


def read_resnet_weights(name: str, weights: str, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of `weights` ("imagenet" or a path) for torchvision's network `name`.

    `expected`: the state dict that they must fit. Raises CheckpointError where the file cannot be had, read or fitted.
    """
    file = imagenet_file(name) if weights == "imagenet" else Path(weights).expanduser()
    return _fitted(_read_tensors(file), expected, file, name)


def imagenet_file(name: str) -> Path:
    """torchvision's IMAGENET1K_V1 weights of `name` in torch's hub folder, downloaded where they are missing."""
    url = get_model_weights(name)["IMAGENET1K_V1"].url
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    file = folder / url.rsplit("/", 1)[-1]
    if file.is_file():
        return file
    digest = re.search(r"-([0-9a-f]{8,})\.", file.name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _silence_limit(CONNECT_SECONDS):
            torch.hub.download_url_to_file(url, str(file), digest.group(1) if digest else None, progress=False)
    except (OSError, RuntimeError) as error:  # URLError and timeouts are OSErrors; a wrong hash is a RuntimeError
        raise CheckpointError(
            f"cannot download the ImageNet weights {url}: {error}",
            hint=f"put {file.name} into {folder}, name such a file by --set model.weights=PATH, "
            "or start from random ones by --set model.weights=none",
        ) from error
    return file


@contextmanager
def _silence_limit(seconds: float) -> Iterator[None]:
    """Sockets opened inside give up after `seconds` without an answer."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _read_tensors(file: Path) -> dict[str, Tensor]:
    if not file.is_file():
        raise CheckpointError(f"{file}: no such weights file", hint='give a path, "imagenet" or "none"')
    content = _read_safetensors(file) if file.suffix == ".safetensors" else read_torch_file(file)
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise CheckpointError(
            f"{file}: not a state dict (names to tensors)", hint="save the network's state_dict() alone"
        )
    return dict(content)


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{file}: cannot be read as weights: {error}") from error


def _fitted(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], file: Path, name: str) -> dict[str, Tensor]:
    """`tensors` without the classifier, checked against `expected`; CheckpointError lists what does not fit."""
    kept = {key: value for key, value in tensors.items() if not key.startswith("fc.")}
    problems = [f"unknown tensor {key}" for key in kept if key not in expected]
    for key, value in expected.items():
        if key not in kept and key.endswith("num_batches_tracked"):
            kept[key] = value  # a count that nothing here reads
        elif key not in kept:
            problems.append(f"missing tensor {key}")
        elif kept[key].shape != value.shape:
            problems.append(f"{key} has shape {list(kept[key].shape)}, expected {list(value.shape)}")
    if problems:
        raise CheckpointError(f"{file}: does not fit torchvision's {name}: {listed(problems, most=3, separator='; ')}")
    return kept
