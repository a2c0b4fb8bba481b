"""Taskonomy (Zamir et al., CVPR 2018), in the layout of its sample: views of buildings as aligned image domains.

    root/<domain>/point_<p>_view_<v>_domain_<domain>.png

    rgb                     8-bit RGB
    reshading               8-bit grey or RGB
    normal                  8-bit RGB, 127 means 0
    principal_curvature     8-bit RGB, curvatures in red and green, 127 means 0
    depth_euclidean         16-bit grey, 512 units per metre, 65535 = invalid: length of the ray
    depth_zbuffer           the same: distance from the camera's plane
    edge_texture            16-bit grey, 11355 means 1
    edge_occlusion          16-bit grey, 11584 means 1

The scales of the edges are those of the authors' release; the data set states none. The release stores depth as
log(1 + value) in 8 bits, with invalid pixels as very far; here depth keeps its precision, its logarithm has the same
form, and invalid pixels count neither in the loss nor in the scores. In rgb every pixel counts.

Lists name the views of a split, one a line: `point_0_view_3`, or a file name as the release's lists have it
(`{domain}/point_0_view_3_domain_{domain}.png`). They are `train.txt` and `val.txt` in the root, or others that are
named. Where there are none, the points are divided by `split_of_point`: the views of a point are in one split.

A folder that `cen data rooms` wrote (root/<split>/<domain>/<room>_<view>.png) is read as it is, with its own splits.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Unpack

from cen_cli.data.modality import ModalitySpec, Normalization, full_name
from cen_cli.data.sample import TARGET, check_split
from cen_cli.data.views import (
    FileViews,
    Reading,
    Source,
    ViewFiles,
    choose_specs,
    choose_target,
    describe_folder,
    read_lines,
)
from cen_cli.errors import DataError, IncompleteError, UsageError
from cen_cli.results import SPLITS

LOG_SCALE, MAX_DEPTH = 512.0, 128.0
"""Of depth: log(1 + stored value) up to the largest one, as in the authors' release."""


def _image(name: str, *, scale: float = 255.0, colour: bool = False, mirror_sum: int | None = None) -> ModalitySpec:
    return ModalitySpec(name, "image", scale=scale, colour=colour, mirror_sum=mirror_sum)


def _depth(name: str) -> ModalitySpec:
    return ModalitySpec(name, "depth", scale=512.0, invalid=65535)


_STORED = (
    _image("rgb", colour=True),
    _image("reshading"),
    _image("normal", colour=True, mirror_sum=254),
    _depth("depth_euclidean"),
    _depth("depth_zbuffer"),
    _image("edge_texture", scale=11355.0),
    _image("edge_occlusion", scale=11584.0),
    _image("principal_curvature", colour=True),
)
SPECS = {spec.name: spec.for_translation(log_scale=LOG_SCALE, max_depth=MAX_DEPTH) for spec in _STORED}

SOURCE = (
    "expected <domain>/point_<p>_view_<v>_domain_<domain>.png, as in the sample building of "
    "https://github.com/alexsax/taskonomy-sample-model-1; or a folder that `cen data rooms` wrote"
)
_LISTS = {"train": "train.txt", "val": "val.txt"}
_LINE = re.compile(r"(?:.*/)?(point_\d+_view_\d+)(?:_domain_(?:\w+|\{domain\})\.png)?")


def split_of_point(point: int) -> str:
    """The split of all views of a point where no lists say it: `val` and `test` a tenth of the points each.

    The last decimal digit of the SHA-256 of `point_<p>`, taken as one big-endian number, decides: 0 is val, 1 is
    test, all others are train. So a split stays what it is when views are added.
    """
    digit = int.from_bytes(hashlib.sha256(f"point_{point}".encode()).digest(), "big") % 10
    return {0: "val", 1: "test"}.get(digit, "train")


def modality_specs(
    inputs: Sequence[str], normalize: Normalization | None = None, *, target: str
) -> tuple[tuple[ModalitySpec, ...], ModalitySpec]:
    """How `inputs` and `target` are encoded. Raises UsageError for unknown, repeated or coinciding names."""
    return choose_specs(SPECS, inputs), choose_target(SPECS, inputs, target, normalize)


class Taskonomy(FileViews):
    """The views of one split (`train`, `val`, `test`) below `root`, sorted by point and view.

    `inputs` are translated to `target`. `train_list` and `val_list` (relative to `root`) take the place of train.txt
    and val.txt; with lists, `test` is the same as `val`. `normalize` must be empty: everything lies in [-1, 1].
    `skip_incomplete`: leave out views that lack one of the domains; otherwise they raise DataError, as do folders and
    lists that are not there. `reading`: see `Reading`.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        inputs: Sequence[str],
        target: str,
        *,
        train_list: str = "",
        val_list: str = "",
        skip_incomplete: bool = False,
        normalize: Normalization | None = None,
        **reading: Unpack[Reading],
    ) -> None:
        specs, target_spec = modality_specs(inputs, normalize, target=target)
        check_split(split)
        layout = _layout(root, split)
        domains = {**{name: full_name(name) for name in inputs}, TARGET: full_name(target)}
        found = {domain: _views_of(layout, domain) for domain in domains.values()}
        names = _split(layout, split, found, {"train": train_list, "val": val_list})
        names = _complete(layout, names, found, skip=skip_incomplete)
        views = [ViewFiles(name, {key: layout.file(domain, name) for key, domain in domains.items()}) for name in names]
        super().__init__(Source(Path(root), views), specs, (), target=target_spec, **reading)


@dataclasses.dataclass(frozen=True)
class _Layout:
    """Where views lie: in `root / prefix / domain`, as files `name + suffix`, where a name has two numbers."""

    root: Path
    prefix: str
    name: str
    suffix: str

    def file(self, domain: str, name: str) -> str:
        """The file of a view's domain, relative to the root."""
        return f"{self.prefix}{domain}/{name}{self.suffix.format(domain=domain)}"

    @property
    def has_splits(self) -> bool:
        """Whether the folder itself divides the views."""
        return self.prefix != ""


