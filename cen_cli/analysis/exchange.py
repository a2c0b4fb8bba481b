"""Which channels are replaced, how many, and by whom (P Eq. 6): of a network, and over the records of a run.

A replaced channel of one modality takes the mean of the same channel of all other modalities, so these are its donors;
or that of one of them, where donors are allotted (`exchange.donors = "groups"`). How much each of several gives is
measured by its |gamma| in that channel, which is the size of what its norm lets through (before its beta): |gamma| of
the donor / sum over the donors of |gamma|.

Shares of channels are of the pressed part unless said otherwise; with `exchange.replace = "anywhere"` channels outside
the pressed part are replaced too, and such a share can pass 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from torch import nn

from cen_cli.analysis.gammas import GammaHistory, check_history
from cen_cli.analysis.layers import Floats, LayerState, Mask, layer_states, mean, stage_of
from cen_cli.results import TOTAL, ExchangeRow, ReplacedAtStep, ReplacedCount


def exchange_rows(
    model: nn.Module, modalities: Sequence[str], by: Literal["layer", "stage"] = "layer"
) -> list[ExchangeRow]:
    """Replaced channels per layer (or stage) and modality, then one `total` row per modality."""
    return rows_of_states(layer_states(model), modalities, by)


def rows_of_states(
    states: Sequence[LayerState], modalities: Sequence[str], by: Literal["layer", "stage"] = "layer"
) -> list[ExchangeRow]:
    """Like `exchange_rows`, from the layers' states."""
    groups: dict[str, list[LayerState]] = {}
    for state in states:
        groups.setdefault(state.name if by == "layer" else stage_of(state.name), []).append(state)
    if groups:
        groups[TOTAL] = list(states)
    return [
        ExchangeRow(
            **vars(count),
            layer=name,
            donors=_donors(group, m, modalities),
            mixed=_mixed(group, m),
            gain=_gain(group, m),
        )
        for name, group in groups.items()
        for m, count in enumerate(_counts([_masks(state, state.gammas) for state in group], modalities))
    ]


def _mixed(states: Sequence[LayerState], m: int) -> float | None:
    """How much gates mix into the channels of modality m that may be replaced."""
    gated = [state.mixing[m, state.replaceable[m]] for state in states if state.mixing is not None]
    return mean(np.concatenate(gated)) if gated else None


def _gain(states: Sequence[LayerState], m: int) -> tuple[float, float] | None:
    """Mean gain of the replaced channels of modality m, and of those that may be and are kept."""
    chosen = [(state.gain[m], state.replaced[m], state.replaceable[m]) for state in states if state.gain is not None]
    if not chosen:
        return None
    parts = ([gain[now] for gain, now, _ in chosen], [gain[allowed & ~now] for gain, now, allowed in chosen])
    replaced, kept = (np.concatenate(part) for part in parts)
    return mean(replaced), mean(kept)


def _donors(states: Sequence[LayerState], m: int, modalities: Sequence[str]) -> dict[str, float]:
    """What each other modality gives to the replaced channels of modality m, by name."""
    parts = np.concatenate([_parts_of_layer(state, m) for state in states], axis=1)
    means = parts.mean(axis=1) if parts.shape[1] else np.full(len(modalities), np.nan)
    return {other: float(means[index]) for index, other in enumerate(modalities) if index != m}


def _parts_of_layer(state: LayerState, m: int) -> npt.NDArray[np.float64]:
    """Each donor's part of the K channels that are replaced in modality m, [M, K]; an allotted donor's is 1."""
    replaced = state.replaced[m]
    if state.donor is None:
        return _parts_of_donors(state.gammas[:, replaced], m)
    return np.equal.outer(np.arange(len(state.gammas)), state.donor[m, replaced]).astype(np.float64)


def _parts_of_donors(gammas: npt.NDArray[np.float32], m: int) -> npt.NDArray[np.float64]:
    """|gamma| of replaced channels, [M, K] -> each donor's part of the donors' sum, [M, K]; row m is 0.

    Where no donor has any, all give alike.
    """
    magnitudes = gammas.astype(np.float64)
    magnitudes[m] = 0
    dead = magnitudes.sum(axis=0) == 0
    magnitudes[:, dead] = 1
    magnitudes[m, dead] = 0
    return magnitudes / np.maximum(magnitudes.sum(axis=0), np.finfo(np.float64).tiny)


_Masks = tuple[Mask, Mask, Mask]
"""Bool [M, C] each: replaced, pressed, fallen."""


def _masks(state: LayerState, gammas: Floats) -> _Masks:
    """Of a layer that has these |gamma|."""
    return state.replaced_with(gammas), state.pressed, state.fallen_with(gammas)


def _counts(masks: Sequence[_Masks], modalities: Sequence[str]) -> tuple[ReplacedCount, ...]:
    """Sum the masks of several layers per modality."""
    replaced, pressed, fallen = np.sum([[mask.sum(axis=1) for mask in layer] for layer in masks], axis=0).tolist()
    channels = sum(layer[0].shape[1] for layer in masks)
    return tuple(
        ReplacedCount(modality, replaced[m], pressed[m], channels, fallen=fallen[m])
        for m, modality in enumerate(modalities)
    )


# --- over a run ---------------------------------------------------------------------------------------------------


def replaced_shares(history: GammaHistory, states: Sequence[LayerState]) -> npt.NDArray[np.float64]:
    """Replaced share of the pressed part in every record, layer and modality: [R, L, M], layers in network order."""
    check_history(history, states)
    shares = [
        state.replaced_with(np.abs(history.layers[state.name])).sum(axis=2)
        / np.maximum(state.pressed.sum(axis=1), 1)  # [R, M]
        for state in states
    ]
    return np.stack(shares, axis=1)


def replaced_at_steps(
    history: GammaHistory, states: Sequence[LayerState], records: int = 6, *, steps_per_epoch: int | None = None
) -> tuple[ReplacedAtStep, ...]:
    """Replaced channels of the whole network in a few records, evenly spaced from the first to the last."""
    check_history(history, states)
    chosen = np.unique(np.linspace(0, len(history.steps) - 1, records).round().astype(int)).tolist()
    gammas = [np.abs(history.layers[state.name]) for state in states]
    return tuple(
        ReplacedAtStep(
            step=int(history.steps[record]),
            replaced=_counts(
                [_masks(state, then[record]) for state, then in zip(states, gammas, strict=True)], history.modalities
            ),
            epoch=None if steps_per_epoch is None else int(history.steps[record]) / steps_per_epoch,
        )
        for record in chosen
    )
