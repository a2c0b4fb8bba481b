"""What replacing a channel gains, to first order, and whether |gamma| says so (docs/method.md).

    gain = -dL/da of (1 - a) own + a others        at a = 0 for a kept channel, at a = 1 for a replaced one

L is the task's loss, without the penalty on the gammas; positive: replacing lowers it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from scipy import stats
from torch import Tensor, nn

from cen_cli.analysis.layers import LayerState, mean
from cen_cli.data.sample import Batch
from cen_cli.models.choices import watch_gains
from cen_cli.results import GainRow

Floats = npt.NDArray[np.float32]


def estimate_gains(
    model: nn.Module, task_loss: Callable[[Batch], Tensor], batches: Iterable[Batch]
) -> dict[str, Floats]:
    """Mean gain of every channel over some batches: by layer, [M, C]; empty where nothing exchanges.

    `task_loss` as for `attraction.gamma_gradients`, and as there the network is in training mode, and not to be used
    for anything else afterwards.
    """
    probes = watch_gains(model)
    wanted = list(probes.values())
    model.train()
    gains = (
        [torch.autograd.grad(task_loss(batch), wanted, allow_unused=True, materialize_grads=True) for batch in batches]
        if wanted
        else []
    )
    return {
        name: -torch.stack(gradients).mean(dim=0).cpu().numpy()
        for name, gradients in zip(probes, zip(*gains, strict=True), strict=True)
    }


def gain_rows(gains: dict[str, Floats], states: Sequence[LayerState], modalities: Sequence[str]) -> tuple[GainRow, ...]:
    """One row per layer and modality, over the channels that may be replaced."""
    rows = []
    for state in (state for state in states if state.name in gains):
        for m, modality in enumerate(modalities):
            gain, gamma = gains[state.name][m], state.gammas[m]
            allowed, replaced = state.replaceable[m], state.replaced[m]
            rows.append(
                GainRow(
                    layer=state.name,
                    modality=modality,
                    channels=int(allowed.sum()),
                    positive=mean(gain[allowed] > 0),
                    kept=mean(gain[allowed & ~replaced]),
                    replaced=mean(gain[replaced]),
                    correlation=_correlation(gamma[allowed], gain[allowed]),
                )
            )
    return tuple(rows)


def _correlation(one: Floats, other: Floats) -> float:
    """Spearman's; NaN where one of them is the same everywhere."""
    if len(one) < 3 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(stats.spearmanr(one, other).statistic)
