"""Modalities that are missing when a network is used, as after a sensor failed, and what takes their place.

    zero    0 as the network sees it: what stands in pixels without measurement, too. With ImageNet's normalisation
            that is its mean colour, in a translation the middle of the range.
    mean    the data set's mean of each channel of that modality, over valid pixels, as the network sees it
    noise   normal, with the data set's mean and standard deviation of each channel; a grey image stays grey
    other   the image of another view, which shows something else: a derangement, so that none is its own

Everything random is drawn from a seed and the view's index alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from cen_cli.data import tensors
from cen_cli.data.modality import ModalitySpec
from cen_cli.data.sample import Sample
from cen_cli.data.sampler import mixed_seed
from cen_cli.data.tensors import DepthMap
from cen_cli.data.transforms import resize
from cen_cli.data.views import ViewDataset
from cen_cli.errors import DataError
from cen_cli.results import Fill


@dataclasses.dataclass(frozen=True)
class ChannelStatistics:
    """Mean and standard deviation of the three channels of a modality as the network sees it, float32 [3]."""

    mean: Tensor
    std: Tensor


@dataclasses.dataclass(frozen=True)
class StandIns:
    """What may stand in for a missing image of a data set, measured and drawn once for all of its views."""

    seed: int
    statistics: Mapping[str, ChannelStatistics]
    """By modality; read by `mean` and `noise`."""
    partners: Sequence[int]
    """By view: the other view; read by `other`."""


def stand_ins(data: ViewDataset, fills: Sequence[Fill], *, seed: int) -> StandIns:
    """What these fills need. Raises DataError where `other` finds no other view."""
    measured = channel_statistics(data) if {Fill.MEAN, Fill.NOISE} & set(fills) else {}
    return StandIns(seed, measured, derangement(len(data), seed) if Fill.OTHER in fills else ())


def channel_statistics(data: ViewDataset) -> dict[str, ChannelStatistics]:
    """Over the valid pixels of all views, one pass in double precision; 0 where a modality has none."""
    sums = {spec.name: torch.zeros(3, 3, dtype=torch.float64) for spec in data.specs}
    for index in range(len(data)):
        sample = data[index]
        for name, image in sample.inputs.items():
            values = image[:, sample.valid[name][0]].double()  # [3, valid pixels]
            sums[name] += torch.stack([torch.ones_like(values).sum(1), values.sum(1), values.square().sum(1)])
    statistics = {}
    for name, (count, total, squares) in sums.items():
        mean, square = total / count.clamp(min=1), squares / count.clamp(min=1)
        statistics[name] = ChannelStatistics(mean.float(), (square - mean.square()).clamp(min=0).sqrt().float())
    return statistics


def derangement(length: int, seed: int) -> list[int]:
    """A permutation without fixed points: all views in one random cycle. Raises DataError for fewer than two."""
    if length < 2:
        raise DataError("the split has one view, and none that could lend its image", hint="a split of two or more")
    cycle = torch.randperm(length, generator=torch.Generator().manual_seed(mixed_seed(seed, length))).tolist()
    following = dict(zip(cycle, [*cycle[1:], cycle[0]], strict=True))
    return [following[index] for index in range(length)]


@dataclasses.dataclass(frozen=True)
class Missing:
    """An `Alteration`: these modalities are not there, and `fill` takes their place; they are nowhere valid."""

    modalities: tuple[str, ...]
    fill: Fill
    stand_ins: StandIns = dataclasses.field(compare=False, repr=False)

    @property
    def fills(self) -> dict[str, str]:
        """By modality: what takes its place."""
        return dict.fromkeys(self.modalities, self.fill.value)

    def __call__(self, data: ViewDataset, index: int) -> Sample:
        """The view's sample without these modalities."""
        sample = data.sample(index)
        without = sample.without(self.modalities)
        if self.fill == Fill.ZERO:
            return without
        images = {
            spec.name: self._stand_in(data, spec, sample, index) for spec in data.specs if spec.name in self.modalities
        }
        pending = {name: spec for name, spec in without.pending.items() if name not in images}
        return dataclasses.replace(without, inputs=without.inputs | images, pending=pending)

    def _stand_in(self, data: ViewDataset, spec: ModalitySpec, sample: Sample, index: int) -> Tensor:
        """What takes the place of one modality of a sample, normalised, [3 or 1, H, W]."""
        if self.fill == Fill.OTHER:
            other = data[self.stand_ins.partners[index]].inputs[spec.name]
            kind = DepthMap if spec.kind == "depth" else tensors.Image
            return resize(kind(other), sample.size).as_subclass(Tensor)
        statistics = self.stand_ins.statistics[spec.name]
        mean, std = statistics.mean[:, None, None], statistics.std[:, None, None]
        if self.fill == Fill.MEAN:
            return mean.expand(-1, *sample.size)
        image = sample.inputs[spec.name]
        seed = mixed_seed(self.stand_ins.seed, index, list(sample.inputs).index(spec.name))
        channels = 1 if torch.equal(image[:1].expand_as(image), image) else 3
        return torch.randn((channels, *sample.size), generator=torch.Generator().manual_seed(seed)) * std + mean
