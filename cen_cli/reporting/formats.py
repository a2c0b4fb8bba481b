"""Numbers as people read them: percentages, counts, durations, sizes. Pure functions of plain values."""

from __future__ import annotations

import math
from collections.abc import Sequence

ABSENT = "-"
"""Stands where there is no number (NaN or None)."""


def percent(share: float | None, digits: int = 2) -> str:
    """A share in [0, 1] as a percentage without its sign: 0.511 becomes `51.10`."""
    if share is None or not math.isfinite(share):
        return ABSENT
    return f"{100 * share:.{digits}f}"


def probability(value: float) -> str:
    """A p-value with three decimals; `< 0.001` for smaller ones."""
    if math.isnan(value):
        return ABSENT
    return "< 0.001" if value < 5e-4 else f"{value:.3f}"


def number(value: float | None) -> str:
    """A float with four significant digits, whatever its size."""
    if value is None or math.isnan(value):
        return ABSENT
    return f"{value:.4g}"


def count(value: int) -> str:
    """An integer with its thousands apart: 12,345."""
    return f"{value:,}"


def duration(seconds: float | None) -> str:
    """Seconds as h:mm:ss."""
    if seconds is None or not math.isfinite(seconds):
        return "-:--:--"
    whole = max(0, round(seconds))
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def size(byte_count: int) -> str:
    """Bytes in the largest binary unit that leaves at least 1: 1.5 GiB."""
    return _scaled(byte_count, 1024, (" B", " KiB", " MiB", " GiB", " TiB"))


def operations(value: int) -> str:
    """A count of operations in the largest decimal unit: 61.3 G."""
    return _scaled(value, 1000, ("", " k", " M", " G", " T"))


def _scaled(value: float, base: int, units: Sequence[str]) -> str:
    """A value in the largest of the units that leaves at least 1, with one decimal but in the first."""
    power = 0
    while value >= base and power < len(units) - 1:
        value, power = value / base, power + 1
    return f"{value:.{min(power, 1)}f}{units[power]}"


def short(value: float) -> str:
    """A small non-negative float in at most five characters: 0.034, 2e-05, 12.3."""
    if not math.isfinite(value):
        return ABSENT
    if value == 0 or 0.001 <= value < 10:
        return f"{value:.3f}"
    return f"{value:.1f}" if 10 <= value < 1000 else f"{value:.0e}"


def common_prefix(layers: Sequence[str]) -> str:
    """The first component of dotted layer names, where every one of them has it and something behind it; or nothing."""
    first = {name.partition(".")[0] for name in layers}
    return first.pop() if len(first) == 1 and all("." in name for name in layers) else ""


def short_names(layers: Sequence[str]) -> list[str]:
    """Layer names without their common first component."""
    prefix = common_prefix(layers)
    return [name.removeprefix(f"{prefix}.") for name in layers] if prefix else list(layers)
