"""Which files are label maps, judged by their names and by what they hold, and which classes they show.

Names go before contents: what is called labels is never a modality, and a mask of what is valid is never labels.
"""

from __future__ import annotations

import numpy as np

from cen_cli.data.inspect.file_groups import DRAWN_WORDS, MEASUREMENT_WORDS, VALIDITY_WORDS, FileGroup
from cen_cli.data.inspect.file_statistics import FileStatistics
from cen_cli.results import VOID
from cen_cli.results.datasets import InferredLabels

MOST_CLASSES = 64
"""More different values or colours are no label map, unless its name says so."""
FLAT = 0.8
"""Share of equal neighbours from which on a map is flat as label maps are."""
CONSECUTIVE = 0.75
"""Share of the values between the lowest and the highest label from which on they are counted through."""
NEAR, MOST_NEAR = 32, 0.98
"""A lossy mask of 0 and 255 has this share of its pixels so near to them."""


def why_labels(group: FileGroup, stats: FileStatistics) -> str | None:
    """Why files look like label maps; None where they do not."""
    named, words = group.named_labels, group.words
    if not stats.files or set(stats.channels) - {1, 3} or words & VALIDITY_WORDS:
        return None
    if words & (MEASUREMENT_WORDS | DRAWN_WORDS) and not named:
        return None
    flat = float(np.mean(stats.flat)) >= FLAT
    if stats.lossy:
        return "lossy masks of 0 and 255, and the name" if named and _black_and_white(stats) else None
    if stats.floats and not (named and stats.whole == stats.files):
        return None
    if set(stats.channels) == {3}:
        few = 1 < len(stats.colours) <= MOST_CLASSES
        return f"{len(stats.colours)} different colours in flat areas" if few and flat else None
    levels = stats.levels
    if len(levels) > VOID + 1 or (len(levels) > MOST_CLASSES and not named and not flat):
        return None
    if set(stats.modes) == {"P"}:
        return f"palette images of {len(levels)} different values"
    if named or (flat and 1 < len(levels) <= MOST_CLASSES):
        return f"{len(levels)} different values{' in flat areas' if flat else ''}{', and the name' if named else ''}"
    return None


def why_not_labels(stats: FileStatistics) -> str:
    """Why files that are called label maps cannot be read as such."""
    if not stats.files:
        return stats.refused[0]
    if stats.lossy:
        return "they are lossy files of more than two values, which changes labels: store them as PNG"
    if stats.floats:
        if stats.low < 0:
            return (
                "they hold negative numbers: write the recipe's [data.folders.labels] yourself, with void = [-1] or so"
            )
        return "they hold floats that are no whole numbers"
    if set(stats.channels) == {3}:
        return f"they hold {len(stats.colours)} colours or more, not a few in flat areas: smoothed, or no label maps"
    if set(stats.channels) == {1}:
        return f"they hold {len(stats.levels)} different values, and at most {VOID} classes can be told apart"
    return f"files are {' and '.join(stats.mode_names)}"


def _black_and_white(stats: FileStatistics) -> bool:
    low, high = int(stats.counts[: NEAR + 1].sum()), int(stats.counts[VOID - NEAR : VOID + 1].sum())
    return set(stats.channels) == {1} and min(low, high) > 0 and low + high >= MOST_NEAR * int(stats.counts.sum())


def infer_labels(group: FileGroup, stats: FileStatistics, why: str) -> InferredLabels:
    """The classes of label maps; `stats` must be all of them."""
    color = set(stats.channels) == {3}
    if stats.lossy:
        half = VOID // 2 + 1
        counts = {0: int(stats.counts[:half].sum()), VOID: int(stats.counts[half:].sum())}
    else:
        counts = dict(stats.colours) if color else {int(value): int(stats.counts[value]) for value in stats.levels}
    total = sum(counts.values())
    evidence = [why]
    void = () if color or not _is_void(counts) else (VOID,)
    if void:
        evidence.append(f"255 ({counts[VOID] / total:.1%} of the pixels) is taken for void: it has no class")
    held = sorted(value for value in counts if value not in void)
    counted = not color and _counted(held) and held[-1] - held[0] < VOID
    values = list(range(held[0], held[-1] + 1)) if counted else held
    evidence += _remarks(values, counts, total, color=color, counted=counted)
    return InferredLabels(
        pattern=group.pattern,
        files=len(group.files),
        types=stats.mode_names,
        sizes=stats.sizes_by_frequency,
        color=color,
        classes=tuple(f"class_{number if color else value}" for number, value in enumerate(values)),
        first=held[0] if counted else 0,
        values=() if counted or color else tuple(values),
        colors=tuple((value >> 16, value >> 8 & 255, value & 255) for value in values) if color else (),
        shares=tuple(counts.get(value, 0) / total for value in values),
        evidence=tuple(evidence),
        tolerance=VOID // 2 if stats.lossy else 0,
    )


def _is_void(counts: dict[int, int]) -> bool:
    """Whether 255 stands apart from labels that are counted through; in a trimap of 0, 128 and 255 it does not."""
    others = [value for value in counts if value != VOID]
    return VOID in counts and len(others) > 1 and (_counted(sorted(others)) or len(others) > 2)


def _counted(values: list[int]) -> bool:
    return len(values) >= CONSECUTIVE * (values[-1] - values[0] + 1)


def _remarks(values: list[int], counts: dict[int, int], total: int, *, color: bool, counted: bool) -> list[str]:
    remarks = []
    absent = [str(value) for value in values if value not in counts]
    if absent:
        remarks.append(f"never shown: {', '.join(absent)}")
    if not color and values[0] == 1:
        remarks.append("labels start at 1")
    if 0 in counts and len(values) > 2:
        other = "set first = 1 and void = [0]" if counted else "take 0 out of values, set void = [0]"
        name, change = ("black", "give that colour in void_colors") if color else ("0", other)
        remarks.append(
            f"{name} ({counts[0] / total:.1%} of the pixels) is taken for a class; if it means that nobody labelled "
            f"these, {change}, and delete its class"
        )
    return remarks
