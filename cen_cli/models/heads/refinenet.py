"""RefineNet decoder with 3x3 convolutions (Lin et al., CVPR 2017; the segmentation head of S-Table 7).

    stage 4 -> [drop] reduce -> RCU x2 ------------------> ReLU -> CRP -> RCU x3 -> widen -> upsample --+
    stage 3 -> [drop] reduce -> RCU x2 -> join -> (+) <-------------------------------------------------+
                                                   +-----> ReLU -> CRP -> RCU x3 -> widen -> upsample --+
    stage 2 ->        reduce -> RCU x2 -> join -> (+) ...                                               |
    stage 1 ->        reduce -> RCU x2 -> join -> (+) -> ReLU -> CRP -> RCU x3 -> [drop] -> classify  <-+

It treats every sample alone, so streams stacked on the batch axis share it. Different from the original RefineNet: the
shortcut of a residual unit carries the rectified input, as in the networks behind the paper's numbers.

The published decoder has no norms. Trained from scratch by Adam at 2e-3 it loses its coarsest path within 20 steps:
the features that `reduce` takes are positive, so steps of equal size for every weight add up, move the mean of each
unit far below zero, and a ReLU passes no gradient back. `norm` puts a batch norm behind reduce, join and widen, which
takes that mean away (docs/training.md).

The light variant (Nekrasov et al., Light-Weight RefineNet, BMVC 2018) has no residual units (RCU), and convolutions of
1x1 but for the classifier. It learns from scratch in far fewer steps.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

DROPPED = 2
"""Coarsest maps on which there is dropout."""
POOLINGS = 4
"""Links of a chained residual pooling."""


def same_size(inputs: int, outputs: int, *, kernel: int = 3, bias: bool = False) -> nn.Conv2d:
    """A convolution that keeps the size."""
    return nn.Conv2d(inputs, outputs, kernel_size=kernel, padding=kernel // 2, bias=bias)


def projection(inputs: int, outputs: int, *, kernel: int, norm: bool) -> nn.Module:
    """A convolution between parts of the decoder, without bias, and its norm where there is one."""
    conv = same_size(inputs, outputs, kernel=kernel)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs)) if norm else conv


class ResidualUnits(nn.Module):
    """RCU: `blocks` times x <- second(relu(first(r))) + r with r = relu(x)."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.first = nn.ModuleList(same_size(channels, channels, bias=True) for _ in range(blocks))
        self.second = nn.ModuleList(same_size(channels, channels) for _ in range(blocks))

    def forward(self, x: Tensor) -> Tensor:
        """[N, channels, h, w] -> the same shape."""
        for first, second in zip(self.first, self.second, strict=True):
            rectified = F.relu(x)
            x = second(F.relu(first(rectified))) + rectified
        return x


class ChainedPooling(nn.Module):
    """CRP: four times top <- conv(maxpool5x5(top)), x <- x + top, starting from top = x."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(same_size(channels, channels, kernel=kernel) for _ in range(POOLINGS))

    def forward(self, x: Tensor) -> Tensor:
        """[N, channels, h, w] -> the same shape."""
        top = x
        for conv in self.convs:
            top = conv(F.max_pool2d(top, kernel_size=5, stride=1, padding=2))
            x = x + top
        return x


class RefinePath(nn.Module):
    """One stage's path: its features, refined together with the coarser path's result."""

    def __init__(
        self,
        inputs: int,
        width: int,
        outputs: int | None,
        *,
        coarsest: bool = False,
        light: bool = False,
        norm: bool = False,
    ) -> None:
        super().__init__()
        kernel = 1 if light else 3
        self.reduce = projection(inputs, width, kernel=kernel, norm=norm)
        self.adapt: nn.Module = nn.Identity() if light else ResidualUnits(width, 2)
        self.join: nn.Module = nn.Identity() if coarsest else projection(width, width, kernel=kernel, norm=norm)
        self.pooling = ChainedPooling(width, kernel)
        self.refine: nn.Module = nn.Identity() if light else ResidualUnits(width, 3)
        self.widen: nn.Module = (
            nn.Identity() if outputs is None else projection(width, outputs, kernel=kernel, norm=norm)
        )

    def forward(self, features: Tensor, coarser: Tensor | None) -> Tensor:
        """features [N, inputs, h, w] and the coarser path's output, of any size, or None -> [N, outputs, h, w]."""
        x = self.join(self.adapt(self.reduce(features)))
        if coarser is not None:
            x = x + F.interpolate(coarser, size=x.shape[2:], mode="bilinear", align_corners=True)
        return self.widen(self.refine(self.pooling(F.relu(x))))


