"""From what files hold to what they probably are: photograph, image, normals, measurement, or label maps.

Every conclusion comes with its evidence in words, since a guess may be wrong and is then to be corrected in the recipe.
"""

from __future__ import annotations

import math
import re

import numpy as np

from cen_cli.data.inspect.contents import Seen
from cen_cli.data.inspect.families import Family
from cen_cli.results.findings import LabelsGuess, Meaning, ModalityGuess, Stored

LABEL_WORDS = frozenset(
    ("mask", "masks", "label", "labels", "gt", "seg", "segmentation", "semantic", "annotation", "annotations", "anno")
)
DEPTH_WORDS = frozenset(("depth", "depths", "distance", "range"))
MEASURE_WORDS = DEPTH_WORDS | {"disparity", "disp", "height", "dsm", "dem", "dtm", "thermal", "lidar"}
PICTURE_WORDS = frozenset(
    ("normal", "normals", "hha", "flow", "edge", "edges", "shade", "shading", "reshading", "albedo", "texture")
)
"""Colours that no camera made."""

MOST_CLASSES = 64
"""More different values or colours are no label map, unless its name or its palette says so."""
FLAT = 0.8
"""Share of equal neighbours from which on a map is flat as label maps are."""
UNIT_LENGTH = 0.04
"""Distance from length 1, of the middle pixel, up to which colours are vectors of that length."""
TOPS = (255, 1023, 4095, 16383, 65535)
"""Full scales of sensors of 8, 10, 12, 14 and 16 bits."""
SCALES = (1000.0, 5000.0, 10000.0, 256.0, 512.0)
"""Steps a metre in which depth is stored; the first that gives a room's or a street's distances is taken."""
PLAUSIBLE = (0.3, 12.0)
CONSECUTIVE = 0.75
"""Share of the values between the lowest and the highest label from which on they are counted through."""
VOID = 255


def words_of(family: Family) -> set[str]:
    """The words of a pattern."""
    return set(re.split(r"[^a-z]+", re.sub(r"\{\w+\}", " ", family.pattern.lower())))


# --- label maps -------------------------------------------------------------------------------------------------------


def why_labels(family: Family, seen: Seen) -> str | None:
    """Why files look like label maps; None where they do not."""
    if seen.lossy or not seen.files or seen.floats or set(seen.channels) - {1, 3}:
        return None
    named = bool(words_of(family) & LABEL_WORDS)
    flat = float(np.mean(seen.flat)) >= FLAT
    if set(seen.channels) == {3}:
        few = 1 < len(seen.colours) <= MOST_CLASSES
        return f"{len(seen.colours)} different colours in flat areas" if few and flat else None
    levels = seen.levels()
    if len(levels) > VOID + 1:
        return None
    if set(seen.modes) == {"P"}:
        return f"palette images of {len(levels)} different values"
    if named or (flat and 1 < len(levels) <= MOST_CLASSES):
        return f"{len(levels)} different values{' in flat areas' if flat else ''}{', and the name' if named else ''}"
    return None


def guess_labels(family: Family, seen: Seen, why: str) -> LabelsGuess:
    """The classes of label maps; `seen` must be all of them."""
    color = set(seen.channels) == {3}
    counts = dict(seen.colours) if color else {int(value): int(seen.counts[value]) for value in seen.levels()}
    total = sum(counts.values())
    evidence = [why]
    void = () if color or VOID not in counts or len(counts) <= 2 else (VOID,)
    if void:
        evidence.append(f"255 ({counts[VOID] / total:.1%} of the pixels) is taken for void: it has no class")
    held = sorted(value for value in counts if value not in void)
    first, last = held[0], held[-1]
    counted = not color and len(held) >= CONSECUTIVE * (last - first + 1)
    values = list(range(first, last + 1)) if counted else held
    evidence += _remarks(values, counts, total, color=color)
    return LabelsGuess(
        pattern=family.pattern,
        files=len(family.files),
        types=seen.described(),
        sizes=tuple(size for size, _ in seen.sizes.most_common()),
        color=color,
        classes=tuple(f"class_{number if color else value}" for number, value in enumerate(values)),
        first=first if counted else 0,
        values=() if counted or color else tuple(values),
        colors=tuple((value >> 16, value >> 8 & 255, value & 255) for value in values) if color else (),
        shares=tuple(counts.get(value, 0) / total for value in values),
        evidence=tuple(evidence),
    )


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


# --- modalities -------------------------------------------------------------------------------------------------------


def guess_modality(name: str, family: Family, seen: Seen) -> ModalityGuess | str:
    """What a family is; or why it cannot be read, in words."""
    if not seen.files:
        return seen.refused[0]
    stored = _stored(seen)
    channels = next(iter(seen.channels))
    if stored is None or len(seen.channels) > 1 or channels not in (1, 3):
        return f"files are {' and '.join(seen.described())}, which no modality can be"
    if not math.isfinite(seen.low):
        return "files hold nothing but NaN and infinity"
    words = words_of(family)
    if channels == 3:
        meaning = _three_channels(seen, stored, words)
    else:
        meaning = _measurement(seen, stored, words) or _one_channel(seen, stored)
    return ModalityGuess(
        name=name,
        pattern=family.pattern,
        files=len(family.files),
        types=seen.described(),
        sizes=tuple(size for size, _ in seen.sizes.most_common()),
        low=seen.low,
        high=seen.high,
        stored=stored,
        channels=channels,
        meaning=meaning,
    )


