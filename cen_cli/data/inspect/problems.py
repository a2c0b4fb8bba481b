"""What looks wrong about a data set, in words: every function reads statistics and yields findings.

An error is what would stop training, or let it learn from something else than is meant; a warning is what may be meant.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator, Sequence

import numpy as np

from cen_cli.data.inspect.split_statistics import ModalityStatistics, SplitStatistics
from cen_cli.data.modality import ModalitySpec
from cen_cli.data.sample import LABELS
from cen_cli.errors import DataError, IncompleteError
from cen_cli.results import VOID
from cen_cli.results.datasets import Finding, Severity
from cen_cli.wording import listed

FEW_LEVELS = 256
"""Different values that 8 bits can tell apart."""
LARGE_ENOUGH = 64 * 64
"""Pixels of a picture of which the number of different values says something."""
NOTABLE, LARGE = 0.01, 0.5
"""Shares of pixels that are worth a warning, and an error."""
RARE = 0.1  # of an equal share of the pixels
PEAK = 0.05
"""Share of one value above which it may mean that nothing was measured."""
STEREO = ("disparity", "stereo")
"""Codings of a stereo camera."""
PLAUSIBLE_METRES = (0.05, 100.0)
ENOUGH_NEIGHBOURS = 8
CLEARLY_BETTER = 0.05
"""Difference of correlations from which on neighbours fit better than the views themselves."""


def of_split(part: SplitStatistics, multiple: int) -> Iterator[Finding]:
    """All findings of one split; `multiple`: what the sides of evaluated views must be multiples of."""
    yield from refused(part)
    of_files = mixed_types, turned, constant
    of_values = outside_range, few_levels, implausible_metres, invalid_pixels, undeclared_invalid
    for check in (*of_files, *of_values, shifted_names):
        for modality in part.modalities.values():
            yield from check(part, modality)
    yield from same_files(part)
    yield from labels(part)
    yield from sizes(part, multiple)


def not_built(split: str, error: DataError) -> Iterator[Finding]:
    """A split that cannot be opened at all: a folder, list or pattern without files, views without partners."""
    if not isinstance(error, IncompleteError):
        yield Finding("error", split, "", error.message, error.hint)
        return
    for name, views in error.lacking.items():
        text = f"{len(views)} of {error.views} views have no file of {name}: {listed(views)}"
        yield Finding("error", split, name, text, error.hint, tuple(views))


# --- files ------------------------------------------------------------------------------------------------------------


MOST_REASONS = 5
"""So many files that cannot be read are named, where each is broken in a way of its own."""


def refused(part: SplitStatistics) -> Iterator[Finding]:
    """Views that reading refuses, those that are refused for one reason together."""
    by_reason: dict[str, list[tuple[int, DataError]]] = {}
    for index, error in part.refused:
        by_reason.setdefault(error.hint or error.message.partition(": ")[2], []).append((index, error))
    for group in by_reason.values():
        views = part.views(index for index, _ in group)
        first = group[0][1]
        reasons = {error.message.partition(": ")[2]: error.message for _, error in group}
        named = f"the first: {first.message}" if len(reasons) == 1 else "; ".join(list(reasons.values())[:MOST_REASONS])
        text = first.message if len(group) == 1 else f"{len(group)} views cannot be read, {named}"
        yield Finding("error", part.split, "", text, first.hint, views)


def mixed_types(part: SplitStatistics, modality: ModalityStatistics) -> Iterator[Finding]:
    """Files of several types in one modality."""
    if len(modality.types) > 1:
        counted = ", ".join(f"{count} {name}" for name, count in modality.types.most_common())
        yield Finding("warning", part.split, modality.name, f"files of several types: {counted}")


def turned(part: SplitStatistics, modality: ModalityStatistics) -> Iterator[Finding]:
    """Files that are not stored upright; the other files of their views must show the same scene upright."""
    views = part.views(modality.turned)
    if views:
        text = f"{len(views)} files are turned or mirrored on reading, as their EXIF orientation says: {listed(views)}"
        hint = "do they lie on their labels then? Where not, remove the orientation from these files"
        yield Finding("warning", part.split, modality.name, text, hint, views)


def constant(part: SplitStatistics, modality: ModalityStatistics) -> Iterator[Finding]:
    """Modalities that have one value everywhere, always or in some views."""
    views, lows = part.views(modality.constant), modality.lows
    if views and len(views) == len(lows) and len({*lows}) == 1:
        text = f"every pixel of every file is {lows[0]:g}: nothing can be learned from it"
        yield Finding("error", part.split, modality.name, text)
    elif views:
        text = f"{len(views)} of {len(lows)} files have one value everywhere: {listed(views)}"
        yield Finding("warning", part.split, modality.name, text, views=views)


def same_files(part: SplitStatistics) -> Iterator[Finding]:
    """Two modalities with the same contents (but not read from the same file)."""
    pairs: dict[tuple[str, str], list[int]] = {}
    for index, digests in part.digests.items():
        paths = part.data.files(index)
        for first, second in itertools.combinations(digests, 2):
            if digests[first] == digests[second] and paths[first] != paths[second]:
                pairs.setdefault((first, second), []).append(index)
    for (first, second), indices in pairs.items():
        views = part.views(indices)
        whole = len(views) == len(part.indices)
        which = "in every view" if whole else f"in {len(views)} of {len(part.indices)} views: {listed(views)}"
        names = f"{part.modalities[first].name} and {part.modalities[second].name}"
        severity: Severity = "error" if whole else "warning"
        yield Finding(severity, part.split, "", f"{names} are identical files {which}", views=() if whole else views)


# --- values -----------------------------------------------------------------------------------------------------------


def outside_range(part: SplitStatistics, modality: ModalityStatistics) -> Iterator[Finding]:
    """Stored values beyond what the recipe or the data set expects, which reading cuts off."""
    spec = modality.spec
    share = modality.outside / modality.valid if modality.valid else 0.0
    if spec is None or share < NOTABLE:
        return
    scale = spec.encoding.scale if spec.encoding is not None else 1.0
    low, high = np.nanmin(modality.lows), np.nanmax(modality.highs)
    meant = f"{low / scale:g} to {high / scale:g} {spec.unit if spec.kind == 'depth' else ''}".rstrip()
    text = (
        f"{share:.0%} of the values lie outside {expectation(spec)} and are cut off: files hold {low:g} to {high:g}, "
        f"which means {meant}"
    )
    severity: Severity = "error" if share >= LARGE else "warning"
    yield Finding(severity, part.split, modality.name, text, "is the range right, and the scale?")


def few_levels(part: SplitStatistics, modality: ModalityStatistics) -> Iterator[Finding]:
    """16-bit files, or depth, that hold no more than 8 bits can tell apart; above all stretched ones."""
    spec, levels, files = modality.spec, modality.levels, len(modality.lows)
    if spec is None or spec.kind != "depth" or not levels or modality.pixels < LARGE_ENOUGH * files:
        return
    ends = set(zip(modality.lows, modality.highs, strict=True))
    if max(levels) > FEW_LEVELS:
        return
    if len(ends) == 1 and files > 1:
        ((low, high),) = ends
        text = (
            f"looks like 8-bit min-max: every file spans exactly {low:g} to {high:g} in at most {max(levels)} "
            "steps, so one value means another thing in every view"
        )
        hint = "files with the measured values themselves are better"
        yield Finding("warning", part.split, modality.name, text, hint)
    elif "uint8" not in modality.dtypes:
        text = f"at most {max(levels)} equal steps of depth in a file: 8-bit in origin, surfaces are terraced"
        yield Finding("warning", part.split, modality.name, text)


def implausible_metres(part: SplitStatistics, modality: ModalityStatistics) -> Iterator[Finding]:
    """Depth in metres whose middle is no distance of an indoor camera's view; a stereo camera may look far."""
    spec = modality.spec
    if spec is None or not modality.medians or spec.encoding is not None or spec.coding in STEREO:
        return
    middle = statistics.median(modality.medians)
    if not PLAUSIBLE_METRES[0] <= middle <= PLAUSIBLE_METRES[1]:
        text = f"the median is {middle:g} m: are these files in {spec.scale:g} steps a metre?"
        yield Finding("error", part.split, modality.name, text)


