"""Layers for graphs in which sizes are open: the same values, without asking for a size in Python.

An exported graph is traced once. A layer that branches on its input's size would be exported with the branch that the
traced size took; these hold for every size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cen_cli.models.conversion import replace_layers
from cen_cli.models.norms import ModalInstanceNorm2d


class PortableInstanceNorm(nn.Module):
    """A `ModalInstanceNorm2d` in evaluation."""

    def __init__(self, norm: ModalInstanceNorm2d) -> None:
        super().__init__()
        self.norm = norm
        self.weight = norm.weight  # an exchange behind it goes by gamma

    def forward(self, x: Tensor) -> Tensor:
        """[M*B, C, H, W] -> the same shape; 1x1 maps go by the running statistics, as in `ModalInstanceNorm2d`."""
        norm = self.norm
        stack = x.unflatten(0, (norm.modalities, -1))  # [M, B, C, H, W]
        mean, variance = _per_channel(norm.running_mean), _per_channel(norm.running_var)
        if not norm.use_running_statistics:
            alone = torch.full((), x.shape[2] * x.shape[3], device=x.device) == 1
            mean = torch.where(alone, mean, stack.mean((3, 4), keepdim=True))
            variance = torch.where(alone, variance, stack.var((3, 4), correction=0, keepdim=True))
        y = (stack - mean) * torch.rsqrt(variance + norm.eps)
        return (y * _per_channel(norm.weight) + _per_channel(norm.bias)).flatten(0, 1)


def _per_channel(table: Tensor) -> Tensor:
    """[M or 1, C] -> [M or 1, 1, C, 1, 1]."""
    return table[:, None, :, None, None]


class PortableAveragePool(nn.Module):
    """An `nn.AdaptiveAvgPool2d` to a square: bin i of s covers the rows from floor(i H / s) to ceil((i + 1) H / s)."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, side, side]."""
        if self.side == 1:
            return x.mean((2, 3), keepdim=True)
        narrow = F.linear(x, self._means(x.shape[3], x))  # [N, C, H, side]
        return F.linear(narrow.transpose(2, 3), self._means(x.shape[2], x)).transpose(2, 3)

    def _means(self, size: int, like: Tensor) -> Tensor:
        """[side, size]: times a column of `size` values, their mean in every bin."""
        bins, places = torch.arange(self.side, device=like.device)[:, None], torch.arange(size, device=like.device)
        starts = bins * size // self.side
        stops = ((bins + 1) * size + self.side - 1) // self.side
        inside = ((places >= starts) & (places < stops)).to(like.dtype)
        return inside / (stops - starts)


def make_portable(network: nn.Module) -> None:
    """Put these layers in the place of those that they stand for, in `network`, for evaluation alone."""
    replacements: dict[nn.Module, nn.Module] = {}
    for layer in network.modules():
        if isinstance(layer, ModalInstanceNorm2d):
            replacements[layer] = PortableInstanceNorm(layer)
        elif isinstance(layer, nn.AdaptiveAvgPool2d):
            assert isinstance(layer.output_size, int), "pyramids pool to squares"
            replacements[layer] = PortableAveragePool(layer.output_size)
    replace_layers(network, replacements)