def _layout(root: str | Path, split: str) -> _Layout:
    if str(root) == "":
        raise DataError("no folder given for Taskonomy: set data.root", hint=SOURCE)
    folder = Path(root)
    if not folder.is_dir():
        raise DataError(f"Taskonomy: no folder {folder} ({describe_folder(folder)})", hint=SOURCE)
    if any((folder / name).is_dir() for name in SPLITS):
        return _Layout(folder, f"{split}/", r"(\d+)_(\d+)", ".png")
    return _Layout(folder, "", r"point_(\d+)_view_(\d+)", "_domain_{domain}.png")


def _views_of(layout: _Layout, domain: str) -> set[str]:
    """The names of all views that have a domain. Raises DataError where there are none."""
    folder = layout.root / layout.prefix / domain
    suffix = layout.suffix.format(domain=domain)
    looked_for = f"Taskonomy: looked for {'<room>_<view>' if layout.has_splits else 'point_<p>_view_<v>'}{suffix}"
    if not folder.is_dir():
        parent = folder.parent
        raise DataError(
            f"{looked_for} in {folder}: no such folder; of {parent}: {describe_folder(parent)}", hint=SOURCE
        )
    pattern = re.compile(f"({layout.name}){re.escape(suffix)}")
    with os.scandir(folder) as entries:
        names = {match[1] for entry in entries if (match := pattern.fullmatch(entry.name))}
    if not names:
        raise DataError(f"{looked_for} in {folder}: {describe_folder(folder)}", hint=SOURCE)
    return names


def _numbers(name: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", name))


def _split(layout: _Layout, split: str, found: Mapping[str, set[str]], lists: Mapping[str, str]) -> list[str]:
    """The names of a split's views: as the folder has them, by the lists, or by the rule."""
    path = _list_of(layout, split, lists)
    if path is not None:
        return _read_list(path)
    everything = sorted(set().union(*found.values()), key=_numbers)
    if layout.has_splits:
        return everything
    names = [name for name in everything if split_of_point(_numbers(name)[0]) == split]
    if not names:
        points = len({_numbers(name)[0] for name in everything})
        raise DataError(
            f"{layout.root}: none of the {points} points falls into {split!r} (its number decides: 8 of 10 train)",
            hint="name the views of each part in train.txt and val.txt",
        )
    return names


def _list_of(layout: _Layout, split: str, lists: Mapping[str, str]) -> Path | None:
    """The list of a split; None where there are no lists. Lists come in pairs, lest views are in both parts."""
    named = [part for part, name in lists.items() if name]
    if layout.has_splits:
        if named:
            raise UsageError(f"data.{named[0]}_list: {layout.root} has train/, val/ and test/ of its own")
        return None
    if len(named) == 1:
        other = next(part for part in lists if part not in named)
        raise UsageError(f"data.{named[0]}_list is given without data.{other}_list: they belong together")
    paths = {part: layout.root / (name or _LISTS[part]) for part, name in lists.items()}
    there = [part for part, path in paths.items() if path.is_file()]
    if not there and not named:
        return None
    if len(there) < len(paths):
        missing = next(path for part, path in paths.items() if part not in there)
        raise DataError(f"Taskonomy: no list {missing} ({'both are named' if named else 'the other list is there'})")
    return paths["train" if split == "train" else "val"]


def _read_list(path: Path) -> list[str]:
    names: dict[str, int] = {}
    for number, line in enumerate((line.strip() for line in read_lines(path)), start=1):
        if not line:
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise DataError(
                f"{path}, line {number}: {line!r} names no view",
                hint="one a line, as point_0_view_3 or {domain}/point_0_view_3_domain_{domain}.png",
            )
        if match[1] in names:
            raise DataError(f"{path}, line {number}: {match[1]} is in line {names[match[1]]} already")
        names[match[1]] = number
    if not names:
        raise DataError(f"{path}: the list is empty")
    return sorted(names, key=_numbers)


def _complete(layout: _Layout, names: Sequence[str], found: Mapping[str, set[str]], *, skip: bool) -> list[str]:
    """The views that have every domain.

    Raises DataError where none is left, and unless the others are to be skipped: how many lack what, and the first.
    """
    lacking = {name: [domain for domain, there in found.items() if name not in there] for name in names}
    complete = [name for name, domains in lacking.items() if not domains]
    if len(complete) == len(names) or (skip and complete):
        return complete
    first = [layout.file(domains[0], name) for name, domains in lacking.items() if domains]
    listed = ", ".join(first[:3]) + (", ..." if len(first) > 3 else "")
    without = {domain: [name for name, absent in lacking.items() if domain in absent] for domain in found}
    lacks = ", ".join(f"{domain} {len(views)}" for domain, views in without.items() if views)
    raise IncompleteError(
        f"{layout.root}: {len(first)} of {len(names)} views lack a domain ({lacks}); not there: {listed}",
        without,
        views=len(names),
        hint="copy these files, list the complete views in train.txt and val.txt, or leave the others out with "
        "data.skip_incomplete = true",
    )
