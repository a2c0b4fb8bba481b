"""Segmentation with test-time augmentation: several scales, mirror images, overlapping windows.

Convention: every scale and mirror image gives class probabilities, the softmax of its logits at its own size. Where
windows overlap, their probabilities are averaged; then those of all scales and mirror images are. The label is the
class with the largest mean. Each branch is averaged on its own; the ensemble is the mean of the probabilities of the
network's ensemble, scale by scale.

    view -> resized by each scale -> [mirrored] -> windows -> logits -> softmax -> [mirrored back] -> mean

Windows bound the memory of the network by their own size; the probabilities themselves are kept for the whole view.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from cen_cli.data.modality import ModalitySpec
from cen_cli.data.normalization import mirrored
from cen_cli.models.streams import ModalOutput
from cen_cli.scoring.labels import Size, resized_logits

Forward = Callable[[Mapping[str, Tensor]], ModalOutput]


@dataclasses.dataclass(frozen=True)
class MultiScaleFlip:
    """Scales, mirror images and windows of a view; by default the view once, whole and as it is."""

    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    window: Size | None = None
    """Height and width of the windows, in pixels of the resized view. None: the whole view at once."""
    stride: Size | None = None
    """Steps from window to window. None: two thirds of the window."""

    def is_single_scale(self, size: Size) -> bool:
        """Whether a view of this size is labelled once, whole and as it is."""
        return self.scales == (1.0,) and not self.flip and self.covers(size)

    def covers(self, size: Size) -> bool:
        """Whether one window takes in a whole view of this size."""
        return self.window is None or (self.window[0] >= size[0] and self.window[1] >= size[1])

    def windows(self, size: Size) -> Iterator[tuple[slice, slice]]:
        """Rows and columns of every window; the last ones end at the border, smaller views have smaller windows."""
        window = self.window or size
        steps = self.stride or (max(1, window[0] * 2 // 3), max(1, window[1] * 2 // 3))
        rows, columns = (list(_spans(*axis)) for axis in zip(size, window, steps, strict=True))
        return ((row, column) for row in rows for column in columns)

    def described(self) -> str:
        """In words; empty for the single look."""
        if self == SINGLE_SCALE:
            return ""
        words = f"scales {', '.join(f'{scale:g}' for scale in self.scales)}"
        words += ", each with its mirror image" if self.flip else ""
        words += "" if self.window is None else f", in windows of {self.window[0]} x {self.window[1]}"
        return f"{words}: mean of softmax probabilities"


SINGLE_SCALE = MultiScaleFlip()
"""The whole view, once, as it is."""


def mean_probabilities(
    forward: Forward,
    inputs: Mapping[str, Tensor],
    specs: Sequence[ModalitySpec],
    size: Size,
    augmentation: MultiScaleFlip,
) -> Tensor:
    """Class probabilities [M + 1, B, K, *size] of every branch and the ensemble; [1, ...] for one modality.

    `inputs`: normalised images [B, 3, H, W] by modality, which `specs` describe: depth is resized by the nearest pixel,
    and mirroring turns the horizontal component of normals. `forward` runs the network.
    """
    flips = (False, True) if augmentation.flip else (False,)
    passes = [(scale, flip) for scale in augmentation.scales for flip in flips]
    total: Tensor | None = None
    for scale, flip in passes:
        seen = {spec.name: _scaled(inputs[spec.name], spec, scale) for spec in specs}
        if flip:
            seen = {spec.name: mirrored(seen[spec.name], spec) for spec in specs}
        found = _probabilities(forward, seen, size, augmentation)
        found = found.flip(-1) if flip else found
        total = found if total is None else total.add_(found)
    assert total is not None, "there is at least one scale"
    return total.div_(len(passes))


def all_logits(output: ModalOutput) -> Tensor:
    """The logits of every branch and the ensemble, [M + 1, B, K, h, w]; [1, ...] for one modality."""
    return output.branches if len(output.branches) == 1 else torch.cat([output.branches, output.ensemble[None]])


def _probabilities(forward: Forward, inputs: Mapping[str, Tensor], size: Size, augmentation: MultiScaleFlip) -> Tensor:
    """What one resized view says, at the label's size."""
    height, width = next(iter(inputs.values())).shape[-2:]
    if augmentation.covers((height, width)):
        return _softmax(forward(inputs), size)
    total: Tensor | None = None
    for rows, columns in augmentation.windows((height, width)):
        part = {name: image[..., rows, columns] for name, image in inputs.items()}
        found = _softmax(forward(part), (rows.stop - rows.start, columns.stop - columns.start))
        if total is None:
            total = found.new_zeros(*found.shape[:3], height, width)
            seen = found.new_zeros(height, width)
        total[..., rows, columns] += found
        seen[rows, columns] += 1
    assert total is not None, "there is at least one window"
    mean = total.div_(seen)
    if size == (height, width):
        return mean
    return torch.stack([F.interpolate(each, size=size, mode="bilinear", align_corners=False) for each in mean])


def _softmax(output: ModalOutput, size: Size) -> Tensor:
    """Probabilities [M + 1, B, K, *size]."""
    return torch.stack([resized_logits(logits, size).softmax(dim=1) for logits in all_logits(output)])


def _scaled(image: Tensor, spec: ModalitySpec, scale: float) -> Tensor:
    """A normalised image [B, 3, H, W] at another scale."""
    if scale == 1:
        return image
    size = [max(1, round(side * scale)) for side in image.shape[-2:]]
    if spec.kind == "depth":
        return F.interpolate(image, size=size, mode="nearest-exact")
    return F.interpolate(image, size=size, mode="bilinear", align_corners=False, antialias=True)


def _spans(length: int, window: int, step: int) -> Iterator[slice]:
    """The windows along one axis."""
    last = max(length - window, 0)
    for start in range(0, last + step, step):
        begin = min(start, last)
        yield slice(begin, min(begin + window, length))
