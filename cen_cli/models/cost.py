"""What a forward pass costs."""

from __future__ import annotations

from collections.abc import Callable

from torch.utils.flop_counter import FlopCounterMode


def macs(work: Callable[[], object]) -> int:
    """Multiply-accumulates of the convolutions and matrix products in `work` (half the floating-point operations)."""
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops()) // 2
