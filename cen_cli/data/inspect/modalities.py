"""What kind of modality a group of files is: photograph, image, normals or measurement.

Every conclusion comes with its evidence in words, since it may be wrong and is then to be corrected in the recipe.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from cen_cli.data.decoding import EIGHT_BIT, describe_mode
from cen_cli.data.inspect.file_groups import DEPTH_WORDS, DRAWN_WORDS, MEASUREMENT_WORDS, MODALITY_WORDS, FileGroup
from cen_cli.data.inspect.file_statistics import FileStatistics, file_statistics
from cen_cli.data.inspect.label_maps import MOST_CLASSES
from cen_cli.results import FULL_RANGE, RESERVED
from cen_cli.results.datasets import InferredModality, Meaning, Stored
from cen_cli.wording import listed

FAR, FAR_ABOVE = 5, 0.75
"""Steps that an invalid value is away from all others; the lowest of values, as a share of the highest, above which
their range does not begin at 0."""
SENTINELS = (999.0, 9999.0, 99999.0, 32767.0, 65504.0)
"""Numbers that stand for nothing measured, the largest of types among them."""
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
USUAL = 0.75
"""Share of the files of one type from which on the others are odd ones."""


def infer_modalities(
    group: FileGroup, stats: FileStatistics, paths: Sequence[Path], taken: Sequence[str]
) -> list[InferredModality | str]:
    """What a group is: one modality; two where a fourth band is one of its own; or why it cannot be read.

    `paths`: the files of which `stats` are. `taken`: names of other modalities.
    """
    name = _free_name(group, taken)
    if set(stats.channels) != {4}:
        return [_of_usual_types(name, group, stats, paths)]
    colours, fourth = (file_statistics(paths, bands=bands) for bands in ((1, 2, 3), (4,)))
    if len(stats.modes) == 1 and stats.types["uint8"] and len(fourth.levels) <= MOST_CLASSES:
        return [_of_usual_types(name, group, stats, paths)]
    if fourth.low == fourth.high:  # opaque
        return [_infer(name, group, colours, bands=(1, 2, 3))]
    return [
        _infer(name, group, colours, bands=(1, 2, 3)),
        _infer(f"{name}_4", group, fourth, bands=(4,)),
    ]


def _free_name(group: FileGroup, taken: Sequence[str]) -> str:
    """What only this modality's paths have: words that name modalities, else all of it."""
    name = re.sub(r"[^a-z0-9]+", "_", group.own.lower()).strip("_") or "image"
    name = f"{name}_image" if name in RESERVED else name
    known = dict.fromkeys(word for word in name.split("_") if word in MODALITY_WORDS)
    choices = ["_".join(known) or name, name, f"{name}_{Path(group.pattern).suffix[1:].lower()}"]
    choices += [f"{name}_{number}" for number in range(2, len(taken) + 3)]
    return next(choice for choice in choices if choice not in taken)


def _of_usual_types(
    name: str, group: FileGroup, stats: FileStatistics, paths: Sequence[Path]
) -> InferredModality | str:
    """What a group is, where files of other types are among the usual ones, too; or why it cannot be read."""
    modes = set(stats.modes)
    if "P" in modes and group.words & MEASUREMENT_WORDS:
        return "palette images draw a measurement in colours; store what was measured as 16-bit PNG or float TIFF"
    pictures = modes <= set(EIGHT_BIT)
    if not modes or modes in ({"L"}, {"RGB"}) or (len(modes) == 1 and not pictures):
        return _infer(name, group, stats)
    (usual, count), *odd = stats.modes.most_common()
    named = {kind: listed([path.name for path in stats.by_mode[kind]]) for kind, _ in odd}
    remarks = [f"{number} of {stats.files} are {describe_mode(kind)}: {named[kind]}" for kind, number in odd]
    if pictures:
        mode: Literal["L", "RGB"] = "L" if modes <= {"1", "L", "LA"} else "RGB"
        inferred = _infer(name, group, file_statistics(paths, convert=mode), convert=True)
        remarks.append(f"all are read as {describe_mode(mode)}")
    elif count >= USUAL * stats.files:
        inferred = _infer(name, group, file_statistics(stats.by_mode[usual]))
        remarks[-1] += ", which reading refuses: store them as the others, or leave them out"
    else:
        inferred = _infer(name, group, stats)
    if isinstance(inferred, str):
        return inferred
    meaning = dataclasses.replace(inferred.meaning, evidence=(*inferred.meaning.evidence, *remarks))
    return dataclasses.replace(inferred, types=stats.mode_names, meaning=meaning)


