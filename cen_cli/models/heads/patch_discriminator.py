"""The PatchGAN discriminator (Isola et al., CVPR 2017): is each patch of this image real, given what it was made from?

Different from common implementations: it returns logits, to be trained by binary cross entropy with logits. It treats
every sample alone, so all streams share it, each conditioned on its own input (S Section 2).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cen_cli.models.backbones.unet import SLOPE, WIDEST
from cen_cli.models.heads.unet import draw_normal_weights


class PatchDiscriminator(nn.Module):
    """4x4 convolutions with padding 1: a first one, `layers` normalised ones and one that judges.

    | convolution      | stride | channels                          | then                            |
    |------------------|--------|-----------------------------------|---------------------------------|
    | first            | 2      | `filters`                         | LeakyReLU                       |
    | middle, `layers` | 2      | doubling, to at most 8 `filters`  | instance norm, LeakyReLU        |
    | the last of them | 1      |                                   |                                 |
    | judging          | 1      | 1                                 | nothing: logits                 |

    With 3 `layers` each logit sees 70 x 70 pixels, with 2 34 x 34, with 1 16 x 16. `condition_channels` are those of
    what the image is made from: 3 for the one input of a stream, 3 M for the M inputs of a fused network.
    """

    def __init__(self, filters: int = 64, layers: int = 3, condition_channels: int = 3) -> None:
        super().__init__()
        self.condition_channels = condition_channels
        self.smallest_side = 3 * 2**layers
        """Pixels: a middle norm needs a map of 2 x 2 or more."""
        widths = [filters * min(2**layer, WIDEST) for layer in range(layers + 1)]
        body: list[nn.Module] = [_conv(condition_channels + 3, filters, stride=2)]
        for layer in range(1, layers + 1):
            conv = _conv(widths[layer - 1], widths[layer], stride=1 if layer == layers else 2)
            body += [nn.LeakyReLU(SLOPE), conv, nn.InstanceNorm2d(widths[layer], affine=True)]
        self.body = nn.Sequential(*body, nn.LeakyReLU(SLOPE), _conv(widths[-1], 1, stride=1))
        draw_normal_weights(self)

    def forward(self, condition: Tensor, image: Tensor) -> Tensor:
        """Logits [N, 1, h, w], high where the patch looks real.

        `condition`, what the image was made from, [N, condition_channels, H, W], and `image`, real or generated,
        [N, 3, H, W]: both in [-1, 1]. Raises ValueError where they do not fit or are too small.
        """
        fitting = (len(image), self.condition_channels, *image.shape[2:])
        if image.dim() != 4 or image.shape[1] != 3 or condition.shape != fitting:
            raise ValueError(
                f"condition must be [N, {self.condition_channels}, H, W] and image [N, 3, H, W], got "
                f"{tuple(condition.shape)} and {tuple(image.shape)}"
            )
        if min(image.shape[2:]) < self.smallest_side:
            raise ValueError(
                f"images of {image.shape[2]} x {image.shape[3]} are too small for the discriminator: sides of at least "
                f"{self.smallest_side} pixels are needed, or fewer layers"
            )
        return self.body(torch.cat([condition, image], dim=1))


def _conv(inputs: int, outputs: int, *, stride: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel_size=4, stride=stride, padding=1)
