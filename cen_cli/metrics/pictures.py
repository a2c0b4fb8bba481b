"""What a network makes, as pictures of 8 bits."""

from __future__ import annotations

import torch
from torch import Tensor

from cen_cli.errors import DataError


def as_pictures(images: Tensor, *, stretch: bool = False) -> Tensor:
    """Images float [N, C, H, W] in [-1, 1] as uint8: what FID and KID are measured on, and what a PNG would hold.

    [-1, 1] becomes 0 .. 255, rounded (protocol strict). With `stretch` each image is stretched from its own minimum and
    maximum to 0 .. 255 and truncated, as matplotlib saves it (protocol paper, R); an image of one value becomes 0.
    Raises DataError for NaN: a generator that diverged has no picture.
    """
    values = images.detach().float()
    if values.isnan().any():
        raise DataError("images to be measured hold NaN", hint="the generator diverged; use an earlier checkpoint")
    if not stretch:
        return values.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    low, high = values.amin(dim=(1, 2, 3), keepdim=True), values.amax(dim=(1, 2, 3), keepdim=True)
    width = torch.where(high > low, high - low, 1)
    return ((values - low) / width).mul(255).to(torch.uint8)
