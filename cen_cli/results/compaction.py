"""What compacting and exporting a network changed, and how it was checked."""

from __future__ import annotations

import dataclasses
import statistics
from typing import ClassVar


@dataclasses.dataclass(frozen=True)
class PartCost:
    """One part of a network, or all of it, before and after."""

    DERIVED: ClassVar = ("ratio", "lowest", "highest")

    part: str
    """`encoder`, `decoder`, `ensemble` or `network`."""
    macs: tuple[int, int]
    """Multiply-accumulates of the convolutions in one forward of one view, all modalities: before, after."""
    parameters: tuple[int, int]
    """Numbers that the file holds, weights and statistics: before, after."""
    memory: tuple[int, int]
    """Bytes of the weights while it runs: before, after."""
    seconds: tuple[tuple[float, float], ...]
    """Time of a forward, before and after, in every round; empty where it was not measured."""

    @property
    def ratio(self) -> float | None:
        """Median over rounds of the time before / the time after in the same round."""
        return statistics.median(self._ratios) if self.seconds else None

    @property
    def lowest(self) -> float | None:
        """The smallest of these ratios."""
        return min(self._ratios, default=None)

    @property
    def highest(self) -> float | None:
        """The largest of these ratios."""
        return max(self._ratios, default=None)

    @property
    def _ratios(self) -> list[float]:
        return [before / after for before, after in self.seconds]


@dataclasses.dataclass(frozen=True)
class Compared:
    """A batch of images on which two networks were compared."""

    images: str
    """Random or a split's, how many, and their size."""
    difference: float
    """The largest of any output, as a share of the largest value, or absolute where that is below 1."""


@dataclasses.dataclass(frozen=True)
class Compaction:
    """A network and its compact form."""

    replaced: dict[str, int]
    """By modality: channels replaced, over all layers."""
    removed: dict[str, int]
    """By modality: channels that its stream no longer computes."""
    channels: int
    """Of all exchanging layers, for one modality."""
    folded: int
    """Norms folded into the convolution before."""
    kept: int
    """Norms that could not be folded: they go by each image's own statistics."""
    size: tuple[int, int]
    """Height and width of the images for which costs are given."""
    parts: tuple[PartCost, ...]
    """The network's parts, then all of it."""
    compared: tuple[Compared, ...]
    device: str
    """Where the time was measured."""
    notes: tuple[str, ...]
    task: str
    files: dict[str, int] = dataclasses.field(default_factory=dict)
    """Bytes of the checkpoint, then of what was written, by path."""


@dataclasses.dataclass(frozen=True)
class Export:
    """An ONNX file and how it was checked."""

    opset: int
    inputs: tuple[str, ...]
    """Their names; each is float32 [B, 3, H, W]."""
    outputs: tuple[str, ...]
    """Their names; each is float32 [B, K, h, w]."""
    multiple: int
    """Height and width must be multiples of it."""
    fewest: int
    """Height and width are at least so many pixels."""
    size: tuple[int, int] | None
    """Height and width, where the graph takes no others."""
    compared: tuple[Compared, ...]
    notes: tuple[str, ...]
    files: dict[str, int] = dataclasses.field(default_factory=dict)
    """Bytes of what was written, by path."""
