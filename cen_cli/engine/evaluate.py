"""Scoring a segmentation network: one confusion matrix per branch and for the ensemble over the whole split.

Strict protocol: dropout off, running statistics, single scale, logits resized bicubically to the label's size.
Validations and `cen eval` score by the same `Scorer`.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cen_cli.data.loading import evaluation_loader
from cen_cli.data.sample import Batch
from cen_cli.data.views import ViewDataset
from cen_cli.engine.device import Precision, autocast
from cen_cli.metrics import confusion_matrix, segmentation_scores
from cen_cli.models.streams import ModalOutput, output_names
from cen_cli.results import Evaluation

AfterBatch = Callable[[int], None]
"""Called with the number of samples scored so far; it may raise to stop."""


class Scorer(Protocol):
    """Scores a network on a split of its data set."""

    def __call__(
        self,
        model: nn.Module,
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

    def __call__(
        self,
        model: nn.Module,
        data: ViewDataset,
        *,
        split: str,
        limit: int | None = None,
        after_batch: AfterBatch | None = None,
    ) -> Evaluation:
        """Scores of every branch and the ensemble over `data`, or over its first `limit` batches."""
        return evaluate_segmentation(
            model,
            itertools.islice(evaluation_loader(data, batch=self.batch, workers=self.workers), limit),
            device=self.device,
            precision=self.precision,
            class_names=data.class_names,
            split=split,
            protocol="strict",
            after_batch=after_batch,
        )


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode and no gradients inside; the mode that was there before afterwards."""
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(training)


def predict_labels(output: ModalOutput, size: tuple[int, int]) -> Tensor:
    """Label maps of all branches and of the ensemble, int64 [M + 1, B, H, W] (just [1, B, H, W] for one modality)."""
    logits = output.branches if len(output.branches) == 1 else torch.cat([output.branches, output.ensemble[None]])
    return torch.stack([_resized(branch.float(), size).argmax(dim=1) for branch in logits])


def evaluate_segmentation(
    model: nn.Module,
    batches: Iterable[Batch],
    *,
    device: torch.device,
    precision: Precision,
    class_names: tuple[str, ...],
    split: str,
    protocol: str,
    after_batch: AfterBatch | None = None,
) -> Evaluation:
    """Score every branch and the ensemble over `batches`."""
    branches: tuple[str, ...] = model.branches  # type: ignore[assignment]  # nn.Module attributes are untyped
    names = output_names(branches)
    classes = len(class_names)
    confusion = torch.zeros(len(names), classes, classes, dtype=torch.int64, device=device)
    samples, weights = 0, torch.full((len(branches),), float("nan"))
    with evaluating(model):
        for batch in batches:
            moved = batch.to(device)
            with autocast(device, precision):
                output = model(moved.inputs)
            height, width = moved.target.shape[-2:]
            predictions = predict_labels(output, (height, width))
            for index, prediction in enumerate(predictions):
                confusion[index] += confusion_matrix(prediction, moved.target, classes)
            samples, weights = samples + len(batch.names), output.weights
            if after_batch is not None:
                after_batch(samples)
    return Evaluation(
        task="segmentation",
        split=split,
        protocol=protocol,
        samples=samples,
        scores={name: segmentation_scores(matrix) for name, matrix in zip(names, confusion.cpu(), strict=True)},
        weights=dict(zip(branches, weights.tolist(), strict=True)),
        class_names=class_names,
    )


def _resized(logits: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(logits.shape[-2:]) == tuple(size):
        return logits
    return F.interpolate(logits, size=size, mode="bicubic", align_corners=False)
