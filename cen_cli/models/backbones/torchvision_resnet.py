"""Torchvision's ResNet of any width, without its classifier."""

from __future__ import annotations

from typing import Any

from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet


def scaled_resnet(bottlenecks: bool, layers: list[int], width: int, *, dilated: bool) -> ResNet:
    """With so many blocks in the four stages; `dilated`: stages 3 and 4 keep the size of stage 2."""
    block, dilation = Bottleneck if bottlenecks else BasicBlock, [False, dilated, dilated]
    if width == 64:
        network = ResNet(block, layers, replace_stride_with_dilation=dilation)
    else:
        network = ScaledResNet(block, layers, width, dilation)
    network.fc = nn.Identity()
    return network


class ScaledResNet(ResNet):
    """Torchvision's ResNet with `width` channels in stem and stage 1 instead of 64, doubling from stage to stage."""

    def __init__(
        self, block: type[BasicBlock] | type[Bottleneck], layers: list[int], width: int, dilation: list[bool]
    ) -> None:
        self._width = width
        super().__init__(block, layers, replace_stride_with_dilation=dilation)
        self.conv1 = nn.Conv2d(3, width, kernel_size=7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.bn1 = nn.BatchNorm2d(width)

    def _make_layer(self, block: Any, planes: int, *args: Any, **kwargs: Any) -> nn.Sequential:
        if planes == 64:
            self.inplanes = self._width  # the first stage takes the narrowed stem's output
        return super()._make_layer(block, planes * self._width // 64, *args, **kwargs)