def _stored(seen: Seen) -> Stored | None:
    if set(seen.modes) & {"P", "1", "LA", "RGBA", "PA", "CMYK"}:
        return None
    names = set(seen.types)
    if names <= {"uint16", "int32"} and seen.low >= 0 and seen.high <= 65535:
        return "uint16"
    if names == {"uint8"}:
        return "uint8"
    return "float32" if names == {"float32"} else None


def _three_channels(seen: Seen, stored: Stored, words: set[str]) -> Meaning:
    if stored != "uint8":
        return _full_scale(seen, stored)
    if seen.lengths and np.median(seen.lengths) < UNIT_LENGTH:
        error = np.median(seen.lengths)
        return Meaning("normals", (f"colours are vectors of length 1 (within {error:.3f})",))
    if words & PICTURE_WORDS:
        return Meaning("image", ("colours, which by the name no camera made",))
    return Meaning("photograph", ("8-bit colours" + (", JPEG" if seen.lossy else ""),))


def _one_channel(seen: Seen, stored: Stored) -> Meaning:
    return Meaning("image", ("8-bit grey",)) if stored == "uint8" else _full_scale(seen, stored)


def _full_scale(seen: Seen, stored: Stored) -> Meaning:
    if stored == "float32":
        evidence = f"32-bit floats from {seen.low:g} to {seen.high:g}"
        return Meaning("image", (evidence,), _span(seen.low, seen.high))
    top = next(top for top in TOPS if top >= seen.high)
    return Meaning("image", (f"16 bits, at most {seen.high:g}: a full scale of {top}",), (0.0, float(top)))


def _measurement(seen: Seen, stored: Stored, words: set[str]) -> Meaning | None:
    """What a measurement means; None where the files do not look like one."""
    named = words & MEASURE_WORDS
    invalid, valid, evidence = _invalid_floats(seen) if stored == "float32" else _invalid_numbers(seen, bool(named))
    if not valid.size or not (named or (stored != "uint8" and invalid) or stored == "float32"):
        return None
    if named:
        evidence.insert(0, f"{sorted(named)[0]!r} in its name")
    scale, unit = None, None
    if named & DEPTH_WORDS:
        scale, unit, remark = _scale(float(np.median(valid)), stored, invalid)
        evidence.append(remark)
    meant = valid / (scale or 1.0)
    low, high = float(meant.min()), float(meant.max())
    evidence.append(f"measured values from {low:g} to {high:g}{f' {unit}' if unit else ''}")
    return Meaning("measurement", tuple(evidence), _span(low, high), scale, unit, invalid)


def _invalid_numbers(seen: Seen, named: bool) -> tuple[tuple[float, ...], np.ndarray, list[str]]:
    """Peaks at 0 and at the largest value that stand apart from the rest; the values that remain; why."""
    largest = 255 if set(seen.types) == {"uint8"} else 65535
    total = int(seen.counts.sum())
    levels = seen.levels()
    rest = levels[(levels != 0) & (levels != largest)]
    invalid: list[float] = []
    evidence: list[str] = []
    apart = {0: named or (rest.size > 0 and rest[0] > 0.02 * np.median(rest)), largest: rest.size > 0}
    apart[largest] = bool(apart[largest]) and rest[-1] < 0.95 * largest
    for value, alone in apart.items():
        share = int(seen.counts[value]) / total
        if alone and share > 0.0005:
            invalid.append(float(value))
            evidence.append(f"{share:.1%} of the pixels are {value}, apart from all others: nothing was measured there")
    valid = np.array([level for level in levels if float(level) not in invalid])
    weights = seen.counts[valid] if valid.size else valid
    return tuple(invalid), np.repeat(valid, np.ceil(weights / max(1, total / 10000)).astype(int)), evidence


def _invalid_floats(seen: Seen) -> tuple[tuple[float, ...], np.ndarray, list[str]]:
    """The same for floats: a lowest value that is frequent and far from all others; NaN needs no saying."""
    values = np.concatenate(seen.floats)
    finite = values[np.isfinite(values)]
    evidence = []
    if len(finite) < len(values):
        evidence.append(
            f"{1 - len(finite) / len(values):.1%} of the pixels are NaN or infinite: nothing was measured there"
        )
    invalid: tuple[float, ...] = ()
    for value in dict.fromkeys((finite.min(), 0.0)) if finite.size else ():
        share, rest = float((finite == value).mean()), finite[finite != value]
        if share > 0.0005 and rest.size and rest.min() - value > 0.02 * (np.median(rest) - value):
            invalid += (float(value),)
            evidence.append(
                f"{share:.1%} of the pixels are {value:g}, apart from all others: nothing was measured there"
            )
            finite = rest
    return invalid, finite, evidence


def _scale(median: float, stored: Stored, invalid: tuple[float, ...]) -> tuple[float | None, str, str]:
    """Steps a metre of a depth, the unit, and how sure that is."""
    if stored == "float32":
        return None, "m", f"floats, taken for metres: the median is {median:g}"
    if stored == "uint8":
        return None, "", "8 bits of no known unit"
    order = (512.0, *SCALES) if 65535.0 in invalid and 0.0 not in invalid else SCALES
    low, high = PLAUSIBLE
    scale = next((scale for scale in order if low <= median / scale <= high), SCALES[0])
    return scale, "m", f"{scale:g} steps a metre is a guess: the median would be {median / scale:.2f} m"


def _span(low: float, high: float) -> tuple[float, float]:
    """A round range that holds both and, if nothing is below 0, begins there."""
    lowest, highest = min(0.0, -_rounded_up(-low)), _rounded_up(high)
    return lowest, highest if highest > lowest else lowest + 1


def _rounded_up(value: float) -> float:
    """The next round number above, with two digits; 0 for what is not above 0."""
    if value <= 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value * 1.02 / step) * step:.6g}")