class RefineNetDecoder(nn.Module):
    """One path for each map, from the coarsest features to the finest, and a classifier.

    Args:
        channels: of the L >= 2 feature maps, finest first; four in a ResNet.
        classes: K.
        width: channels of all paths but the coarsest, which has twice as many.
        dropout: probability, in training, on the two coarsest maps and before the classifier.
        light: the light variant.
        norm: a batch norm behind reduce, join and widen of every path.
    """

    def __init__(
        self,
        channels: tuple[int, ...],
        classes: int,
        width: int = 256,
        dropout: float = 0.5,
        *,
        light: bool = False,
        norm: bool = False,
    ) -> None:
        super().__init__()
        if len(channels) < 2:
            raise ValueError(f"channels = {channels}: two feature maps or more are needed")
        self.drop = nn.Dropout(dropout)
        self.stages = len(channels)
        for stage in range(self.stages, 0, -1):
            coarsest, finest = stage == self.stages, stage == 1
            wide, outputs = 2 * width if coarsest else width, None if finest else width
            path = RefinePath(channels[stage - 1], wide, outputs, coarsest=coarsest, light=light, norm=norm)
            self.add_module(f"path{stage}", path)
        self.classifier = same_size(width, classes, bias=True)
        self.init_weights()

    def init_weights(self) -> None:
        """Draw all weights.

        | convolutions             | weight                                        | bias |
        |--------------------------|-----------------------------------------------|------|
        | reduce, join, widen      | normal, variance 1 / fan_in                   | none |
        | first of a residual unit | normal, variance 2 / fan_in (Kaiming)         | 0    |
        | second of one, pooling   | normal, variance 0.01 / fan_in: shortcuts lead | none |
        | classifier               | normal, standard deviation 0.01               | 0    |
        """
        for module in self.modules():
            if isinstance(module, RefinePath):
                for layer in (module.reduce, module.join, module.widen):
                    _draw(layer, gain=1.0)
            elif isinstance(module, ResidualUnits):
                for first, second in zip(module.first, module.second, strict=True):
                    _draw(first, gain=2.0**0.5)
                    _draw(second, gain=0.1)
            elif isinstance(module, ChainedPooling):
                for conv in module.convs:
                    _draw(conv, gain=0.1)
        nn.init.normal_(self.classifier.weight, std=0.01)
        _zero_bias(self.classifier)

    def forward(self, features: tuple[Tensor, ...]) -> Tensor:
        """L maps [N, channels[i], h_i, w_i], finest first -> logits [N, classes, h_0, w_0]."""
        x: Tensor | None = None
        for stage in range(self.stages, 0, -1):
            feature = features[stage - 1]
            dropped = self.drop(feature) if stage > self.stages - DROPPED else feature
            x = self.get_submodule(f"path{stage}")(dropped, x)
        return self.classifier(self.drop(x))


def _draw(module: nn.Module, gain: float) -> None:
    """Normal weights of variance gain^2 / fan_in, zero bias, for the convolution in `module`; an Identity has none."""
    for conv in module.modules():
        if isinstance(conv, nn.Conv2d):
            nn.init.kaiming_normal_(conv.weight, nonlinearity="linear")
            conv.weight.data.mul_(gain)
            _zero_bias(conv)


def _zero_bias(conv: nn.Conv2d) -> None:
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
