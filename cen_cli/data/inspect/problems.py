"""What looks wrong about a data set, in words: every function reads measurements and yields what it finds.

An error is what would stop training, or let it learn from something else than is meant; a warning is what may be meant.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from cen_cli.data.inspect.statistics import Measured, Stored
from cen_cli.data.modality import ModalitySpec
from cen_cli.data.sample import LABELS
from cen_cli.errors import DataError, IncompleteError
from cen_cli.results import VOID
from cen_cli.results.findings import Finding, Severity
from cen_cli.wording import listed

FEW_LEVELS = 256
"""Different values that 8 bits can tell apart."""
LARGE_ENOUGH = 64 * 64
"""Pixels of a picture of which the number of different values says something."""
NOTABLE, LARGE = 0.01, 0.5
"""Shares of pixels that are worth a warning, and an error."""
PEAK = 0.05
"""Share of one value above which it may mean that nothing was measured."""
STEREO = ("disparity", "stereo")
"""Codings of a stereo camera."""
PLAUSIBLE_METRES = (0.05, 100.0)
ENOUGH_NEIGHBOURS = 8
CLEARLY_BETTER = 0.05
"""Difference of correlations from which on neighbours fit better than the views themselves."""

Suspicion = Callable[[Measured], Iterator[Finding]]


def not_built(split: str, error: DataError) -> Iterator[Finding]:
    """A split that cannot be opened at all: a folder, list or pattern without files, views without partners."""
    if not isinstance(error, IncompleteError):
        yield Finding("error", split, "", error.message, error.hint)
        return
    for name, views in error.lacking.items():
        text = f"{len(views)} of {error.views} views have no file of {name}: {listed(views)}"
        yield Finding("error", split, name, text, error.hint, tuple(views))


# --- files ------------------------------------------------------------------------------------------------------------


def refused(measured: Measured) -> Iterator[Finding]:
    """Views that reading refuses, those that are refused for one reason together."""
    by_reason: dict[str, list[tuple[int, DataError]]] = {}
    for index, error in measured.refused:
        by_reason.setdefault(error.hint or error.message.partition(": ")[2], []).append((index, error))
    for group in by_reason.values():
        views = measured.views(index for index, _ in group)
        first = group[0][1]
        text = first.message if len(group) == 1 else f"{len(group)} views cannot be read, the first: {first.message}"
        yield Finding("error", measured.split, "", text, first.hint, views)


def mixed_types(measured: Measured) -> Iterator[Finding]:
    """Files of several types in one modality."""
    for key, stored in measured.stored.items():
        if len(stored.types) > 1:
            counted = ", ".join(f"{count} {name}" for name, count in stored.types.most_common())
            yield _finding("warning", measured, key, f"files of several types: {counted}")


def turned(measured: Measured) -> Iterator[Finding]:
    """Files that are not stored upright; the other files of their views must show the same scene upright."""
    for key, indices in measured.turned.items():
        views = measured.views(indices)
        text = f"{len(views)} files are turned or mirrored on reading, as their EXIF orientation says: {listed(views)}"
        hint = "do they lie on their labels then? Where not, remove the orientation from these files"
        yield _finding("warning", measured, key, text, hint, views)


def constant(measured: Measured) -> Iterator[Finding]:
    """Modalities that have one value everywhere, always or in some views."""
    for key, indices in measured.constant.items():
        stored = measured.stored[key]
        if len(indices) == len(stored.lows) and len({*stored.lows}) == 1:
            text = f"every pixel of every file is {stored.lows[0]:g}: nothing can be learned from it"
            yield _finding("error", measured, key, text)
        else:
            views = measured.views(indices)
            text = f"{len(views)} of {len(stored.lows)} files have one value everywhere: {listed(views)}"
            yield _finding("warning", measured, key, text, views=views)


def same_files(measured: Measured) -> Iterator[Finding]:
    """Two modalities with the same contents (but not read from the same file)."""
    pairs: dict[tuple[str, str], list[int]] = {}
    for index, digests in measured.digests.items():
        paths = measured.data.files(index)
        keys = list(digests)
        for position, first in enumerate(keys):
            for second in keys[position + 1 :]:
                if digests[first] == digests[second] and paths[first] != paths[second]:
                    pairs.setdefault((first, second), []).append(index)
    for (first, second), indices in pairs.items():
        views = measured.views(indices)
        whole = len(views) == len(measured.indices)
        which = "in every view" if whole else f"in {len(views)} of {len(measured.indices)} views: {listed(views)}"
        text = f"{measured.shown(first)} and {measured.shown(second)} are identical files {which}"
        yield Finding("error" if whole else "warning", measured.split, "", text, views=() if whole else views)


# --- values -----------------------------------------------------------------------------------------------------------


def outside_range(measured: Measured) -> Iterator[Finding]:
    """Stored values beyond what the recipe or the data set expects, which reading cuts off."""
    for key, stored in measured.stored.items():
        spec = measured.spec(key)
        share = stored.outside / stored.measured if stored.measured else 0.0
        if spec is None or share < NOTABLE:
            continue
        severity: Severity = "error" if share >= LARGE else "warning"
        text = (
            f"{share:.0%} of the values lie outside {expectation(spec)} and are cut off: "
            f"files hold {_span(stored)}, {_meaning(stored, spec)}"
        )
        yield _finding(severity, measured, key, text, "is the range right, and the scale?")


def _meaning(stored: Stored, spec: ModalitySpec) -> str:
    scale = spec.encoding.scale if spec.encoding is not None else 1.0
    low, high = np.nanmin(stored.lows) / scale, np.nanmax(stored.highs) / scale
    return f"which means {low:g} to {high:g} {spec.unit if spec.kind == 'depth' else ''}".rstrip()


def few_levels(measured: Measured) -> Iterator[Finding]:
    """16-bit files, or depth, that hold no more than 8 bits can tell apart; above all stretched ones."""
    for key, stored in measured.stored.items():
        spec = measured.spec(key)
        pixels = stored.pixels / max(len(stored.lows), 1)
        if spec is None or spec.kind != "depth" or not stored.levels or pixels < LARGE_ENOUGH:
            continue
        if max(stored.levels) > FEW_LEVELS:
            continue
        ends = set(zip(stored.lows, stored.highs, strict=True))
        if len(ends) == 1 and len(stored.lows) > 1:
            text = (
                f"looks like 8-bit min-max: every file spans exactly {_span(stored)} in at most {max(stored.levels)} "
                "steps, so one value means another thing in every view"
            )
            yield _finding("warning", measured, key, text, "files with the measured values themselves are better")
        elif "uint8" not in stored.bits:
            text = f"at most {max(stored.levels)} different values in a file: 8-bit in origin, surfaces are terraced"
            yield _finding("warning", measured, key, text)


def implausible_metres(measured: Measured) -> Iterator[Finding]:
    """Depth in metres whose middle is no distance of an indoor camera's view; a stereo camera may look far."""
    for key, medians in measured.medians.items():
        spec = measured.spec(key)
        middle = statistics.median(medians)
        low, high = PLAUSIBLE_METRES
        stated = spec is None or spec.encoding is not None or spec.coding in STEREO
        if spec is not None and not stated and not low <= middle <= high:
            text = f"the median is {middle:g} m: are these files in {spec.scale:g} steps a metre?"
            yield _finding("error", measured, key, text)


