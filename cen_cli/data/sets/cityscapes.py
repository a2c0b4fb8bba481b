"""Cityscapes (Cordts et al., CVPR 2016) with its 19 classes for training: streets seen by a stereo camera.

    <type>/<split>/<city>/<city>_<sequence>_<frame>_<type>.png

    leftImg8bit    8-bit RGB, 1024 x 2048
    disparity      16-bit grey (`cen_cli.data.stereo`): the input "disparity" in pixels (inverse depth); or, with
                   camera/ (.json), the input "depth" in metres, at most 300
    gtFine         labelIds (as downloaded) or labelTrainIds (as csCreateTrainIdLabelImgs makes them), 8-bit grey

2975 views to train, 500 to validate. The labels of the official test part are withheld: `test` is `val`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Unpack

from cen_cli.data.listing import check_files, root_of
from cen_cli.data.modality import IMAGENET_MEAN, IMAGENET_STD, ModalitySpec
from cen_cli.data.patterns import Pattern
from cen_cli.data.reading import label_table, read_coded_labels, read_labels
from cen_cli.data.sample import LABELS
from cen_cli.data.views import FileViews, Reading, Source, ViewFiles, choose_specs
from cen_cli.errors import DataError
from cen_cli.results import VOID

CLASSES = {
    "road": (7, (128, 64, 128)),
    "sidewalk": (8, (244, 35, 232)),
    "building": (11, (70, 70, 70)),
    "wall": (12, (102, 102, 156)),
    "fence": (13, (190, 153, 153)),
    "pole": (17, (153, 153, 153)),
    "traffic light": (19, (250, 170, 30)),
    "traffic sign": (20, (220, 220, 0)),
    "vegetation": (21, (107, 142, 35)),
    "terrain": (22, (152, 251, 152)),
    "sky": (23, (70, 130, 180)),
    "person": (24, (220, 20, 60)),
    "rider": (25, (255, 0, 0)),
    "car": (26, (0, 0, 142)),
    "truck": (27, (0, 0, 70)),
    "bus": (28, (0, 60, 100)),
    "train": (31, (0, 80, 100)),
    "motorcycle": (32, (0, 0, 230)),
    "bicycle": (33, (119, 11, 32)),
}
"""The classes in the order of their labels (train ids): the data set's label id, and its colour."""
CLASS_NAMES = tuple(CLASSES)
PALETTE = tuple(colour for _, colour in CLASSES.values())

MAX_DEPTH = 300.0
"""Metres; farther points, whose disparity is below a pixel and a half or so, are brought to this."""

SPECS = {
    "rgb": ModalitySpec("rgb", "image", mean=IMAGENET_MEAN, std=IMAGENET_STD, jitter=True),
    "depth": ModalitySpec("depth", "depth", scale=1.0, coding="stereo", clip=MAX_DEPTH),
    "disparity": ModalitySpec("disparity", "depth", scale=256.0, coding="disparity"),
}

_LABEL_IDS = {**dict.fromkeys(range(34), VOID), VOID: VOID} | {
    number: label for label, (number, _) in enumerate(CLASSES.values())
}
"""Of labelIds: ids without a class of their own are void, and so is -1 (a licence plate), which 8 bits make 255."""

LABEL_KINDS = {
    "gtFine_labelIds": partial(read_coded_labels, table=label_table(_LABEL_IDS)),
    "gtFine_labelTrainIds": partial(read_labels, classes=len(CLASSES)),
}
"""How label maps are read, by the end of their names; the first that is there is taken."""

_KINDS = {"rgb": "leftImg8bit", "depth": "disparity", "disparity": "disparity"}
"""What the names of an input's files end in; they begin with the folder."""

SOURCE = (
    "expected leftImg8bit/, gtFine/, and disparity/ (and camera/ for depth in metres), as the files "
    "<name>_trainvaltest.zip of https://www.cityscapes-dataset.com unpack"
)


class Cityscapes(FileViews):
    """The views of one split (`train`, `val`, or `test`, which is the same as `val`), sorted by name.

    `reading`: see `Reading`. Raises DataError where a folder or a view's file is not there.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        inputs: Sequence[str] = ("rgb", "depth"),
        **reading: Unpack[Reading],
    ) -> None:
        specs, _ = choose_specs(SPECS, inputs, reading.get("normalize"), names={})
        super().__init__(_find_views(root, split, inputs), specs, CLASS_NAMES, **reading)


def _find_views(root: str | Path, split: str, inputs: Sequence[str]) -> Source:
    folder, part = root_of(root, split, "Cityscapes", hint=SOURCE), "train" if split == "train" else "val"
    images = Pattern(f"leftImg8bit/{part}/{{group}}/{{stem}}_leftImg8bit.png").find(folder, hint=SOURCE)
    names = sorted(key.stem for key in images)
    labels = [_file(part, names[0], kind) for kind in LABEL_KINDS]
    kind = next((kind for kind, file in zip(LABEL_KINDS, labels, strict=True) if (folder / file).exists()), None)
    if kind is None:
        raise DataError(
            f"Cityscapes: there is neither {' nor '.join(str(folder / file) for file in labels)}", hint=SOURCE
        )
    camera = {"camera": "camera"} if "depth" in inputs else {}
    kinds = {name: _KINDS[name] for name in inputs} | camera | {LABELS: kind}
    views = [ViewFiles(name, {key: _file(part, name, kind) for key, kind in kinds.items()}) for name in names]
    check_files(folder, views, listed_in=folder / "leftImg8bit" / part, hint=SOURCE)
    return Source(folder, views, labels=LABEL_KINDS[kind])


def _file(part: str, name: str, kind: str) -> str:
    """A view's file, relative to the root; views are named after their city."""
    folder, city, suffix = kind.split("_")[0], name.split("_")[0], ".json" if kind == "camera" else ".png"
    return f"{folder}/{part}/{city}/{name}_{kind}{suffix}"
