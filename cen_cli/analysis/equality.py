"""Whether two networks that should be equal are: the images they are tried on, and how far apart their outputs are."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from cen_cli.data.views import ViewDataset
from cen_cli.errors import MismatchError

TOLERANCE = 1e-4
"""Allowed difference of outputs in float32, as a share of the largest output, or absolute where that is below 1."""
REAL_VIEWS = 2


@dataclasses.dataclass(frozen=True)
class ComparedBatch:
    """A batch of images that networks are compared on."""

    name: str
    inputs: dict[str, Tensor]
    """By modality: float32 [B, 3, H, W], normalised."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        height, width = next(iter(self.inputs.values())).shape[-2:]
        return height, width


def random_batches(modalities: Sequence[str], size: tuple[int, int], multiple: int) -> list[ComparedBatch]:
    """Normal noise at two sizes and two batch sizes: B = 2 at `size`, B = 1 at the next taller and wider one.

    `multiple`: what both sides must be multiples of; 0 for one size alone.
    """
    height, width = size
    shapes = [(2, 3, height, width), (1, 3, height + multiple, width + 2 * multiple)]
    generator = torch.Generator().manual_seed(0)
    return [
        ComparedBatch(
            f"random, {_sizes(shape)}", {name: torch.randn(shape, generator=generator) for name in modalities}
        )
        for shape in shapes
    ]


def real_batches(data: ViewDataset, split: str, multiple: int) -> list[ComparedBatch]:
    """The first two views of a split: as a batch where they have one size, and side by side as one wide image.

    None where their sides are no multiples of `multiple`, or there is no view.
    """
    samples = [data[index].inputs for index in range(min(REAL_VIEWS, len(data)))]
    sizes = [next(iter(sample.values())).shape[-2:] for sample in samples]
    if not samples or any(side % multiple for size in sizes for side in size):
        return []
    first, last = samples[0], samples[-1]
    alike = len(set(sizes)) == 1
    batch = {name: torch.stack([sample[name] for sample in samples] if alike else [first[name]]) for name in first}
    second = last if alike else first
    wide = {name: torch.cat([first[name], second[name]], dim=-1)[None] for name in first}
    return [ComparedBatch(f"{split} views, {_sizes(next(iter(x.values())).shape)}", x) for x in (batch, wide)]


def _sizes(shape: Sequence[int]) -> str:
    count, _, height, width = shape
    return f"{count} of {height} x {width}"


def check_equal(
    expected: Mapping[str, Tensor],
    obtained: Mapping[str, Tensor],
    batch: ComparedBatch,
    what: str,
    hint: str = "nothing was written",
) -> float:
    """The largest difference of any output, as `TOLERANCE` counts it.

    Raises MismatchError, which names batch and output, where it is larger than that, or not a number.
    """
    differences = {name: _difference(tensor, obtained[name]) for name, tensor in expected.items()}
    worst = max(
        differences, key=lambda name: differences[name] if differences[name] == differences[name] else float("inf")
    )
    if not differences[worst] <= TOLERANCE:
        raise MismatchError(
            f"{what}: its output {worst} differs by {differences[worst]:.1e} on {batch.name} "
            f"({TOLERANCE:.0e} is allowed)",
            hint=hint,
        )
    return differences[worst]


def _difference(expected: Tensor, obtained: Tensor) -> float:
    if expected.shape != obtained.shape:
        return float("nan")
    return float((expected - obtained).abs().max() / expected.abs().max().clamp(min=1))
