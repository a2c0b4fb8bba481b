"""Which files are label maps, judged by their names and by what they hold, and which classes they show.

Names go before contents: what is called labels is never a modality, and a mask of what is valid is never labels.
"""

from __future__ import annotations

import re

import numpy as np

from cen_cli.data.inspect.contents import Seen
from cen_cli.data.inspect.families import Family
from cen_cli.results.findings import InferredLabels

LABEL_WORDS = frozenset(
    (
        *("mask", "masks", "label", "labels", "gt", "gts", "seg", "segs", "segmentation", "semantic", "semantics"),
        *("annotation", "annotations", "anno", "annos", "annot", "groundtruth", "truth", "trimap", "trimaps"),
    )
)
DEPTH_WORDS = frozenset(("depth", "depths", "distance", "range"))
MEASURE_WORDS = DEPTH_WORDS | {"disparity", "disp", "height", "dsm", "dem", "dtm", "thermal", "lidar"}
PICTURE_WORDS = frozenset(
    ("normal", "normals", "hha", "flow", "edge", "edges", "shade", "shading", "reshading", "albedo", "texture")
)
"""Colours that no camera made."""
VALID_WORDS = frozenset(("valid", "validity", "invalid", "confidence", "conf", "certainty", "uncertainty", "occlusion"))
"""Maps of what may be believed of others."""

MOST_CLASSES = 64
"""More different values or colours are no label map, unless its name says so."""
FLAT = 0.8
"""Share of equal neighbours from which on a map is flat as label maps are."""
CONSECUTIVE = 0.75
"""Share of the values between the lowest and the highest label from which on they are counted through."""
VOID = 255
NEAR, MOST_NEAR = 32, 0.98
"""A lossy mask of 0 and 255 has this share of its pixels so near to them."""


def words_of(family: Family) -> set[str]:
    """The words of a pattern, in small letters; SegmentationClass has two."""
    text = re.sub(r"\{\w+\}|(?<=[a-z])(?=[A-Z])", " ", family.pattern)
    return set(re.split(r"[^a-z]+", text.lower()))


def named_labels(family: Family) -> bool:
    """Whether the name says label maps, and nothing that is measured or drawn."""
    words = words_of(family)
    return bool(words & LABEL_WORDS) and not words & (MEASURE_WORDS | PICTURE_WORDS | VALID_WORDS)


def why_labels(family: Family, seen: Seen) -> str | None:
    """Why files look like label maps; None where they do not."""
    named, words = named_labels(family), words_of(family)
    if not seen.files or set(seen.channels) - {1, 3} or words & VALID_WORDS:
        return None
    if words & (MEASURE_WORDS | PICTURE_WORDS) and not named:
        return None
    flat = float(np.mean(seen.flat)) >= FLAT
    if seen.lossy:
        return "lossy masks of 0 and 255, and the name" if named and _black_and_white(seen) else None
    if seen.floats and not (named and seen.whole == seen.files):
        return None
    if set(seen.channels) == {3}:
        few = 1 < len(seen.colours) <= MOST_CLASSES
        return f"{len(seen.colours)} different colours in flat areas" if few and flat else None
    levels = seen.levels()
    if len(levels) > VOID + 1 or (len(levels) > MOST_CLASSES and not named and not flat):
        return None
    if set(seen.modes) == {"P"}:
        return f"palette images of {len(levels)} different values"
    if named or (flat and 1 < len(levels) <= MOST_CLASSES):
        return f"{len(levels)} different values{' in flat areas' if flat else ''}{', and the name' if named else ''}"
    return None


def why_not_labels(seen: Seen) -> str:
    """Why files that are called label maps cannot be read as such."""
    if not seen.files:
        return seen.refused[0]
    if seen.lossy:
        return "they are lossy files of more than two values, which changes labels: store them as PNG"
    if seen.floats:
        return "they hold floats that are no whole numbers"
    if set(seen.channels) == {3}:
        return f"they hold {len(seen.colours)} colours or more, not a few in flat areas: smoothed, or no label maps"
    if set(seen.channels) == {1}:
        return f"they hold {len(seen.levels())} different values, and at most {VOID} classes can be told apart"
    return f"files are {' and '.join(seen.described())}"


def _black_and_white(seen: Seen) -> bool:
    low, high = int(seen.counts[: NEAR + 1].sum()), int(seen.counts[VOID - NEAR : VOID + 1].sum())
    return set(seen.channels) == {1} and min(low, high) > 0 and low + high >= MOST_NEAR * int(seen.counts.sum())


def guess_labels(family: Family, seen: Seen, why: str) -> InferredLabels:
    """The classes of label maps; `seen` must be all of them."""
    color = set(seen.channels) == {3}
    if seen.lossy:
        half = VOID // 2 + 1
        counts = {0: int(seen.counts[:half].sum()), VOID: int(seen.counts[half:].sum())}
    else:
        counts = dict(seen.colours) if color else {int(value): int(seen.counts[value]) for value in seen.levels()}
    total = sum(counts.values())
    evidence = [why]
    void = () if color or not _is_void(counts) else (VOID,)
    if void:
        evidence.append(f"255 ({counts[VOID] / total:.1%} of the pixels) is taken for void: it has no class")
    held = sorted(value for value in counts if value not in void)
    counted = not color and _counted(held)
    values = list(range(held[0], held[-1] + 1)) if counted else held
    evidence += _remarks(values, counts, total, color=color)
    return InferredLabels(
        pattern=family.pattern,
        files=len(family.files),
        types=seen.described(),
        sizes=tuple(size for size, _ in seen.sizes.most_common()),
        color=color,
        classes=tuple(f"class_{number if color else value}" for number, value in enumerate(values)),
        first=held[0] if counted else 0,
        values=() if counted or color else tuple(values),
        colors=tuple((value >> 16, value >> 8 & 255, value & 255) for value in values) if color else (),
        shares=tuple(counts.get(value, 0) / total for value in values),
        evidence=tuple(evidence),
        tolerance=VOID // 2 if seen.lossy else 0,
    )


def _is_void(counts: dict[int, int]) -> bool:
    """Whether 255 stands apart from labels that are counted through; in a trimap of 0, 128 and 255 it does not."""
    others = [value for value in counts if value != VOID]
    return VOID in counts and len(others) > 1 and (_counted(sorted(others)) or len(others) > 2)


def _counted(values: list[int]) -> bool:
    return len(values) >= CONSECUTIVE * (values[-1] - values[0] + 1)


def _remarks(values: list[int], counts: dict[int, int], total: int, *, color: bool) -> list[str]:
    remarks = []
    absent = [value for value in values if value not in counts]
    if absent:
        remarks.append(f"never shown: {', '.join(map(str, absent))}")
    if not color and values[0] == 1:
        remarks.append("labels start at 1")
    if 0 in counts and len(values) > 2:
        share = f"{counts[0] / total:.1%} of the pixels"
        change = "give that colour in void_colors" if color else "set first = 1 and void = [0]"
        name = "black" if color else "0"
        remarks.append(f"{name} ({share}) is taken for a class; if it means that nobody labelled these, {change}, and")
        remarks[-1] += " delete its class"
    return remarks
