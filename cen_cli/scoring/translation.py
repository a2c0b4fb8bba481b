"""Scoring a translation network: MAE, MSE, PSNR and SSIM of every branch and the ensemble, and FID and KID if wanted.

Protocol strict: no dropout, images as they are. Protocol paper, as the authors' release evaluates: dropout draws, and
every image, real ones too, is stretched between its own minimum and maximum before FID and KID. Instance norms take
each image's own statistics unless the running ones are asked for (S-Table 9).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from cen_cli import ranks
from cen_cli.data.loading import evaluation_loader
from cen_cli.data.sample import TARGET
from cen_cli.data.views import ViewDataset
from cen_cli.errors import DataError, NotFiniteError
from cen_cli.metrics.feature_cache import cached_features, content_digest, feature_key
from cen_cli.metrics.features import distance_notes
from cen_cli.metrics.fid import frechet_distance, frechet_interval
from cen_cli.metrics.kid import kernel_distance
from cen_cli.metrics.pictures import as_pictures
from cen_cli.metrics.regression import RegressionSums
from cen_cli.models.device import Precision, autocast
from cen_cli.models.dropout import active_dropout
from cen_cli.models.network import StreamNetwork
from cen_cli.models.norms import set_norm_statistics
from cen_cli.models.streams import output_names
from cen_cli.results import Evaluation, TranslationScores
from cen_cli.scoring.segmentation import AfterBatch, evaluating

if TYPE_CHECKING:
    from cen_cli.metrics.inception import InceptionFeatures  # loads torchvision

Protocol = Literal["strict", "paper"]
NormStatistics = Literal["instance", "running"]


@dataclasses.dataclass(frozen=True)
class Distances:
    """How FID and KID are measured: the network behind the features, and where those of real images are kept."""

    features: InceptionFeatures
    folder: Path
    interval: bool = True
    """Whether FID gets its interval."""

    def of_real(self, data: ViewDataset, *, batch: int, workers: int, stretch: bool) -> Tensor:
        """Features [N, D] of the data set's targets, computed once for these files and this preprocessing."""

        def compute() -> Tensor:
            loader = evaluation_loader(data, batch=batch, workers=workers)
            return torch.cat([self.features(as_pictures(views.to("cpu").target, stretch=stretch)) for views in loader])

        targets = content_digest(data.files(index)[TARGET] for index in range(len(data)))
        key = feature_key(data=data.fingerprint(), targets=targets, stretch=str(stretch), weights=self.features.sha256)
        return cached_features(self.folder, key, compute)

    def added(self, scores: TranslationScores, real: Tensor, fake: Tensor) -> TranslationScores:
        """The scores with the distances of features [N, D] of real and of generated images."""
        kid, kid_std = kernel_distance(real, fake)
        scores = dataclasses.replace(scores, fid=frechet_distance(real, fake), kid=kid, kid_std=kid_std)
        if not self.interval:
            return scores
        low, high = frechet_interval(real, fake)
        return dataclasses.replace(scores, fid_low=low, fid_high=high)

    def notes(self, images: int) -> tuple[str, ...]:
        """What must be said beside distances over so many images."""
        own = () if self.features.note is None else (self.features.note,)
        return (*distance_notes(images, images), *own)