def invalid_pixels(measured: Measured) -> Iterator[Finding]:
    """Views in which nothing was measured, and modalities in which much was not."""
    for key, shares in measured.invalid.items():
        word = "are void" if key == LABELS else "are invalid"
        whole = [index for index, share in shares.items() if share == 1.0]
        if len(whole) == len(shares):
            text = f"all pixels of all files {word}: nothing can be learned from it"
            yield _finding("error", measured, key, text)
            continue
        if whole:
            views = measured.views(whole)
            text = f"{len(views)} of {len(shares)} files have no pixel that counts, all {word}: {listed(views)}"
            yield _finding("warning", measured, key, text, views=views)
        mean = statistics.fmean(shares.values())
        if mean > LARGE:
            yield _finding("warning", measured, key, f"{mean:.0%} of the pixels {word}")


def undeclared_invalid(measured: Measured) -> Iterator[Finding]:
    """Measurements with very many pixels of 0, or of the largest value, which the recipe takes for measured."""
    for key, stored in measured.stored.items():
        spec = measured.spec(key)
        if spec is None or spec.kind != "depth" or spec.encoding is None or not stored.pixels:
            continue
        largest = 255.0 if "uint8" in stored.bits else 65535.0
        for value, count in ((0.0, stored.zeros), (largest, stored.full)):
            share = count / stored.pixels
            if share > PEAK and value not in spec.encoding.invalid:
                text = f"{share:.0%} of the pixels are {value:g}: does that mean that nothing was measured?"
                hint = f"invalid = [{value:g}] in [data.folders.modalities.{measured.shown(key)}] would say so"
                yield _finding("warning", measured, key, text, hint)


# --- labels -----------------------------------------------------------------------------------------------------------


def labels(measured: Measured) -> Iterator[Finding]:
    """Classes that are never shown, or that are nearly everything."""
    names = measured.data.class_names
    total = sum(count for label, count in measured.labels.items() if label != VOID)
    if not names or not total:
        return
    absent = [name for label, name in enumerate(names) if not measured.labels[label]]
    if absent and absent[0] == names[0] and measured.labels[len(names) - 1]:
        text = (
            f"labels start at 1: class 0 ({names[0]!r}) is never shown, and the last one is; are they shifted by one?"
        )
        yield _finding("warning", measured, LABELS, text)
    if absent:
        where = "never shown" if len(measured.indices) == len(measured.data) else "not shown in the views looked at"
        text = f"{len(absent)} of {len(names)} classes {where}: {listed(absent)}"
        yield _finding("warning", measured, LABELS, text)
    label, count = max(((label, count) for label, count in measured.labels.items() if label != VOID), key=_second)
    if count / total > 0.995 and len(names) > 1:
        yield _finding("warning", measured, LABELS, f"{count / total:.1%} of the labelled pixels are {names[label]!r}")


