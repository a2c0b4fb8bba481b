"""Looks at a folder that nobody prepared and says what its files seem to be: `cen data init`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from cen_cli.data.inspect.contents import Seen, look
from cen_cli.data.inspect.families import MODALITY_WORDS, SUFFIXES, Family, families
from cen_cli.data.inspect.roles import guess_labels, guess_modality, why_labels
from cen_cli.data.patterns import Pattern, ViewKey
from cen_cli.data.views import describe_folder
from cen_cli.errors import DataError
from cen_cli.results.findings import LabelsGuess, ModalityGuess, Survey

LOOKED_AT = 24
"""Files of each modality that are opened."""
MOST_NAMED = 3
RESERVED = ("ensemble", "labels", "target")

Progress = Callable[[int, int], None]


def survey(folder: Path, *, progress: Progress | None = None) -> Survey:
    """Find out which files of a folder belong together and what they are.

    `progress` is told (modalities looked at, modalities in all). Raises DataError where there is nothing to learn from.
    """
    paths = _image_files(folder)
    found, left = families(paths)
    if not found:
        raise DataError(
            f"{folder}: the {len(paths)} image files do not form series; the first: {paths[0]}",
            hint="files of one modality need a folder, or an ending, of their own: rgb/0001.png, or 0001_rgb.png",
        )
    seen = _look_at(folder, found, progress)
    label_family, label_seen, why, notes = _find_labels(folder, found, seen)
    labels = None if label_family is None else guess_labels(label_family, label_seen, why)
    modalities, unread = _modalities([family for family in found if family is not label_family], seen)
    notes += unread
    if left:
        notes.append(f"{len(left)} files belong to no series: {_named(left)}")
    if not modalities or (labels is None and len(modalities) == 1):
        raise DataError(
            f"{folder}: {len(modalities)} modalit{'y' if modalities else 'ies'} and no label maps: nothing to learn"
            + "".join(f"; {note}" for note in notes),
            hint="a segmentation needs label maps beside the images, a translation a second modality",
        )
    return _survey(folder, modalities, labels, notes)


def _image_files(folder: Path) -> list[str]:
    """Paths within the folder. Raises DataError where there are none."""
    if not folder.is_dir():
        raise DataError(f"{folder}: {describe_folder(folder)}", hint="give a folder of images")
    paths = []
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inside = Path(root).relative_to(folder)
        paths += [
            (inside / name).as_posix()
            for name in sorted(names)
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")
        ]
    if not paths:
        held = describe_folder(folder)
        raise DataError(f"{folder}: no image files ({', '.join(SUFFIXES)}); {held}", hint="give a folder of images")
    return paths


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


def _find_labels(
    folder: Path, found: Sequence[Family], seen: dict[str, Seen]
) -> tuple[Family | None, Seen, str, list[str]]:
    """The family of label maps, what all of them hold, and why; of several the one of most files and fewest values."""
    reasons = {family.pattern: why_labels(family, seen[family.pattern]) for family in found}
    candidates = [family for family in found if reasons[family.pattern]]
    candidates.sort(key=lambda family: (-len(family.files), len(seen[family.pattern].levels())))
    for family in candidates:
        whole = look(folder / path for path in family.files.values())
        why = why_labels(family, whole)
        if why is not None:
            others = [other.pattern for other in candidates if other is not family]
            return family, whole, why, [f"{pattern} looks like label maps, too, and is left out" for pattern in others]
    return None, Seen(), "", []


def _modalities(found: Sequence[Family], seen: dict[str, Seen]) -> tuple[list[ModalityGuess], list[str]]:
    """The families that are modalities, by free names, and why others are not."""
    modalities: list[ModalityGuess] = []
    notes = []
    for family in found:
        own = seen[family.pattern]
        if why_labels(family, own):
            continue
        name = _free_name(family, [modality.name for modality in modalities])
        guess = guess_modality(name, family, own)
        if isinstance(guess, str):
            notes.append(f"{family.pattern} is left out: {guess}")
        else:
            modalities.append(guess)
    modalities.sort(key=lambda modality: modality.meaning.kind != "photograph")
    return modalities, notes


def _free_name(family: Family, taken: Sequence[str]) -> str:
    """What only this modality's paths have: words that name modalities, else all of it."""
    name = re.sub(r"[^a-z0-9]+", "_", family.own.lower()).strip("_") or "image"
    name = f"{name}_image" if name in RESERVED else name
    known = [word for word in name.split("_") if word in MODALITY_WORDS]
    choices = ["_".join(known) or name, name, f"{name}_{Path(family.pattern).suffix[1:].lower()}"]
    choices += [f"{name}_{number}" for number in range(2, len(taken) + 3)]
    return next(choice for choice in choices if choice not in taken)


def _survey(
    folder: Path, modalities: Sequence[ModalityGuess], labels: LabelsGuess | None, notes: Sequence[str]
) -> Survey:
    patterns = [modality.pattern for modality in modalities] + ([labels.pattern] if labels else [])
    files = [Pattern(pattern).find(folder) for pattern in patterns]
    everything: set[ViewKey] = set().union(*files)
    complete = [key for key in everything if all(key in part for part in files)]
    if not complete:
        raise DataError(
            f"{folder}: no view has a file of each of {', '.join(patterns)}",
            hint="files of one view need the same name or number in every folder",
        )
    sizes = [size for modality in modalities for size in modality.sizes] + [*(labels.sizes if labels else ())]
    return Survey(
        folder=str(folder),
        modalities=tuple(modalities),
        labels=labels,
        views=len(everything),
        complete=len(complete),
        groups=len({key.group for key in complete} - {""}),
        splits=tuple(split for split in ("train", "val", "test") if any(key.split == split for key in complete)),
        looked_at=LOOKED_AT,
        size=(min(height for height, _ in sizes), min(width for _, width in sizes)),
        notes=tuple(notes),
    )


def _named(paths: Sequence[str]) -> str:
    return ", ".join(paths[:MOST_NAMED]) + (f" and {len(paths) - MOST_NAMED} more" if len(paths) > MOST_NAMED else "")
