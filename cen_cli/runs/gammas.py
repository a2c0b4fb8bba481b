"""Recording the scaling factors during training, for S-Fig 5 and for the share of replaced channels over time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cen_cli.errors import CheckpointError
from cen_cli.models.exchange import ChannelExchange
from cen_cli.runs.checkpoint import LEAVE_OUT, read_tensors, write_tensors

STEPS = "steps"
"""Name of the int64 tensor [records] in gammas.safetensors; every other tensor is a layer's [records, M, C]."""


MOST_RECORDS = 1000
"""Beyond these every second record is dropped, and from then on half as many are made."""
_SPACING = "spacing"


class GammaRecorder:
    """Keeps copies of every exchanging layer's gamma at chosen steps; they stay on the device until they are saved.

    So many records are kept that memory is bounded however long a run is. Which ones depends on steps alone, so a
    resumed run keeps those of one that was never stopped.
    """

    def __init__(self, layers: Mapping[str, ChannelExchange], modalities: Sequence[str]) -> None:
        self._layers = layers
        self._modalities = tuple(modalities)
        self._steps: list[int] = []
        self._records: dict[str, list[Tensor]] = {name: [] for name in layers}
        self._spacing = 1
        """Steps between records, of those that it is called for."""

    def record(self, step: int) -> None:
        """Remember all gammas as they are after `step` optimiser steps; not where records have become rarer."""
        if self._steps and (step - self._steps[0]) % self._spacing:
            return
        self._steps.append(step)
        for name, layer in self._layers.items():
            self._records[name].append(layer.gamma.detach().float().clone())
        if len(self._steps) > MOST_RECORDS:
            self._steps = self._steps[::2]
            self._records = {name: records[::2] for name, records in self._records.items()}
            self._spacing = self._steps[1] - self._steps[0]

    def now(self) -> dict[str, np.ndarray]:
        """The gammas as they are: float32 [C] by "layer/modality"."""
        return {
            f"{name}/{modality}": row
            for name, layer in self._layers.items()
            for modality, row in zip(self._modalities, layer.gamma.detach().float().cpu().numpy(), strict=True)
        }

    def save(self, path: Path) -> None:
        """Write all records: `steps` and one tensor [records, M, C] per layer. Raises SaveError."""
        if self._layers and self._steps:
            tensors = {name: torch.stack(records) for name, records in self._records.items()}
            steps = torch.tensor(self._steps, dtype=torch.int64)
            metadata = {"modalities": json.dumps(self._modalities), _SPACING: str(self._spacing)}
            write_tensors(path, {STEPS: steps, **tensors}, metadata)

    def restore(self, path: Path, last_step: int) -> None:
        """Take over the records up to and including `last_step` from a file that `save` wrote; drop later ones.

        Raises CheckpointError for a damaged file and for one of another network.
        """
        if not path.exists():
            return
        tensors, metadata = read_tensors(path, hint=LEAVE_OUT)
        for name, layer in self._layers.items():
            if STEPS not in tensors or name not in tensors or tensors[name].shape[1:] != layer.gamma.shape:
                raise CheckpointError(f"{path}: not the gammas of this network, of {name}", hint=LEAVE_OUT)
        self._spacing = int(metadata.get(_SPACING, 1))
        kept = int((tensors[STEPS] <= last_step).sum())
        self._steps = tensors[STEPS][:kept].tolist()
        kept_of = {name: tensors[name][:kept].to(layer.gamma.device) for name, layer in self._layers.items()}
        self._records = {name: list(records.unbind()) for name, records in kept_of.items()}


def smallest_pressed_gamma(layers: Mapping[str, ChannelExchange]) -> float | None:
    """The smallest |gamma| that the L1 penalty presses on; None where there is none."""
    pressed = [layer.gamma.detach().abs()[layer.pressed].min() for layer in layers.values() if layer.pressed.any()]
    return float(torch.stack(pressed).min()) if pressed else None
