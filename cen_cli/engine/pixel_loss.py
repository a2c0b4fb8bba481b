"""What a branch's label map costs: cross entropy, by class, smoothed or focal, and soft Dice beside it.

    loss = sum_p w[y_p] (1 - q_p)^gamma CE(f_p, y_p) / sum_p w[y_p]  +  dice * (1 - mean_c D_c)
    D_c  = 2 sum_p q_pc [y_p = c] / (sum_p q_pc + sum_p [y_p = c])

over the pixels p of the batch that are not void, q being the softmax of the logits f. gamma = 0 is plain cross entropy;
gamma > 0 is focal (Lin et al., 2017). Dice (Milletari et al., 2016) is meant over the classes that the batch holds.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cen_cli import ranks
from cen_cli.results import VOID

PIXEL_LIST_CLASSES = 16
"""From this many classes on a CPU is faster over a list of pixels than over maps (docs/benchmarks.md)."""


@dataclass(frozen=True)
class PixelLoss:
    """The loss of logits against labels; without arguments cross entropy alone, as published."""

    class_weights: Tensor | None = None
    """float32 [K], on the device; 0: the class does not count."""
    label_smoothing: float = 0.0
    focal_gamma: float = 0.0
    dice: float = 0.0

    def __call__(self, logits: Tensor, target: Tensor, counted: Tensor) -> Tensor:
        """A scalar, 0 where all is void; logits float32 [B, K, H, W], target int64 [B, H, W], counted by `count`."""
        if self.class_weights is not None:  # a class of weight 0 is left out, of smoothing and Dice too
            known = target.where(target != VOID, 0)
            target = target.masked_fill(self.class_weights[known] == 0, VOID)
        logits, target = _arranged(logits, target)
        log_shares = logits.log_softmax(1)
        surprise = F.nll_loss(log_shares, target, ignore_index=VOID, reduction="none")  # -log q_p, 0 where void
        loss = self._cross_entropy(log_shares, target, surprise)
        loss = loss / counted.where(counted > 0, 1) * (counted > 0)  # 0 where no pixel counts
        return loss + self.dice * (1 - _dice(log_shares, target, surprise)) if self.dice else loss

    def count(self, target: Tensor) -> Tensor:
        """The pixels that are not void, each with its weight; on average where several ranks share a batch."""
        known = target != VOID
        if self.class_weights is None:
            return ranks.per_rank(known.sum())
        return ranks.per_rank((self.class_weights[target.where(known, 0)] * known).sum())

    def _cross_entropy(self, log_shares: Tensor, target: Tensor, surprise: Tensor) -> Tensor:
        """The sum over the pixels: that of `F.cross_entropy`, from what the other terms need too."""
        known, classes = target != VOID, log_shares.shape[1]
        losses = surprise
        if self.class_weights is not None:
            losses = losses * self.class_weights[target.where(known, 0)]
        if self.label_smoothing:
            weights = log_shares.new_ones(classes) if self.class_weights is None else self.class_weights
            of_all = -(log_shares.movedim(1, -1) @ weights).where(known, 0) / classes
            losses = torch.lerp(losses, of_all, self.label_smoothing)
        if self.focal_gamma:
            doubt = (-torch.expm1(-surprise)).clamp(min=1e-6)  # 1 - q_p; a power below 1 is infinitely steep at 0
            losses = losses * doubt**self.focal_gamma
        return losses.sum()


def for_pixels(logits: Tensor) -> Tensor:
    """Maps [B, K, h, w] in the memory order in which a list of their pixels needs no copy, where the loss takes one."""
    return logits.contiguous(memory_format=torch.channels_last) if logits.shape[1] >= PIXEL_LIST_CLASSES else logits


def _arranged(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Maps as they are, or as a list of pixels [B*H*W, K] with their labels; the classes stay the second dimension.

    On a CPU torch's softmax is fast over a list of pixels only where the classes fill one vector register of 16
    floats: there it is two to three times as fast as over maps, and with fewer classes three times as slow.
    """
    if logits.shape[1] < PIXEL_LIST_CLASSES:
        return logits, target
    return logits.movedim(1, -1).flatten(0, 2), target.flatten()


def _dice(log_shares: Tensor, target: Tensor, surprise: Tensor) -> Tensor:
    """The mean of D_c over the classes that some rank's part of the batch holds: a scalar.

    `log_shares`: log q, as maps or as a list of pixels; `surprise`: -log q_p, which spares writing the labels as maps.
    """
    classes = log_shares.shape[1]
    known = target != VOID
    labels, of_label = target[known], (-surprise[known]).exp()
    both = of_label.new_zeros(classes).index_add(0, labels, of_label)
    predicted = known.flatten().float() @ log_shares.exp().movedim(1, -1).reshape(-1, classes)
    true = torch.bincount(labels, minlength=classes).float()
    both, predicted, true = ranks.summed(torch.stack([both, predicted, true]))
    each = 2 * both / (predicted + true).clamp(min=1e-6)
    return each[true > 0].mean() if bool((true > 0).any()) else both.sum() + 1


def class_weights(pixels: Tensor, shown: Tensor, kind: str) -> Tensor:
    """Weights of the classes by how rare they are in the training split: float32 [K], 0 for a class without pixels.

    `pixels`: of each class; `shown`: all known pixels of the images that show the class; float64 [K].
    "inverse": total / pixels. "median": median frequency balancing, median(f) / f with f = pixels / shown (Eigen and
    Fergus, 2015). Both are scaled to a mean of 1 over the classes that there are.
    """
    there = pixels > 0
    frequency = pixels / (pixels.sum() if kind == "inverse" else shown.clamp(min=1))
    weights = torch.where(there, frequency[there].median() / frequency.where(there, 1.0), 0.0)
    return (weights * there.sum() / weights.sum()).float()
