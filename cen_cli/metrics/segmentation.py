"""Pixel accuracy, mean class accuracy and mean intersection over union (S-Table 7 reports the last).

Convention: one integer confusion matrix over all pixels of a split, rows = truth, columns = prediction. Void pixels
count nowhere. A class that the truth never shows is left out of both means, whether or not it was predicted; its wrong
predictions still lower the scores of the classes that they hide.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from cen_cli.results import SegmentationScores


def confusion_matrix(prediction: Tensor, target: Tensor, classes: int, ignore: int = 255) -> Tensor:
    """Count pixels by (truth, prediction): int64 [K, K], K = `classes`, on the inputs' device.

    `prediction`, `target`: integer tensors of one shape. Pixels whose target is `ignore` are not counted; every other
    value must lie in 0 .. classes - 1 (ValueError on the CPU; elsewhere it is not checked, as that would wait for the
    device). Matrices of batches add up to that of the split.
    """
    if not (isinstance(prediction, Tensor) and isinstance(target, Tensor)):
        raise TypeError("prediction and target: tensors; torch.from_numpy makes them of arrays")
    if prediction.shape != target.shape:
        raise ValueError(f"prediction is of shape {tuple(prediction.shape)}, target of {tuple(target.shape)}")
    counted = target != ignore
    if target.device.type == "cpu":
        _check_range(prediction, target, counted, classes)
    cells = classes * classes
    index = torch.where(counted, target.long() * classes + prediction.long(), cells).flatten()
    return _count(index, cells + 1)[:cells].view(classes, classes)


def _count(index: Tensor, length: int) -> Tensor:
    """How often each of 0 .. length - 1 occurs in `index`, int64 [N]."""
    if index.device.type == "cpu":
        return torch.bincount(index, minlength=length)
    return _count_by_scatter(index, length)


def _count_by_scatter(index: Tensor, length: int) -> Tensor:
    """`_count` without waiting for the device, as `torch.bincount` does on CUDA."""
    return torch.zeros(length, dtype=torch.int64, device=index.device).scatter_add_(0, index, torch.ones_like(index))


def _check_range(prediction: Tensor, target: Tensor, counted: Tensor, classes: int) -> None:
    for name, values in (("prediction", prediction), ("target", target)):
        outside = counted & ((values < 0) | (values >= classes))
        if outside.any():
            raise ValueError(f"{name} holds {int(values[outside][0])}, which is none of the classes 0 .. {classes - 1}")


def segmentation_scores(confusion: Tensor | np.ndarray) -> SegmentationScores:
    """Scores of one `confusion` matrix [K, K], integer, rows = truth; each in [0, 1].

    Classes absent from the truth are NaN and left out of the means; a matrix without any pixel gives NaN throughout.
    Raises ValueError for a matrix that is not square, not of integers, or has negative counts.
    """
    counts = _as_counts(confusion)
    hits, truth, predicted = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    accuracy = _ratio(hits, truth, truth > 0)
    iou = _ratio(hits, truth + predicted - hits, truth > 0)
    return SegmentationScores(
        pixel_accuracy=float(hits.sum() / truth.sum()) if truth.any() else float("nan"),
        mean_accuracy=_mean_of_known(accuracy),
        mean_iou=_mean_of_known(iou),
        class_accuracy=tuple(accuracy.tolist()),
        class_iou=tuple(iou.tolist()),
    )


def _as_counts(confusion: Tensor | np.ndarray) -> np.ndarray:
    counts = confusion.detach().cpu().numpy() if isinstance(confusion, Tensor) else np.asarray(confusion)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ValueError(f"a confusion matrix is square, not of shape {counts.shape}")
    if not np.issubdtype(counts.dtype, np.integer):
        raise ValueError(f"a confusion matrix holds integer counts, not {counts.dtype}")
    if (counts < 0).any():
        raise ValueError("a confusion matrix holds no negative counts")
    return counts.astype(np.int64)


def _ratio(above: np.ndarray, below: np.ndarray, known: np.ndarray) -> np.ndarray:
    """above / below in float64 where `known`, NaN elsewhere."""
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=known)


def _mean_of_known(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
