"""Inception features for FID and KID: torch-fidelity's network with the weights of 2015-12-05.

Nothing is downloaded. The weights are looked for where torch-fidelity keeps them; `inception_weights` says how to get
them where they are not. Features of other weights are other numbers: `InceptionFeatures.note` says so.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, BasicConv2d, FeatureExtractorInceptionV3

from cen_cli.errors import CheckpointError, UnavailableError, UsageError

URL = URL_INCEPTION_V3
FILE_NAME = URL.rsplit("/", 1)[-1]
PUBLISHED_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
LAYER = "2048"
"""torch-fidelity's name of pool3, the layer that FID and KID are defined on."""


def default_location() -> Path:
    """Where torch-fidelity keeps the weights: torch hub's checkpoints (TORCH_HOME moves them)."""
    return Path(torch.hub.get_dir()) / "checkpoints" / FILE_NAME


def inception_weights(path: Path | None = None) -> Path:
    """The file of Inception weights: `path` where given, else torch-fidelity's, checked by its hash.

    Raises UsageError where `path` is no file; UnavailableError, with the way to get it, where torch-fidelity's is
    missing or damaged. The hash of an explicit file is left to the reader: see `InceptionFeatures.note`.
    """
    if path is not None:
        if not path.is_file():
            raise UsageError(f"--inception-weights {path}: no such file", hint=_way_to_get())
        return path
    default = default_location()
    if not default.is_file():
        raise UnavailableError(f"FID and KID need {FILE_NAME}, which is not at {default}", hint=_way_to_get())
    found = hashlib.sha256(_read(default)).hexdigest()
    if found != PUBLISHED_SHA256:
        raise UnavailableError(
            f"{default}: damaged or another file (sha256 {found[:8]}, expected {PUBLISHED_SHA256[:8]})",
            hint=f"delete it; then {_way_to_get()}",
        )
    return default


def _way_to_get() -> str:
    return f"download {URL} and put it at {default_location()}, or name the file with --inception-weights PATH"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from error


class InceptionFeatures:
    """The measuring network: uint8 images [N, 3, H, W] of any size -> features float64 [N, 2048] on the CPU.

    float32 whatever autocast and TF32 say outside, channels_last, norms folded into the convolutions: torch-fidelity's
    own features but for rounding, as near to float64 as those are (4e-7). `weights` is the file, read with
    weights_only=True; raises CheckpointError where it is damaged or of another layout.
    """

    def __init__(self, weights: Path, device: torch.device | str = "cpu", *, batch: int = 32) -> None:
        content = _read(weights)
        self.weights = weights
        self.sha256 = hashlib.sha256(content).hexdigest()
        self._device = torch.device(device)
        self._batch = batch
        net = _network(_state(content, weights), weights)
        for block in net.modules():
            if isinstance(block, BasicConv2d):
                block.conv = fuse_conv_bn_eval(block.conv, block.bn)
                block.bn = nn.Identity()
        self._net = net.to(self._device).to(memory_format=torch.channels_last)

    @property
    def note(self) -> str | None:
        """What must be said beside numbers from these features; None for the published weights."""
        if self.sha256 == PUBLISHED_SHA256:
            return None
        return (
            f"features from {self.weights} (sha256 {self.sha256[:16]}), which are not the published weights of "
            f"2015-12-05 (sha256 {PUBLISHED_SHA256[:16]}): FID and KID do not compare with anybody's"
        )

    def __call__(self, images: Tensor) -> Tensor:
        """Features of uint8 images [N, 3, H, W]. Raises ValueError for others, CheckpointError where they are NaN."""
        if images.dtype != torch.uint8 or images.dim() != 4 or images.shape[1] != 3:
            raise ValueError(f"Inception takes uint8 [N, 3, H, W], not {images.dtype} {tuple(images.shape)}")
        with torch.inference_mode(), _full_precision(self._device):
            parts = [self._net(part.to(self._device))[0].cpu().double() for part in images.split(self._batch)]
        features = torch.cat(parts)
        if not features.isfinite().all():
            raise CheckpointError(f"{self.weights}: these weights give features that are NaN or infinite")
        return features


@contextmanager
def _full_precision(device: torch.device) -> Iterator[None]:
    """No autocast and, on CUDA, no TF32 in convolutions."""
    allowed = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.backends.cudnn.allow_tf32 = allowed


def _state(content: bytes, source: Path) -> dict[str, Any]:
    """The state dictionary in a file's bytes; nothing but tensors is unpickled."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of TorchScript archives before it refuses them
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises a dozen types for damaged files
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise _unusable(source, f"not a readable file of weights ({reason})") from error
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise _unusable(source, "holds something else than a dictionary of tensors")
    return state


class _Inception(FeatureExtractorInceptionV3):
    """torch-fidelity's network, in eval mode, without its own way of reading files, which unpickles freely."""

    def __init__(self) -> None:
        nothing = io.BytesIO()
        torch.save({}, nothing)
        nothing.seek(0)
        super().__init__("inception-v3-compat", [LAYER], feature_extractor_weights_path=nothing)

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Load weights; the constructor has none to load."""
        return super().load_state_dict(state_dict, strict, assign) if state_dict else None


def _network(state: dict[str, Any], source: Path) -> nn.Module:
    """The network with these weights, without initialising it first: that would take long and move the random state."""
    with torch.device("meta"):
        net = _Inception()
    try:
        net.load_state_dict(state, assign=True)
    except RuntimeError as error:
        problem = " ".join(str(error).split())[:300]
        raise _unusable(source, f"not the layout of torch-fidelity's Inception ({problem})") from error
    return net.float().requires_grad_(False)


def _unusable(source: Path, what: str) -> CheckpointError:
    return CheckpointError(f"{source}: {what}", hint=_way_to_get())
