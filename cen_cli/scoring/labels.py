"""Label maps from logits: the class with the largest logit at every pixel, after bicubic resizing.

On a CPU resizing is a product with torch's own bicubic weights along each axis. A few rows of it at a time, with the
few rows of logits that they come from, stay in the cache and are labelled at once: neither time nor memory is spent on
logits of the whole label map.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

Size = tuple[int, int]

_ROWS, _COLUMNS = 16, 128
"""Of the label map, in one product."""


def resized_logits(logits: Tensor, size: Size) -> Tensor:
    """[B, K, h, w] -> float32 [B, K, *size], bicubically."""
    logits = logits.float()
    if tuple(logits.shape[-2:]) == tuple(size):
        return logits
    return F.interpolate(logits, size=size, mode="bicubic", align_corners=False)


@torch.autocast("cpu", enabled=False)
def labels_at(logits: Tensor, size: Size) -> Tensor:
    """[B, K, h, w] -> int64 [B, *size]: the first class with the largest of `resized_logits`, to float32's rounding."""
    height, width = logits.shape[-2:]
    if logits.device.type != "cpu" or (height, width) == tuple(size):
        return resized_logits(logits, size).max(dim=1).indices
    logits = logits.detach().float().contiguous()
    wide = torch.cat([logits[..., seen] @ weights.T for _, seen, weights in _bands(width, size[1], _COLUMNS)], dim=-1)
    labels = torch.empty(len(logits), *size, dtype=torch.int64)
    for rows, seen, weights in _bands(height, size[0], _ROWS):
        labels[:, rows] = (weights @ wide[:, :, seen]).max(dim=1).indices
    return labels


@lru_cache(maxsize=64)
def _bands(length: int, wanted: int, step: int) -> list[tuple[slice, slice, Tensor]]:
    """Each `step` of the `wanted` places along an axis, the places that it comes from, and its weights of them."""
    unit = torch.eye(length)[None, :, :, None]
    weights = F.interpolate(unit, size=(wanted, 1), mode="bicubic", align_corners=False)[0, :, :, 0].T
    bands = []
    for start in range(0, wanted, step):
        band = weights[start : start + step]
        seen = band.any(dim=0).nonzero().flatten().tolist()
        source = slice(seen[0], seen[-1] + 1)
        bands.append((slice(start, start + step), source, band[:, source].contiguous()))
    return bands
