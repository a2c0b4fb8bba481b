"""A checkpoint -> what its network was trained to minimise: for analyses that look at gradients."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from torch import Tensor, nn

from cen_cli.builders.jobs import training_job
from cen_cli.builders.scoring import validated_without_distances
from cen_cli.data.sample import Batch
from cen_cli.errors import UsageError
from cen_cli.recipe.schema import Recipe
from cen_cli.results import Advance, unheard
from cen_cli.runs.checkpoint import TRAINING_FILE, load_auxiliaries, load_weights, read_tensors
from cen_cli.runs.directory import locate

PENALTY = "sparsity"
"""The loss term of the gammas' L1 penalty."""


@dataclasses.dataclass(frozen=True)
class TaskLoss:
    """A trained network, what it was trained to minimise without the penalty on its gammas, and training batches."""

    model: nn.Module
    loss: Callable[[Batch], Tensor]
    batches: Iterator[Batch]
    """On the device, augmented as in the first epoch."""


def task_loss_of(
    checkpoint: str | Path, recipe: Recipe, batches: int, *, device_name: str = "auto", progress: Advance = unheard
) -> TaskLoss:
    """The task of a checkpoint's recipe with its trained networks, and its first `batches` training batches.

    Raises what `training_job` raises, and UsageError where the discriminator that a generator was trained against is
    not beside the checkpoint, or the training split has fewer batches.
    """
    file = locate(checkpoint).model_file
    quick = validated_without_distances(recipe)
    job = training_job(quick, device_name=device_name, progress=progress, initial_weights="none")
    task = job.task
    if task.precision == "fp16":
        task.precision = "fp32"  # without a scaled loss gradients would vanish
    there = job.plan.steps_per_epoch
    if there < batches:
        raise UsageError(
            f"{batches} training batches are asked for; an epoch has {there}", hint="ask for fewer batches"
        )
    load_weights(task.model, read_tensors(file)[0], file)
    training_file = file.with_name(TRAINING_FILE)
    if task.auxiliaries and not training_file.is_file():
        raise UsageError(
            f"{file}: the {' and '.join(task.auxiliaries)} that it was trained against is in {TRAINING_FILE}, "
            "which is not beside it",
            hint="give the run directory or its checkpoint folder",
        )
    if task.auxiliaries:
        load_auxiliaries(task.auxiliaries, read_tensors(training_file)[0], training_file)

    def loss(batch: Batch) -> Tensor:
        terms = task.losses(batch)
        return terms["total"] - terms[PENALTY] if PENALTY in terms else terms["total"]

    return TaskLoss(task.model, loss, (batch.to(task.device) for batch in islice(job.batches(workers=0), batches)))
