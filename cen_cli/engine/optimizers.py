"""Optimisers over named parameter groups, and their state as tensors plus JSON (no pickle).

The model names its own groups (encoder, decoder, gamma, ensemble, gate where there are gates); every parameter is in
exactly one. `ensemble` and `gate` learn at the decoder's rate and are never decayed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from cen_cli.engine.schedules import Rate, Schedule

Kind = Literal["sgd", "adam", "adamw"]


def build_optimizer(
    groups: Mapping[str, Sequence[nn.Parameter]],
    *,
    kind: Kind,
    momentum: float,
    betas: tuple[float, float],
    weight_decay: Mapping[str, float],
) -> torch.optim.Optimizer:
    """SGD, Adam or AdamW over `groups`, each with its name; `set_rates` sets the rates before each step."""
    described = [
        {"params": list(parameters), "name": name, "weight_decay": weight_decay[name]}
        for name, parameters in groups.items()
        if parameters
    ]
    if kind == "sgd":
        return torch.optim.SGD(described, lr=0.0, momentum=momentum, fused=True)
    if kind == "adamw":
        return torch.optim.AdamW(described, lr=0.0, betas=betas, fused=True)
    return torch.optim.Adam(described, lr=0.0, betas=betas, fused=True)


def set_rates(optimizer: torch.optim.Optimizer, schedule: Schedule, base: Mapping[str, Rate], step: int) -> None:
    """Set every group's learning rate for optimiser step `step`; `base` is by group name."""
    for group in optimizer.param_groups:
        group["lr"] = schedule.rate(base[group["name"]], step)


def optimizer_state(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The optimiser's state: tensors named `optimizer.<parameter>.<entry>`, and a JSON document for the rest."""
    state = optimizer.state_dict()
    tensors, numbers = {}, {}
    for index, entries in state["state"].items():
        for name, value in entries.items():
            key = f"optimizer.{index}.{name}"
            if isinstance(value, Tensor):
                tensors[key] = value
            else:
                numbers[key] = value
    return tensors, {"numbers": numbers, "groups": [group["name"] for group in state["param_groups"]]}


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], document: Mapping[str, Any]
) -> None:
    """Put back what `optimizer_state` returned. Raises ValueError where the groups differ."""
    state = optimizer.state_dict()
    names = [group["name"] for group in state["param_groups"]]
    if names != document["groups"]:
        raise ValueError(f"the optimiser has groups {names}, the checkpoint {document['groups']}")
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    entries: dict[int, dict[str, Any]] = {}
    for key, value in [*tensors.items(), *document["numbers"].items()]:
        kind, index, name = key.split(".", maxsplit=2)
        if kind == "optimizer":
            parameter = parameters[int(index)]
            if isinstance(value, Tensor) and value.dim() and value.shape != parameter.shape:
                raise ValueError(f"{key} has shape {list(value.shape)}, its parameter {list(parameter.shape)}")
            entries.setdefault(int(index), {})[name] = _laid_out_like(value, parameter)
    optimizer.load_state_dict({"state": entries, "param_groups": state["param_groups"]})


def _laid_out_like(value: Any, parameter: nn.Parameter) -> Any:
    """Give a per-weight tensor its parameter's memory format (files hold contiguous ones), so steps stay the same."""
    if isinstance(value, Tensor) and value.shape == parameter.shape:
        return torch.empty_like(parameter, dtype=value.dtype).copy_(value)
    return value
