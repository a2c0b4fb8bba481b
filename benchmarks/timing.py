"""Two variants of a workload timed in turn, and the table of their ratios."""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import asdict, dataclass

import torch

from cen_cli.engine.profiling import machine_peaks
from cen_cli.models.cost import Work, flops, in_turn

__all__ = ["Row", "Work", "measure", "show", "show_shares"]


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
    """Time both in turn, see `in_turn`."""
    pairs = in_turn(plain, ours, torch.device(options.device), options.rounds)
    ratios = [first / second for first, second in pairs]
    return Row(
        name=name,
        ratio=statistics.median(ratios),
        lowest=min(ratios),
        highest=max(ratios),
        plain_ms=1e3 * statistics.median(first for first, _ in pairs),
        ours_ms=1e3 * statistics.median(second for _, second in pairs),
    )


def show_shares(rows: list[Row], ours: list[Work], options: argparse.Namespace) -> None:
    """What our side of each row computes a second, convolutions and products, beside what these alone reach here."""
    peaks = machine_peaks(torch.device(options.device), options.precision)
    for row, work in zip(rows, ours, strict=True):
        reached = 1e3 * flops(work) / row.ours_ms
        if reached:  # an exchange alone has none, and of ONNX Runtime's nothing is known
            shares = ", ".join(f"{reached / peak.flops_per_second:.0%} of a {peak.work} alone" for peak in peaks)
            print(f"{row.name}: {reached / 1e9:.1f} GFLOP/s, {shares}")


def show(rows: list[Row], options: argparse.Namespace) -> None:
    """The table and, as the last line, everything as JSON."""
    print(f"{'workload':34} {'plain/ours':>10} {'range':>13} {'plain ms':>10} {'ours ms':>10}")
    for row in rows:
        spread = f"{row.lowest:.2f}-{row.highest:.2f}"
        print(f"{row.name:34} {row.ratio:10.2f} {spread:>13} {row.plain_ms:10.2f} {row.ours_ms:10.2f}")
    print(json.dumps({"torch": torch.__version__, "options": vars(options), "rows": [asdict(row) for row in rows]}))
