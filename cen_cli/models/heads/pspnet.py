"""PSPNet's head (Zhao et al., CVPR 2017; S-Fig 7): pyramid pooling on stage 4, and an auxiliary head on stage 3.

    stage 4 --+------------------------------------------------------(cat) -> conv 3x3, norm, ReLU -> [drop] -> classify
              +-> mean over 1 x 1 -> conv 1x1, norm, ReLU -> upsample -+
              +-> mean over 2 x 2 -> conv 1x1, norm, ReLU -> upsample -+
              +-> mean over 3 x 3 -> conv 1x1, norm, ReLU -> upsample -+
              +-> mean over 6 x 6 -> conv 1x1, norm, ReLU -> upsample -+
    stage 3 ----> conv 3x3, norm, ReLU -> [drop] -> classify, in training only

Stages 3 and 4 keep the size of stage 2 (`resnet_encoder(..., dilated=True)`): logits at an eighth of the input's size.
The head treats every sample alone but for its norms, which become one per modality (`convert_layers`); nothing is
exchanged here.

In training a norm sees one value per image on the 1 x 1 map: batch norm then needs two images of each modality.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

READ_STAGES = 2
"""How many of the last feature maps are read."""
BINS = (1, 2, 3, 6)
"""Sides of the pooled maps."""
REDUCTION = 4
"""How many times fewer channels a pooled map, and the auxiliary head, have than what they are made of."""


class PSPNetDecoder(nn.Module):
    """Logits from the features of stage 4 and, while training, auxiliary ones from those of stage 3.

    Args:
        channels: of the feature maps, finest first; the last two are read.
        classes: K.
        width: channels before the classifier; 512 is usual.
        dropout: probability, in training, before the classifiers; 0.1 is usual.
        auxiliary: whether there is an auxiliary head.
    """

    def __init__(
        self,
        channels: tuple[int, ...],
        classes: int,
        width: int = 512,
        dropout: float = 0.1,
        *,
        auxiliary: bool = True,
    ) -> None:
        super().__init__()
        if len(channels) < 2:
            raise ValueError(f"channels = {channels}: two feature maps or more are needed")
        *_, third, fourth = channels
        pooled = fourth // REDUCTION
        self.pools = nn.ModuleList(nn.AdaptiveAvgPool2d(side) for side in BINS)
        self.pyramid = nn.ModuleList(convolved(fourth, pooled, kernel=1) for _ in BINS)
        self.bottleneck = convolved(fourth + len(BINS) * pooled, width, kernel=3)
        self.drop = nn.Dropout(dropout)
        self.classifier = nn.Conv2d(width, classes, kernel_size=1)
        self.auxiliary: nn.Sequential | None = None
        if auxiliary:
            reduced = third // REDUCTION
            self.auxiliary = nn.Sequential(
                convolved(third, reduced, kernel=3), nn.Dropout(dropout), nn.Conv2d(reduced, classes, kernel_size=1)
            )
        self.init_weights()

    def init_weights(self) -> None:
        """Draw all weights: normal with variance 2 / fan_in before a norm, standard deviation 0.01 in classifiers."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d) and layer.bias is None:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            elif isinstance(layer, nn.Conv2d) and layer.bias is not None:
                nn.init.normal_(layer.weight, std=0.01)
                nn.init.zeros_(layer.bias)

    def forward(self, features: tuple[Tensor, ...]) -> Tensor | tuple[Tensor, Tensor]:
        """Maps [N, channels[i], h_i, w_i], finest first -> logits [N, classes, h_3, w_3].

        In training, where there is an auxiliary head, also its logits [N, classes, h_2, w_2].
        """
        *_, stage3, stage4 = features
        logits = self.classifier(self.drop(self.bottleneck(self._pooled(stage4))))
        if self.training and self.auxiliary is not None:
            return logits, self.auxiliary(stage3)
        return logits

    def _pooled(self, x: Tensor) -> Tensor:
        """[N, C, h, w] -> itself and its pooled maps, brought back to its size: [N, 2 C, h, w] with four bins."""
        maps = [x]
        for pool, layer in zip(self.pools, self.pyramid, strict=True):
            pooled = layer(pool(x))
            maps.append(F.interpolate(pooled, size=x.shape[2:], mode="bilinear", align_corners=True))
        return torch.cat(maps, dim=1)


def convolved(inputs: int, outputs: int, *, kernel: int) -> nn.Sequential:
    """A convolution that keeps the size, its norm, a ReLU."""
    conv = nn.Conv2d(inputs, outputs, kernel_size=kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))
