"""What a piece of work costs: operations, memory and seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

Work = Callable[[], object]
Shape = list[int]

SHORT_SECONDS = 0.02
"""Work that is shorter is repeated within a round."""


def flops(work: Work) -> int:
    """Floating-point operations of the convolutions and matrix products in `work`, backwards included."""
    formulas = {torch.ops.aten.convolution_backward: _convolution_backward}
    counter = FlopCounterMode(display=False, custom_mapping=formulas)
    with sdpa_kernel(SDPBackend.MATH), counter:  # fused attention is not counted
        work()
    return int(counter.get_total_flops())


def macs(work: Work) -> int:
    """Multiply-accumulates of the convolutions and matrix products in `work` (half the floating-point operations)."""
    return flops(work) // 2


def _convolution_backward(output: Shape, x: Shape, weight: Shape, *others: Any, **_: object) -> int:
    """Operations of a convolution's gradients, from the shapes: each that is asked for costs what the forward costs.

    torch's own formula joins every channel of a grouped convolution with every other in the weights' gradient.
    """
    _bias, _stride, _padding, _dilation, transposed, _output_padding, _groups, gradients = others
    return conv_flop_count(x, weight, output, transposed) * sum(gradients[:2])


def kept_bytes(forward: Work, parameters: Iterable[Tensor]) -> int:
    """Memory that a forward keeps for its backward, each storage once, parameters apart; freed again on return."""
    sizes = {parameter.untyped_storage().data_ptr(): 0 for parameter in parameters}
    kept = []

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes.setdefault(storage.data_ptr(), storage.nbytes())
        kept.append(tensor.detach())  # so that no address is used again while counting
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(sizes.values())


def seconds(work: Work, device: torch.device, repeats: int = 1) -> float:
    """Seconds of one call, averaged over `repeats`, until the device has done what it was told."""
    synchronize(device)
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    synchronize(device)
    return (time.perf_counter() - start) / repeats


def in_turn(first: Work, second: Work, device: torch.device, rounds: int) -> list[tuple[float, float]]:
    """Seconds of one call of each, for every round, so that other load touches both; both are warmed up first."""
    shortest = min(max(seconds(work, device), seconds(work, device)) for work in (first, second))
    repeats = max(1, round(SHORT_SECONDS / shortest))
    return [(seconds(first, device, repeats), seconds(second, device, repeats)) for _ in range(rounds)]


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all that it was told; a CPU always has."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