def invalid_pixels(part: SplitStatistics, modality: ModalityStatistics) -> Iterator[Finding]:
    """Views in which nothing was measured, and modalities in which much was not."""
    shares = modality.invalid
    word = "are void" if modality.spec is None else "are invalid"
    views = part.views(index for index, share in shares.items() if share == 1.0)
    if views and len(views) == len(shares):
        text = f"all pixels of all files {word}: nothing can be learned from it"
        yield Finding("error", part.split, modality.name, text)
        return
    if views:
        text = f"{len(views)} of {len(shares)} files have no pixel that counts, all {word}: {listed(views)}"
        yield Finding("warning", part.split, modality.name, text, views=views)
    if shares and statistics.fmean(shares.values()) > LARGE:
        text = f"{statistics.fmean(shares.values()):.0%} of the pixels {word}"
        yield Finding("warning", part.split, modality.name, text)


def undeclared_invalid(part: SplitStatistics, modality: ModalityStatistics) -> Iterator[Finding]:
    """Measurements with very many pixels of 0, or of the largest value, which the recipe takes for measured."""
    spec = modality.spec
    if spec is None or spec.kind != "depth" or spec.encoding is None or not modality.pixels:
        return
    largest = 255.0 if "uint8" in modality.dtypes else 65535.0
    for value, count in ((0.0, modality.zeros), (largest, modality.full)):
        share = count / modality.pixels
        if share > PEAK and value not in spec.encoding.invalid:
            text = f"{share:.0%} of the pixels are {value:g}: does that mean that nothing was measured?"
            hint = f"invalid = [{value:g}] in [data.folders.modalities.{modality.name}] would say so"
            yield Finding("warning", part.split, modality.name, text, hint)


