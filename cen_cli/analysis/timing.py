"""Two ways to do the same, timed in turn, so that other load on the machine touches both."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

Work = Callable[[], object]

SHORT_SECONDS = 0.02
"""Work that is shorter is repeated within a round."""


def in_turn(first: Work, second: Work, device: torch.device, rounds: int) -> list[tuple[float, float]]:
    """Seconds of one call of each, for every round; both are warmed up first."""
    shortest = min(max(seconds(work, device), seconds(work, device)) for work in (first, second))
    repeats = max(1, round(SHORT_SECONDS / shortest))
    return [(seconds(first, device, repeats), seconds(second, device, repeats)) for _ in range(rounds)]


def seconds(work: Work, device: torch.device, repeats: int = 1) -> float:
    """Seconds of one call, averaged over `repeats`."""
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    if on_gpu:
        torch.cuda.synchronize(device)
    return (time.perf_counter() - start) / repeats
