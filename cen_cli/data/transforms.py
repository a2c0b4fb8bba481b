"""From a raw view to a sample: one geometry for all modalities and the target.

Images are resized bilinearly with anti-aliasing, depth and labels by the nearest pixel (pixel centres aligned), with
torchvision's v2 kernels, imported where they are used (that takes more than a second). Everything happens on the stored
type (uint8, metres). What a crop reaches beyond the view is not valid, `VOID` in label maps and, once normalised, 0 in
every image (its mean colour, no depth).

Augmentation draws from the generator that it is handed and from nothing else: a sample depends on its seed only.

Modality dropout (ModDrop, Neverova et al., TPAMI 2016): training views lack some of their modalities, so that the
network learns to do with what is there. The paper does not use it. A dropped modality is 0 as the network sees it
(`Sample.without`), and nothing else changes: its branch is supervised as ever, on what it gets through the exchange.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from cen_cli.data.modality import ModalitySpec
from cen_cli.data.sample import TARGET, RawView, Sample
from cen_cli.data.tensors import Mask, wrap
from cen_cli.results import VOID

Pair = tuple[Tensor, Tensor]
"""Stored values [C, H, W], or labels [H, W], and where they are valid, bool [1, H, W]."""


def resize(image: Tensor, size: tuple[int, int]) -> Any:
    """Bring one map [C, H, W] to `size` = (height, width): images bilinearly, depth and labels by the nearest pixel."""
    if tuple(image.shape[-2:]) == size:
        return image
    from torchvision.transforms.v2 import InterpolationMode, functional

    mode = InterpolationMode.NEAREST_EXACT if isinstance(image, Mask) else InterpolationMode.BILINEAR
    resized = functional.resize_image(image.as_subclass(Tensor), list(size), interpolation=mode, antialias=True)
    return wrap(resized, like=image)


def resize_view(view: RawView, size: tuple[int, int] | None) -> RawView:
    """Bring every modality and the target to `size` = (height, width); None leaves the view as it is."""
    if size is None:
        return view
    inputs = {name: resize(image, size) for name, image in view.inputs.items()}
    target = None if view.target is None else resize(view.target, size)
    return dataclasses.replace(view, inputs=inputs, target=target)


class EvalTransform:
    """Nothing but what every sample needs: each view at its full size."""

    def __call__(
        self,
        view: RawView,
        specs: Sequence[ModalitySpec],
        generator: torch.Generator | None = None,
        target: ModalitySpec | None = None,
    ) -> Sample:
        """Turn a view into a sample of the same size; the generator is not used. `target`: what it is translated to."""
        del generator
        return _sample(view, specs, target, view.size, _masked, _labels)


@dataclasses.dataclass(frozen=True)
class ColorJitter:
    """Ranges of colour changes: factors from [max(0, 1 - x), 1 + x], hue shifts from [-hue, hue] (at most 0.5)."""

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0

    def __call__(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Change an RGB image [3, H, W] (uint8, or float in [0, 1]) by what is switched on, in random order."""
        from torchvision.transforms.v2 import functional

        changes = [
            (functional.adjust_brightness_image, max(0.0, 1 - self.brightness), 1 + self.brightness),
            (functional.adjust_contrast_image, max(0.0, 1 - self.contrast), 1 + self.contrast),
            (functional.adjust_saturation_image, max(0.0, 1 - self.saturation), 1 + self.saturation),
            (functional.adjust_hue_image, -self.hue, self.hue),
        ]
        active = [change for change in changes if change[1] < change[2]]
        for position in torch.randperm(len(active), generator=generator).tolist():
            adjust, low, high = active[position]
            image = adjust(image, _uniform(low, high, generator))
        return image


@dataclasses.dataclass(frozen=True)
class _Geometry:
    """One random geometry: the size that a view is scaled to, the window cut from it, whether it is mirrored."""

    size: tuple[int, int]
    top: int
    left: int
    crop: tuple[int, int]
    """Height and width of the window, which may reach beyond the scaled view (negative `top`, `left`)."""
    mirrored: bool

    @property
    def margins(self) -> tuple[int, int, int, int]:
        """Left, right, top and bottom: how far the window reaches beyond the scaled view, negative where inside it."""
        (height, width), (rows, columns) = self.size, self.crop
        return -self.left, self.left + columns - width, -self.top, self.top + rows - height

    def cut(self, image: Tensor) -> Tensor:
        """Scale, cut and mirror one map: a plain tensor of what lies inside the view."""
        (height, width), (left, right, top, bottom) = self.size, (max(-margin, 0) for margin in self.margins)
        inside = resize(image, self.size).as_subclass(Tensor)[..., top : height - bottom, left : width - right]
        return inside.flip(-1) if self.mirrored else inside

    def pad(self, image: Tensor, value: float) -> Tensor:
        """Fill what lies outside the view."""
        left, right, *ends = (max(margin, 0) for margin in self.margins)
        padding = (right, left, *ends) if self.mirrored else (left, right, *ends)
        return torch.nn.functional.pad(image, padding, value=value) if any(padding) else image


