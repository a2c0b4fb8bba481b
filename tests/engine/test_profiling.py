"""Which part of a training step time is counted to, and what the machine's peak is."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile, record_function

from cen_cli.engine import profiling
from cen_cli.engine.profiling import (
    DATA,
    EXCHANGE,
    OPTIMISER,
    REST,
    _flops_per_second,
    _recorded,
    _seconds_by_part,
    microseconds_by_part,
)
from cen_cli.models.cost import flops
from cen_cli.models.exchange import ChannelExchange
from cen_cli.models.norms import ModalBatchNorm2d

LONG = 0.1


class Slow(torch.autograd.Function):
    """Its input, after a wait in the forward, the backward, or neither."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, forward: float, backward: float) -> Tensor:
        ctx.backward_seconds = backward
        time.sleep(forward)
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        time.sleep(ctx.backward_seconds)
        return gradient, None, None


class SlowNorm(ModalBatchNorm2d):
    waits = (0.0, 0.0)

    def forward(self, x: Tensor) -> Tensor:
        return Slow.apply(super().forward(x), *self.waits)


class Encoder(nn.Module):
    """Two features, of which the first leads to the second as well, behind a ReLU that overwrites."""

    waits = (0.0, 0.0)

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.exchange = ChannelExchange(SlowNorm(4, 2))
        self.second = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first = self.exchange(self.first(x)).relu_()
        return first, Slow.apply(self.second(first), *self.waits)


class Decoder(nn.Module):
    waits = (0.0, 0.0)

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 2, 1)

    def forward(self, features: tuple[Tensor, Tensor]) -> Tensor:
        return Slow.apply(self.conv(features[1] + features[0]), *self.waits)


class Task:
    """As much of a task as is profiled; `waits` are the loss's."""

    device = torch.device("cpu")
    waits = (0.0, 0.0)
    auxiliaries: dict[str, nn.Module]

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.auxiliaries = {}
        self.model = nn.ModuleDict({"encoder": Encoder(), "decoder": Decoder()})
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)

    def step(self, batch: Tensor, step: int) -> None:
        output = self.model["decoder"](self.model["encoder"](batch))
        Slow.apply(output.square().mean(), *self.waits).backward()
        self.optimizer.step()


@pytest.mark.parametrize("waits", [(LONG, 0.0), (0.0, LONG)], ids=["forward", "backward"])
@pytest.mark.parametrize("part", ["encoder", "decoder", EXCHANGE, REST])
def test_time_counts_to_the_part_that_takes_it(part: str, waits: tuple[float, float]) -> None:
    task = Task()
    task.step(torch.ones(4, 3, 5, 5), 0)  # what the first step alone takes
    encoder, decoder = task.model["encoder"], task.model["decoder"]
    slow = {"encoder": encoder, "decoder": decoder, EXCHANGE: encoder.exchange.norm, REST: task}[part]
    slow.waits = waits
    times = _seconds_by_part(task, iter([torch.ones(4, 3, 5, 5)] * 2), 2)
    assert times[part] > LONG
    assert max(times, key=lambda name: times[name]) == part


def test_waiting_for_data_and_the_optimiser_have_names_of_their_own() -> None:
    def batches() -> Any:
        time.sleep(LONG)
        yield torch.ones(4, 3, 5, 5)

    task = Task()
    task.optimizer.register_step_post_hook(lambda *_: time.sleep(LONG))
    times = _seconds_by_part(task, batches(), 1)
    assert times[DATA] > LONG
    assert times[OPTIMISER] > 0
    assert set(times) == {DATA, OPTIMISER, EXCHANGE, REST, "encoder", "decoder"}


def test_forwards_without_gradients_are_seen_and_nothing_is_left_behind() -> None:
    task = Task()
    networks = dict(task.model.items())
    cpu = [ProfilerActivity.CPU]
    with _recorded(networks), torch.no_grad(), profile(activities=cpu) as profiler, record_function(REST):
        task.model["encoder"](torch.ones(4, 3, 5, 5))
    host, _ = microseconds_by_part(profiler.events(), {REST, EXCHANGE, *networks})
    assert min(host["encoder"], host[EXCHANGE]) > 0
    assert all(not module._forward_pre_hooks and not module._forward_hooks for module in task.model.modules())


def event(name: str, start: int, *, parent: Any = None, sequence: int = -1, thread: int = 1, **times: float) -> Any:
    """As much of one of the profiler's events as is read."""
    return SimpleNamespace(
        name=name,
        time_range=SimpleNamespace(start=start),
        cpu_parent=parent,
        sequence_nr=sequence,
        thread=thread,
        device_type=torch.autograd.DeviceType.CPU,
        self_cpu_time_total=times.get("host", 0.0),
        self_device_time_total=times.get("kernels", 0.0),
    )


def test_kernels_of_a_backward_in_another_thread_count_to_the_part_that_made_its_node() -> None:
    around = event(REST, 0, host=5.0)
    data = event(DATA, 1, parent=around, host=40.0)
    encoder = event("encoder", 2, parent=around, host=2.0)
    convolution = event("aten::conv2d", 3, parent=encoder, sequence=7, host=1.0, kernels=10.0)
    backward = event(f"{profiling.BACKWARD}: ConvolutionBackward0", 4, sequence=7, thread=2, host=3.0)
    inner = event("aten::convolution_backward", 5, parent=backward, thread=2, kernels=20.0)
    optimiser = event("Optimizer.step#SGD.step", 6, parent=around, kernels=4.0)
    host, kernels = microseconds_by_part(
        [inner, backward, around, data, encoder, convolution, optimiser], {DATA, REST, EXCHANGE, "encoder"}
    )
    assert kernels == {"encoder": 30.0, OPTIMISER: 4.0}
    assert {part: time for part, time in host.items() if time} == {REST: 5.0, DATA: 40.0, "encoder": 3.0}


def test_operations_of_a_step_are_counted_forward_and_backward() -> None:
    task = Task()
    x = torch.ones(4, 3, 5, 5)
    first, second, last = (4 * 25 * size for size in (4 * 27, 4 * 36, 2 * 4))  # multiply-accumulates
    # Every convolution thrice (forward, by its weights, by its input), the first without the last.
    assert flops(lambda: task.step(x, 0)) == 2 * (2 * first + 3 * second + 3 * last)


@pytest.mark.parametrize("kind", [nn.Conv2d, nn.ConvTranspose2d])
def test_operations_of_a_depthwise_backward_are_not_those_of_a_dense_one(kind: type[nn.Module]) -> None:
    convolution = kind(8, 8, 3, stride=2, groups=8)
    x = torch.ones(2, 8, 9, 9, requires_grad=True)
    y = convolution(x)
    assert flops(lambda: y.sum().backward()) == 2 * flops(lambda: convolution(x)) > 0


def test_a_peak_is_that_of_works_large_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 1e9 operations a second behind 1 ms for every call."""
    monkeypatch.setattr(profiling, "seconds", lambda work, device: flops(work) / 1e9 + 1e-3)
    monkeypatch.setattr(profiling, "PEAK_SECONDS", 0.05)
    square = torch.ones(64, 64)
    rate = _flops_per_second(lambda size: lambda: torch.ones(64 * size, 64) @ square, torch.device("cpu"))
    assert rate == pytest.approx(1e9, rel=0.03)