def _second(pair: tuple[int, int]) -> int:
    return pair[1]


# --- views ------------------------------------------------------------------------------------------------------------


def shifted_names(measured: Measured) -> Iterator[Finding]:
    """A modality whose edges fit those of the neighbouring view better than those of its own."""
    for key, fits in measured.fits.items():
        if len(fits) < ENOUGH_NEIGHBOURS:
            continue
        own, following, previous = (statistics.fmean(column) for column in zip(*fits, strict=True))
        column, shifted = (1, following) if following >= previous else (2, previous)
        differences = [fit[column] - fit[0] for fit in fits]
        noise = statistics.stdev(differences) / len(differences) ** 0.5
        if shifted - own > max(CLEARLY_BETTER, 4 * noise):
            reference = measured.shown(measured.reference)
            direction = "next" if column == 1 else "previous"
            text = (
                f"file names shifted by one against {reference}: its edges fit those of the {direction} view's "
                f"{measured.shown(key)} (correlation {shifted:.2f}) better than those of its own ({own:.2f})"
            )
            yield _finding("error", measured, key, text, "files of one view must have the same number")


def sizes(measured: Measured, multiple: int) -> Iterator[Finding]:
    """Views that cannot be evaluated, since their sides are no multiples of what the network takes."""
    sides = sorted(measured.sizes)
    odd = [f"{height} x {width}" for height, width in sides if height % multiple or width % multiple]
    if odd and measured.split != "train":
        text = f"views of {listed(odd)}: the network takes multiples of {multiple}"
        yield Finding("error", measured.split, "", text, "data.resize brings them to such a size")


def shared_views(measured: Sequence[Measured]) -> Iterator[Finding]:
    """Training views that are validated or tested on, by their files or by what these hold."""
    train = next((part for part in measured if part.split == "train"), None)
    for part in measured:
        if train is None or part is train:
            continue
        ours = {path for index in range(len(train.data)) for path in train.data.files(index).values()}
        common = [i for i in range(len(part.data)) if not ours.isdisjoint(part.data.files(i).values())]
        if common:
            text = f"train and {part.split} share {len(common)} of {len(part.data)} views"
            yield Finding("error", part.split, "", text, "scores on views that were learned say nothing")
            continue
        known = {_contents(train, index) for index in train.digests} - {()}
        copies = part.views(index for index in part.digests if _contents(part, index) in known)
        if copies:
            text = f"{len(copies)} views hold the same images as views of train: {listed(copies)}"
            yield Finding("warning", part.split, "", text, views=copies)


def _contents(measured: Measured, index: int) -> tuple[str, ...]:
    digests = measured.digests[index]
    return tuple(digests.get(spec.name, "") for spec in measured.data.specs if spec.name in digests)


# --- wording ----------------------------------------------------------------------------------------------------------


def expectation(spec: ModalitySpec | None, classes: int = 0, *, metres: bool = False) -> str:
    """What is expected of a modality's files, in a few words; `metres`: depth is stored as such."""
    if spec is None:
        return f"labels of {classes} classes"
    encoding = spec.encoding
    if encoding is not None:
        unit = f" {encoding.unit}" if encoding.unit and spec.kind == "depth" else ""
        steps = f", {encoding.scale:g} steps each" if encoding.scale != 1 else ""
        return f"{encoding.low:g} to {encoding.high:g}{unit}{steps}"
    if spec.derived:
        return f"{spec.derived} is computed"
    if spec.coding in STEREO:
        return "0, or 1 + 256 x disparity"
    if spec.kind == "depth" and metres:
        return "metres"
    if spec.kind == "depth":
        return f"{spec.scale:g} steps a metre" + (", bits rotated" if spec.coding == "rotated" else "")
    return f"0 to {spec.scale:g}"


def _span(stored: Stored) -> str:
    return f"{np.nanmin(stored.lows):g} to {np.nanmax(stored.highs):g}"


def _finding(
    severity: Severity,
    measured: Measured,
    key: str,
    text: str,
    hint: str | None = None,
    views: tuple[str, ...] = (),
) -> Finding:
    return Finding(severity, measured.split, measured.shown(key), text, hint, views)


OF_ONE_SPLIT: tuple[Suspicion, ...] = (
    refused,
    mixed_types,
    turned,
    constant,
    same_files,
    outside_range,
    few_levels,
    implausible_metres,
    invalid_pixels,
    undeclared_invalid,
    labels,
    shifted_names,
)
"""What is looked for in every split, in this order."""
