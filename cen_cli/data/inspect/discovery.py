"""Looks at a folder that nobody prepared and says what its files seem to be: `cen data init`."""

from __future__ import annotations

import dataclasses
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from cen_cli.data.decoding import EIGHT_BIT, SUFFIXES, decode, describe_mode, take_bands
from cen_cli.data.inspect.contents import Seen, look
from cen_cli.data.inspect.families import MODALITY_WORDS, Family, families
from cen_cli.data.inspect.labels import (
    MEASURE_WORDS,
    MOST_CLASSES,
    VALID_WORDS,
    guess_labels,
    named_labels,
    why_labels,
    why_not_labels,
    words_of,
)
from cen_cli.data.inspect.roles import guess_modality
from cen_cli.data.listing import describe_folder
from cen_cli.data.patterns import Pattern, ViewKey, find_together, padded_alike
from cen_cli.errors import DataError
from cen_cli.results import SPLITS
from cen_cli.results.findings import InferredDataset, InferredLabels, InferredModality
from cen_cli.wording import listed

UNREAD = {
    **dict.fromkeys((".npz", ".h5", ".hdf5", ".mat", ".pfm", ".exr"), "store each array as .npy or .tif"),
    **dict.fromkeys((".nii", ".nii.gz", ".dcm", ".mha"), "store each slice as .npy or .tif"),
    **dict.fromkeys((".jp2", ".j2k", ".jxl", ".heic", ".avif", ".gif", ".ppm", ".pgm", ".tga"), "store them as PNG"),
    **dict.fromkeys((".dng", ".nef", ".cr2", ".arw", ".raw", ".bin"), "store them as 16-bit PNG or TIFF"),
    **dict.fromkeys((".mp4", ".avi", ".mov", ".mkv", ".bag", ".svo"), "store each frame as an image"),
}
"""Suffixes of files that hold pictures and are not read, and what to do."""
LOOKED_AT = 24
"""Files of each modality that are opened."""
MOST_NAMED = 3
USUAL = 0.75
"""Share of the files of one type from which on the others are odd ones."""
RESERVED = ("ensemble", "labels", "target")

Progress = Callable[[int, int], None]


def infer_dataset(folder: Path, *, progress: Progress | None = None) -> InferredDataset:
    """Find out which files of a folder belong together and what they are.

    `progress` is told (modalities looked at, modalities in all). Raises DataError where there is nothing to learn from.
    """
    paths, notes = _image_files(folder)
    found, left = families(paths)
    if not found:
        raise DataError(
            f"{folder}: the {len(paths)} image files do not form series; the first: {paths[0]}",
            hint="files of one modality need a folder, or an ending, of their own: rgb/0001.png, or 0001_rgb.png",
        )
    seen = _look_at(folder, found, progress)
    labels = _Labels.of(folder, found, seen)
    rest = [family for family in found if family is not labels.family]
    modalities, unread = _modalities(folder, rest, seen, labels)
    notes += [*labels.notes, *labels.unread, *unread]
    if left:
        notes.append(f"{len(left)} files belong to no series: {listed(left, MOST_NAMED)}")
    if not modalities or (labels.guess is None and not labels.unread and len(modalities) == 1):
        raise DataError(
            f"{folder}: {len(modalities)} modalit{'y' if modalities else 'ies'} and no label maps: nothing to learn"
            + "".join(f"; {note}" for note in notes),
            hint="a segmentation needs label maps beside the images, a translation a second modality",
        )
    return _dataset(folder, modalities, labels, notes)


def _image_files(folder: Path) -> tuple[list[str], list[str]]:
    """Paths within the folder, links followed, and what is passed over. Raises DataError where there are none."""
    if not folder.is_dir():
        raise DataError(f"{folder}: {describe_folder(folder)}", hint="give a folder of images")
    paths: list[str] = []
    others: dict[str, list[str]] = {}
    for root, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if _is_entered(Path(root, name)))
        inside = Path(root).relative_to(folder)
        for path in ((inside / name).as_posix() for name in sorted(names) if not name.startswith(".")):
            kind = "".join(Path(path).suffixes[-2:]).lower() if path.endswith(".gz") else Path(path).suffix.lower()
            if kind in SUFFIXES:
                paths.append(path)
            elif kind in UNREAD:
                others.setdefault(kind, []).append(path)
    notes = [
        f"{len(names)} {kind} files are passed over: {UNREAD[kind]}; the first: {names[0]}"
        for kind, names in others.items()
    ]
    if not paths:
        held = "; ".join([describe_folder(folder), *notes])
        raise DataError(f"{folder}: no image files ({', '.join(SUFFIXES)}); {held}", hint="give a folder of images")
    return paths, notes


