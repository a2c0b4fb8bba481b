"""SUN RGB-D as flat folders of numbered files (https://github.com/ankurhanda/sunrgbd-meta-data).

    SUNRGBD-train_images/img-000001.jpg         8-bit RGB; SUNRGBD-test_images/ likewise
    sunrgbd_train_depth/1.png                   16-bit grey, 10000 units per metre, 0 = nothing; sunrgbd_test_depth/
    sunrgbd_train_test_labels/img-000001.png    8-bit: 0 = void, 1 .. 37. Test views come first: of training view 1 the
                                                label map is img-005051.png

Depth files may also be called img-000001.png.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from cen_cli.data.listing import check_files
from cen_cli.data.patterns import Pattern
from cen_cli.data.reading import read_coded_labels
from cen_cli.data.sample import LABELS
from cen_cli.data.sets.sunrgbd.official import FROM_ONE
from cen_cli.data.views import Source, ViewFiles

TEST_VIEWS = 5050
"""Label maps of test views, which come before those of training views."""

_LABEL_FOLDERS = ("sunrgbd_train_test_labels", "sunrgbd_test_train_labels")

EXPECTED = (
    f"SUNRGBD-train_images/, SUNRGBD-test_images/, sunrgbd_train_depth/, sunrgbd_test_depth/, {_LABEL_FOLDERS[0]}/"
)


def are_in(root: Path) -> bool:
    """Whether the folder holds packs."""
    return any((root / f"SUNRGBD-{part}_images").is_dir() for part in ("train", "test"))


def find_views(root: Path, training: bool, inputs: Sequence[str]) -> Source:
    """The views of one part by number. Raises DataError where a folder or a view's file is not there."""
    part, first = ("train", TEST_VIEWS) if training else ("test", 0)
    folders = {"rgb": f"SUNRGBD-{part}_images", "depth": f"sunrgbd_{part}_depth"}
    labels = next((name for name in _LABEL_FOLDERS if (root / name).is_dir()), _LABEL_FOLDERS[0])
    images = _numbered(root, f"{folders['rgb']}/{{stem}}.jpg")
    depths = _numbered(root, f"{folders['depth']}/{{stem}}.png") if "depth" in inputs else {}
    views = []
    for number, name in sorted(images.items()):
        files = {"rgb": name, "depth": depths.get(number, f"{folders['depth']}/{number}.png")}
        label = f"{labels}/img-{number + first:06d}.png"
        views.append(ViewFiles(f"{part}-{number:06d}", {**{key: files[key] for key in inputs}, LABELS: label}))
    check_files(root, views, listed_in=root / folders["rgb"], hint=f"expected {EXPECTED}")
    return Source(root, views, labels=partial(read_coded_labels, table=FROM_ONE))


def _numbered(root: Path, pattern: str) -> dict[int, str]:
    """The files of a pattern by their number, with or without img- before it."""
    matched = Pattern(pattern).find(root, hint=f"expected {EXPECTED}")
    numbers = {key.stem.removeprefix("img-"): name for key, name in matched.items()}
    return {int(number): name for number, name in numbers.items() if number.isdecimal()}
