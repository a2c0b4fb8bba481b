"""The U-Net decoder of translation networks (Isola et al., CVPR 2017; S Section 2).

    features L ----> ReLU -> deconv 1 -> norm -> [drop] --+
    features L-1 -------------------------------------> (cat) -> ReLU -> deconv 2 -> norm -> [drop] --+
    features L-2 ----------------------------------------------------------------------------------> (cat) -> ...
    features 1 ----> (cat) -> ReLU -> deconv L -> tanh -> image

Every transposed convolution is 4x4 with stride 2 and a bias, and doubles the map. Norms are one per modality once
converted to streams; nothing is exchanged here.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DROPPED = 3
"""Layers, from the coarsest, that are followed by dropout."""


STANDARD_DEVIATION = 0.02
"""Of the weights of translation networks at the start (Isola et al., CVPR 2017)."""


def draw_normal_weights(network: nn.Module) -> None:
    """Draw the weights of every convolution, transposed or not, from N(0, 0.02); biases 0. Norms stay as they are."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, std=STANDARD_DEVIATION)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class UNetDecoderLayer(nn.Module):
    """A transposed convolution that doubles the map, its norm and dropout; the last layer has neither of these."""

    def __init__(self, inputs: int, outputs: int, *, dropout: float, normalised: bool) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(inputs, outputs, kernel_size=4, stride=2, padding=1)
        self.norm: nn.Module = nn.InstanceNorm2d(outputs, affine=True) if normalised else nn.Identity()
        self.drop: nn.Module = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, h, w] -> [N, outputs, 2 h, 2 w]."""
        return self.drop(self.norm(self.conv(F.relu(x))))


class UNetDecoder(nn.Module):
    """Layers named layer1 (coarsest) to layerL, back to an image of 3 channels.

    Args:
        channels: of the encoder's L feature maps, finest first.
        dropout: probability, in training, after the first three layers.
    """

    def __init__(self, channels: Sequence[int], dropout: float = 0.5) -> None:
        super().__init__()
        *finer, coarsest = channels
        outputs = [*reversed(finer), 3]
        inputs = [coarsest, *(2 * width for width in reversed(finer))]
        for index, (wide, narrow) in enumerate(zip(inputs, outputs, strict=True)):
            last = index == len(finer)
            probability = dropout if index < DROPPED and not last else 0.0
            layer = UNetDecoderLayer(wide, narrow, dropout=probability, normalised=not last)
            self.add_module(f"layer{index + 1}", layer)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """L maps as a `UNetEncoder` returns them -> images [N, 3, H, W] in [-1, 1]."""
        *skips, x = features
        first, *others = self.children()
        x = first(x)
        for layer, skip in zip(others, reversed(skips), strict=True):
            x = layer(torch.cat([x, skip], dim=1))
        return torch.tanh(x)