def _is_entered(folder: Path) -> bool:
    """Not hidden folders, nor those that an archive leaves, nor links to a folder above."""
    if folder.name.startswith(".") or folder.name == "__MACOSX":
        return False
    return not (folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve()))


def _look_at(folder: Path, found: Sequence[Family], progress: Progress | None) -> dict[str, Seen]:
    """A few files of every family, by its pattern."""
    seen = {}
    for done, family in enumerate(found, start=1):
        seen[family.pattern] = look(folder / path for path in _spread(list(family.files.values())))
        if progress is not None:
            progress(done, len(found))
    return seen


def _spread(paths: Sequence[str]) -> list[str]:
    """At most `LOOKED_AT` of them, evenly spaced."""
    step = max(1, len(paths) / LOOKED_AT)
    return [paths[int(number * step)] for number in range(min(len(paths), LOOKED_AT))]


@dataclasses.dataclass(frozen=True)
class _Labels:
    """What was found out about label maps."""

    family: Family | None
    guess: InferredLabels | None
    notes: tuple[str, ...]
    unread: tuple[str, ...]
    """Families that are called label maps and cannot be read as such, and why."""

    @classmethod
    def of(cls, folder: Path, found: Sequence[Family], seen: dict[str, Seen]) -> _Labels:
        """Of several families those named so, then those of most files, indices before colours, fewest values."""
        likely = [family for family in found if why_labels(family, seen[family.pattern])]
        likely.sort(key=lambda family: _label_order(family, seen[family.pattern]))
        unread = {
            family.pattern: why_not_labels(seen[family.pattern])
            for family in found
            if named_labels(family) and family not in likely
        }
        said = [f"{text} is left out: called label maps, but {why}" for text, why in unread.items()]
        for family in likely if not unread else filter(named_labels, likely):
            whole = look(folder / path for path in family.files.values())
            why = why_labels(family, whole)
            if why is not None:
                others = [other.pattern for other in likely if other is not family]
                notes = tuple(f"{pattern} looks like label maps, too, and is left out" for pattern in others)
                return cls(family, guess_labels(family, whole, why), notes, tuple(said))
            if named_labels(family):
                said.append(f"{family.pattern} is left out: called label maps, but {why_not_labels(whole)}")
        return cls(None, None, (), tuple(said))

    def views(self) -> set[ViewKey]:
        """The views that have a label map; padded numbers count as others."""
        return set() if self.family is None else {padded_alike(key) for key in self.family.files}


def _label_order(family: Family, seen: Seen) -> tuple[bool, int, bool, int]:
    return not named_labels(family), -len(family.files), set(seen.channels) == {3}, len(seen.levels())


def _modalities(
    folder: Path, found: Sequence[Family], seen: dict[str, Seen], labels: _Labels
) -> tuple[list[InferredModality], list[str]]:
    """The families that are modalities, by free names, and why others are not."""
    modalities: list[InferredModality] = []
    notes = []
    labelled = labels.views()
    for family in found:
        own = seen[family.pattern]
        if named_labels(family) or (labels.family is not None and why_labels(family, own)):
            continue
        if words_of(family) & VALID_WORDS:
            notes.append(f"{family.pattern} is left out: its name says what may be believed of other files")
        elif labelled and labelled.isdisjoint(map(padded_alike, family.files)):
            notes.append(f"{family.pattern} is left out: none of its {len(family.files)} views has a label map")
        else:
            for guess in _guesses(folder, family, own, [modality.name for modality in modalities]):
                if isinstance(guess, str):
                    notes.append(f"{family.pattern} is left out: {guess}")
                else:
                    modalities.append(guess)
    modalities.sort(key=lambda modality: modality.meaning.kind != "photograph")
    return modalities, notes


def _guesses(folder: Path, family: Family, seen: Seen, taken: list[str]) -> list[InferredModality | str]:
    """What a family is: one modality; two where a fourth band is one of its own; or why it cannot be read."""
    paths = [folder / path for path in _spread(list(family.files.values()))]
    name = _free_name(family, taken)
    if set(seen.channels) == {4}:
        colours, fourth = (_look_at_bands(paths, bands) for bands in ((1, 2, 3), (4,)))
        if len(seen.modes) > 1 or seen.types["uint8"] == 0 or len(fourth.levels()) > MOST_CLASSES:
            return [
                guess_modality(name, family, colours, bands=(1, 2, 3)),
                guess_modality(f"{name}_4", family, fourth, bands=(4,)),
            ]
    return [_guess(name, family, seen, paths)]


