"""What a folder that nobody prepared holds: its modalities, label maps and splits, for `cen data init`.

Files are grouped by their paths (`file_groups`), a few of each group are opened (`file_statistics`), and a group is
taken for label maps (`label_maps`) or for a modality (`modalities`).
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from cen_cli.data.decoding import SUFFIXES
from cen_cli.data.inspect.file_groups import VALIDITY_WORDS, FileGroup, group_files
from cen_cli.data.inspect.file_statistics import FileStatistics, file_statistics
from cen_cli.data.inspect.label_maps import infer_labels, why_labels, why_not_labels
from cen_cli.data.inspect.modalities import infer_modalities
from cen_cli.data.listing import describe_folder
from cen_cli.data.patterns import SPLIT_WORDS, Pattern, ViewKey, find_together, padded_alike
from cen_cli.data.sets.folders import listed_views
from cen_cli.errors import DataError
from cen_cli.results import SPLITS, Advance, unheard
from cen_cli.results.datasets import InferredDataset, InferredLabels, InferredModality
from cen_cli.wording import listed

UNREAD = {
    **dict.fromkeys((".npz", ".h5", ".hdf5", ".mat", ".pfm", ".exr"), "store each array as .npy or .tif"),
    **dict.fromkeys((".nii", ".nii.gz", ".dcm", ".mha"), "store each slice as .npy or .tif"),
    **dict.fromkeys((".jp2", ".j2k", ".jxl", ".heic", ".avif", ".gif", ".ppm", ".pgm", ".tga"), "store them as PNG"),
    **dict.fromkeys((".dng", ".nef", ".cr2", ".arw", ".raw", ".bin"), "store them as 16-bit PNG or TIFF"),
    **dict.fromkeys((".mp4", ".avi", ".mov", ".mkv", ".bag", ".svo"), "store each frame as an image"),
}
"""Suffixes of files that hold pictures and are not read, and what to do."""
LIST = re.compile(rf"(?:list|split)?[_-]?({'|'.join(SPLIT_WORDS)})[_-]?(?:files|images|list|set|split)?\.txt", re.I)
"""Names of files that may list the views of a split."""
OPENED = 24
"""Files of each modality that are opened."""


def infer_dataset(folder: Path, *, progress: Advance = unheard) -> InferredDataset:
    """Find out which files of a folder belong together and what they are.

    `progress` is told (groups opened, groups in all). Raises DataError where there is nothing to learn from.
    """
    paths, notes = _image_files(folder)
    groups, left = group_files(paths)
    if not groups:
        raise DataError(
            f"{folder}: the {len(paths)} image files do not form series; the first: {paths[0]}",
            hint="files of one modality need a folder, or an ending, of their own: rgb/0001.png, or 0001_rgb.png",
        )
    opened = []
    for done, group in enumerate(groups, start=1):
        names = list(group.files.values())
        step = max(1, len(names) / OPENED)  # evenly spaced
        some = [folder / names[int(number * step)] for number in range(min(len(names), OPENED))]
        opened.append(_Opened(group, some, file_statistics(some)))
        progress(done, len(groups))
    labels = _find_labels(folder, opened)
    modalities, unread = _find_modalities([one for one in opened if one.group is not labels.group], labels)
    notes += [*labels.notes, *labels.unread, *unread]
    if left:
        notes.append(f"{len(left)} files belong to no series: {listed(left)}")
    if not modalities or (labels.inferred is None and not labels.unread and len(modalities) == 1):
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


@dataclasses.dataclass(frozen=True)
class _Opened:
    """A group, the files of it that were opened, and what these hold."""

    group: FileGroup
    paths: list[Path]
    stats: FileStatistics

    @property
    def label_order(self) -> tuple[bool, int, bool, int]:
        """Label maps named so first, then those of most files, indices before colours, fewest values."""
        named, colour = self.group.named_labels, set(self.stats.channels) == {3}
        return not named, -len(self.group.files), colour, len(self.stats.levels)


@dataclasses.dataclass(frozen=True)
class _Labels:
    """What was concluded about label maps."""

    group: FileGroup | None = None
    inferred: InferredLabels | None = None
    notes: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    """Groups that are called label maps and cannot be read as such, and why."""


def _find_labels(folder: Path, opened: Sequence[_Opened]) -> _Labels:
    """The likeliest label maps whose files all turn out to be such."""
    likely = sorted((one for one in opened if why_labels(one.group, one.stats)), key=lambda one: one.label_order)
    unread = [_not_labels(one.group, one.stats) for one in opened if one.group.named_labels and one not in likely]
    for one in likely if not unread else [one for one in likely if one.group.named_labels]:
        whole = file_statistics(folder / path for path in one.group.files.values())
        why = why_labels(one.group, whole)
        if why is not None:
            others = [other.group.pattern for other in likely if other is not one]
            notes = tuple(f"{pattern} looks like label maps, too, and is left out" for pattern in others)
            return _Labels(one.group, infer_labels(one.group, whole, why), notes, tuple(unread))
        if one.group.named_labels:
            unread.append(_not_labels(one.group, whole))
    return _Labels(unread=tuple(unread))


def _not_labels(group: FileGroup, stats: FileStatistics) -> str:
    return f"{group.pattern} is left out: called label maps, but {why_not_labels(stats)}"


def _find_modalities(opened: Sequence[_Opened], labels: _Labels) -> tuple[list[InferredModality], list[str]]:
    """The groups that are modalities, by free names, photographs first, and why others are not."""
    modalities: list[InferredModality] = []
    notes = []
    label_files = [] if labels.group is None else list(labels.group.files)
    labelled = set(map(padded_alike, label_files))
    for one in opened:
        group = one.group
        if group.named_labels or (labels.group is not None and why_labels(group, one.stats)):
            continue
        if group.words & VALIDITY_WORDS:
            concluded: list[InferredModality | str] = ["its name says what may be believed of other files"]
        elif labelled and labelled.isdisjoint(map(padded_alike, group.files)):
            here, there = (min(files, key=lambda key: key.name).name for files in (group.files, label_files))
            concluded = [
                f"none of its {len(group.files)} views has a label map: they are called {here} and the like, and label "
                f"maps {there}; files of one view share their name or number"
            ]
        else:
            concluded = infer_modalities(group, one.stats, one.paths, [modality.name for modality in modalities])
        modalities += [each for each in concluded if isinstance(each, InferredModality)]
        notes += [f"{group.pattern} is left out: {why}" for why in concluded if isinstance(why, str)]
    modalities.sort(key=lambda modality: modality.meaning.kind != "photograph")
    return modalities, notes


def _dataset(
    folder: Path, modalities: Sequence[InferredModality], labels: _Labels, notes: Sequence[str]
) -> InferredDataset:
    inferred: list[InferredModality | InferredLabels] = [*modalities]
    inferred += [labels.inferred] if labels.inferred is not None else []
    patterns = {each.pattern: Pattern(each.pattern) for each in inferred}
    matched = find_together(folder, patterns)
    files = matched.values()
    everything: set[ViewKey] = set().union(*files)
    complete = [key for key in everything if all(key in part for part in files)]
    if not complete:
        raise DataError(
            f"{folder}: no view has a file of each of {', '.join(each.pattern for each in inferred)}",
            hint="the files of one view need the same name or number",
        )
    splits = tuple(split for split in SPLITS if any(key.split == split for key in complete))
    sizes = [size for each in inferred for size in each.sizes]
    lists, unused = ({}, []) if splits else _lists(folder, matched, patterns)
    return InferredDataset(
        folder=str(folder),
        modalities=tuple(modalities),
        labels=labels.inferred,
        views=len(everything),
        complete=len(complete),
        groups=len({key.group for key in complete} - {""}),
        splits=splits,
        lists=lists,
        opened=OPENED,
        size=(min(height for height, _ in sizes), min(width for _, width in sizes)),
        unread_labels=labels.unread,
        notes=(*notes, *unused, *_incomplete_splits(everything, splits)),
    )


def _lists(
    folder: Path, matched: Mapping[str, Mapping[ViewKey, str]], patterns: Mapping[str, Pattern]
) -> tuple[dict[str, str], list[str]]:
    """The lists of the splits, in the folder or in one below it, and why others are not used."""
    lists: dict[str, str] = {}
    unused = []
    for path in sorted([*folder.glob("*.txt"), *folder.glob("*/*.txt")], key=lambda path: (len(path.parts), path)):
        name, match = path.relative_to(folder).as_posix(), LIST.fullmatch(path.name)
        split = SPLIT_WORDS[match[1].lower()] if match else ""
        if not split:
            continue
        if split in lists:
            unused.append(f"not used: {name}, since {lists[split]} names the {split} views")
            continue
        try:
            listed_views(path, folder, matched, [*patterns.values()])
        except DataError as error:
            unused.append(f"not used: {error.message}")
        else:
            lists[split] = name
    if lists and not {"train", "val"} <= lists.keys():
        return {}, [
            *unused,
            f"not used: {listed(list(lists.values()))}, since lists of train and of val are needed both",
        ]
    return lists, unused


def _incomplete_splits(everything: set[ViewKey], splits: Sequence[str]) -> Iterator[str]:
    """Splits of which no view has all its files, above all tests whose labels are kept back."""
    lost = Counter(key.split for key in everything if key.split and key.split not in splits)
    for split, views in lost.items():
        yield f"{split}: none of its {views} views has all files, labels included; the split is left out"
