"""`cen train --dry-run`: one real training step, measured; nothing is written."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Protocol

import torch
from torch import Tensor, nn

from cen_cli.data.sample import Batch
from cen_cli.engine.fit import TrainingTask
from cen_cli.engine.parts import synchronize
from cen_cli.models.cost import macs
from cen_cli.models.device import Precision, autocast
from cen_cli.results import DryRun, TrainingPlan
from cen_cli.scoring.segmentation import evaluating


class MeasurableTask(TrainingTask, Protocol):
    """A task whose forward can be looked at alone."""

    device: torch.device
    precision: Precision

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The terms that the network's own update minimises, with their graph; `batch` is on the device."""


def measure_step(task: MeasurableTask, batch: Batch, plan: TrainingPlan) -> DryRun:
    """Count what one forward computes and what one step keeps in memory, by making that step on `batch`."""
    networks = [task.model, *task.auxiliaries.values()]
    activations = _activation_bytes(task, batch)
    started = time.perf_counter()
    terms = task.step(batch, step=0)
    losses = {name: float(value) for name, value in terms.items()}
    seconds = time.perf_counter() - started
    states = [entries for optimizer in task.optimizers.values() for entries in optimizer.state.values()]
    kept = [value for entries in states for value in entries.values() if isinstance(value, Tensor)]
    return DryRun(
        plan=plan,
        macs=_forward_macs(task, batch),
        parameter_bytes=sum(_bytes(parameter) for network in networks for parameter in network.parameters()),
        activation_bytes=activations,
        optimizer_bytes=sum(_bytes(tensor) for tensor in kept),
        losses=losses,
        step_seconds=seconds,
    )


def seconds_per_step(task: MeasurableTask, batches: Iterable[Batch]) -> float:
    """The shortest of a few training steps, made on these batches."""
    seconds = []
    for batch in batches:
        synchronize(task.device)
        started = time.perf_counter()
        task.step(batch, step=0)
        synchronize(task.device)
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def _activation_bytes(task: MeasurableTask, batch: Batch) -> int:
    """Memory that the forward of one training step keeps for its backward; freed again on return."""
    saved = _SavedBytes(task.model)
    with torch.autograd.graph.saved_tensors_hooks(saved.pack, lambda tensor: tensor):
        task.losses(batch.to(task.device))
    return saved.total


class _SavedBytes:
    """Adds up the memory that a forward keeps for its backward; parameters are counted elsewhere."""

    def __init__(self, model: nn.Module) -> None:
        self._seen = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        self._kept: list[Tensor] = []
        self.total = 0

    def pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._seen:
            self._seen.add(storage.data_ptr())
            self._kept.append(tensor.detach())  # keeps the address from being used again while counting
            self.total += storage.nbytes()
        return tensor


def _forward_macs(task: MeasurableTask, batch: Batch) -> int:
    """Multiply-accumulates of the network on one crop, all modalities."""
    one = {name: image[:1] for name, image in batch.to(task.device).inputs.items()}
    with evaluating(task.model), autocast(task.device, "fp32"):
        return macs(lambda: task.model(one))


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
