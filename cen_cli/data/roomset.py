"""The built-in rooms as files: `folder/split/domain/room_view.png`, as the renderer stores them.

    rgb, rgb_clean, normal    8-bit RGB; in normals 127 means 0
    principal_curvature       8-bit RGB; 127 means 0, blue is constant
    reshading                 8-bit grey
    edge_*                    16-bit grey, 65535 means 1
    depth_*                   16-bit grey, 512 units per metre, 65535 = invalid
    labels                    8-bit palette: labels 0 .. 13, 255 = void

The input `depth` is what a depth camera would see (`depth_sensor`); the others bear the name of their domain.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from cen_cli.data.rooms.settings import CLASS_NAMES, SPLITS
from cen_cli.data.sample import IMAGENET_MEAN, IMAGENET_STD, LABELS, ModalitySpec, Normalization
from cen_cli.data.views import FileViews, Transform, ViewFiles, choose_specs, describe_folder
from cen_cli.errors import DataError

_HALF = (0.5, 0.5, 0.5)
_NAME = re.compile(r"(\d+)_(\d+)\.png")


def _photograph(name: str) -> ModalitySpec:
    return ModalitySpec(name, "image", mean=IMAGENET_MEAN, std=IMAGENET_STD, jitter=True)


def _depth(name: str) -> ModalitySpec:
    return ModalitySpec(name, "depth", scale=512.0, invalid=65535)


SPECS = {
    "rgb": _photograph("rgb"),
    "depth": _depth("depth"),
    "rgb_clean": _photograph("rgb_clean"),
    "depth_zbuffer": _depth("depth_zbuffer"),
    "depth_euclidean": _depth("depth_euclidean"),
    "normal": ModalitySpec("normal", "image", mean=_HALF, std=_HALF, mirror_sum=254),
    "reshading": ModalitySpec("reshading", "image", mean=_HALF, std=_HALF),
    "edge_texture": ModalitySpec("edge_texture", "image", scale=65535.0, mean=_HALF, std=_HALF),
    "edge_occlusion": ModalitySpec("edge_occlusion", "image", scale=65535.0, mean=_HALF, std=_HALF),
    "principal_curvature": ModalitySpec("principal_curvature", "image", mean=_HALF, std=_HALF),
}

_DOMAIN = {"depth": "depth_sensor"}


def modality_specs(inputs: Sequence[str], normalize: Normalization | None = None) -> tuple[ModalitySpec, ...]:
    """How `inputs` are encoded and normalised. Raises UsageError for names that the rooms do not have."""
    return choose_specs(SPECS, inputs, normalize)


def domains_of(inputs: Sequence[str]) -> tuple[str, ...]:
    """The folders that hold `inputs` and the labels: what must have been rendered."""
    return (*(_DOMAIN.get(name, name) for name in inputs), LABELS)


class Rooms(FileViews):
    """The views of one split (`train`, `val`, `test`) below `folder`, sorted by room and view.

    `resize`: (height, width) to which every image and label map is brought on reading. `normalize`:
    {modality: (mean, std)} in place of the defaults: ImageNet's statistics for rgb, 0 and 1 for depth (metres), 0.5 and
    0.5 for the other images. Raises DataError where a folder, or one modality's file of a view, is not there.
    """

    def __init__(
        self,
        folder: str | Path,
        split: str,
        inputs: Sequence[str] = ("rgb", "depth"),
        *,
        resize: tuple[int, int] | None = None,
        transform: Transform | None = None,
        cache: bool = False,
        normalize: Normalization | None = None,
        seed: int = 0,
    ) -> None:
        specs = modality_specs(inputs, normalize)
        if split not in SPLITS:
            raise DataError(f"unknown split {split!r}: the rooms have {', '.join(SPLITS)}")
        views = _find_views(Path(folder), split, dict(zip((*inputs, LABELS), domains_of(inputs), strict=True)))
        super().__init__(
            Path(folder), views, specs, CLASS_NAMES, resize=resize, transform=transform, cache=cache, seed=seed
        )


def _find_views(root: Path, split: str, domains: dict[str, str]) -> list[ViewFiles]:
    found = {key: _file_names(root / split / domain) for key, domain in domains.items()}
    everything = sorted(set().union(*found.values()), key=_room_and_view)
    for name in everything:
        _check_partners(root / split, name, {domains[key]: name in names for key, names in found.items()})
    return [
        ViewFiles(name.removesuffix(".png"), {key: f"{split}/{domain}/{name}" for key, domain in domains.items()})
        for name in everything
    ]


def _file_names(folder: Path) -> set[str]:
    looked_for = f"rooms: looked for <room>_<view>.png in {folder}"
    hint = "`cen data rooms` renders the rooms into a folder"
    if not folder.is_dir():
        raise DataError(
            f"{looked_for}: no such folder; of {folder.parent}: {describe_folder(folder.parent)}", hint=hint
        )
    names = {entry.name for entry in folder.iterdir() if _NAME.fullmatch(entry.name)}
    if not names:
        raise DataError(f"{looked_for}: {describe_folder(folder)}", hint=hint)
    return names


def _room_and_view(name: str) -> tuple[int, int]:
    room, view = name.removesuffix(".png").split("_")
    return int(room), int(view)


def _check_partners(folder: Path, name: str, present: dict[str, bool]) -> None:
    absent = [domain for domain, there in present.items() if not there]
    if absent:
        there = next(domain for domain, there in present.items() if there)
        raise DataError(
            f"{folder / there / name} has no partner {folder / absent[0] / name}",
            hint="delete the folder to have it rendered again",
        )
