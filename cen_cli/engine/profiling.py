"""What a training step costs and where: operations, memory, time, and the part of the network that takes it.

`cen train --dry-run` makes one step; `cen bench` makes rounds of them, of forwards in evaluation mode and of iterations
with loading, so that what other programs do touches all three. Nothing is written; what was trained is thrown away.

Time by part is read off `torch.profiler`. An operation belongs to the innermost part in whose forward it runs; one of
the backward to the part whose forward made its node (autograd gives both the same sequence number). On a CPU that is
the time of the operations themselves, and all that Python does between them. On a GPU it is the time of the kernels;
while it has nothing to do, it waits for data or, the rest, for the host.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile, record_function

from cen_cli.data.sample import Batch
from cen_cli.engine.task import NetworkTask
from cen_cli.models.cost import Work, flops, kept_bytes, macs, seconds, synchronize
from cen_cli.models.device import DTYPES, Precision, autocast
from cen_cli.models.exchange import ChannelExchange
from cen_cli.models.norms import ModalNorm
from cen_cli.results import Advance, Bench, DryRun, PartTime, Peak, Spread, TrainingPlan, unheard
from cen_cli.scoring.segmentation import evaluating

DATA, EXCHANGE, OPTIMISER, REST = "data", "exchange and norms", "optimiser", "loss and the rest"
OPTIMISER_STEP, BACKWARD = "Optimizer.step#", "autograd::engine::evaluate_function"
"""How the profiler's names begin for an optimiser's step and for a node of the backward."""
PEAK_SECONDS = 0.005
"""From this duration on a product or convolution is taken to be large enough for the machine's peak."""

os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # the profiler's remarks on stderr are for its authors


def profile_step(task: NetworkTask, batch: Batch, plan: TrainingPlan) -> DryRun:
    """Count what one forward computes and what one step keeps in memory, by making that step twice on `batch`."""
    trained = [parameter for network in _trained(task) for parameter in network.parameters()]
    averaged = task.kept.parameters() if task.kept is not task.model else ()
    activations = _activation_bytes(task, batch)
    losses: dict[str, float] = {}

    def step() -> None:
        losses.update({name: float(value) for name, value in task.step(batch, step=0).items()})

    step()
    while task.skipped:  # fp16 finds the scale of its loss first
        step()
    duration = seconds(lambda: task.step(batch, step=0), task.device)
    states = [entries for optimizer in task.optimizers.values() for entries in optimizer.state.values()]
    kept = [value for entries in states for value in entries.values() if isinstance(value, Tensor)]
    return DryRun(
        plan=plan,
        macs=_forward_macs(task, batch),
        parameter_bytes=sum(parameter.nbytes for parameter in [*trained, *averaged]),
        gradient_bytes=sum(parameter.nbytes for parameter in trained if parameter.requires_grad),
        activation_bytes=activations,
        optimizer_bytes=sum(tensor.nbytes for tensor in kept),
        losses=losses,
        step_seconds=duration,
    )


def seconds_per_step(task: NetworkTask, batches: Iterable[Batch]) -> float:
    """The shortest of a few training steps, made on these batches."""
    return min(_step_seconds(task, batch, 1) for batch in batches)


def profile_training(
    task: NetworkTask,
    batches: Iterator[Batch],
    plan: TrainingPlan,
    *,
    rounds: int,
    steps: int,
    by_part: bool = True,
    progress: Advance = unheard,
) -> Bench:
    """Measure a task on an endless stream of its training batches, over `rounds` of `steps` each.

    `by_part = False` leaves out where the time goes: the profiler cannot tell the parts of a compiled step apart.
    """
    device = task.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    batch = next(batches)
    dry = profile_step(task, batch, plan)
    with torch.compiler.set_stance("force_eager"):  # operations cannot be counted inside compiled code
        step_flops = flops(lambda: task.step(batch, step=0))
    task.step(batch, step=0)  # buffers of the first steps are there now, kernels chosen
    _forward(task, batch)
    training, inference, iterations = [], [], []
    for number in range(rounds):
        training.append(_step_seconds(task, batch, steps))
        with evaluating(task.model, task.precision):
            inference.append(seconds(lambda: _forward(task, batch), device, steps))
        if by_part:
            iterations.append(_seconds_by_part(task, batches, steps))
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
        parameters=sum(parameter.numel() for parameter in task.model.parameters()),
        step=Spread.over(training),
        inference=Spread.over(inference),
        parts=_spreads(iterations),
        macs=dry.macs,
        parameter_bytes=dry.parameter_bytes,
        gradient_bytes=dry.gradient_bytes,
        activation_bytes=dry.activation_bytes,
        optimizer_bytes=dry.optimizer_bytes,
        peak_bytes=_peak_bytes(device),
        step_flops=step_flops,
        peaks=machine_peaks(device, task.precision),
    )


def _step_seconds(task: NetworkTask, batch: Batch, steps: int) -> float:
    return seconds(lambda: task.step(batch, step=0), task.device, steps)


def _forward(task: NetworkTask, batch: Batch) -> None:
    with evaluating(task.model), autocast(task.device, task.precision):
        task.model(batch.to(task.device).inputs)


def _forward_macs(task: NetworkTask, batch: Batch) -> int:
    """Multiply-accumulates of the network on one crop, all modalities."""
    one = {name: image[:1] for name, image in batch.to(task.device).inputs.items()}
    with evaluating(task.model), autocast(task.device, "fp32"):
        return macs(lambda: task.model(one))


# ---- memory ----


def _activation_bytes(task: NetworkTask, batch: Batch) -> int:
    """Memory that the forward of one training step keeps for its backward."""
    part = next(iter(batch.to(task.device).parts(task.accumulate)))
    return kept_bytes(lambda: task.losses(part), (each for network in _trained(task) for each in network.parameters()))


