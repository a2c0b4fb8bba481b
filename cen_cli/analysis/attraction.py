"""Theorem 1 (S Section 1): the probability that a scaling factor is attracted to 0, predicted and observed.

    P(gamma is attracted to 0) = 2 Phi(lambda / |dL/dx'|) - 1

dL/dx' stands for the sum over pixels of the gradient times the normalised activation (S footnote 4), whose spread is
that of the task loss's gradient g with respect to gamma: with sigma the root mean square of g over training batches,
the probability is 2 Phi(lambda / sigma) - 1, and the event that it speaks of is |g| < lambda: the penalty's pull to 0
is stronger than the task's away from it. Half of the batches give sigma, the other half show how often it happens.

The theorem speaks of networks without exchange. In a network with exchange a replaced channel's own gamma, unless it
gives to another stream, gets no gradient at all and is attracted with certainty; such gammas are counted apart, and
left out of what is observed.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import erf
from torch import Tensor, nn

from cen_cli.analysis.gammas import GammaHistory, check_history, fates_of_gammas
from cen_cli.analysis.layers import LayerState, Mask, mean
from cen_cli.data.sample import Batch
from cen_cli.models.exchange import exchange_layers
from cen_cli.results import Attraction, AttractionRow, CalibrationBin

Floats = npt.NDArray[np.float64]
BINS = 10


def attraction_probability(ratio: npt.ArrayLike) -> Floats:
    """2 Phi(ratio) - 1 for ratio = lambda / |dL/dx'| >= 0 (S-Fig 4); 1 where the ratio is infinite."""
    return np.asarray(erf(np.asarray(ratio, dtype=np.float64) / np.sqrt(2)))


def gamma_gradients(
    model: nn.Module, task_loss: Callable[[Batch], Tensor], batches: Iterable[Batch]
) -> dict[str, npt.NDArray[np.float32]]:
    """The task loss's gradient with respect to every gamma: by layer, [batches, M, C].

    `task_loss` is what is minimised without the penalty on the gammas. The network is in training mode, so its running
    statistics move; it is not to be used for anything else afterwards. One row repeated where modalities share a gamma.
    """
    layers = exchange_layers(model)
    weights = [layer.norm.weight for layer in layers.values()]
    gradients_by_layer: list[list[npt.NDArray[np.float32]]] = []
    model.train()
    for batch in batches:
        gradients = torch.autograd.grad(task_loss(batch), weights, allow_unused=True, materialize_grads=True)
        gradients_by_layer.append([gradient.float().cpu().numpy() for gradient in gradients])
    rows = {name: layer.modalities for name, layer in layers.items()}
    stacked = [np.stack(values) for values in zip(*gradients_by_layer, strict=True)]
    return {
        name: np.broadcast_to(values, (len(values), rows[name], values.shape[2]))
        for name, values in zip(layers, stacked, strict=True)
    }


def attraction(
    gradients: dict[str, npt.NDArray[np.float32]],
    states: Sequence[LayerState],
    modalities: Sequence[str],
    sparsity: float,
    history: GammaHistory | None = None,
) -> Attraction:
    """Hold Theorem 1 against `gamma_gradients` of at least two batches, and against a run's history where there is one.

    Even batches predict, odd ones are observed. Raises ValueError for fewer than two batches or lambda = 0.
    """
    batches = len(next(iter(gradients.values())))
    if batches < 2 or sparsity <= 0:
        raise ValueError(f"{batches} batches, lambda = {sparsity}: needs two batches and a penalty")
    if history is not None:
        check_history(history, states)
    pressed = [
        _joined([_measured(m, state, gradients[state.name], sparsity, history) for state in states])
        for m in range(len(modalities))
    ]
    rows = tuple(_row(gammas, modality) for gammas, modality in zip(pressed, modalities, strict=True))
    return Attraction(sparsity, batches - batches // 2, rows, tuple(_bins(_joined(pressed))))


@dataclasses.dataclass(frozen=True)
class _Gammas:
    """Pressed gammas: n values each, `events` [batches, n]."""

    predicted: Floats
    events: Mask
    """|g| < lambda in the observed batches."""
    live: Mask
    """Those whose channel some stream reads, which have a gradient."""
    below: Mask
    fell: Mask
    stayed: Mask


def _measured(
    m: int,
    state: LayerState,
    gradients: npt.NDArray[np.float32],
    sparsity: float,
    history: GammaHistory | None,
) -> _Gammas:
    """Of one layer and modality."""
    pressed = state.pressed[m]
    times = state.pressed.sum(axis=0)[pressed] if state.shared_gamma else 1
    pull = sparsity * state.scale * times
    own = gradients[:, m, pressed].astype(np.float64)  # [batches, n]
    spread = np.sqrt(np.square(own[::2]).mean(axis=0))
    ratio = np.divide(pull, spread, out=np.full_like(spread, np.inf), where=spread > 0)
    fell = returned = np.zeros_like(state.pressed)
    if history is not None:
        fell, returned, _ = fates_of_gammas(history, state)
    return _Gammas(
        predicted=attraction_probability(ratio),
        events=np.abs(own[1::2]) < pull,
        live=state.read[m, pressed],
        below=state.below[m, pressed],
        fell=fell[m, pressed],
        stayed=(fell & ~returned)[m, pressed],
    )


def _joined(parts: Sequence[_Gammas]) -> _Gammas:
    names = [field.name for field in dataclasses.fields(_Gammas)]
    return _Gammas(**{name: np.concatenate([getattr(part, name) for part in parts], axis=-1) for name in names})


def _row(gammas: _Gammas, modality: str) -> AttractionRow:
    predicted, events = gammas.predicted[gammas.live], gammas.events[:, gammas.live]
    observed = mean(events)
    of_fallen = gammas.predicted[gammas.fell]
    return AttractionRow(
        modality=modality,
        gammas=len(predicted),
        predicted=mean(predicted),
        observed=observed,
        brier=mean(np.square(events - predicted)),
        brier_constant=mean(np.square(events - observed)),
        replaced=int((~gammas.live).sum()),
        fell=len(of_fallen),
        stayed=int(gammas.stayed.sum()),
        predicted_of_fallen=mean(of_fallen),
        brier_of_fallen=mean(np.square(gammas.stayed[gammas.fell] - of_fallen)),
    )


def _bins(gammas: _Gammas) -> list[CalibrationBin]:
    """Of gammas that have a gradient."""
    replaced_are_below = bool((gammas.below & ~gammas.live).any())
    edges = np.linspace(0, 1, BINS + 1)
    place = np.clip(np.digitize(gammas.predicted, edges) - 1, 0, BINS - 1)
    bins = []
    for number, (low, high) in enumerate(pairwise(edges.tolist())):
        inside = gammas.live & (place == number)
        if inside.any():
            predicted, observed, below = (
                mean(values[..., inside]) for values in (gammas.predicted, gammas.events, gammas.below)
            )
            below = math.nan if replaced_are_below else below
            bins.append(CalibrationBin(low, high, int(inside.sum()), predicted, observed, below))
    return bins
