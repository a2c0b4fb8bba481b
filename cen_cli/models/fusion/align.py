"""Fusion by alignment: common and specific features (Wang et al., ECCV 2016; S Section 2).

Each modality's map is split by its own 1x1 convolution into a common part, C/2 channels, and a specific part, the rest.
Multiple-kernel MMD between the modalities' common parts enters the loss and pulls them together. The fused map is a 1x1
convolution of the mean common part and of all specific parts.

Different from that paper, which aligns one fully connected feature vector an image: the samples here are the positions
of the feature maps, averaged to at most 8 x 8 an image, so that a batch of one image can be aligned too. The specific
parts are not pushed apart.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cen_cli import ranks
from cen_cli.models.fusion.mmd import multi_kernel_mmd
from cen_cli.models.streams import PrivateCopies, split_modalities

GRID = 8
"""Largest side of the averaged maps whose positions are the samples."""


class AlignFusion(nn.Module):
    """Common parts that are pulled together, and specific parts; see the head of this file."""

    def __init__(self, channels: int, modalities: int) -> None:
        super().__init__()
        self.modalities = modalities
        self.common_channels = channels // 2
        self.split = PrivateCopies(_pointwise(channels, channels), modalities)
        specific = channels - self.common_channels
        self.mix = _pointwise(self.common_channels + modalities * specific, channels)
        self.discrepancy: Tensor | None = None
        """What the last forward in training adds to the loss (before its weight), with its graph."""

    def __getstate__(self) -> dict[str, Any]:
        """Without what the last forward measured: a tensor with its graph cannot be copied."""
        return {**super().__getstate__(), "discrepancy": None}

    def forward(self, x: Tensor) -> Tensor:
        """[M*B, C, h, w] -> [B, C, h, w]."""
        parts = split_modalities(self.split(x), self.modalities)  # [M, B, C, h, w]
        common, specific = parts[:, :, : self.common_channels], parts[:, :, self.common_channels :]
        self.discrepancy = _discrepancy(common) if self.training else None
        return self.mix(torch.cat([common.mean(0), *specific], dim=1))


def alignment_penalty(model: nn.Module) -> Tensor:
    """The MMD between common parts that the last forward in training measured, summed over all `AlignFusion` modules.

    Raises ValueError where there was none.
    """
    discrepancies = [module.discrepancy for module in model.modules() if isinstance(module, AlignFusion)]
    measured = [value for value in discrepancies if value is not None]
    if not measured:
        raise ValueError("no discrepancy was measured: the network has no AlignFusion, or has not run in training")
    return torch.stack(measured).sum()


def _discrepancy(common: Tensor) -> Tensor:
    """Mean MMD over pairs of modalities, of maps [M, B, C, h, w]; in float32, whatever the maps are."""
    modalities, _, channels, height, width = common.shape
    grid = (min(height, GRID), min(width, GRID))
    with torch.autocast(common.device.type, enabled=False):
        means = F.adaptive_avg_pool2d(common.flatten(0, 1).float(), grid)  # [M*B, C, <=8, <=8]
        positions = means.permute(0, 2, 3, 1).reshape(modalities, -1, channels)
        if ranks.count() > 1:
            positions = ranks.gathered(positions, 1)
        pairs = [multi_kernel_mmd(one, other) for one, other in combinations(positions, 2)]
        return torch.stack(pairs).mean()


def _pointwise(inputs: int, outputs: int) -> nn.Conv2d:
    conv = nn.Conv2d(inputs, outputs, kernel_size=1, bias=False)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="linear")
    return conv
