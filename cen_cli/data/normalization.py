"""From stored values to what the network takes, and the way back: (x - mean) / std, 0 where invalid.

Works on one image and on a batch, on any device: loading processes hand over what is stored, 8 bits a channel for a
photograph, and it is normalised where the network is (`Batch.to`).
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from cen_cli.data.modality import ModalitySpec, Triple


def normalize(image: Tensor, valid: Tensor, spec: ModalitySpec) -> Tensor:
    """Normalise stored values [..., 1 or 3, H, W]: float32 [..., 3, H, W], 0 where `valid`, [..., 1, H, W], is False.

    The three channels may be one and the same memory.
    """
    plain = image.as_subclass(Tensor)
    mean, std = _moments(spec.mean, spec.std, 255.0 if plain.dtype == torch.uint8 else 1.0, plain.device)
    values = plain
    if spec.log_scale:
        values = plain.mul(spec.log_scale).log1p_().div_(math.log1p(spec.log_scale * spec.max_depth)).clamp_(max=1.0)
    *batch, stored, height, width = plain.shape
    channels = 1 if stored == 1 and len({*spec.mean}) == len({*spec.std}) == 1 else 3
    normalized = torch.empty(*batch, channels, height, width, device=plain.device).copy_(values)
    normalized.sub_(mean[:channels]).div_(std[:channels])  # in place: fresh memory costs more than the arithmetic
    return normalized.masked_fill_(~valid, 0.0).expand(*batch, 3, -1, -1)


@functools.cache
def _moments(mean: Triple, std: Triple, unit: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, [3, 1, 1] each, in stored values. Not to be written to."""
    factors = torch.tensor([mean, std]).mul_(unit)[..., None, None].to(device)
    return factors[0], factors[1]


def mirrored(image: Tensor, spec: ModalitySpec) -> Tensor:
    """A normalised image [..., 3, H, W] left to right; the horizontal component of normals points the other way.

    Pixels that are 0 in all channels, as invalid ones are, stay so; of normals also what was stored as 0.
    """
    flipped = image.flip(-1)
    if spec.mirror_sum is None:
        return flipped
    mean, std = spec.mean[0], spec.std[0]
    full = 255 if spec.encoding is None or spec.encoding.plain else 1  # of what is stored
    highest = (spec.mirror_sum / full - mean) / std
    black = flipped.new_tensor([-each / deviation for each, deviation in zip(spec.mean, spec.std, strict=True)])
    none = (flipped == 0).all(-3) | torch.isclose(flipped, black[:, None, None]).all(-3)
    turned = highest - mean / std - flipped[..., 0, :, :].clamp(max=highest)
    flipped[..., 0, :, :] = torch.where(none, flipped[..., 0, :, :], turned)
    return flipped


def denormalize(image: Tensor, spec: ModalitySpec) -> Tensor:
    """What `normalize` would have made into `image`, float [3, H, W]: the way from a network's output to a file.

    Returns uint8 [3, H, W] for images, of grey files the mean of the three in each; float32 [1, H, W] metres for depth,
    for measurements of one's own what exceeds `spec.floor` (the mean of the three channels; what lies beyond the range
    of a logarithm is brought into it).
    """
    mean, std = torch.tensor(spec.mean), torch.tensor(spec.std)
    values = image.detach().float().cpu() * std[:, None, None] + mean[:, None, None]
    if spec.kind == "image":
        if spec.encoding is not None and spec.encoding.channels == 1:
            values = values.mean(0, keepdim=True).repeat(3, 1, 1)
        return values.mul_(255).round_().clamp_(0, 255).to(torch.uint8)
    values = values.mean(0, keepdim=True)
    if not spec.log_scale:
        return values.clamp_(min=0.0)
    return values.clamp_(0.0, 1.0).mul_(math.log1p(spec.log_scale * spec.max_depth)).expm1_().div_(spec.log_scale)