def _infer(
    name: str, group: FileGroup, stats: FileStatistics, *, bands: tuple[int, ...] = (), convert: bool = False
) -> InferredModality | str:
    """A group of which `stats` are the `bands` or what files were converted to; or why it cannot be read."""
    if not stats.files:
        return stats.refused[0]
    types = f"files are {' and '.join(stats.mode_names)}"
    stored, channels = _stored(stats, convert=convert), next(iter(stats.channels))
    if len(stats.channels) == 1 and channels not in (1, 3):
        return f"{types}; `bands` of a modality's table reads one or three of them"
    if stored is None or len(stats.channels) > 1:
        return f"{types}, which no modality can be"
    if not math.isfinite(stats.low):
        return "files hold nothing but NaN and infinity"
    if channels == 3:
        meaning = _three_channels(stats, stored, group.words)
    else:
        measured = _measurement(stats, stored, group.words)
        grey = Meaning("image", ("8-bit grey",))
        meaning = measured or (grey if stored == "uint8" else _full_scale(stats, stored))
    return InferredModality(
        name=name,
        pattern=group.pattern,
        files=len(group.files),
        types=stats.mode_names,
        sizes=stats.sizes_by_frequency,
        low=stats.low,
        high=stats.high,
        stored=stored,
        channels=channels,
        meaning=meaning,
        bands=bands,
        convert=convert,
    )


def _stored(stats: FileStatistics, *, convert: bool) -> Stored | None:
    names = set(stats.types)
    if not convert and set(stats.modes) & {"P", "1", "LA", "PA", "RGBA", "CMYK"}:
        return None
    if names <= {"uint16", "int32"} and stats.low >= 0 and stats.high <= 65535:
        return "uint16"
    if names <= {"int16", "uint16"} and stats.high <= 32767:  # some files without a negative value
        return "int16"
    kinds: tuple[Stored, ...] = ("uint8", "int16", "float32")
    return next((kind for kind in kinds if names == {kind}), None)


def _three_channels(stats: FileStatistics, stored: Stored, words: set[str]) -> Meaning:
    if stats.lengths and np.median(stats.lengths) < UNIT_LENGTH:
        ranges = {"uint16": (0.0, 65535.0), "float32": (-1.0 if stats.low < 0 else 0.0, 1.0)}
        error = np.median(stats.lengths)
        return Meaning("normals", (f"colours are vectors of length 1 (within {error:.3f})",), ranges.get(stored))
    if stored != "uint8":
        meaning = _full_scale(stats, stored)
        camera = stored == "uint16" and not words & DRAWN_WORDS
        return dataclasses.replace(meaning, kind="photograph") if camera else meaning
    if words & MEASUREMENT_WORDS:
        return Meaning("image", ("colours, in which a measurement is drawn: files with its values are better",))
    if words & DRAWN_WORDS:
        return Meaning("image", ("colours, which by the name no camera made",))
    return Meaning("photograph", ("8-bit colours" + (", JPEG" if stats.lossy else ""),))


def _full_scale(stats: FileStatistics, stored: Stored) -> Meaning:
    if stored in ("float32", "int16"):
        evidence = f"{' and '.join(stats.mode_names)} from {stats.low:g} to {stats.high:g}"
        return Meaning("image", (evidence,), _span(stats.low, stats.high, stored))
    if FAR_ABOVE * stats.high < stats.low < stats.high:  # raw values of a sensor, such as centikelvins
        evidence = f"16 bits from {stats.low:g} to {stats.high:g}, far from 0"
        return Meaning("image", (evidence,), _span(stats.low, stats.high, stored))
    top = next(top for top in TOPS if top >= stats.high)
    return Meaning("image", (f"16 bits, at most {stats.high:g}: a full scale of {top}",), (0.0, float(top)))


def _measurement(stats: FileStatistics, stored: Stored, words: set[str]) -> Meaning | None:
    """What a measurement means; None where the files do not look like one."""
    named = words & MEASUREMENT_WORDS
    signed = stored in ("float32", "int16")
    invalid, valid, evidence = _invalid_floats(stats) if signed else _invalid_numbers(stats, bool(named))
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
    return Meaning("measurement", tuple(evidence), _span(low, high, stored, scale or 1.0), scale, unit, invalid)


