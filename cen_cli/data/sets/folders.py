"""Files of one's own: any number of modalities found by patterns, with label maps or with a modality as target.

    root/rgb/{stem}.jpg, root/nir/{stem}.png, root/masks/{stem}.png ...

What files are read is said by `cen_cli.data.patterns`, how they are understood by `Encoding` and `LabelEncoding`.

Views are divided by lists, by {split} in the patterns (where there is no val, a share of train is val), or by
`divided`: the groups (single views, where patterns have no {group}) in the order of the SHA-256 of "<seed>/<group>"; of
G groups the first round(val share x G), at least 1, are val, the next round(test share x G) test, at least 1 where the
share is above 0, and all others train.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, Unpack

from cen_cli.data.decoding import SUFFIXES
from cen_cli.data.listing import read_list, root_of
from cen_cli.data.modality import HALF, IMAGENET_MEAN, IMAGENET_STD, Encoding, LabelEncoding, ModalitySpec
from cen_cli.data.patterns import Pattern, ViewKey, complete, find_together, padded_alike
from cen_cli.data.reading import read_class_map
from cen_cli.data.sample import LABELS, TARGET
from cen_cli.data.views import FileViews, Reading, Source, ViewFiles, choose_specs, same_numbers
from cen_cli.errors import DataError
from cen_cli.results import FULL_RANGE

INCOMPLETE_HINT = (
    "data.skip_incomplete = true leaves them out; or list the complete ones in data.train_list and data.val_list"
)


@dataclasses.dataclass(frozen=True)
class FolderModality:
    """Where a modality's files are and how they store it, as the recipe's keys of the same names say."""

    pattern: str
    kind: Literal["photograph", "image", "normals", "measurement"]
    channels: int
    stored: Literal["uint8", "uint16", "int16", "float32"] = "uint8"
    range: tuple[float, float] | None = None
    scale: float | None = None
    unit: str | None = None
    invalid: tuple[float, ...] = ()
    bands: tuple[int, ...] = ()
    convert: bool = False

    def spec(self, name: str, *, translation: bool = False) -> ModalitySpec:
        """How it is read and normalised.

        Photographs by ImageNet's statistics, everything else so that its range becomes [-1, 1]; in a translation
        everything. A measurement needs a range.
        """
        low, high = self.range or FULL_RANGE[self.stored]
        scale, unit, bands, convert = self.scale or 1.0, self.unit or "", self.bands or None, self.convert or None
        encoding = Encoding(self.stored, self.channels, low, high, scale, self.invalid, unit, bands, convert)
        if self.kind == "measurement":
            half = (high - low) / 2
            return ModalitySpec(name, "depth", mean=(half, half, half), std=(half, half, half), encoding=encoding)
        photograph = self.kind == "photograph" and not translation
        return ModalitySpec(
            name,
            "image",
            mean=IMAGENET_MEAN if photograph else HALF,
            std=IMAGENET_STD if photograph else HALF,
            jitter=photograph,
            mirror_sum=(255 if encoding.plain else 1) if self.kind == "normals" else None,
            encoding=encoding,
        )


@dataclasses.dataclass(frozen=True)
class FolderLabels:
    """Where the label maps are, their classes, and how they store them."""

    pattern: str
    class_names: tuple[str, ...]
    encoding: LabelEncoding


@dataclasses.dataclass(frozen=True)
class Division:
    """How the views are divided: by lists (paths within the root), else by {split} in the patterns, else by shares."""

    train_list: str = ""
    val_list: str = ""
    test_list: str = ""
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1)
    """Of train, val and test."""
    seed: int = 0

    def list_of(self, split: str) -> str:
        """The list of a split; empty where there are no lists. Without a test list it is that of val."""
        lists = {"train": self.train_list, "val": self.val_list, "test": self.test_list or self.val_list}
        return lists[split]


class Folders(FileViews):
    """The views of one split (`train`, `val`, `test`) below `root`, sorted by group and stem (with lists, as listed).

    `modalities`: by name, those that are not named by `inputs` and `target` are not looked for. `labels`: where the
    label maps are; they are read where there is no `target`. `skip_incomplete`: leave out views that lack a file.
    `reading`: see `Reading`. Raises DataError where a pattern matches nothing, IncompleteError where views lack a file.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        inputs: Sequence[str],
        target: str | None = None,
        *,
        modalities: Mapping[str, FolderModality],
        labels: FolderLabels | None = None,
        division: Division = Division(),
        skip_incomplete: bool = False,
        **reading: Unpack[Reading],
    ) -> None:
        available = {name: modality.spec(name, translation=target is not None) for name, modality in modalities.items()}
        specs, target_spec = choose_specs(available, inputs, reading.get("normalize"), target=target, names={})
        folder = root_of(root, split, "folders", hint="data.root, or --data-root DIR, is where the patterns begin")
        patterns = {name: Pattern(modalities[name].pattern) for name in inputs}
        if target is not None:
            patterns[TARGET] = Pattern(modalities[target].pattern)
        elif labels is not None:
            patterns[LABELS] = Pattern(labels.pattern)
        matched = find_together(folder, patterns)
        others = [modality.pattern for modality in modalities.values()] + ([labels.pattern] if labels else [])
        known = [*patterns.values(), *map(Pattern, others)]
        keys = _keys_of_split(folder, split, matched, known, division, skip=skip_incomplete)
        keys = complete(folder, split, keys, matched, skip=skip_incomplete, hint=INCOMPLETE_HINT)
        views = [ViewFiles(key.name, {name: files[key] for name, files in matched.items()}) for key in keys]
        read_labels = None if labels is None else partial(read_class_map, encoding=labels.encoding)
        class_names = () if labels is None else labels.class_names
        super().__init__(Source(folder, views, labels=read_labels), specs, class_names, target=target_spec, **reading)
        self._label_encoding = None if labels is None or target is not None else labels.encoding

    def fingerprint(self) -> str:
        """SHA-256 over what every data set's fingerprint covers and, of label maps, how classes are stored."""
        tolerance = self._label_encoding.tolerance if self._label_encoding is not None else 0
        more = f" +- {tolerance}" if tolerance else ""
        return hashlib.sha256(f"{super().fingerprint()} {self._label_encoding}{more}".encode()).hexdigest()