class _Seen:
    """What one rank has seen of a split: errors and features of every branch, by name."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.samples = 0
        self.sums = {name: RegressionSums() for name in names}
        self.features: dict[str, list[Tensor]] = {name: [] for name in names}


@dataclasses.dataclass(frozen=True)
class TranslationScorer:
    """Scores translation networks. `distances`: how FID and KID are measured; None leaves them out.

    `notes` are said beside the scores, for example why there are no distances.
    """

    device: torch.device
    precision: Precision
    batch: int
    workers: int
    protocol: Protocol
    norm_statistics: NormStatistics
    distances: Distances | None = None
    notes: tuple[str, ...] = ()

    def __call__(
        self,
        model: StreamNetwork,
        data: ViewDataset,
        *,
        split: str,
        limit: int | None = None,
        after_batch: AfterBatch | None = None,
    ) -> Evaluation:
        """Scores of every branch and the ensemble over `data`, or over its first `limit` batches without distances."""
        distances = self.distances if limit is None and len(data) > 1 else None
        seen = _Seen(output_names(model.branches))
        batches = evaluation_loader(data, batch=self.batch, workers=self.workers, part=ranks.part())
        with translating(model, self.protocol, self.norm_statistics, self.precision):
            for batch in itertools.islice(batches, limit):
                check_sides(model, batch.names[0], batch.target_valid.shape[-2:])
                moved = batch.to(self.device)
                with autocast(self.device, self.precision):
                    made = model(moved.inputs).named(model.branches)
                images = torch.stack([*made.values(), moved.target]).float().cpu()  # the one wait for the device
                for name, image in zip(made, images, strict=False):
                    seen.sums[name].update(image, images[-1], batch.target_valid)
                if distances is not None:
                    fakes = torch.where(batch.target_valid, images[:-1], images[-1])  # no truth, nothing to tell apart
                    pictures = as_pictures(fakes.flatten(0, 1), stretch=self._stretch)
                    features = distances.features(pictures).unflatten(0, (len(made), -1))
                    for name, each in zip(made, features, strict=True):
                        seen.features[name].append(each)
                seen.samples += len(batch.names)
                if after_batch is not None:
                    after_batch(seen.samples)
        everywhere = ranks.gather(seen)
        return ranks.by_first(lambda: self._evaluation(model, data, split, everywhere, distances))

    def _evaluation(
        self, model: StreamNetwork, data: ViewDataset, split: str, seen: Sequence[_Seen], distances: Distances | None
    ) -> Evaluation:
        """The scores of what all ranks have seen, in the order of the views."""
        names, samples = seen[0].names, sum(each.samples for each in seen)
        own = ["one view: no FID and no KID"] if self.distances and len(data) == 1 else []
        own += ["instance norms by running statistics"] if self.norm_statistics == "running" else []
        sums = {name: RegressionSums.of_all(each.sums[name] for each in seen) for name in names}
        if not all(each.finite for each in sums.values()):
            raise NotFiniteError("the network's output is not finite", hint="it diverged; use an earlier checkpoint")
        scores = {name: each.scores() for name, each in sums.items()}
        if distances is not None:
            real = distances.of_real(data, batch=self.batch, workers=self.workers, stretch=self._stretch)
            fakes = {name: torch.cat([batch for each in seen for batch in each.features[name]]) for name in names}
            scores = {name: distances.added(score, real, fakes[name]) for name, score in scores.items()}
        return Evaluation(
            task="translation",
            split=split,
            protocol=self.protocol,
            samples=samples,
            scores=dict(scores),
            weights=dict(zip(model.branches, model.ensemble.weights().tolist(), strict=True)),
            notes=(*self.notes, *(() if distances is None else distances.notes(samples)), *own),
        )

    @property
    def _stretch(self) -> bool:
        return self.protocol == "paper"


def check_sides(network: nn.Module, view: str, size: Sequence[int]) -> None:
    """Raises DataError where the network cannot take a view of this height and width."""
    multiple = getattr(network, "size_multiple", 1)
    if any(side % multiple for side in size):
        near = [max(multiple, round(side / multiple) * multiple) for side in size]
        raise DataError(
            f"{view}: {size[0]} x {size[1]} pixels, but the network takes multiples of {multiple}",
            hint=f"bring the views to such a size: --set 'eval.size={near}', or data.resize in the recipe",
        )


@contextmanager
def translating(
    model: nn.Module, protocol: Protocol, norm_statistics: NormStatistics, precision: Precision = "fp32"
) -> Iterator[None]:
    """Evaluation mode as the protocol has it: see the head of this file."""
    set_norm_statistics(model, norm_statistics)
    with evaluating(model, precision):
        if protocol == "strict":
            yield
            return
        device = next(model.parameters()).device
        with torch.random.fork_rng([device] if device.type == "cuda" else []), active_dropout(model):
            torch.manual_seed(0)  # dropout draws the same every time, and what is drawn afterwards is as if it had not
            yield