def _trained(task: NetworkTask) -> list[nn.Module]:
    return [task.model, *task.auxiliaries.values()]


def _peak_bytes(device: torch.device) -> int | None:
    """The most that was allocated on a CUDA device, or held by this process; None where that is not known."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if device.type != "cpu" or sys.platform == "win32":
        return None
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


# ---- time by part ----


def _seconds_by_part(task: NetworkTask, batches: Iterator[Batch], steps: int) -> dict[str, float]:
    """Seconds by part of one iteration, loading included, a mean over `steps`; empty where the GPU tells no times."""
    on_gpu = task.device.type == "cuda"
    networks = {name: task.model.get_submodule(name) for name in ("encoder", "decoder")} | dict(task.auxiliaries)
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with _recorded(networks), profile(activities=activities) as profiler, record_function(REST):
        for _ in range(steps):
            with record_function(DATA):
                batch = next(batches)
            task.step(batch, step=0)
        synchronize(task.device)
    host, kernels = microseconds_by_part(profiler.events(), {DATA, EXCHANGE, REST, *networks})
    if on_gpu and kernels:
        idle = max(sum(host.values()) - sum(kernels.values()), 0)
        waiting = min(idle, host[DATA])
        kernels.update({DATA: waiting, REST: idle - waiting})
    found = kernels if on_gpu else host
    return {part: 1e-6 * time / steps for part, time in found.items()}


def microseconds_by_part(events: Iterable[Any], parts: set[str]) -> tuple[Counter[str], Counter[str]]:
    """Of the profiler's events: time on the host, of the thread that ran the forward, and time of kernels."""
    made_in: dict[int, str] = {}  # by a node's sequence number

    def part_of(event: Any) -> str:
        while event is not None:
            if event.name in parts:
                return event.name
            if event.name.startswith(OPTIMISER_STEP):
                return OPTIMISER
            if event.name.startswith(BACKWARD):
                return made_in.get(event.sequence_nr, REST)
            event = event.cpu_parent
        return REST

    host: Counter[str] = Counter()
    kernels: Counter[str] = Counter()
    of_host = [event for event in events if event.device_type == torch.autograd.DeviceType.CPU]
    thread = next((event.thread for event in of_host if event.name == REST), None)
    for event in sorted(of_host, key=lambda event: event.time_range.start):
        part = part_of(event)
        if event.sequence_nr >= 0:  # several may carry a node's number: the last to begin before its backward makes it
            made_in[event.sequence_nr] = part
        if event.thread == thread:
            host[part] += event.self_cpu_time_total
        if event.self_device_time_total:
            kernels[part] += event.self_device_time_total
    return host, kernels


@contextmanager
def _recorded(networks: Mapping[str, nn.Module]) -> Iterator[None]:
    """The profiler sees, inside, the forwards of these networks by their names, those of norms as `EXCHANGE`."""
    with ExitStack() as hooks:
        for name, network in networks.items():
            norms = [layer for layer in network.modules() if isinstance(layer, ChannelExchange | ModalNorm)]
            for part, module in [(name, network), *((EXCHANGE, norm) for norm in norms)]:
                for handle in _record(part, module):
                    hooks.enter_context(handle)
        yield


def _record(part: str, module: nn.Module) -> list[Any]:
    """Hooks that put a module's forward into a range of this name."""
    ranges: list[record_function] = []

    def begin(*_: object) -> None:
        ranges.append(record_function(part))
        ranges[-1].__enter__()

    def end(*_: object) -> None:
        ranges.pop().__exit__(None, None, None)

    return [module.register_forward_pre_hook(begin), module.register_forward_hook(end, always_call=True)]


def _spreads(iterations: list[dict[str, float]]) -> tuple[PartTime, ...]:
    """Seconds and shares of each part over the rounds, the largest first."""
    rows = []
    for part in dict.fromkeys(part for times in iterations for part in times):
        own = [times.get(part, 0.0) for times in iterations]
        shares = [value / sum(times.values()) for value, times in zip(own, iterations, strict=True)]
        rows.append(PartTime(part, Spread.over(own), Spread.over(shares)))
    return tuple(sorted(rows, key=lambda item: -item.share.median))


# ---- the machine's peak ----


def machine_peaks(device: torch.device, precision: Precision) -> tuple[Peak, ...]:
    """The most floating-point operations a second that a matrix product and a 3x3 convolution reach here."""
    kind = DTYPES[precision]
    side, channels = (1024, 128) if device.type == "cpu" else (4096, 256)
    square = torch.ones(side, side, device=device, dtype=kind)
    kernel = torch.ones(channels, channels, 3, 3, device=device, dtype=kind).to(memory_format=torch.channels_last)

    def product(size: int) -> Work:
        rows = torch.ones(side * size, side, device=device, dtype=kind)
        return lambda: rows @ square

    def convolution(size: int) -> Work:
        maps = torch.ones(size, channels, 64, 64, device=device, dtype=kind).to(memory_format=torch.channels_last)
        return lambda: F.conv2d(maps, kernel, padding=1)

    return (
        Peak("matrix product", _flops_per_second(product, device)),
        Peak("3x3 convolution", _flops_per_second(convolution, device)),
    )


@torch.no_grad()
def _flops_per_second(work_of: Callable[[int], Work], device: torch.device) -> float:
    """The best of several calls, over works that double until one takes `PEAK_SECONDS`."""
    size, best, duration = 1, 0.0, 0.0
    while duration < PEAK_SECONDS:
        work = work_of(size)
        operations = flops(work)
        duration = min(seconds(work, device) for _ in range(5))
        best = max(best, operations / duration)
        size *= 2
    return best
