"""Fusion by averaging: the mean of the M feature maps (S-Table 6, "Average")."""

from __future__ import annotations

from torch import Tensor, nn

from cen_cli.models.streams import split_modalities


class AverageFusion(nn.Module):
    """The mean over the modalities. It has no parameters."""

    def __init__(self, modalities: int) -> None:
        super().__init__()
        self.modalities = modalities

    def forward(self, x: Tensor) -> Tensor:
        """[M*B, C, h, w] -> [B, C, h, w]."""
        return split_modalities(x, self.modalities).mean(0)
