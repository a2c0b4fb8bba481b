"""The U-Net encoder of translation networks (Isola et al., CVPR 2017; S Section 2).

    image -> conv 1 [norm] -> LeakyReLU -> conv 2 [norm] -> ... -> LeakyReLU -> conv L [norm]
                    |                             |                                     |
                 features 1                   features 2                            features L

Every convolution is 4x4 with stride 2 and a bias, and halves the map. Converted to streams (`convert_layers`), every
norm is one per modality and followed by the exchange; a baseline puts its junctions behind the layers instead
(`Encoder.fuse`). At 256 x 256 the eighth map is 1x1 and has no variance of its own; `ModalInstanceNorm2d` normalises it
by running statistics.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from cen_cli.models.backbones.encoder import Encoder

NormLayers = Literal["all", "inner"]

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


class UNetEncoder(Encoder):
    """`levels` layers of `filters`, 2 `filters`, 4 `filters`, then 8 `filters` channels, named layer1, layer2, ...

    Each is a stage; its map is halved once more, and given before its activation. `norm_layers`: "all" normalises after
    every convolution (S Section 2), "inner" after all but the first and the last (as a release of the method does).
    """

    def __init__(self, levels: int = 8, filters: int = 64, norm_layers: NormLayers = "all") -> None:
        channels = tuple(filters * min(2**level, WIDEST) for level in range(levels))
        activation, stages = nn.LeakyReLU(SLOPE), list[dict[str, nn.Module]]()
        for level, (inputs, outputs) in enumerate(zip((3, *channels), channels, strict=False), start=1):
            layer = UNetEncoderLayer(inputs, outputs, normalised=norm_layers == "all" or 1 < level < levels)
            stages.append({"activation": activation, f"layer{level}": layer} if level > 1 else {"layer1": layer})
        super().__init__(stages, channels)
        self.size_multiple = 2**levels

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """[N, 3, H, W] -> L maps [N, channels[i], H / 2^(i+1), W / 2^(i+1)].

        Raises ValueError where 2^levels does not divide H and W.
        """
        multiple = self.size_multiple
        height, width = x.shape[2:]
        if height % multiple or width % multiple:
            padded = [-(-side // multiple) * multiple for side in (height, width)]
            raise ValueError(
                f"images of {height} x {width}: both sides must be multiples of {multiple} (2 to the power of the "
                f"U-Net's levels); resize or pad to {padded[0]} x {padded[1]}, or build it with fewer levels"
            )
        return super().forward(x)
