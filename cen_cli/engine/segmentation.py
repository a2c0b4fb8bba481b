"""The segmentation task: what one optimiser step minimises (P Eq. 4) and how the network is validated.

    loss = sum_m CE(f_m, y)  +  CE(sum_m alpha_m * stopgrad(f_m), y)  +  lambda * sum |gamma over the pressed parts|
           +  w * sum_m CE(a_m, y), where the network has an auxiliary head with logits a_m (PSPNet, w = 0.4)

The term of the gammas is the exchange's penalty; a baseline has its own or none.
Every branch is supervised on its own; the ensemble's term trains alpha only (the model detaches the branches there).
Logits are resized bilinearly to the label's size; void pixels (255) do not count.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cen_cli import ranks
from cen_cli.data.sample import Batch
from cen_cli.engine.task import NetworkTask
from cen_cli.models.streams import ModalOutput
from cen_cli.results import ENSEMBLE, VOID

MODEL = "model"
PIXEL_LIST_CLASSES = 16  # from this many classes on, a list of pixels is the faster form (docs/benchmarks.md)


def segmentation_losses(output: ModalOutput, target: Tensor, branches: tuple[str, ...]) -> dict[str, Tensor]:
    """Cross entropy of each branch, and of the ensemble where there is more than one; target int64 [B, H, W].

    Resizing is linear, so the ensemble is summed from the resized branches instead of being resized itself.
    """
    resized = [_resized(logits, target) for logits in output.branches]
    counted = _counted(target)
    losses = {name: _cross_entropy(logits, target, counted) for name, logits in zip(branches, resized, strict=True)}
    if len(branches) > 1:
        parts = [weight * logits.detach() for weight, logits in zip(output.weights, resized, strict=True)]
        losses[ENSEMBLE] = _cross_entropy(sum(parts[1:], start=parts[0]), target, counted)
    return losses


def auxiliary_loss(auxiliary: Tensor, target: Tensor) -> Tensor:
    """Cross entropy of the auxiliary logits [M, B, K, h, w], summed over the branches; target int64 [B, H, W]."""
    counted = _counted(target)
    losses = [_cross_entropy(_resized(logits, target), target, counted) for logits in auxiliary]
    return torch.stack(losses).sum()


def _counted(target: Tensor) -> Tensor:
    """The number of pixels that are not void; on average where several ranks share a batch."""
    return ranks.per_rank((target != VOID).sum())


def _cross_entropy(logits: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """Mean over the pixels that are not void; logits [B, K, H, W], target int64 [B, H, W], `counted` their number.

    On a CPU torch's softmax is fast over a list of pixels only where the classes fill one vector register of 16 floats:
    there it is two to three times as fast as over maps, and with fewer classes three times as slow.
    """
    if logits.shape[1] < PIXEL_LIST_CLASSES:
        return F.cross_entropy(logits, target, ignore_index=VOID, reduction="sum") / counted
    pixels = logits.movedim(1, -1).flatten(0, 2)
    return F.cross_entropy(pixels, target.flatten(), ignore_index=VOID, reduction="sum") / counted


def _resized(logits: Tensor, target: Tensor) -> Tensor:
    """[B, K, h, w] -> float32 at the label's size."""
    return F.interpolate(logits.float(), size=target.shape[-2:], mode="bilinear", align_corners=False)


@dataclass(kw_only=True, eq=False)
class SegmentationTask(NetworkTask):
    """One optimiser step and one validation of a segmentation network; its optimiser is called `MODEL`."""

    auxiliary_weight: float

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """All loss terms of a batch that is on the device; `total` is their sum. Raises nothing; NaN is found later."""
        output = self.output(batch)
        terms = segmentation_losses(output, batch.target, self.model.branches)
        if output.auxiliary is not None:
            terms["auxiliary"] = self.auxiliary_weight * auxiliary_loss(output.auxiliary, batch.target)
        return self.with_total(terms)

    def step(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Make optimiser step number `step` (0-based); returns the loss terms, detached and still on the device."""
        self.model.train()
        terms = self.losses(batch.to(self.device))
        self.update(MODEL, self.model, terms["total"], step, clip_norm=self.clip_norm)
        return {name: term.detach() for name, term in terms.items()}
