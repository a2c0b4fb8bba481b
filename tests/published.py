"""Checkpoints in the layout of the authors' published files, with random tensors: names, shapes, wrapping.

Written from a description of the files, name by name, and not from the code that reads them.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import torch

State = dict[str, torch.Tensor]

BLOCKS = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3), "resnet152": (3, 8, 36, 3)}


class Writer:
    """Draws tensors so that activations keep their size; `draw` (shape, scale) takes the place of random numbers."""

    def __init__(self, modalities: int, seed: int = 0, draw: Callable[..., torch.Tensor] | None = None) -> None:
        self.state: State = {}
        self.modalities = modalities
        self._generator = torch.Generator().manual_seed(seed)
        self._draw = draw or self._random

    def _random(self, shape: tuple[int, ...], scale: float) -> torch.Tensor:
        return torch.randn(shape, generator=self._generator) * scale

    def kernel(self, name: str, *shape: int, bias: int = 0) -> None:
        """A kernel under NAME.weight and, where it has one, its bias of so many numbers."""
        fan_in = shape[1] * shape[2] * shape[3]
        self.state[f"{name}.weight"] = self._draw(shape, fan_in**-0.5)
        if bias:
            self.state[f"{name}.bias"] = self._draw((bias,), 0.1)

    def norm(self, name: str, channels: int, counter: bool = False) -> None:
        """A norm; a third of its gammas lie below both thresholds, and some between them."""
        gamma = self._draw((channels,), 0.5)
        gamma[::3] *= 0.005
        gamma[1::7] = 0.015
        self.state |= {f"{name}.weight": gamma, f"{name}.bias": self._draw((channels,), 0.3)}
        self.state |= {f"{name}.running_mean": self._draw((channels,), 0.2)}
        self.state |= {f"{name}.running_var": self._draw((channels,), 0.2).abs() + 0.5}
        if counter:
            self.state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    def norms(self, name: str, channels: int, counter: bool = False) -> None:
        """One norm for each modality, under NAME followed by its number."""
        for m in range(self.modalities):
            self.norm(f"{name}{m}", channels, counter)


def segmenter_state(
    backbone: str = "resnet50",
    *,
    classes: int = 40,
    modalities: int = 2,
    wide: int = 8,
    width: int = 8,
    draw: Callable[..., torch.Tensor] | None = None,
) -> State:
    """RefineNet on a ResNet: `wide` channels in the stem (64 in the published files), `width` in the decoder (256)."""
    write = Writer(modalities, draw=draw)
    write.kernel("conv1.module", wide, 3, 7, 7)
    write.norms("bn1.bn_", wide, counter=True)
    inputs = wide
    for stage, blocks in enumerate(BLOCKS[backbone], start=1):
        planes = wide * 2 ** (stage - 1)
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            write.kernel(f"{name}.conv1.module", planes, inputs, 1, 1)
            write.kernel(f"{name}.conv2.module", planes, planes, 3, 3)
            write.kernel(f"{name}.conv3.module", 4 * planes, planes, 1, 1)
            for number, channels in ((1, planes), (2, planes), (3, 4 * planes)):
                write.norms(f"{name}.bn{number}.bn_", channels)
            if block == 0:
                write.kernel(f"{name}.downsample.0.module", 4 * planes, inputs, 1, 1)
                write.norms(f"{name}.downsample.1.bn_", 4 * planes)
            inputs = 4 * planes
    for number in range(1, 5):  # 1 is the coarsest
        own, following = (2 * width if number == 1 else width), width
        write.kernel(f"p_ims1d2_outl{number}_dimred.module", own, inputs >> (number - 1), 3, 3)
        _units(write, f"adapt_stage{number}_b", own, 2)
        if number > 1:
            write.kernel(f"adapt_stage{number}_b2_joint_varout_dimred.module", own, own, 3, 3)
        for link in range(1, 5):
            write.kernel(f"mflow_conv_g{number}_pool.0.{link}_outvar_dimred.module", own, own, 3, 3)
        _units(write, f"mflow_conv_g{number}_b", own, 3)
        if number < 4:
            write.kernel(f"mflow_conv_g{number}_b3_joint_varout_dimred.module", following, own, 3, 3)
    write.kernel("clf_conv.module", classes, width, 3, 3, bias=classes)
    write.state["alpha"] = torch.linspace(0.5, -0.3, modalities)
    return write.state


def _units(write: Writer, name: str, channels: int, blocks: int) -> None:
    for block in range(1, blocks + 1):
        write.kernel(f"{name}.0.{block}_conv.module", channels, channels, 3, 3, bias=channels)
        write.kernel(f"{name}.0.{block}_conv_relu_varout_dimred.module", channels, channels, 3, 3)


def widths(levels: int, filters: int) -> list[int]:
    """Channels of the generator's encoder layers."""
    return [filters * min(2**level, 8) for level in range(levels)]


def generator_state(
    *, levels: int = 5, filters: int = 4, modalities: int = 2, draw: Callable[..., torch.Tensor] | None = None
) -> State:
    """The generator, with the norms that it carries and never applies."""
    write = Writer(modalities, seed=1, draw=draw)
    channels = widths(levels, filters)
    for number, (inputs, outputs) in enumerate(zip([3, *channels], channels, strict=False), start=1):
        write.kernel(f"conv{number}.conv.module", outputs, inputs, 4, 4, bias=outputs)
        write.norms(f"conv{number}.insnorm_conv.insnorm_", outputs)
    outputs_of = [*reversed(channels[:-1]), 3]
    inputs_of = [channels[-1], *(2 * width for width in reversed(channels[:-1]))]
    for number, (inputs, outputs) in enumerate(zip(inputs_of, outputs_of, strict=True), start=1):
        write.kernel(f"deconv{number}.deconv.module", inputs, outputs, 4, 4, bias=outputs)
        write.norms(f"deconv{number}.insnorm_deconv.insnorm_", outputs)
    write.state["alpha"] = torch.linspace(-0.4, 0.6, modalities)
    return write.state


def discriminator_state(*, filters: int = 4, running: bool = False) -> State:
    """The discriminator: five convolutions, each with an affine norm; those at both ends are never used."""
    write = Writer(1, seed=2)
    channels = [filters, 2 * filters, 4 * filters, 8 * filters, 1]
    for number, (inputs, outputs) in enumerate(zip([6, *channels], channels, strict=False), start=1):
        write.kernel(f"conv{number}.conv.module", outputs, inputs, 4, 4, bias=outputs)
        write.norm(f"conv{number}.insnorm.module", outputs)
    return {name: tensor for name, tensor in write.state.items() if running or ".running_" not in name}


def save_segmenter(path: Path, state: State, best: object = 51.58) -> Path:
    """As the authors saved it: in a dict with epoch and best score, every name prefixed by DataParallel."""
    prefixed = {f"module.{name}": tensor for name, tensor in state.items()}
    torch.save({"segmenter": prefixed, "epoch_start": 290, "best_val": best}, path)
    return path


def save_bare(path: Path, state: State) -> Path:
    """A bare state dict."""
    torch.save(state, path)
    return path


def edit_pickle(path: Path, change: Callable[[bytes], bytes]) -> Path:
    """Rewrite the pickle inside a torch file."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, change(content) if name.endswith("data.pkl") else content)
    return path