@dataclasses.dataclass(frozen=True)
class TrainTransform:
    """Random scale, crop, mirror and colour jitter. A view smaller than the crop is placed in it at random."""

    crop: tuple[int, int]
    """Height and width of the samples."""
    _: dataclasses.KW_ONLY
    scale: tuple[float, float] = (1.0, 1.0)
    """Range of the uniform scale factor, above 0."""
    min_short_side: int = 0
    """The factor is raised where the shorter side would fall below this."""
    mirror: bool = True
    """Left-right, with probability 1/2."""
    jitter: ColorJitter = ColorJitter()
    """Of photographs only."""
    modality_dropout: float = 0.0
    """The probability of `draw_dropped`, in [0, 1); its draws come last: the rest is as it would be without it."""

    def __call__(
        self,
        view: RawView,
        specs: Sequence[ModalitySpec],
        generator: torch.Generator,
        target: ModalitySpec | None = None,
    ) -> Sample:
        """Turn a view into a sample of size `crop`; all randomness comes from `generator` (on the CPU).

        `target`: what the view is translated to; None where its target is a label map.
        """
        geometry = self._draw(view.size, generator)

        def image(stored: Tensor, spec: ModalitySpec) -> Pair:
            inside, valid = _masked(self._recolored(geometry.cut(stored), spec, geometry, generator), spec)
            return geometry.pad(inside, 0), geometry.pad(valid, False)

        def labels(stored: Tensor) -> Pair:
            inside, valid = _labels(geometry.cut(stored))
            return geometry.pad(inside, VOID), geometry.pad(valid, False)

        sample = _sample(view, specs, target, self.crop, image, labels)
        if not self.modality_dropout:
            return sample
        return sample.without(draw_dropped(tuple(sample.inputs), self.modality_dropout, generator))

    def _draw(self, size: tuple[int, int], generator: torch.Generator) -> _Geometry:
        factor = _uniform(*self.scale, generator)
        factor = max(factor, self.min_short_side / min(size))
        scaled = size if factor == 1 else (max(1, round(size[0] * factor)), max(1, round(size[1] * factor)))
        return _Geometry(
            size=scaled,
            top=_offset(scaled[0] - self.crop[0], generator),
            left=_offset(scaled[1] - self.crop[1], generator),
            crop=self.crop,
            mirrored=self.mirror and bool(torch.rand((), generator=generator) < 0.5),
        )

    def _recolored(self, image: Tensor, spec: ModalitySpec, geometry: _Geometry, generator: torch.Generator) -> Tensor:
        if spec.jitter:
            image = self.jitter(image, generator)
        if spec.mirror_sum is not None and geometry.mirrored:
            turned = spec.mirror_sum - image[0].clamp(max=spec.mirror_sum)
            black = (image == 0).all(0)  # no normal, which is not turned
            image = image.clone()
            image[0] = turned.masked_fill(black, 0)
        return image


def _uniform(low: float, high: float, generator: torch.Generator) -> float:
    """A draw from [low, high); `low` itself, without a draw, where the range is empty."""
    return low if low == high else low + (high - low) * torch.rand((), generator=generator, dtype=torch.float64).item()


def _offset(spare: int, generator: torch.Generator) -> int:
    """Where the window starts: in [0, spare], or in [spare, 0] where the view is smaller than the window."""
    if spare == 0:
        return 0
    start = int(torch.randint(abs(spare) + 1, (), generator=generator))
    return start if spare > 0 else -start


def _masked(image: Tensor, spec: ModalitySpec) -> Pair:
    """The stored values of an image, and where something was measured."""
    stored = image.as_subclass(Tensor)
    if spec.kind == "image":
        return stored, torch.ones(1, *stored.shape[-2:], dtype=torch.bool)
    return stored, torch.from_numpy(stored.numpy() > 0)  # NumPy compares several times as fast


def _labels(labels: Tensor) -> Pair:
    """Labels [1, H, W] as a target, and where they are not void."""
    stored = labels.as_subclass(Tensor)
    return stored[0], torch.from_numpy(stored.numpy() != VOID)


def _sample(
    view: RawView,
    specs: Sequence[ModalitySpec],
    target: ModalitySpec | None,
    size: tuple[int, int],
    image: Callable[[Tensor, ModalitySpec], Pair],
    labels: Callable[[Tensor], Pair],
) -> Sample:
    """The sample of a view by what is made of its images and labels; void, or 0, where it has no target."""
    pairs = {spec.name: image(view.inputs[spec.name], spec) for spec in specs}
    pending = {spec.name: spec for spec in specs}
    if view.target is None:
        nothing = torch.full(size, VOID, dtype=torch.uint8) if target is None else torch.zeros(3, *size)
        truth = nothing, torch.zeros(1, *size, dtype=torch.bool)
    elif target is None:
        truth = labels(view.target)
    else:
        truth = image(view.target, target)
        pending[TARGET] = target
    return Sample(
        name=view.name,
        inputs={name: stored for name, (stored, _) in pairs.items()},
        valid={name: valid for name, (_, valid) in pairs.items()},
        target=truth[0],
        target_valid=truth[1],
        files=view.files,
        pending=pending,
    )


def draw_dropped(modalities: Sequence[str], probability: float, generator: torch.Generator) -> tuple[str, ...]:
    """Each modality with `probability`, independently; where that would be all M, one of them, at random, stays.

    So a modality is dropped with probability p - p^M / M. Always draws M + 1 numbers.
    """
    drawn = torch.rand(len(modalities), generator=generator) < probability
    spared = int(torch.randint(len(modalities), (), generator=generator))
    if drawn.all():
        drawn[spared] = False
    return tuple(name for name, dropped in zip(modalities, drawn.tolist(), strict=True) if dropped)