def _invalid_numbers(stats: FileStatistics, named: bool) -> tuple[tuple[float, ...], np.ndarray, list[str]]:
    """Peaks at 0 and at the largest value that stand apart from the rest; the values that remain; why."""
    largest = 255 if set(stats.types) == {"uint8"} else 65535
    total = int(stats.counts.sum())
    levels = stats.levels
    rest = levels[(levels != 0) & (levels != largest)]
    invalid: list[float] = []
    evidence: list[str] = []
    apart = {0: named or (rest.size > 0 and rest[0] > 0.02 * np.median(rest)), largest: rest.size > 0}
    apart[largest] = bool(apart[largest]) and rest[-1] < 0.95 * largest
    if rest.size > 2:
        apart[int(rest[-1])] = _is_far_above(float(rest[-1]), rest[:-1])
    for value, alone in apart.items():
        share = int(stats.counts[value]) / total
        if alone and share > 0.0005:
            invalid.append(float(value))
            evidence.append(f"{share:.1%} of the pixels are {value}, apart from all others: nothing was measured there")
    valid = levels[~np.isin(levels, invalid)]
    weights = np.ceil(stats.counts[valid] / max(1, total / 10000)).astype(int)
    return tuple(invalid), np.repeat(valid, weights), evidence


def _invalid_floats(stats: FileStatistics) -> tuple[tuple[float, ...], np.ndarray, list[str]]:
    """The same for floats: a lowest or highest value that is frequent and far from all others; NaN needs no saying.

    Far below is more than a fiftieth of the way to the median, and several of the steps in which the values are stored.
    """
    values = np.concatenate(stats.floats)
    finite = values[np.isfinite(values)]
    evidence = []
    if len(finite) < len(values):
        evidence.append(
            f"{1 - len(finite) / len(values):.1%} of the pixels are NaN or infinite: nothing was measured there"
        )
    invalid: tuple[float, ...] = ()
    for value in dict.fromkeys((finite.min(), 0.0, finite.max())) if finite.size else ():
        share, rest = float((finite == value).mean()), finite[finite != value]
        if share > 0.0005 and rest.size and (_is_far(value, rest) or _is_far_above(value, rest)):
            invalid += (float(value),)
            evidence.append(
                f"{share:.1%} of the pixels are {value:g}, apart from all others: nothing was measured there"
            )
            finite = rest
    return invalid, finite, evidence


def _is_far(value: float, rest: np.ndarray) -> bool:
    """Whether a value is far below all others."""
    steps = np.diff(np.unique(rest))
    step = np.median(steps) if steps.size else 0.0
    return bool(rest.min() - value > max(0.02 * (np.median(rest) - value), FAR * step))


def _is_far_above(value: float, rest: np.ndarray) -> bool:
    """Whether a value is ten times as large as all others, or one that means so and far above them."""
    if not rest.size or rest.min() == rest.max() or value - rest.max() <= rest.max() - rest.min():
        return False
    return bool(value in SENTINELS or value > 10 * np.abs(rest).max())


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
    return scale, "m", f"{scale:g} steps a metre is an estimate: the median would be {median / scale:.2f} m"


def _span(low: float, high: float, stored: Stored, scale: float = 1.0) -> tuple[float, float]:
    """A round range that holds both, within what files can hold."""
    lowest, highest = _round_span(low, high)
    least, most = (-math.inf, math.inf) if stored == "float32" else (limit / scale for limit in FULL_RANGE[stored])
    return max(lowest, least), min(highest, most)


def _round_span(low: float, high: float) -> tuple[float, float]:
    """Of any numbers; from 0 on, if nothing is below and not all far above it."""
    if FAR_ABOVE * high < low < high:
        step = 10.0 ** (math.floor(math.log10(high - low)) - 1)
        around = 0.1 * (high - low)  # files that were not opened may hold others
        ends = math.floor((low - around) / step) * step, math.ceil((high + around) / step) * step
        return float(f"{ends[0]:.6g}"), float(f"{ends[1]:.6g}")
    lowest, highest = min(0.0, -_rounded_up(-low)), _rounded_up(high)
    return lowest, highest if highest > lowest else lowest + 1


def _rounded_up(value: float) -> float:
    """The next round number above, with two digits; 0 for what is not above 0."""
    if value <= 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value * 1.02 / step) * step:.6g}")