# --- which views a split has ------------------------------------------------------------------------------------------

Matches = Mapping[str, Mapping[ViewKey, str]]


def divided(groups: Iterable[str], shares: tuple[float, float, float], seed: int) -> dict[str, str]:
    """The split of every group, by the rule at the head of this module.

    Raises DataError where there are fewer groups than parts.
    """
    names = sorted(set(groups), key=lambda group: hashlib.sha256(f"{seed}/{group}".encode()).digest())
    val = max(1, round(shares[1] * len(names)))
    test = max(1, round(shares[2] * len(names))) if shares[2] else 0
    if val + test >= len(names):
        raise DataError(
            f"{len(names)} groups of views cannot be divided into train, val{' and test' if test else ''}",
            hint="give lists (data.train_list, data.val_list), or other data.folders.shares",
        )
    return {name: "val" if n < val else "test" if n < val + test else "train" for n, name in enumerate(names)}


def _keys_of_split(
    root: Path, split: str, matched: Matches, known: Sequence[Pattern], division: Division, *, skip: bool
) -> list[ViewKey]:
    """`matched` ends with the target; `known` are the patterns of all that the recipe names, whatever is used."""
    if division.list_of(split):
        return listed_views(root / division.list_of(split), root, matched, known)
    everything = sorted(set().union(*matched.values()), key=ViewKey.place)
    with_target = [key for key in everything if key in list(matched.values())[-1]]
    learnable = with_target if skip and with_target else everything
    if any(key.split for key in everything):
        complete = [key for key in everything if all(key in files for files in matched.values())]
        return _of_folders(root, split, complete if skip and complete else everything, learnable, division)
    if split == "test" and not division.shares[2]:
        split = "val"
    return _divided(split, learnable, division.shares, division.seed)


def listed_views(path: Path, root: Path, matched: Matches, known: Sequence[Pattern]) -> list[ViewKey]:
    """The views that a list names, in its order; files that it names are `matched`, or of one of the `known` patterns.

    Raises DataError where a line names no view, or one again.
    """
    everything = sorted(set().union(*matched.values()), key=ViewKey.place)
    hint = f"one a line, by what the pattern calls it, such as {everything[0].name}, or by one of its files"
    return read_list(path, _Names(root, everything, matched, known).of_line, hint=hint, unique=True)


