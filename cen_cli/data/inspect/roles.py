"""From what files hold to what a modality probably is: photograph, image, normals or measurement.

Every conclusion comes with its evidence in words, since a guess may be wrong and is then to be corrected in the recipe.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from cen_cli.data.inspect.contents import Seen
from cen_cli.data.inspect.families import Family
from cen_cli.data.inspect.labels import DEPTH_WORDS, MEASURE_WORDS, PICTURE_WORDS, words_of
from cen_cli.results.findings import InferredModality, Meaning, Stored

UNIT_LENGTH = 0.04
"""Distance from length 1, of the middle pixel, up to which colours are vectors of that length."""
TOPS = (255, 1023, 4095, 16383, 65535)
"""Full scales of sensors of 8, 10, 12, 14 and 16 bits."""
SCALES = (1000.0, 5000.0, 10000.0, 256.0, 512.0)
"""Steps a metre in which depth is stored; the first that gives a room's or a street's distances is taken."""
PLAUSIBLE = (0.3, 12.0)
ROTATED = 8000.0
"""Steps a metre of millimetres up to 8191 whose bits are rotated to the left by 3."""
FEW_LEVELS = 64
"""So few different values may be multiples of 8 by chance."""
TASKONOMY_WORDS = frozenset(("zbuffer", "euclidean"))
"""What Taskonomy calls its depths, of 512 steps a metre."""


def guess_modality(
    name: str, family: Family, seen: Seen, *, bands: tuple[int, ...] = (), convert: bool = False
) -> InferredModality | str:
    """What a family is, of which `seen` are the `bands` or what files were converted to; or why it cannot be read."""
    if not seen.files:
        return seen.refused[0]
    stored = _stored(seen, convert=convert)
    channels = next(iter(seen.channels))
    if len(seen.channels) == 1 and channels not in (1, 3):
        return f"files are {' and '.join(seen.described())}; `bands` of a modality's table reads one or three of them"
    if stored is None or len(seen.channels) > 1 or channels not in (1, 3):
        return f"files are {' and '.join(seen.described())}, which no modality can be"
    if not math.isfinite(seen.low):
        return "files hold nothing but NaN and infinity"
    words = words_of(family)
    if channels == 3:
        meaning = _three_channels(seen, stored, words)
    else:
        meaning = _measurement(seen, stored, words) or _one_channel(seen, stored)
    return InferredModality(
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
        bands=bands,
        convert=convert,
    )


def _stored(seen: Seen, *, convert: bool) -> Stored | None:
    names = set(seen.types)
    if not convert and set(seen.modes) & {"P", "1", "LA", "PA", "RGBA", "CMYK"}:
        return None
    if names == {"int16"}:
        return "int16"
    if names <= {"uint16", "int32"} and seen.low >= 0 and seen.high <= 65535:
        return "uint16"
    if names == {"uint8"}:
        return "uint8"
    return "float32" if names == {"float32"} else None


def _three_channels(seen: Seen, stored: Stored, words: set[str]) -> Meaning:
    if stored != "uint8":
        meaning = _full_scale(seen, stored)
        camera = stored == "uint16" and not words & PICTURE_WORDS
        return dataclasses.replace(meaning, kind="photograph") if camera else meaning
    if seen.lengths and np.median(seen.lengths) < UNIT_LENGTH:
        error = np.median(seen.lengths)
        return Meaning("normals", (f"colours are vectors of length 1 (within {error:.3f})",))
    if words & MEASURE_WORDS:
        return Meaning("image", ("colours, in which a measurement is drawn: files with its values are better",))
    if words & PICTURE_WORDS:
        return Meaning("image", ("colours, which by the name no camera made",))
    return Meaning("photograph", ("8-bit colours" + (", JPEG" if seen.lossy else ""),))


def _one_channel(seen: Seen, stored: Stored) -> Meaning:
    return Meaning("image", ("8-bit grey",)) if stored == "uint8" else _full_scale(seen, stored)


def _full_scale(seen: Seen, stored: Stored) -> Meaning:
    if stored in ("float32", "int16"):
        evidence = f"{' and '.join(seen.described())} from {seen.low:g} to {seen.high:g}"
        return Meaning("image", (evidence,), _span(seen.low, seen.high))
    top = next(top for top in TOPS if top >= seen.high)
    return Meaning("image", (f"16 bits, at most {seen.high:g}: a full scale of {top}",), (0.0, float(top)))


def _measurement(seen: Seen, stored: Stored, words: set[str]) -> Meaning | None:
    """What a measurement means; None where the files do not look like one."""
    named = words & MEASURE_WORDS
    signed = stored in ("float32", "int16")
    invalid, valid, evidence = _invalid_floats(seen) if signed else _invalid_numbers(seen, bool(named))
    if not valid.size or not (named or (stored != "uint8" and invalid) or signed):
        return None
    if named:
        evidence.insert(0, f"{sorted(named)[0]!r} in its name")
    scale, unit = None, None
    if named & DEPTH_WORDS:
        scale, unit, remark = _scale(valid, stored, words)
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


def _scale(valid: np.ndarray, stored: Stored, words: set[str]) -> tuple[float | None, str, str]:
    """Steps a metre of a depth, the unit, and how sure that is."""
    median = float(np.median(valid))
    if stored == "float32":
        return None, "m", f"floats, taken for metres: the median is {median:g}"
    if stored == "uint8":
        return None, "", "8 bits of no known unit"
    low, high = PLAUSIBLE
    if len(np.unique(valid)) > FEW_LEVELS and not (valid % 8).any() and low <= median / ROTATED <= high:
        remark = "every value is a multiple of 8, as in SUN RGB-D, where the bits of millimetres are rotated by 3: "
        return ROTATED, "m", f"{remark}8000 steps a metre, and the median would be {median / ROTATED:.2f} m"
    order = (512.0, *SCALES) if words & TASKONOMY_WORDS else SCALES
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
