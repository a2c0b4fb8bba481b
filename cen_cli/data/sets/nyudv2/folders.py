"""NYUDv2 as folders of image files, in either of two layouts. Paths in lists are relative to the root.

    rgb/  masks/  depth/     train.txt, val.txt: one view a line, rgb <TAB> masks <TAB> depth
    RGB/  HHA/  Depth/  Label/     train.txt, test.txt: one view a line, its name or its RGB file; a view's files have
                             one name in all folders (as CMX and others have it; of HHA/ and Depth/ what is used)

Photographs and HHA are 8-bit, PNG or JPEG; depth is 16-bit, 5000 units per metre; label maps are 8-bit grey or palette
PNGs. Labels count from 0 with 255 for void, or from 1 with 0 for void: `label_start` tells them apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from cen_cli.data.listing import check_files, describe_folder, read_list
from cen_cli.data.reading import label_table, read_coded_labels, read_label_values
from cen_cli.data.sample import LABELS
from cen_cli.data.sets.nyudv2.official import CLASS_NAMES, SOURCE
from cen_cli.data.views import Source, ViewFiles
from cen_cli.errors import DataError
from cen_cli.results import VOID

MAPS_READ = 32
"""Label maps that are looked at, at most, to find where labels start."""

FROM_ONE = label_table({0: VOID, VOID: VOID} | {label: label - 1 for label in range(1, len(CLASS_NAMES) + 1)})
"""Of label maps that count from 1."""

_LISTS = {"train": ("train.txt",), "val": ("val.txt", "test.txt"), "test": ("val.txt", "test.txt")}
_COLUMNS = ("rgb", LABELS, "depth")
_FOLDERS = {"rgb": "RGB", "hha": "HHA", "depth": "Depth", LABELS: "Label"}
_SUFFIXES = (".png", ".jpg", ".jpeg")


def find_views(
    root: Path, split: str, columns: Mapping[str, str], *, list_file: str = "", start: int | None = None
) -> Source:
    """The views of a split: of each the files that `columns` names ("rgb", "hha", "depth", `LABELS`), by its keys.

    `start`: where labels start, 0 or 1; None: as the label maps show. Raises DataError where the folder, the list or a
    listed file is not there.
    """
    candidates = [root / name for name in ((list_file,) if list_file else _LISTS[split])]
    path = next((path for path in candidates if path.is_file()), None)
    if path is None:
        raise DataError(f"NYUDv2: no list {candidates[0]} in {root} ({describe_folder(root)})", hint=SOURCE)
    named = {_FOLDERS["rgb"], _FOLDERS[LABELS]} <= {entry.name for entry in root.iterdir()}
    views = _by_name(root, path, columns) if named else _by_columns(path, columns)
    check_files(root, views, listed_in=path, hint=SOURCE)
    if LABELS not in columns:
        return Source(root, views)
    start = label_start(root, views) if start is None else start
    return Source(root, views, labels=partial(read_coded_labels, table=FROM_ONE) if start == 1 else None)


def label_start(root: Path, views: Sequence[ViewFiles]) -> int:
    """Where labels start: 0 if a label map holds 255, 1 if one holds 40. Raises DataError where none holds either.

    The first map that holds one of them decides; every map is checked again as it is read.
    """
    highest = len(CLASS_NAMES)
    for view in views[:MAPS_READ]:
        try:
            values = np.unique(read_label_values(root / view.files[LABELS]))
        except DataError:
            continue  # reported by its name when the view is read
        if VOID in values:
            return 0
        if highest in values:
            return 1
    raise DataError(
        f"{root}: do labels start at 0 or at 1? The first {min(MAPS_READ, len(views))} label maps hold neither {VOID} "
        f"(void, where they start at 0) nor {highest} (the last class, where they start at 1)",
        hint="say it in the recipe: data.label_start = 0 or 1",
    )


def _by_columns(path: Path, columns: Mapping[str, str]) -> list[ViewFiles]:
    """The views of a list of rgb <TAB> masks <TAB> depth."""
    absent = [column for column in columns.values() if column not in _COLUMNS]
    if absent:
        raise DataError(f"{path}: lists name files of rgb, masks and depth, and none of {absent[0]}", hint=SOURCE)
    views = []
    for line in read_list(path, _fields, unique=True):
        files = dict(zip(_COLUMNS, line, strict=True))
        views.append(ViewFiles(Path(files["rgb"]).stem, {key: files[column] for key, column in columns.items()}))
    return views


def _fields(line: str) -> tuple[str, ...]:
    fields = tuple(field.strip() for field in line.split("\t"))
    if len(fields) != len(_COLUMNS) or not all(fields):
        raise ValueError(f"expected rgb <TAB> masks <TAB> depth, found {len(fields)} field(s): {line!r}")
    return fields


def _by_name(root: Path, path: Path, columns: Mapping[str, str]) -> list[ViewFiles]:
    """The views of a list of names."""
    names = {column: _names_by_stem(root / _FOLDERS[column]) for column in columns.values()}
    return [
        ViewFiles(
            stem,
            {key: f"{_FOLDERS[column]}/{names[column].get(stem, f'{stem}.png')}" for key, column in columns.items()},
        )
        for stem in read_list(path, lambda line: Path(line.split()[0]).stem, unique=True)
    ]


def _names_by_stem(folder: Path) -> dict[str, str]:
    if not folder.is_dir():
        what = f"NYUDv2: no folder {folder}; of {folder.parent}: {describe_folder(folder.parent)}"
        raise DataError(what, hint=SOURCE)
    names: dict[str, str] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in _SUFFIXES and names.setdefault(path.stem, path.name) != path.name:
            raise DataError(f"{folder}: {names[path.stem]} and {path.name} are of one view", hint="keep one of them")
    return names
