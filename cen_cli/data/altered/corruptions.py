"""Corruptions of one modality at three strengths each, made on what is stored, before normalisation.

    noise       images: normal, sigma in shares of the full range; measurements: in shares of the value itself, of one's
                own of what it is above the lowest of their range, which they do not leave
    blur        images: Gaussian, sigma in shares of the shorter side
    darkening   images of light: the share of it that is lost
    holes       measurements: the share of pixels in which nothing is measured any more, in square patches whose side is
                a twelfth of the shorter side

A corruption that means nothing for a kind of modality is left out, and `meaningless` says why. Draws are the same at
all strengths: a stronger corruption has the same pattern. Kinds and strengths are ours; the benchmarks of corrupted
photographs (Hendrycks and Dietterich, ICLR 2019) know no depth.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from cen_cli.data import tensors
from cen_cli.data.modality import ModalitySpec, full_name
from cen_cli.data.sample import Sample
from cen_cli.data.sampler import mixed_seed
from cen_cli.data.tensors import DepthMap
from cen_cli.data.transforms import EvalTransform, resize
from cen_cli.data.views import ViewDataset

Apply = Callable[[Tensor, float, torch.Generator], Tensor]
"""Image or DepthMap, strength, generator -> the same kind."""

UNLIT = frozenset({"normal", "principal_curvature", "edge_texture", "edge_occlusion", "hha"})
"""Domains of images that are not light: less of their values is another shape, not a darker one."""
LEVELS = (1, 2, 3)
PATCHES = 12
"""Holes along the shorter side."""


def _noise(image: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Not torchvision's, which draws from the global generator and so would depend on the number of workers."""
    drawn = strength * torch.randn(image.shape, generator=generator)
    if isinstance(image, DepthMap):
        return DepthMap(image.as_subclass(Tensor) * (1 + drawn).clamp(min=0.05))  # measured pixels stay measured
    return tensors.Image((_in_unit_range(image) + drawn).clamp(0, 1))


def _blur(image: Tensor, strength: float, _generator: torch.Generator) -> Tensor:
    from torchvision.transforms.v2 import functional

    sigma = strength * min(image.shape[-2:])
    size = 2 * max(1, round(3 * sigma)) + 1
    return tensors.Image(functional.gaussian_blur_image(_in_unit_range(image), [size, size], [sigma, sigma]))


def _darken(image: Tensor, strength: float, _generator: torch.Generator) -> Tensor:
    from torchvision.transforms.v2 import functional

    return tensors.Image(functional.adjust_brightness_image(_in_unit_range(image), 1 - strength))


def _punch(depth: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    height, width = depth.shape[-2:]
    side = max(1, min(height, width) // PATCHES)
    rows, columns = max(1, height // side), max(1, width // side)
    patches = torch.zeros(rows * columns, dtype=torch.uint8)
    patches[torch.randperm(rows * columns, generator=generator)[: round(strength * rows * columns)]] = 1
    holes = resize(tensors.Mask(patches.view(1, rows, columns)), (height, width)).as_subclass(Tensor) > 0
    return DepthMap(depth.as_subclass(Tensor).masked_fill(holes, 0.0))


def _in_unit_range(image: Tensor) -> Tensor:
    """An image, uint8 or float32, as plain float32 in [0, 1]."""
    from torchvision.transforms.v2 import functional

    return functional.to_dtype_image(image.as_subclass(Tensor), torch.float32, scale=True)


@dataclasses.dataclass(frozen=True)
class Corruption:
    """One kind of corruption: how it is applied, and its three strengths, all of them shares."""

    apply: Apply
    strengths: tuple[float, float, float]


CORRUPTIONS = {
    "noise": Corruption(_noise, (0.05, 0.1, 0.2)),
    "blur": Corruption(_blur, (0.01, 0.02, 0.04)),
    "darkening": Corruption(_darken, (0.5, 0.75, 0.9)),
    "holes": Corruption(_punch, (0.1, 0.25, 0.5)),
}
"""By name."""


def meaningless(corruption: str, spec: ModalitySpec) -> str | None:
    """Why a corruption means nothing for a modality; None where it means something."""
    if spec.kind == "depth":
        reasons = {
            "blur": "a mean across an edge or a hole measures nothing",
            "darkening": "a measurement has no light",
        }
        return reasons.get(corruption)
    if corruption == "holes":
        return "an image has no pixels without measurement"
    unlit = spec.mirror_sum is not None or spec.derived or full_name(spec.name) in UNLIT
    return "its values are not light" if corruption == "darkening" and unlit else None


@dataclasses.dataclass(frozen=True)
class Corrupted:
    """An `Alteration`: one modality is corrupted; all draws come from the seed and the view's index."""

    modality: str
    corruption: str
    level: int
    """1, 2 or 3."""
    seed: int

    @property
    def strength(self) -> float:
        """A share."""
        return CORRUPTIONS[self.corruption].strengths[self.level - 1]

    def __call__(self, data: ViewDataset, index: int) -> Sample:
        """The view's sample with that modality corrupted."""
        view = data.view(index)
        generator = torch.Generator().manual_seed(mixed_seed(self.seed, index))
        changed: Any = CORRUPTIONS[self.corruption].apply(view.inputs[self.modality], self.strength, generator)
        spec = next(each for each in data.specs if each.name == self.modality)
        if isinstance(changed, DepthMap) and spec.encoding is not None:
            changed = DepthMap(changed.as_subclass(Tensor).clamp(max=spec.encoding.high - spec.encoding.low))
        view = dataclasses.replace(view, inputs=view.inputs | {self.modality: changed})
        return EvalTransform()(view, data.specs, target=data.target)