def _divided(split: str, keys: Sequence[ViewKey], shares: tuple[float, float, float], seed: int) -> list[ViewKey]:
    parts = divided((key.group or key.stem for key in keys), shares, seed)
    return [key for key in keys if parts[key.group or key.stem] == split]


def _of_folders(
    root: Path, split: str, everything: Sequence[ViewKey], learnable: Sequence[ViewKey], division: Division
) -> list[ViewKey]:
    """The views of the split by {split}; without any of test those of val, without any of val a share of train."""
    there = {key.split for key in everything}
    if "train" in there and "val" not in there and (split in ("train", "val") or "test" not in there):
        train = [key for key in learnable if key.split == "train"]
        _, share, _ = division.shares
        return _divided("train" if split == "train" else "val", train, (1 - share, share, 0.0), division.seed)
    wanted = "val" if split == "test" and "test" not in there else split
    if wanted not in there:
        raise DataError(
            f"{root}: by {{split}} in the patterns there are views of {', '.join(sorted(there))}, none of {wanted}"
        )
    return [key for key in everything if key.split == wanted]


class _Names:
    """What lists may call the views."""

    def __init__(self, root: Path, everything: Sequence[ViewKey], matched: Matches, known: Sequence[Pattern]) -> None:
        self._root, self._known = f"{root.as_posix()}/", known
        self._views = {key.name: key for key in everything}
        unpadded: dict[str, set[ViewKey]] = {}
        for key in everything:
            unpadded.setdefault(same_numbers(key.name), set()).add(key)
        self._unpadded = {name: keys.pop() for name, keys in unpadded.items() if len(keys) == 1}
        files = [(path, key) for part in matched.values() for key, path in part.items()]
        self._files = dict(files)
        ends: dict[str, set[ViewKey]] = {}
        for path, key in files:
            ends.setdefault(path.rpartition("/")[2], set()).add(key)
        self._ends = {end: keys.pop() for end, keys in ends.items() if len(keys) == 1}

    def of_line(self, line: str) -> ViewKey:
        """The view of a line: of its name in the first column, or of the path or the name of one of its files.

        All columns belong to the same view; files that are there and that no pattern knows are passed over. Raises
        ValueError for what is no view, and for files of two.
        """
        columns = [column for column in re.split(r"[\s,;]+", line) if column]
        whole = self._view(line)
        views = [self._view(columns[0]), *map(self._file, columns[1:])] if columns and not whole else []
        key = whole or next(filter(None, views), None)
        if key is None:
            raise ValueError(f"{line!r} is no view")
        others = [view for view in views if view not in (None, key)]
        absent = [column for column, view in zip(columns, views, strict=False) if not view and self._is_missing(column)]
        if absent:
            raise ValueError(f"{line!r} names a file that is none of a view, {absent[0]}")
        if others:
            raise ValueError(f"{line!r} names files of two views, {key.name} and {others[0].name}")
        return key

    def _view(self, text: str) -> ViewKey | None:
        """The view that is called so, with numbers padded in any way, or one of whose files is."""
        return self._views.get(text) or self._file(text) or self._unpadded.get(same_numbers(text))

    def _file(self, text: str) -> ViewKey | None:
        """The view of a file: by its path within the root, or its name alone."""
        path = self._within(text)
        return self._files.get(path) or self._ends.get(path) or self._by_pattern(path)

    def _by_pattern(self, path: str) -> ViewKey | None:
        """The view of a file that is missing, or of what is not used here."""
        for key in (key for pattern in self._known if (key := pattern.key(path))):
            view = self._views.get(key.name) or self._unpadded.get(same_numbers(key.name))
            if view is not None and padded_alike(view) == padded_alike(key):
                return view
        return None

    def _is_missing(self, text: str) -> bool:
        """Whether it names an image file that is not there."""
        return Path(text).suffix.lower() in SUFFIXES and not Path(self._root, self._within(text)).is_file()

    def _within(self, text: str) -> str:
        """A path within the root, perhaps with backslashes or a slash before it, as others are written."""
        return text.replace("\\", "/").removeprefix(self._root).removeprefix("./").lstrip("/")
