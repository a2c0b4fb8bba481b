"""What travels from a file to the network: a raw view, a sample, a batch.

A view is M aligned images of one scene and, where there is one, its target: a label map (segmentation) or one more
image (translation). Stages:

    files -> reading -> RawView -> transforms -> Sample -> collate -> Batch -> Batch.to(device) -> network

All of them hold what is stored (uint8 or metres), a quarter of the bytes of float32 and more, until the last one
normalises on the device. `pending` says what is still to be done to a sample or a batch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from cen_cli.data import tensors
from cen_cli.data.modality import ModalitySpec
from cen_cli.data.normalization import normalize
from cen_cli.data.tensors import DepthMap
from cen_cli.errors import DataError
from cen_cli.results import SPLITS


def check_split(split: str) -> None:
    """Raises DataError for a name of no split."""
    if split not in SPLITS:
        raise DataError(f"unknown split {split!r}: there are {', '.join(SPLITS)}")


LABELS = "labels"
"""Key of the label map among a view's files."""

TARGET = "target"
"""Key of the image to be translated to among a view's files."""


@dataclasses.dataclass(frozen=True)
class RawView:
    """One view as stored: not normalised, nothing cut away or mirrored."""

    name: str
    inputs: dict[str, tensors.Image | DepthMap]
    """By modality: an Image, uint8 in [0, 255] or float32 in [0, 1], [1 or 3, H, W]; or a DepthMap."""
    target: tensors.Mask | tensors.Image | DepthMap | None
    """Labels: a Mask, uint8 [1, H, W], class indices and `VOID`. Translation: an Image or a DepthMap, as the inputs.
    None where the view has neither."""
    files: dict[str, str]
    """Path of the file behind each modality and behind the target, under `LABELS` or `TARGET`."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, the same for all modalities and the target; the first's, where they may differ."""
        height, width = next(iter(self.inputs.values())).shape[-2:]
        return height, width


@dataclasses.dataclass(frozen=True)
class Sample:
    """One view cut and augmented."""

    name: str
    inputs: dict[str, Tensor]
    """By modality: float32 [3, H, W], normalised, 0 where invalid. While it is pending: as stored, [1 or 3, H, W],
    uint8 in [0, 255] or float32."""
    valid: dict[str, Tensor]
    """By modality: bool [1, H, W], False where nothing was measured or the crop reaches beyond the view."""
    target: Tensor
    """Labels: int64 (uint8 before `normalized`) [H, W], class indices, `VOID` elsewhere (everywhere, if the view has
    none). Translation: float32 [3, H, W], in [-1, 1], 0 where invalid; while it is pending, as stored."""
    target_valid: Tensor
    """bool [1, H, W]: what counts in loss and metrics. Labels: where they are not `VOID`. Images: where something was
    measured, inside the view."""
    files: dict[str, str]
    pending: Mapping[str, ModalitySpec] = dataclasses.field(default_factory=dict)
    """What is still to be normalised and how, by modality, the image to be translated to under `TARGET`."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, the same for all modalities and the target."""
        height, width = self.target_valid.shape[-2:]
        return height, width

    def normalized(self) -> Sample:
        """The sample as the network takes it: nothing is pending any more."""
        return _normalized(self)

    def without(self, names: Iterable[str]) -> Sample:
        """The sample as it would be if these modalities had not been measured: 0, and nowhere valid."""
        missing = set(names)
        return dataclasses.replace(
            self,
            inputs={name: _zeros(image) if name in missing else image for name, image in self.inputs.items()},
            valid={name: _zeros(valid) if name in missing else valid for name, valid in self.valid.items()},
        )


def _zeros(tensor: Tensor) -> Tensor:
    return tensor.new_zeros(()).expand_as(tensor)


