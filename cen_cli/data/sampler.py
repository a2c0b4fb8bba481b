"""The order of an epoch: a function of seed and epoch that can be entered at any batch."""

from __future__ import annotations

import dataclasses
import hashlib
import struct
from collections.abc import Iterator
from typing import TypeVar

import torch

T = TypeVar("T")


def mixed_seed(*numbers: int) -> int:
    """One 64-bit seed from several integers; neighbouring numbers give unrelated seeds."""
    packed = b"".join(struct.pack("<q", number) for number in numbers)
    return int.from_bytes(hashlib.blake2b(packed, digest_size=8).digest(), "little")


def batches_per_epoch(length: int, batch: int) -> int:
    """Full batches in an epoch of `length` samples: an incomplete one is dropped, unless it is the only one."""
    return max(1, length // batch) if length else 0


@dataclasses.dataclass(frozen=True)
class EpochBatches:
    """The batches of `epochs` epochs, each a list of (epoch, index), from batch `start_batch` of the first on.

    The order is a permutation drawn from (seed, epoch) alone, so an epoch entered in its middle goes on exactly as it
    would have. The last batch is dropped where it is incomplete, unless it is the only one. `part` (i, n) takes the
    i-th, from 0, of n equal parts of each batch.
    """

    length: int
    batch: int
    seed: int
    epoch: int
    start_batch: int = 0
    part: tuple[int, int] = (0, 1)
    epochs: int = 1

    def __post_init__(self) -> None:
        if self.batch < 1 or self.start_batch < 0:
            given = f"{self.batch} and {self.start_batch}"
            raise ValueError(f"batch must be at least 1 and start_batch at least 0, not {given}")

    def __len__(self) -> int:
        return max(0, self.epochs * batches_per_epoch(self.length, self.batch) - self.start_batch)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for epoch in range(self.epoch, self.epoch + self.epochs):
            generator = torch.Generator().manual_seed(mixed_seed(self.seed, epoch))
            order = torch.randperm(self.length, generator=generator).tolist()
            start = self.start_batch if epoch == self.epoch else 0
            for number in range(start, batches_per_epoch(self.length, self.batch)):
                chosen = order[number * self.batch : (number + 1) * self.batch]
                yield [(epoch, index) for index in share(chosen, self.part)]


def share(items: list[T], part: tuple[int, int]) -> list[T]:
    """The i-th, from 0, of n consecutive parts that differ by one item at most; `part` is (i, n)."""
    index, parts = part
    return items[len(items) * index // parts : len(items) * (index + 1) // parts]
