"""Fusion by self-attention: the SSMA block (Valada, Mohan and Burgard, IJCV 2020; S Section 2).

    a_1 .. a_M -> concat --+--> 3x3 to M*C/eta -> ReLU -> 3x3 to M*C -> sigmoid --(*)--> 3x3 to C -> norm
                           +-------------------------------------------------------+

eta = 16, as in that paper. The norm is the network's own kind: batch norm there, instance norm in a U-Net.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from cen_cli.models.fusion.concat import concatenate_modalities

REDUCTION = 16
"""eta: how many times fewer channels the bottleneck of the gate has."""


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
