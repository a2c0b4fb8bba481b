"""Views kept in memory, so that files are decoded and resized once and not once an epoch."""

from __future__ import annotations

import math
import mmap
from typing import Any

import torch
from torch import Tensor

from cen_cli.data import tensors
from cen_cli.data.sample import TARGET, RawView


class ViewCache:
    """Views of one shape kept in memory, filled as they are read.

    The memory is anonymous and shared: loading workers that are forked after its creation fill and read the same pages
    (elsewhere each worker starts with an empty cache of its own). A view of another shape is not kept.
    """

    def __init__(self, length: int, example: RawView) -> None:
        self._length = length
        self._example = example
        maps = {name: _interleaved(image) for name, image in _stored(example).items()}
        self._slots = {name: _shared((length, *part.shape), part.dtype) for name, part in maps.items()}
        self._filled = _shared((length,), torch.uint8)

    def __reduce__(self) -> tuple[Any, ...]:
        return ViewCache, (self._length, self._example)

    def get(self, index: int, name: str, files: dict[str, str]) -> RawView | None:
        """The kept view, its maps sharing the cache's memory; None where it was not kept yet."""
        if not self._filled[index]:
            return None
        maps = {
            key: tensors.wrap(self._slots[key][index].permute(2, 0, 1), like=like)
            for key, like in _stored(self._example).items()
        }
        target = maps.pop(TARGET, None)
        return RawView(name, maps, target, files)

    def put(self, index: int, view: RawView) -> None:
        """Keep a view, unless its shape is not the cache's."""
        maps = {name: _interleaved(image) for name, image in _stored(view).items()}
        if any(
            maps[name].shape != slot.shape[1:] or maps[name].dtype != slot.dtype for name, slot in self._slots.items()
        ):
            return
        for name, slot in self._slots.items():
            slot[index] = maps[name]
        self._filled[index] = 1


def _shared(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Zeros in anonymous shared memory."""
    count = math.prod(shape)
    return torch.frombuffer(mmap.mmap(-1, count * dtype.itemsize), dtype=dtype, count=count).view(shape)


def _stored(view: RawView) -> dict[str, Any]:
    return dict(view.inputs) if view.target is None else {**view.inputs, TARGET: view.target}


def _interleaved(image: Tensor) -> Tensor:
    """[C, H, W] as [H, W, C], the memory order in which images resize fastest."""
    return image.as_subclass(Tensor).permute(1, 2, 0)
