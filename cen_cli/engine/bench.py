"""`cen bench`: how long a training step and a forward take here, how much they hold, and where the time goes.

Each round takes a few training steps on a batch that is at hand, as many forwards in evaluation mode, and as many
iterations with loading, whose parts are watched (`engine.parts`). What other programs do meanwhile touches all three.
Nothing is written; the network that was trained is thrown away.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from cen_cli.data.sample import Batch
from cen_cli.engine.dryrun import MeasurableTask, measure_step
from cen_cli.engine.parts import DATA, REST, Watch, synchronize, watched
from cen_cli.models.device import autocast
from cen_cli.results import Bench, PartTime, Spread, TrainingPlan
from cen_cli.scoring.segmentation import evaluating

Progress = Callable[[int, int], None]
"""Called with (rounds done, rounds in all)."""


def bench(
    task: MeasurableTask,
    batches: Iterator[Batch],
    plan: TrainingPlan,
    *,
    rounds: int,
    steps: int,
    parts: bool = True,
    progress: Progress | None = None,
) -> Bench:
    """Measure a task on an endless stream of its training batches, over `rounds` of `steps` each.

    `parts = False` leaves out where the time goes: a compiled step cannot be looked into.
    """
    device = task.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    batch = next(batches)
    dry = measure_step(task, batch, plan)
    task.step(batch, step=0)  # buffers of the first steps are there now, kernels chosen
    _forward(task, batch)
    training, inference, iterations = [], [], []
    for number in range(rounds):
        training.append(_seconds(lambda: task.step(batch, step=0), device, steps))
        inference.append(_seconds(lambda: _forward(task, batch), device, steps))
        if parts:
            iterations.append(_iteration(task, batches, steps))
        if progress is not None:
            progress(number + 1, rounds)
    first = next(iter(batch.inputs.values()))
    return Bench(
        recipe=plan.name,
        task=plan.task,
        device=plan.device,
        precision=plan.precision,
        threads=torch.get_num_threads(),
        modalities=plan.modalities,
        batch=len(first),
        size=(first.shape[-2], first.shape[-1]),
        rounds=rounds,
        steps=steps,
        parameters=sum(plan.parameters.values()),
        step=Spread.over(training),
        inference=Spread.over(inference),
        parts=_by_part(iterations),
        macs=dry.macs,
        parameter_bytes=dry.parameter_bytes,
        activation_bytes=dry.activation_bytes,
        optimizer_bytes=dry.optimizer_bytes,
        peak_bytes=_peak_bytes(device),
    )


def _forward(task: MeasurableTask, batch: Batch) -> None:
    with evaluating(task.model), autocast(task.device, task.precision):
        task.model(batch.to(task.device).inputs)


def _seconds(work: Callable[[], Any], device: torch.device, repeats: int) -> float:
    """Seconds of one call, a mean over `repeats`."""
    synchronize(device)
    started = time.perf_counter()
    for _ in range(repeats):
        work()
    synchronize(device)
    return (time.perf_counter() - started) / repeats


def _iteration(task: MeasurableTask, batches: Iterator[Batch], steps: int) -> dict[str, float]:
    """Seconds by part of one iteration, loading included, a mean over `steps`."""
    watch = Watch(task.device)
    children = {name: task.model.get_submodule(name) for name in ("encoder", "decoder")}
    with watched(watch, {**children, **task.auxiliaries}, task.optimizers):
        watch.start(DATA)
        for _ in range(steps):
            watch.switch(DATA)
            batch = next(batches)
            watch.switch(REST)
            task.step(batch, step=0)
        times = watch.stop()
    return {part: seconds / steps for part, seconds in times.items()}


def _by_part(iterations: list[dict[str, float]]) -> tuple[PartTime, ...]:
    """Seconds and shares of each part over the rounds, the largest first."""
    names = dict.fromkeys(part for times in iterations for part in times)
    found = []
    for part in names:
        seconds = [times.get(part, 0.0) for times in iterations]
        shares = [own / sum(times.values()) for own, times in zip(seconds, iterations, strict=True)]
        found.append(PartTime(part, Spread.over(seconds), Spread.over(shares)))
    return tuple(sorted(found, key=lambda item: -item.share.median))


def _peak_bytes(device: torch.device) -> int | None:
    """The most that was allocated on a CUDA device, or held by this process; None where that is not known."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if device.type != "cpu" or sys.platform == "win32":
        return None
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
