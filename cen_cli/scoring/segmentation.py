"""Scoring a segmentation network: one confusion matrix per branch and for the ensemble over the whole split.

Strict protocol: dropout off, running statistics, each view once (or several times, see `test_time_augmentation`),
logits resized bicubically to the label's size. Validations and `cen eval` score by the same `Scorer`.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn

from cen_cli import ranks
from cen_cli.data.loading import evaluation_loader
from cen_cli.data.modality import ModalitySpec
from cen_cli.data.views import ViewDataset
from cen_cli.errors import NotFiniteError
from cen_cli.metrics import confusion_matrix, segmentation_scores
from cen_cli.models.device import DTYPES, Precision, autocast
from cen_cli.models.network import StreamNetwork
from cen_cli.models.streams import ModalOutput, output_names
from cen_cli.results import Evaluation
from cen_cli.scoring.labels import labels_at
from cen_cli.scoring.test_time_augmentation import SINGLE_SCALE, MultiScaleFlip, all_logits, mean_probabilities

AfterBatch = Callable[[int], None]
"""Called with the number of samples scored so far; it may raise to stop."""


class Scorer(Protocol):
    """Scores a network on a split of its data set."""

    def __call__(
        self,
        model: StreamNetwork,
        data: ViewDataset,
        *,
        split: str,
        limit: int | None = None,
        after_batch: AfterBatch | None = None,
    ) -> Evaluation:
        """Scores of every branch and the ensemble over `data`, or over its first `limit` batches."""


@dataclasses.dataclass(frozen=True)
class SegmentationScorer:
    """Scores segmentation networks by the strict protocol, `batch` views in one forward pass."""

    device: torch.device
    precision: Precision
    batch: int
    workers: int
    augmentation: MultiScaleFlip = SINGLE_SCALE

    def __call__(
        self,
        model: StreamNetwork,
        data: ViewDataset,
        *,
        split: str,
        limit: int | None = None,
        after_batch: AfterBatch | None = None,
    ) -> Evaluation:
        """Scores of every branch and the ensemble over `data`, or its first `limit` batches, each rank its own."""
        branches, classes = model.branches, len(data.class_names)
        names = output_names(branches)
        confusion = torch.zeros(len(names), classes, classes, dtype=torch.int64, device=self.device)
        samples = 0
        loader = evaluation_loader(data, batch=self.batch, workers=self.workers, part=ranks.part())
        with evaluating(model, self.precision):
            for batch in itertools.islice(loader, limit):
                moved = batch.to(self.device)
                inputs, size = moved.inputs, (moved.target.shape[-2], moved.target.shape[-1])
                labels = segment_views(model, inputs, data.specs, size, self.augmentation, precision=self.precision)
                for index, prediction in enumerate(labels):
                    confusion[index] += confusion_matrix(prediction, moved.target, classes)
                samples += len(batch.names)
                if after_batch is not None:
                    after_batch(samples)
        counts, sizes = zip(*ranks.gather((confusion.cpu(), samples)), strict=True)
        confusion = torch.stack(counts).sum(0)
        return Evaluation(
            task="segmentation",
            split=split,
            protocol="strict",
            samples=sum(sizes),
            scores={name: segmentation_scores(matrix) for name, matrix in zip(names, confusion, strict=True)},
            weights=dict(zip(branches, model.ensemble.weights().tolist(), strict=True)),
            class_names=data.class_names,
            notes=(self.augmentation.described(),) if self.augmentation.described() else (),
            confusion=tuple(map(tuple, confusion[-1].tolist())),
        )


@contextmanager
def evaluating(model: nn.Module, precision: Precision = "fp32") -> Iterator[None]:
    """Eval mode and no gradients inside, weights rounded to `precision`; all as it was before afterwards."""
    training = model.training
    model.eval()
    whole = round_weights(model, precision)
    try:
        with torch.inference_mode():
            yield
    finally:
        for parameter, values in whole:
            parameter.data = values
        model.train(training)


def round_weights(model: nn.Module, precision: Precision) -> list[tuple[nn.Parameter, Tensor]]:
    """Round once what autocast would round for every batch anew; outputs stay the same to the bit.

    These are weights and biases of plain convolutions and linear layers: a subclass may do other things with its own.
    Returns them with their values before; nothing in fp32.
    """
    plain = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    layers = [module for module in model.modules() if type(module) in plain] if precision != "fp32" else []
    whole = [(parameter, parameter.data) for layer in layers for parameter in layer.parameters(recurse=False)]
    for parameter, values in whole:
        parameter.data = values.to(DTYPES[precision])
    return whole


def predict_labels(output: ModalOutput, size: tuple[int, int]) -> Tensor:
    """Label maps of all branches and of the ensemble, int64 [M + 1, B, H, W] (just [1, B, H, W] for one modality)."""
    return torch.stack([labels_at(logits, size) for logits in all_logits(output)])


def segment_views(
    model: StreamNetwork,
    inputs: Mapping[str, Tensor],
    specs: Sequence[ModalitySpec],
    size: tuple[int, int],
    augmentation: MultiScaleFlip,
    *,
    precision: Precision = "fp32",
) -> Tensor:
    """Label maps as `predict_labels` returns them, from the views as they are or from the mean of several scales.

    `inputs`: normalised images [B, 3, H, W] by modality, on the network's device; `specs` describe them. Raises
    NotFiniteError where the network's output is not finite: the largest of several NaN is the first class.
    """
    first, finite = next(iter(inputs.values())), list[Tensor]()

    def forward(images: Mapping[str, Tensor]) -> ModalOutput:
        with autocast(first.device, precision):
            output: ModalOutput = model(images)
        finite.extend(part.isfinite().all() for part in (output.branches, output.ensemble))
        return output

    height, width = first.shape[-2:]
    if augmentation.is_single_scale((height, width)):
        labels = predict_labels(forward(inputs), size)
    else:
        labels = mean_probabilities(forward, inputs, specs, size, augmentation).max(dim=2).indices
    if not bool(torch.stack(finite).all()):  # the one wait for the device, when all work is under way
        raise NotFiniteError("the network's output is not finite", hint="it diverged; use an earlier checkpoint")
    return labels
