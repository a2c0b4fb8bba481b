"""Which part of a network the time of a training iteration goes to.

The clock is read where one part hands over to another: when a module's forward begins and ends, when the gradient of
its output is complete (its backward begins) and, for modules inside another, when that of its input is (it ends). So
forward and backward are told apart by part without looking into kernels, on every device alike; on an accelerator the
readings are events of its own stream, so that nothing waits for it. Whatever belongs to no watched module, the losses
above all, counts as `REST`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from cen_cli.models.exchange import ChannelExchange
from cen_cli.models.norms import ModalNorm

DATA, EXCHANGE, OPTIMISER, REST = "data", "exchange and norms", "optimiser", "loss and the rest"


class Watch:
    """Knows which part is at work, and what each has taken since `start`."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._marks: list[tuple[str, Any]] = []
        self.within: str | None = None
        """The part that the one at work lies in and gives back to, in the backward."""

    @property
    def part(self) -> str:
        """The part that is at work."""
        return self._marks[-1][0]

    def start(self, part: str) -> None:
        """Forget what was, and begin with this part."""
        self._marks.clear()
        self.switch(part)

    def switch(self, part: str, within: str | None = None) -> None:
        """From now on this part is at work."""
        self.within = within
        self._marks.append((part, _now(self._device)))

    def stop(self) -> dict[str, float]:
        """Seconds by part, in the order in which they began; waits for the device."""
        self.switch("")
        synchronize(self._device)
        times: dict[str, float] = {}
        for (part, begin), (_, end) in zip(self._marks, self._marks[1:], strict=False):
            times[part] = times.get(part, 0.0) + _between(begin, end)
        return times


@contextmanager
def watched(
    watch: Watch, networks: Mapping[str, nn.Module], optimizers: Mapping[str, torch.optim.Optimizer]
) -> Iterator[None]:
    """Tell the watch, inside, which of the networks (by the name of their part), norms and optimisers is at work."""
    hooks: list[Any] = []
    try:
        for part, network in networks.items():
            hooks += _hook(watch, network, part)
            for module in _exchanges_and_norms(network):
                hooks += _hook(watch, module, EXCHANGE, inside=True)
        for optimizer in optimizers.values():
            hooks.append(optimizer.register_step_pre_hook(lambda *_: watch.switch(OPTIMISER)))
            hooks.append(optimizer.register_step_post_hook(lambda *_: watch.switch(REST)))
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _exchanges_and_norms(network: nn.Module) -> list[nn.Module]:
    """The exchanging norms of a network, and its other norms."""
    exchanges = [module for module in network.modules() if isinstance(module, ChannelExchange)]
    within = {id(exchange.norm) for exchange in exchanges}
    norms = [module for module in network.modules() if isinstance(module, ModalNorm) and id(module) not in within]
    return [*exchanges, *norms]


def _hook(watch: Watch, module: nn.Module, part: str, *, inside: bool = False) -> list[Any]:
    """Switch to the part while the module works. `inside`: it hands back to the part around it in its backward too."""
    around: list[str] = []

    def begin(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        outer = watch.part
        around.append(outer)
        if inside:
            _when_there(inputs, lambda: watch.switch(outer) if watch.within == outer else None)
        watch.switch(part)

    def end(_: nn.Module, __: tuple[Any, ...], output: Any) -> None:
        outer = around.pop()
        if inside:
            _when_there(output, lambda: watch.switch(part, within=outer))
        else:  # where its last module lies inside it and is watched, that one is at work already
            _when_there(output, lambda: watch.switch(part) if watch.within != part else None)
        watch.switch(outer)

    return [module.register_forward_pre_hook(begin), module.register_forward_hook(end)]


def _when_there(tensors: Any, call: Callable[[], None]) -> None:
    """Call back, in the backward, once the gradient of one of these is complete and what made it is about to run.

    Of a pyramid of features that is the coarsest: what stands below it also leads to it, inside the same encoder. The
    hook is on the node that made the tensor, since one on a view is lost where a ReLU overwrites it.
    """
    called: list[bool] = []

    def first(_: Any) -> None:
        if not called:
            called.append(True)
            call()

    for tensor in _leaves(tensors):
        made = tensor if tensor._base is None else tensor._base
        if made.grad_fn is not None:
            made.grad_fn.register_prehook(first)


def _leaves(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _leaves(item)


# --- clocks -------------------------------------------------------------------------------------------------------


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all that it was told; a CPU always has."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _now(device: torch.device) -> Any:
    if device.type == "cpu":
        return time.perf_counter()
    event = torch.Event(device, enable_timing=True)
    event.record()
    return event


def _between(begin: Any, end: Any) -> float:
    """Seconds from one reading to a later one."""
    return float(end - begin) if isinstance(begin, float) else begin.elapsed_time(end) / 1000