def _guess(name: str, family: Family, seen: Seen, paths: Sequence[Path]) -> InferredModality | str:
    """What a family is, where files of other types are among the usual ones, too; or why it cannot be read."""
    modes = set(seen.modes)
    if "P" in modes and words_of(family) & MEASURE_WORDS:
        return "palette images draw a measurement in colours; store what was measured as 16-bit PNG or float TIFF"
    pictures = modes <= set(EIGHT_BIT)
    if not modes or modes in ({"L"}, {"RGB"}) or (len(modes) == 1 and not pictures):
        return guess_modality(name, family, seen)
    (usual, count), *odd = seen.modes.most_common()
    named = {kind: listed([path.name for path in seen.by_mode[kind]], MOST_NAMED) for kind, _ in odd}
    said = [f"{number} of {seen.files} are {describe_mode(kind)}: {named[kind]}" for kind, number in odd]
    if pictures:
        mode: Literal["L", "RGB"] = "L" if modes <= {"1", "L", "LA"} else "RGB"
        guess = guess_modality(name, family, look(paths, partial(decode, convert=mode)), convert=True)
        said.append(f"all are read as {describe_mode(mode)}")
    elif count >= USUAL * seen.files:
        guess = guess_modality(name, family, look(seen.by_mode[usual]))
        said[-1] += ", which reading refuses: store them as the others, or leave them out"
    else:
        guess = guess_modality(name, family, seen)
    if isinstance(guess, str):
        return guess
    meaning = dataclasses.replace(guess.meaning, evidence=(*guess.meaning.evidence, *said))
    return dataclasses.replace(guess, types=seen.described(), meaning=meaning)


def _look_at_bands(paths: Sequence[Path], bands: tuple[int, ...]) -> Seen:
    return look(paths, lambda path: take_bands(path, decode(path), bands))


def _free_name(family: Family, taken: Sequence[str]) -> str:
    """What only this modality's paths have: words that name modalities, else all of it."""
    name = re.sub(r"[^a-z0-9]+", "_", family.own.lower()).strip("_") or "image"
    name = f"{name}_image" if name in RESERVED else name
    known = dict.fromkeys(word for word in name.split("_") if word in MODALITY_WORDS)
    choices = ["_".join(known) or name, name, f"{name}_{Path(family.pattern).suffix[1:].lower()}"]
    choices += [f"{name}_{number}" for number in range(2, len(taken) + 3)]
    return next(choice for choice in choices if choice not in taken)


def _dataset(
    folder: Path, modalities: Sequence[InferredModality], labels: _Labels, notes: Sequence[str]
) -> InferredDataset:
    patterns = {modality.name: Pattern(modality.pattern) for modality in modalities}
    if labels.guess is not None:
        patterns["labels"] = Pattern(labels.guess.pattern)
    files = find_together(folder, patterns).values()
    everything: set[ViewKey] = set().union(*files)
    complete = [key for key in everything if all(key in part for part in files)]
    if not complete:
        names = ", ".join(pattern.text for pattern in patterns.values())
        raise DataError(
            f"{folder}: no view has a file of each of {names}",
            hint="the files of one view need the same name or number",
        )
    splits = tuple(split for split in SPLITS if any(key.split == split for key in complete))
    whole = [modality.sizes for modality in modalities] + ([labels.guess.sizes] if labels.guess else [])
    sizes = [size for part in whole for size in part]
    return InferredDataset(
        folder=str(folder),
        modalities=tuple(modalities),
        labels=labels.guess,
        views=len(everything),
        complete=len(complete),
        groups=len({key.group for key in complete} - {""}),
        splits=splits,
        opened=LOOKED_AT,
        size=(min(height for height, _ in sizes), min(width for _, width in sizes)),
        unread_labels=labels.unread,
        notes=(*notes, *_withheld(everything, splits)),
    )


def _withheld(everything: Iterable[ViewKey], splits: Sequence[str]) -> Iterator[str]:
    """Splits of which no view has all its files, above all tests whose labels are kept back."""
    lost = Counter(key.split for key in everything if key.split and key.split not in splits)
    for split, views in lost.items():
        yield f"{split}: none of its {views} views has all files, labels included; the split is left out"
