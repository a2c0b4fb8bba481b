"""Fusion blocks: the mean of the M feature maps, their concatenation, and self-attention (S Section 2, S-Table 6).

Concatenation puts the M maps on the channel axis and takes a 1x1 convolution back to C channels. At the input the
network's own first convolution takes the M images side by side: one network of 3 M channels. At the output its
classifier takes the last maps of M decoders in the same way.

Self-attention is the SSMA block (Valada, Mohan and Burgard, IJCV 2020):

    a_1 .. a_M -> concat --+--> 3x3 to M*C/eta -> ReLU -> 3x3 to M*C -> sigmoid --(*)--> 3x3 to C -> norm
                           +-------------------------------------------------------+

eta = 16, as in that paper. The norm is the network's own kind: batch norm there, instance norm in a U-Net.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cen_cli.models.streams import split_modalities

REDUCTION = 16
"""eta: how many times fewer channels the bottleneck of the gate has."""


class AverageFusion(nn.Module):
    """The mean over the modalities. It has no parameters."""

    def __init__(self, modalities: int) -> None:
        super().__init__()
        self.modalities = modalities

    def forward(self, x: Tensor) -> Tensor:
        """[M*B, C, h, w] -> [B, C, h, w]."""
        return split_modalities(x, self.modalities).mean(0)


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
        self.conv.weight = nn.Parameter(conv.weight.detach().repeat(1, modalities, 1, 1))
        gain = getattr(self.conv, "gain", None)  # of timm's standardised kernels, which no division changes
        divided = gain if isinstance(gain, nn.Parameter) else self.conv.weight
        divided.data /= modalities

    def forward(self, x: Tensor) -> Tensor:
        """[M*B, I, H, W] -> [B, C, h, w]."""
        return self.conv(concatenate_modalities(x, self.modalities))


class SelfAttentionFusion(nn.Module):
    """Each channel of each modality is weighed, pixel by pixel, by what all modalities hold there.

    Args:
        channels: C.
        modalities: M.
        norm: of C channels, applied to the fused map.
    """

    def __init__(self, channels: int, modalities: int, norm: nn.Module) -> None:
        super().__init__()
        self.modalities = modalities
        stacked = modalities * channels
        narrow = max(stacked // REDUCTION, 1)
        self.squeeze = nn.Conv2d(stacked, narrow, kernel_size=3, padding=1)
        self.gate = nn.Conv2d(narrow, stacked, kernel_size=3, padding=1)
        self.mix = nn.Conv2d(stacked, channels, kernel_size=3, padding=1, bias=False)
        self.norm = norm
        nn.init.kaiming_normal_(self.squeeze.weight, nonlinearity="relu")
        for layer in (self.gate, self.mix):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")

    def forward(self, x: Tensor) -> Tensor:
        """[M*B, C, h, w] -> [B, C, h, w]."""
        stacked = concatenate_modalities(x, self.modalities)  # [B, M*C, h, w]
        gate = self.gate(F.relu(self.squeeze(stacked))).sigmoid()
        return self.norm(self.mix(gate * stacked))


def concatenate_modalities(x: Tensor, modalities: int) -> Tensor:
    """A stack [M*B, C, h, w] with its M maps of C channels side by side: [B, M*C, h, w]."""
    return torch.cat([*split_modalities(x, modalities)], dim=1)
