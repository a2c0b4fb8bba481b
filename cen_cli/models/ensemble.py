"""The learned ensemble: sum over m of alpha_m * f_m(x_m), P Eq. 4, with alpha the softmax of one logit per modality.

The branches are detached: each is supervised on its own, and the ensemble's loss trains alpha alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cen_cli.models.streams import ModalOutput, split_modalities


class LearnedEnsemble(nn.Module):
    """Weighted sum of M branches; starts as their mean. One modality has weight 1."""

    def __init__(self, modalities: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(modalities))

    def weights(self) -> Tensor:
        """[M]: softmax(alpha), positive, summing to 1."""
        return self.alpha.softmax(0)

    def forward(self, branches: Tensor) -> Tensor:
        """[M, B, ...] -> [B, ...]. The gradient reaches alpha, never the branches."""
        if branches.shape[0] != self.alpha.shape[0]:
            raise ValueError(f"expected {self.alpha.shape[0]} branches, got {branches.shape[0]}")
        weights = self.weights().view(-1, *[1] * (branches.dim() - 1))
        return (weights * branches.detach()).sum(0)

    def combine(self, stack: Tensor, auxiliary: Tensor | None = None) -> ModalOutput:
        """What the streams return, [M*B, ...] modality-major -> the branches, their ensemble and its weights.

        `auxiliary`, a second stack, is only taken apart: the ensemble leaves it aside. While torch.jit.trace records,
        which knows no None, the result is the tuple of the first three.
        """
        modalities = self.alpha.shape[0]
        branches = split_modalities(stack, modalities)
        auxiliaries = None if auxiliary is None else split_modalities(auxiliary, modalities)
        output = ModalOutput(branches, self(branches), self.weights(), auxiliaries)
        return output[:3] if torch.jit.is_tracing() else output  # type: ignore[return-value]  # see above
