"""Two variants of a workload timed in turn, and the table of their ratios."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch

SHORT_SECONDS = 0.02
Work = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """One workload: medians over the rounds."""

    name: str
    ratio: float
    lowest: float
    highest: float
    plain_ms: float
    ours_ms: float


def measure(name: str, plain: Work, ours: Work, options: argparse.Namespace) -> Row:
    """Warm up both, then time them in turn; short ones are repeated within a round."""
    shortest = min(max(timed(work, options), timed(work, options)) for work in (plain, ours))
    repeats = max(1, round(SHORT_SECONDS / shortest))
    pairs = [(timed(plain, options, repeats), timed(ours, options, repeats)) for _ in range(options.rounds)]
    ratios = [first / second for first, second in pairs]
    return Row(
        name=name,
        ratio=statistics.median(ratios),
        lowest=min(ratios),
        highest=max(ratios),
        plain_ms=1e3 * statistics.median(first for first, _ in pairs),
        ours_ms=1e3 * statistics.median(second for _, second in pairs),
    )


def timed(work: Work, options: argparse.Namespace, repeats: int = 1) -> float:
    """Seconds of one call, averaged over `repeats`."""
    on_gpu = torch.device(options.device).type == "cuda"
    if on_gpu:
        torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    if on_gpu:
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / repeats


def show(rows: list[Row], options: argparse.Namespace) -> None:
    """The table and, as the last line, everything as JSON."""
    print(f"{'workload':34} {'plain/ours':>10} {'range':>13} {'plain ms':>10} {'ours ms':>10}")
    for row in rows:
        spread = f"{row.lowest:.2f}-{row.highest:.2f}"
        print(f"{row.name:34} {row.ratio:10.2f} {spread:>13} {row.plain_ms:10.2f} {row.ours_ms:10.2f}")
    print(json.dumps({"torch": torch.__version__, "options": vars(options), "rows": [asdict(row) for row in rows]}))
