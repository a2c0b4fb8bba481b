"""The segmentation task: what one optimiser step minimises (P Eq. 4) and how the network is validated.

    loss = sum_m CE(f_m, y)  +  CE(sum_m alpha_m * stopgrad(f_m), y)  +  lambda * sum |gamma over the pressed parts|
           +  w * sum_m CE(a_m, y), where the network has an auxiliary head with logits a_m (PSPNet, w = 0.4)

CE is cross entropy, or what the recipe's [loss] makes of it (`pixel_loss`). The term of the gammas is the exchange's
penalty; a baseline has its own or none.
Every branch is supervised on its own; the ensemble's term trains alpha only (the model detaches the branches there).
Logits are resized bilinearly to the label's size; void pixels (255) do not count.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cen_cli.data.sample import Batch
from cen_cli.engine.pixel_loss import PixelLoss, for_pixels
from cen_cli.engine.task import NetworkTask
from cen_cli.models.streams import ModalOutput

MODEL = "model"


def segmentation_losses(
    output: ModalOutput, target: Tensor, branches: tuple[str, ...], loss: PixelLoss, counted: Tensor
) -> dict[str, Tensor]:
    """The loss of each branch, and of the ensemble where there is more than one; target int64 [B, H, W].

    `counted`: what the sum over the pixels is divided by, as `loss.count` has it.
    """
    return {name: loss(_resized(logits, target), target, counted) for name, logits in output.named(branches).items()}


def auxiliary_loss(auxiliary: Tensor, target: Tensor, loss: PixelLoss, counted: Tensor) -> Tensor:
    """The loss of the auxiliary logits [M, B, K, h, w], summed over the branches; `target`, `counted` as above."""
    losses = [loss(_resized(logits, target), target, counted) for logits in auxiliary]
    return torch.stack(losses).sum()


def _resized(logits: Tensor, target: Tensor) -> Tensor:
    """[B, K, h, w] -> float32 at the label's size."""
    return F.interpolate(for_pixels(logits.float()), size=target.shape[-2:], mode="bilinear", align_corners=False)


@dataclass(kw_only=True, eq=False)
class SegmentationTask(NetworkTask):
    """One optimiser step and one validation of a segmentation network; its optimiser is called `MODEL`."""

    auxiliary_weight: float
    loss: PixelLoss

    def losses(self, batch: Batch, counted: Tensor | None = None) -> dict[str, Tensor]:
        """All loss terms of a batch that is on the device; `total` is their sum. Raises nothing; NaN is found later.

        `counted`: of the whole batch, where this is a part of it; the terms of the parts then add up to the whole's.
        """
        output = self.output(batch)
        divisor = self.loss.count(batch.target) if counted is None else counted
        terms = segmentation_losses(output, batch.target, self.model.branches, self.loss, divisor)
        if output.auxiliary is not None:
            auxiliary = auxiliary_loss(output.auxiliary, batch.target, self.loss, divisor)
            terms["auxiliary"] = self.auxiliary_weight * auxiliary
        return self.with_total(terms, share=1.0 if counted is None else 1 / self.accumulate)

    def step(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Make optimiser step number `step` (0-based); returns the loss terms, detached and still on the device."""
        self.model.train()
        sums: dict[str, Tensor] = {}
        self.update(MODEL, self.model, self._totals(batch.to(self.device), sums), step, clip_norm=self.clip_norm)
        return sums

    def _totals(self, batch: Batch, sums: dict[str, Tensor]) -> Iterator[Tensor]:
        """What each part of the batch adds to the loss, whose terms are added up in `sums`."""
        counted = self.loss.count(batch.target)
        for part in batch.parts(self.accumulate):
            terms = self.losses(part, counted)
            sums.update({name: sums.get(name, 0.0) + term.detach() for name, term in terms.items()})
            yield terms["total"]
