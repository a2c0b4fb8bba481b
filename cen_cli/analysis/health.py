"""`cen_cli.health`: which parts of anyone's network live, by one batch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from cen_cli.data.sample import Batch
from cen_cli.models.health import watching
from cen_cli.results import Health

Inputs = Mapping[str, Tensor] | Tensor


def health(network: nn.Module, batch: Batch | Inputs, loss: Callable[[Any], Tensor] | None = None) -> Health:
    """Share of dead units, and the gradient that arrives, in every part of a network in training mode.

    Args:
        network: any network; one of `to_cen` and `cen_cli.load` is looked at by stream. It is copied and left as it is.
        batch: what it takes (one [B, C, H, W] per modality, or a stack), or a batch of our data sets.
        loss: what the network returns -> a scalar. Absent: the mean square of all that it returns, which tells what is
            connected, not what the task wants.

    Returns:
        for each part the share of dead units and of positive values, in [0, 1], of its worst layer, and the norm of the
        gradient that arrives.
    """
    opened = copy.deepcopy(network)
    opened.train()
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    inputs = batch.to(device).inputs if isinstance(batch, Batch) else batch
    with torch.enable_grad(), watching(opened) as watch:
        output = opened(inputs)
        value = loss(output) if loss is not None else torch.stack([x.square().mean() for x in _tensors(output)]).sum()
        value.backward()
    return watch.health()


def _tensors(output: Any) -> list[Tensor]:
    """All tensors with a gradient in what a network returns: a tensor, a mapping, a sequence, or these nested."""
    if isinstance(output, Tensor):
        return [output] if output.requires_grad else []
    inner = output.values() if isinstance(output, Mapping) else output if isinstance(output, list | tuple) else ()
    return [tensor for each in inner for tensor in _tensors(each)]
