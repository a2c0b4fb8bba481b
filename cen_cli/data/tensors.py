"""Tensors that say what they hold: an image, a mask, a depth map.

They are what torchvision's `tv_tensors` are, which take more than a second to import. What is computed from them is a
plain tensor.
"""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor


class _Said(Tensor):
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]  # as `nn.Parameter` has it

    def __new__(cls, values: Any) -> Self:
        return torch.as_tensor(values).as_subclass(cls)

    def __deepcopy__(self, memo: Any) -> Self:
        return self.clone().as_subclass(type(self))


class Image(_Said):
    """An image, [C, H, W]: resized bilinearly."""


class Mask(_Said):
    """A map of numbers that have no mean, [1, H, W], such as class labels: resized by the nearest pixel."""


class DepthMap(Mask):
    """Depth in metres (or inverse depth, as disparity), float32 [1, H, W]; 0 means that nothing was measured.

    Or another measurement of the user's own, in its unit, counted from the lowest value of its range; measured pixels
    are above 0 even there. A kind of mask: resized by the nearest pixel (never a mean over an edge or over an invalid
    pixel) and padded with 0.
    """


def wrap(tensor: Tensor, *, like: Tensor) -> Any:
    """The tensor as what `like` is. Raises TypeError where that says nothing, so that no mask is taken for an image."""
    if not isinstance(like, _Said):
        raise TypeError(f"{type(like).__name__}: an Image, a Mask or a DepthMap of cen_cli.data.tensors is needed")
    return tensor.as_subclass(type(like))