@dataclasses.dataclass(frozen=True)
class Batch:
    """Samples of one size, stacked; B samples. `to` makes of it what the network takes."""

    names: list[str]
    inputs: dict[str, Tensor]
    """By modality: float32 [B, 3, H, W]. While it is pending: as stored, uint8 or float32 [B, 1 or 3, H, W]."""
    valid: dict[str, Tensor]
    """By modality: bool [B, 1, H, W]."""
    target: Tensor
    """int64 (uint8 before `to`) [B, H, W], or float32 [B, 3, H, W], as stored while it is pending."""
    target_valid: Tensor
    """bool [B, 1, H, W]."""
    files: list[dict[str, str]]
    pending: Mapping[str, ModalitySpec] = dataclasses.field(default_factory=dict)
    """As of a sample."""

    def to(self, device: torch.device | str) -> Batch:
        """The batch on `device`, normalised there; pinned memory is copied asynchronously. Images are contiguous."""
        ready = _normalized(self._each(lambda tensor: tensor.to(device, non_blocking=True)))
        inputs = {name: image.contiguous() for name, image in ready.inputs.items()}
        return dataclasses.replace(ready, inputs=inputs, target=ready.target.contiguous())

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory (called by the loader where CUDA is available)."""
        return self._each(Tensor.pin_memory)

    def parts(self, count: int) -> list[Batch]:
        """The batch cut into `count` of equal size, which must divide it."""
        size = len(self.names) // count
        return [self._cut(slice(start, start + size)) for start in range(0, len(self.names), size)]

    def _cut(self, kept: slice) -> Batch:
        views = self._each(lambda tensor: tensor[kept])
        return dataclasses.replace(views, names=self.names[kept], files=self.files[kept])

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        return dataclasses.replace(
            self,
            inputs={name: change(image) for name, image in self.inputs.items()},
            valid={name: change(mask) for name, mask in self.valid.items()},
            target=change(self.target),
            target_valid=change(self.target_valid),
        )


Views = TypeVar("Views", Sample, Batch)


def _normalized(views: Views) -> Views:
    """With what is pending done, and labels as int64."""
    inputs = {
        name: normalize(image, views.valid[name], views.pending[name]) if name in views.pending else image
        for name, image in views.inputs.items()
    }
    target = views.target
    if TARGET in views.pending:
        target = normalize(target, views.target_valid, views.pending[TARGET])
    elif target.dtype == torch.uint8:
        target = target.long()
    return dataclasses.replace(views, inputs=inputs, target=target, pending={})


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples of one size into a batch. What is pending stays so where all samples are stored alike."""
    first = samples[0]
    if not all(_stored_alike(sample, first) for sample in samples):
        samples = [sample.normalized() for sample in samples]
    return Batch(
        names=[sample.name for sample in samples],
        inputs={name: _stacked([sample.inputs[name] for sample in samples]) for name in first.inputs},
        valid={name: _stacked([sample.valid[name] for sample in samples]) for name in first.valid},
        target=_stacked([sample.target for sample in samples]),
        target_valid=_stacked([sample.target_valid for sample in samples]),
        files=[sample.files for sample in samples],
        pending=samples[0].pending,
    )


def _stored_alike(one: Sample, other: Sample) -> bool:
    """Whether one normalisation does for both."""
    types = [[image.dtype for image in (*sample.inputs.values(), sample.target)] for sample in (one, other)]
    return one.pending == other.pending and types[0] == types[1]


def _stacked(images: Sequence[Tensor]) -> Tensor:
    """Images [C, H, W], or labels [H, W], of one type: a grey image among colours gets their channels.

    One image is not copied, unless it is a part of more memory, such as the cache, all of which would travel to another
    process. Images whose channels lie side by side in memory, as Pillow decodes them, stay so.
    """
    if len(images) == 1 and images[0].untyped_storage().nbytes() == images[0].nbytes:
        return images[0][None]
    if images[0].ndim == 2:
        return torch.stack(list(images))
    channels = max(len(image) for image in images)
    whole = [image.expand(channels, -1, -1) for image in images]
    if channels > 1 and images[0].stride(0) == 1:
        return torch.stack([image.permute(1, 2, 0) for image in whole]).permute(0, 3, 1, 2)
    return torch.stack(whole)
