"""What the scaling factors of a network, and their history over a run, say about exchange (P Eq. 4-6, S-Fig 5, 11, 12).

Only |gamma| counts: a scaling factor of -0.5 carries as much as one of 0.5. The own part of a modality is where the L1
penalty presses its gammas; with `exchange.region = "all"` that is every channel, and there is no outside.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import nn

from cen_cli.analysis.layers import LayerState, Mask, layer_states, mean
from cen_cli.errors import CheckpointError
from cen_cli.results import GammaRecovery, GammaRow
from cen_cli.runs.checkpoint import LEAVE_OUT, not_finite, read_tensors
from cen_cli.wording import listed

Steps = npt.NDArray[np.int64]
Record = npt.NDArray[np.float32]


def gamma_rows(model: nn.Module, modalities: Sequence[str]) -> list[GammaRow]:
    """The distribution of |gamma| per exchanging layer and modality, in network order."""
    return rows_of_layers(layer_states(model), modalities)


def rows_of_layers(states: Sequence[LayerState], modalities: Sequence[str]) -> list[GammaRow]:
    """The same of layers as they stood."""
    return [
        GammaRow(
            layer=state.name,
            modality=modality,
            channels=state.gammas.shape[1],
            quantiles=_quantiles(state.gammas[m]),
            below_inside=mean(state.below[m, state.pressed[m]]),
            below_outside=mean(state.below[m, ~state.pressed[m]]),
            overlap=mean(state.below[m] & (state.below.sum(axis=0) > 1)),  # here and in at least one other modality
        )
        for state in states
        for m, modality in enumerate(modalities)
    ]


def _quantiles(values: npt.NDArray[np.float32]) -> tuple[float, float, float, float, float]:
    low, first, median, third, high = np.quantile(values, (0, 0.25, 0.5, 0.75, 1)).tolist()
    return (low, first, median, third, high)


# --- history ------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class GammaHistory:
    """Gammas recorded during a run: R records of M modalities; the channels C differ between layers."""

    steps: Steps
    """Optimiser step of every record, [R]."""
    layers: dict[str, Record]
    """Signed gammas per exchanging layer, [R, M, C], by the layer's name."""
    modalities: tuple[str, ...]


def load_history(path: Path) -> GammaHistory:
    """Read a run's `gammas.safetensors`. Raises UsageError where it is missing, CheckpointError where it is damaged."""
    tensors, metadata = read_tensors(path, hint=LEAVE_OUT)
    try:
        modalities = tuple(json.loads(metadata["modalities"]))
        steps = tensors.pop("steps").numpy()
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{path}: holds no recorded gammas (no steps or no modalities)") from error
    expected = (len(steps), len(modalities))
    for name, tensor in tensors.items():
        if tensor.ndim != 3 or tuple(tensor.shape[:2]) != expected:
            wanted = f"[{expected[0]}, {expected[1]}, channels]"
            raise CheckpointError(f"{path}: {name} has shape {list(tensor.shape)} where {wanted} was expected")
    if odd := not_finite(tensors):
        raise CheckpointError(f"{path}: NaN or infinity in the gammas of {listed(odd)}", hint=LEAVE_OUT)
    return GammaHistory(steps, {name: tensor.numpy() for name, tensor in tensors.items()}, modalities)


def check_history(history: GammaHistory, states: Sequence[LayerState]) -> None:
    """Raise CheckpointError where the recorded layers are not those of the network."""
    recorded = {name: values.shape[1:] for name, values in history.layers.items()}
    present = {state.name: state.gammas.shape for state in states}
    if recorded != present:
        odd = sorted(name for name in recorded.keys() | present.keys() if recorded.get(name) != present.get(name))
        raise CheckpointError(
            f"the recorded gammas do not fit the checkpoint: {', '.join(odd[:3])} differ",
            hint="the run's gammas.safetensors and checkpoints come from different networks",
        )


def history_of_run(run: Path | None, states: Sequence[LayerState]) -> GammaHistory | None:
    """The history of the run that holds a checkpoint; None without a run, or where it recorded no gammas.

    Raises CheckpointError where the file is damaged or does not fit the network.
    """
    path = run / "gammas.safetensors" if run else None
    if path is None or not path.is_file():
        return None
    history = load_history(path)
    check_history(history, states)
    return history


def recoveries(history: GammaHistory, states: Sequence[LayerState]) -> tuple[GammaRecovery, ...]:
    """How many of the pressed gammas that once fell below the threshold ever came back, per modality (S-Fig 5)."""
    check_history(history, states)
    counts = np.zeros((len(history.modalities), 3), dtype=np.int64)
    for state in states:
        fates = np.stack(fates_of_gammas(history, state))  # [3, M, C]
        counts += (fates & state.pressed).sum(axis=2).T
    return tuple(
        GammaRecovery(modality, int(fell), int(returned), int(ended))
        for modality, (fell, returned, ended) in zip(history.modalities, counts, strict=True)
    )


def fates_of_gammas(history: GammaHistory, state: LayerState) -> tuple[Mask, Mask, Mask]:
    """Which gammas of a layer fell below the threshold; of these, which were above it in a later record, and which are
    in the last one: [M, C] each.
    """
    below = state.under(history.layers[state.name])  # [R, M, C]
    fallen_so_far = np.logical_or.accumulate(below, axis=0)
    fell = fallen_so_far[-1]
    return fell, np.logical_or.reduce(fallen_so_far & ~below), fell & ~below[-1]
