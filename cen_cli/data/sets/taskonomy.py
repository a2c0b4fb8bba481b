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

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from cen_cli.data.listing import read_list, root_of
from cen_cli.data.modality import ModalitySpec, full_name
from cen_cli.data.patterns import Pattern, ViewKey, complete
from cen_cli.data.sample import TARGET
from cen_cli.data.views import FileViews, Reading, Source, ViewFiles, choose_specs
from cen_cli.errors import DataError, UsageError
from cen_cli.results import SPLITS

LOG_SCALE, MAX_DEPTH = 512.0, 128.0
"""Of depth: log(1 + stored value) up to the largest one, as in the authors' release."""

_STORED = (
    ModalitySpec("rgb", "image", colour=True),
    ModalitySpec("reshading", "image"),
    ModalitySpec("normal", "image", colour=True, mirror_sum=254),
    ModalitySpec("depth_euclidean", "depth", scale=512.0, invalid=65535),
    ModalitySpec("depth_zbuffer", "depth", scale=512.0, invalid=65535),
    ModalitySpec("edge_texture", "image", scale=11355.0),
    ModalitySpec("edge_occlusion", "image", scale=11584.0),
    ModalitySpec("principal_curvature", "image", colour=True),
)
SPECS = {spec.name: spec.for_translation(log_scale=LOG_SCALE, max_depth=MAX_DEPTH) for spec in _STORED}

SOURCE = (
    "expected <domain>/point_<p>_view_<v>_domain_<domain>.png, as in the sample building of "
    "https://github.com/alexsax/taskonomy-sample-model-1; or a folder that `cen data rooms` wrote"
)
INCOMPLETE_HINT = (
    "copy these files, list the complete views in train.txt and val.txt, or leave the others out with "
    "data.skip_incomplete = true"
)
LIST_HINT = "one a line, as point_0_view_3 or {domain}/point_0_view_3_domain_{domain}.png"
_POINT = re.compile(r"point_(\d+)_view_\d+")
_LINE = re.compile(r"(?:.*/)?(point_\d+_view_\d+)(?:_domain_(?:\w+|\{domain\})\.png)?")


def split_of_point(point: int) -> str:
    """The split of all views of a point where no lists say it: `val` and `test` a tenth of the points each.

    The last decimal digit of the SHA-256 of `point_<p>`, taken as one big-endian number, decides: 0 is val, 1 is
    test, all others are train. So a split stays what it is when views are added.
    """
    digit = int.from_bytes(hashlib.sha256(f"point_{point}".encode()).digest(), "big") % 10
    return {0: "val", 1: "test"}.get(digit, "train")


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
        **reading: Unpack[Reading],
    ) -> None:
        specs, target_spec = choose_specs(SPECS, inputs, reading.get("normalize"), target=target)
        folder = root_of(root, split, "Taskonomy", hint=SOURCE)
        own_splits = any((folder / name).is_dir() for name in SPLITS)
        path = _list_of(folder, split, {"train": train_list, "val": val_list}, own_splits=own_splits)
        pattern = f"{split}/{{domain}}/{{{{stem}}}}.png" if own_splits else "{domain}/{{stem}}_domain_{domain}.png"
        domains = {**{name: full_name(name) for name in inputs}, TARGET: full_name(target)}
        patterns = {domain: Pattern(pattern.format(domain=domain)) for domain in domains.values()}
        matched = {domain: each.find(folder, hint=SOURCE) for domain, each in patterns.items()}
        everything = sorted(set().union(*matched.values()), key=ViewKey.place)
        if path is not None:
            keys = sorted(read_list(path, _listed_view, hint=LIST_HINT, unique=True), key=ViewKey.place)
        else:
            keys = everything if own_splits else _by_rule(folder, split, everything)
        keys = complete(folder, split, keys, matched, skip=skip_incomplete, hint=INCOMPLETE_HINT)
        views = [ViewFiles(key.name, {name: matched[domain][key] for name, domain in domains.items()}) for key in keys]
        super().__init__(Source(folder, views), specs, (), target=target_spec, **reading)


def _listed_view(line: str) -> ViewKey:
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError(f"{line!r} names no view")
    return ViewKey("", "", match[1])


def _by_rule(root: Path, split: str, everything: Sequence[ViewKey]) -> list[ViewKey]:
    points = {key: int(match[1]) for key in everything if (match := _POINT.match(key.stem))}
    keys = [key for key, point in points.items() if split_of_point(point) == split]
    if not keys:
        raise DataError(
            f"{root}: none of the {len(set(points.values()))} points falls into {split!r} (its number decides: 8 of 10 "
            "train)",
            hint="name the views of each part in train.txt and val.txt",
        )
    return keys


def _list_of(root: Path, split: str, named: dict[str, str], *, own_splits: bool) -> Path | None:
    """The list of a split; None where there are no lists. Lists come in pairs, lest views are in both parts."""
    lists = [part for part, name in named.items() if name]
    if own_splits:
        if lists:
            raise UsageError(f"data.{lists[0]}_list: {root} has train/, val/ and test/ of its own")
        return None
    if len(lists) == 1:
        other = next(part for part in named if part not in lists)
        raise UsageError(f"data.{lists[0]}_list is given without data.{other}_list: they belong together")
    paths = {part: root / (name or f"{part}.txt") for part, name in named.items()}
    missing = [path for path in paths.values() if not path.is_file()]
    if missing and (lists or len(missing) < len(paths)):
        raise DataError(f"Taskonomy: no list {missing[0]} ({'both are named' if lists else 'the other list is there'})")
    return None if missing else paths["train" if split == "train" else "val"]