# --- labels -----------------------------------------------------------------------------------------------------------


def labels(part: SplitStatistics) -> Iterator[Finding]:
    """Classes that are never shown, or that are nearly everything."""
    names = part.data.class_names
    counts = {label: count for label, count in part.labels.items() if label != VOID}
    if not names or not counts:
        return
    absent = [name for label, name in enumerate(names) if not counts.get(label)]
    if absent and absent[0] == names[0] and counts.get(len(names) - 1):
        text = (
            f"labels start at 1: class 0 ({names[0]!r}) is never shown, and the last one is; are they shifted by one?"
        )
        yield Finding("warning", part.split, LABELS, text)
    if absent:
        where = "never shown" if len(part.indices) == len(part.data) else "not shown in the views looked at"
        yield Finding("warning", part.split, LABELS, f"{len(absent)} of {len(names)} classes {where}: {listed(absent)}")
    known = sum(counts.values())
    rare = [name for label, name in enumerate(names) if 0 < counts.get(label, 0) < known * RARE / len(names)]
    if rare:
        text = f"{len(rare)} of {len(names)} classes have under a tenth of an equal share of the pixels: {listed(rare)}"
        remedy = 'loss.class_weights = "median" would let them count more' if part.split == "train" else None
        yield Finding("warning", part.split, LABELS, text, remedy)
    label, share = max(counts, key=counts.__getitem__), max(counts.values()) / known
    if share > 0.995 and len(names) > 1:
        yield Finding("warning", part.split, LABELS, f"{share:.1%} of the labelled pixels are {names[label]!r}")


# --- views ------------------------------------------------------------------------------------------------------------


def shifted_names(part: SplitStatistics, modality: ModalityStatistics) -> Iterator[Finding]:
    """A modality whose edges fit those of the neighbouring view better than those of its own."""
    fits = modality.fits
    if len(fits) < ENOUGH_NEIGHBOURS:
        return
    own, following, previous = (statistics.fmean(column) for column in zip(*fits, strict=True))
    column, shifted = (1, following) if following >= previous else (2, previous)
    differences = [fit[column] - fit[0] for fit in fits]
    noise = statistics.stdev(differences) / len(differences) ** 0.5
    if shifted - own > max(CLEARLY_BETTER, 4 * noise):
        direction = "next" if column == 1 else "previous"
        text = (
            f"file names shifted by one against {part.modalities[part.reference].name}: its edges fit those of the "
            f"{direction} view's {modality.name} (correlation {shifted:.2f}) better than those of its own ({own:.2f})"
        )
        yield Finding("error", part.split, modality.name, text, "files of one view must have the same number")


def sizes(part: SplitStatistics, multiple: int) -> Iterator[Finding]:
    """Views that cannot be evaluated, since their sides are no multiples of what the network takes."""
    odd = [f"{height} x {width}" for height, width in sorted(part.sizes) if height % multiple or width % multiple]
    if odd and part.split != "train":
        text = f"views of {listed(odd)}: the network takes multiples of {multiple}"
        yield Finding("error", part.split, "", text, "data.resize brings them to such a size")


def shared_views(parts: Sequence[SplitStatistics]) -> Iterator[Finding]:
    """Training views that are validated or tested on, by their files or by what these hold."""
    train = next((part for part in parts if part.split == "train"), None)
    for part in parts:
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


def _contents(part: SplitStatistics, index: int) -> tuple[str, ...]:
    digests = part.digests[index]
    return tuple(digests[spec.name] for spec in part.data.specs if spec.name in digests)


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
