"""Fusion by concatenation: M maps on the channel axis, then a 1x1 convolution back to C channels (S Section 2).

At the input the network's own first convolution takes the M images side by side: one network of 3 M channels. At the
output its classifier takes the last maps of M decoders in the same way.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from cen_cli.models.streams import split_modalities


class ConcatFusion(nn.Module):
    """Concatenation and 1x1 convolution, which starts as the mean over the modalities."""

    def __init__(self, channels: int, modalities: int) -> None:
        super().__init__()
        self.modalities = modalities
        self.mix = nn.Conv2d(modalities * channels, channels, kernel_size=1)
        with torch.no_grad():
            self.mix.weight.copy_((torch.eye(channels).repeat(1, modalities) / modalities)[..., None, None])
            self.mix.bias.zero_()  # type: ignore[union-attr]  # it has one

    def forward(self, x: Tensor) -> Tensor:
        """[M*B, C, h, w] -> [B, C, h, w]."""
        return self.mix(concatenate_modalities(x, self.modalities))


class InputConcat(nn.Module):
    """A network's first or last convolution, widened to M maps side by side; it starts as the mean over them."""

    def __init__(self, conv: nn.Conv2d, modalities: int) -> None:
        super().__init__()
        self.modalities = modalities
        self.conv = copy.deepcopy(conv)
        self.conv.in_channels *= modalities
        self.conv.weight = nn.Parameter(conv.weight.detach().repeat(1, modalities, 1, 1) / modalities)

    def forward(self, x: Tensor) -> Tensor:
        """[M*B, I, H, W] -> [B, C, h, w]."""
        return self.conv(concatenate_modalities(x, self.modalities))


def concatenate_modalities(x: Tensor, modalities: int) -> Tensor:
    """A stack [M*B, C, h, w] with its M maps of C channels side by side: [B, M*C, h, w]."""
    return torch.cat([*split_modalities(x, modalities)], dim=1)
