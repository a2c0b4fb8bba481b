"""What travels from a file to the network: a raw view, a sample, a batch; and how a modality is encoded.

A view is M aligned images of one scene and, where there is one, its label map. Stages:

    files -> reading -> RawView (as stored: uint8 or metres) -> transforms -> Sample (float32, normalised) -> Batch
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor
from torchvision import tv_tensors

from cen_cli.errors import DataError

VOID = 255
"""Label of pixels that have no class: they count in no loss and in no metric."""

LABELS = "labels"
"""Key of the label map among a view's files."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Triple = tuple[float, float, float]
Normalization = Mapping[str, tuple[float | Sequence[float], float | Sequence[float]]]
"""By modality: (mean, std), each one number for all three channels or one number per channel."""


class DepthMap(tv_tensors.Mask):
    """Depth in metres, float32 [1, H, W]; 0 means that nothing was measured.

    A kind of mask to torchvision: resized by the nearest pixel (never a mean over an edge or over an invalid pixel) and
    padded with 0.
    """


@dataclasses.dataclass(frozen=True)
class ModalitySpec:
    """How one modality is stored and how it is normalised for the network.

    Images become value / scale, depths metres = value / scale; both are then (x - mean) / std, three channels each (one
    stored channel is repeated). Pixels that are invalid or lie outside the view are 0 after normalisation.
    """

    name: str
    kind: Literal["image", "depth"]
    scale: float = 255.0
    """Images: the stored value that means 1.0. Depth: stored units per metre."""
    invalid: int = 0
    """Depth only: the stored value of pixels that have no depth (0 metres always means invalid, too)."""
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)
    jitter: bool = False
    """Whether colour jitter applies: photographs only."""
    mirror_sum: int | None = None
    """Surface normals: channel 0 is the horizontal component, and a mirrored value v becomes mirror_sum - v."""

    def normalized_by(self, mean: float | Sequence[float], std: float | Sequence[float]) -> ModalitySpec:
        """The same modality with another mean and standard deviation (one number or three). Raises DataError."""
        spec = dataclasses.replace(self, mean=_triple(self.name, "mean", mean), std=_triple(self.name, "std", std))
        if min(spec.std) <= 0:
            raise DataError(f"normalisation of {self.name!r}: std must be above 0, not {std}")
        return spec


def _triple(name: str, what: str, value: float | Sequence[float]) -> Triple:
    values = (value,) * 3 if isinstance(value, (int, float)) else tuple(value)
    if len(values) != 3:
        raise DataError(f"normalisation of {name!r}: {what} needs one number or three, not {len(values)}")
    first, second, third = (float(number) for number in values)
    return first, second, third


@dataclasses.dataclass(frozen=True)
class RawView:
    """One view as stored: not normalised, nothing cut away or mirrored."""

    name: str
    inputs: dict[str, tv_tensors.Image | DepthMap]
    """By modality: an Image, uint8 in [0, 255] or float32 in [0, 1], [1 or 3, H, W]; or a DepthMap."""
    labels: tv_tensors.Mask | None
    """uint8 [1, H, W]: class indices and `VOID`; None where the view has no labels."""
    files: dict[str, str]
    """Path of the file behind each modality and, under `labels`, behind the labels."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, the same for all modalities and the labels."""
        height, width = next(iter(self.inputs.values())).shape[-2:]
        return height, width


@dataclasses.dataclass(frozen=True)
class Sample:
    """One view as the network takes it."""

    name: str
    inputs: dict[str, Tensor]
    """By modality: float32 [3, H, W], normalised; 0 where invalid."""
    valid: dict[str, Tensor]
    """By modality: bool [1, H, W], False where nothing was measured or the crop reaches beyond the view."""
    target: Tensor
    """int64 [H, W]: class indices, `VOID` elsewhere (everywhere, if the view has no labels)."""
    files: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Batch:
    """Samples of one size, stacked; B samples."""

    names: list[str]
    inputs: dict[str, Tensor]
    """By modality: float32 [B, 3, H, W]."""
    valid: dict[str, Tensor]
    """By modality: bool [B, 1, H, W]."""
    target: Tensor
    """int64 [B, H, W]."""
    files: list[dict[str, str]]

    def to(self, device: torch.device | str, channels_last: bool = False) -> Batch:
        """The batch on `device`, its inputs in channels-last order if asked; pinned memory is copied asynchronously."""
        layout = torch.channels_last if channels_last else torch.contiguous_format
        return dataclasses.replace(
            self,
            inputs={
                name: image.to(device, non_blocking=True).contiguous(memory_format=layout)
                for name, image in self.inputs.items()
            },
            valid={name: mask.to(device, non_blocking=True) for name, mask in self.valid.items()},
            target=self.target.to(device, non_blocking=True),
        )

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory (called by the loader where CUDA is available)."""
        return dataclasses.replace(
            self,
            inputs={name: image.pin_memory() for name, image in self.inputs.items()},
            valid={name: mask.pin_memory() for name, mask in self.valid.items()},
            target=self.target.pin_memory(),
        )


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples of one size into a batch. Raises DataError where their sizes differ, naming two of the views."""
    first = samples[0]
    for sample in samples[1:]:
        if sample.target.shape != first.target.shape:
            raise DataError(
                f"views of different sizes in one batch: {first.name} is {_size(first)}, "
                f"{sample.name} is {_size(sample)}",
                hint="evaluate with batch = 1, or give data.resize",
            )
    return Batch(
        names=[sample.name for sample in samples],
        inputs={name: torch.stack([sample.inputs[name] for sample in samples]) for name in first.inputs},
        valid={name: torch.stack([sample.valid[name] for sample in samples]) for name in first.valid},
        target=torch.stack([sample.target for sample in samples]),
        files=[sample.files for sample in samples],
    )


def _size(sample: Sample) -> str:
    height, width = sample.target.shape
    return f"{height} x {width}"
