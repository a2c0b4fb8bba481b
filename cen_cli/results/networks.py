"""What measuring, converting, compacting and exporting a network gave, and how it was checked."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from typing import ClassVar


@dataclasses.dataclass(frozen=True)
class Spread:
    """A quantity over rounds."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def over(cls, values: Sequence[float]) -> Spread:
        """Median and range of the values, at least one."""
        return cls(statistics.median(values), min(values), max(values))


@dataclasses.dataclass(frozen=True)
class PartTime:
    """What one part of a training iteration took."""

    part: str
    seconds: Spread
    """In one iteration."""
    share: Spread
    """Of the whole iteration, in [0, 1]."""


@dataclasses.dataclass(frozen=True)
class Peak:
    """What the machine reaches at a kind of work that does nothing else."""

    work: str
    flops_per_second: float


@dataclasses.dataclass(frozen=True)
class Bench:
    """Times and memory of a recipe's training and inference on one machine."""

    DERIVED: ClassVar = ("flops_per_second", "shares_of_peak")

    recipe: str
    task: str
    device: str
    precision: str
    threads: int
    modalities: tuple[str, ...]
    batch: int
    """Views in one step, and in one forward of the inference."""
    size: tuple[int, int]
    """Height and width of the training images."""
    rounds: int
    steps: int
    """In each round, whose times are means over them."""
    parameters: int
    macs: int
    """Multiply-accumulates of one forward of one view, all modalities."""
    step: Spread
    """Seconds of one training step on a batch that is at hand, nothing watched."""
    inference: Spread
    """Seconds of one forward of a batch in evaluation mode."""
    parts: tuple[PartTime, ...]
    """Of a training iteration, loading included; empty where the parts of a step cannot be told apart."""
    parameter_bytes: int
    """Of all networks that are trained, and of the average of weights where there is one."""
    gradient_bytes: int
    activation_bytes: int
    """Kept by one training step for its backward."""
    optimizer_bytes: int
    peak_bytes: int | None
    """On a device: the most that was allocated. On the CPU: the most that the process held, all it does included."""
    step_flops: int
    """Floating-point operations of the convolutions and matrix products in one training step."""
    peaks: tuple[Peak, ...]
    """Measured in the same process, in the same precision."""
    notes: tuple[str, ...] = ()

    @property
    def flops_per_second(self) -> float:
        """What the training step reaches."""
        return self.step_flops / self.step.median

    @property
    def shares_of_peak(self) -> dict[str, float]:
        """The same as a share of each peak, by the work."""
        return {peak.work: self.flops_per_second / peak.flops_per_second for peak in self.peaks}


@dataclasses.dataclass(frozen=True)
class Conversion:
    """What `cen convert` found in a published file and made of it."""

    kind: str
    """`refinenet`, `unet`, `discriminator` or `resnet`."""
    network: str
    """In words: depth, classes, layers, channels."""
    inputs: tuple[str, ...]
    """The modalities; none where the file holds no network of streams."""
    target: str | None
    parameters: int
    tensors: int
    """In the file."""
    unused: tuple[str, ...]
    """Of these, the ones that the network has no use for."""
    remarks: dict[str, float]
    """Numbers that stood beside the state dict, as the file calls them."""
    notes: tuple[str, ...] = ()
    """What a user of the result must know."""
    file: str = ""
    checkpoint: str = ""
    """What was written."""
    next: tuple[str, ...] = ()
    """Commands that take it."""


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
