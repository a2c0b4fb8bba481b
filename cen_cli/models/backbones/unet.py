"""The U-Net encoder of translation networks (Isola et al., CVPR 2017; S Section 2).

    image -> conv 1 [norm] -> LeakyReLU -> conv 2 [norm] -> ... -> LeakyReLU -> conv L [norm]
                    |                             |                                     |
                 features 1                   features 2                            features L

Every convolution is 4x4 with stride 2 and a bias, and halves the map. Converted to streams (`convert_layers`), every
norm is one per modality and followed by the exchange; a baseline puts its junctions behind the layers instead
(`fuse_layers`). At 256 x 256 the eighth map is 1x1 and has no variance of its own; `ModalInstanceNorm2d` normalises it
by running statistics.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from cen_cli.models.conversion import fuse_streams
from cen_cli.models.fusion.placement import Fusion, PassOn
from cen_cli.models.norms import ModalInstanceNorm2d

NormLayers = Literal["all", "inner"]

FEWEST_LEVELS = 3
WIDEST = 8
"""Layers have at most this many times the channels of the first."""
SLOPE = 0.2
"""Of the LeakyReLU."""


class UNetEncoderLayer(nn.Module):
    """A convolution that halves the map, and its norm."""

    def __init__(self, inputs: int, outputs: int, *, normalised: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel_size=4, stride=2, padding=1)
        self.norm: nn.Module = nn.InstanceNorm2d(outputs, affine=True) if normalised else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] -> [N, outputs, H / 2, W / 2]."""
        return self.norm(self.conv(x))


class UNetEncoder(nn.Module):
    """`levels` layers of `filters`, 2 `filters`, 4 `filters`, then 8 `filters` channels, named layer1, layer2, ...

    `norm_layers`: "all" normalises after every convolution (S Section 2), "inner" after all but the first and the last
    (as a release of the method does). Raises ValueError for bad arguments.
    """

    def __init__(self, levels: int = 8, filters: int = 64, norm_layers: NormLayers = "all") -> None:
        super().__init__()
        if levels < FEWEST_LEVELS or filters < 1:
            raise ValueError(f"levels = {levels}, filters = {filters}: at least {FEWEST_LEVELS} and 1 are needed")
        if norm_layers not in ("all", "inner"):
            raise ValueError(f"norm_layers = {norm_layers!r}: 'all' or 'inner'")
        self.size_multiple = 2**levels
        self.channels = tuple(filters * min(2**level, WIDEST) for level in range(levels))
        for level, (inputs, outputs) in enumerate(zip((3, *self.channels), self.channels, strict=False), start=1):
            normalised = norm_layers == "all" or 1 < level < levels
            self.add_module(f"layer{level}", UNetEncoderLayer(inputs, outputs, normalised=normalised))
        self.junctions = nn.ModuleList(PassOn() for _ in self.channels)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """[N, 3, H, W] -> L maps [N, channels[i], H / 2^(i+1), W / 2^(i+1)], before their activation.

        Raises ValueError where 2^levels does not divide H and W.
        """
        _check_sides(x, self.size_multiple)
        features: list[Tensor] = []
        for layer, junction in zip(self.layers, self.junctions, strict=True):
            feature, x = junction(layer(F.leaky_relu(x, SLOPE) if features else x))
            features.append(feature)
        return tuple(features)

    @property
    def layers(self) -> tuple[nn.Module, ...]:
        """The layers, finest first."""
        return tuple(self.get_submodule(name) for name in self.layer_names)

    def stages(self) -> list[list[nn.Module]]:
        """Each layer is a stage."""
        return [[layer] for layer in self.layers]

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the layers, finest first."""
        return tuple(f"layer{level}" for level in range(1, len(self.channels) + 1))


def fuse_layers(encoder: UNetEncoder, modalities: int, fusion: Fusion) -> None:
    """`fuse_streams` of a U-Net's encoder. The middle of eight layers is the fourth (S Section 3)."""
    stages = [[name] for name in encoder.layer_names]
    points = {"early": 1, "middle": (len(stages) + 1) // 2, "late": len(stages)}
    norm = partial(ModalInstanceNorm2d, modalities=1)
    encoder.junctions = fuse_streams(encoder, stages, encoder.channels, modalities, fusion, points, norm)


def _check_sides(x: Tensor, multiple: int) -> None:
    height, width = x.shape[2:]
    if height % multiple or width % multiple:
        padded = [-(-side // multiple) * multiple for side in (height, width)]
        raise ValueError(
            f"images of {height} x {width}: both sides must be multiples of {multiple} (2 to the power of the U-Net's "
            f"levels); resize or pad to {padded[0]} x {padded[1]}, or build it with fewer levels"
        )
