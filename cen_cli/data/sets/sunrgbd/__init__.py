"""SUN RGB-D (Song et al., CVPR 2015) with 37 classes, as it is published or as the packs made of it.

    official.py   SUNRGBD/ and SUNRGBDtoolbox/ as the two official archives unpack
    packs.py      SUNRGBD-train_images/, sunrgbd_train_depth/, ... (Handa): flat folders of numbered files

5285 views to train, 5050 to validate and test (there is no third part). Four kinds of cameras (kv1, kv2, realsense,
xtion) have four sizes of images: an evaluation batches views of one size.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from cen_cli.data.listing import describe_folder, root_of
from cen_cli.data.modality import IMAGENET_MEAN, IMAGENET_STD, ModalitySpec
from cen_cli.data.sets.sunrgbd import official, packs
from cen_cli.data.sets.sunrgbd.official import Depth
from cen_cli.data.views import FileViews, Reading, choose_specs
from cen_cli.errors import DataError, UsageError

__all__ = ["CLASS_NAMES", "SPECS", "SUNRGBD"]

CLASS_NAMES = (
    *("wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf", "picture"),
    *("counter", "blinds", "desk", "shelves", "curtain", "dresser", "pillow", "mirror", "floor_mat", "clothes"),
    *("ceiling", "books", "fridge", "tv", "paper", "towel", "shower_curtain", "box", "whiteboard", "person"),
    *("night_stand", "toilet", "sink", "lamp", "bathtub", "bag"),
)
"""The 37 classes by label, spelled as the data set spells them."""

SPECS = {
    "rgb": ModalitySpec("rgb", "image", mean=IMAGENET_MEAN, std=IMAGENET_STD, jitter=True),
    "depth": ModalitySpec("depth", "depth", scale=1000.0, coding="rotated", clip=8.0),
}
PACKED_DEPTH = ModalitySpec("depth", "depth", scale=10000.0)

SOURCE = (
    "expected SUNRGBD/ and SUNRGBDtoolbox/, as SUNRGBD.zip and SUNRGBDtoolbox.zip of https://rgbd.cs.princeton.edu "
    f"unpack; or the folders of https://github.com/ankurhanda/sunrgbd-meta-data: {packs.EXPECTED}"
)


class SUNRGBD(FileViews):
    """The views of one split: `train`, `val` or `test` (the same as `val`).

    `depth`: inpainted (depth_bfx) or raw; packs have one. `reading`: see `Reading`. Raises DataError where a folder or
    a file is not there, UsageError for a depth that packs do not have.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        inputs: Sequence[str] = ("rgb", "depth"),
        *,
        depth: Depth = "filled",
        **reading: Unpack[Reading],
    ) -> None:
        folder = root_of(root, split, "SUN RGB-D", hint=SOURCE)
        packed = not (folder / official.TOOLBOX).is_dir()
        if packed and not packs.are_in(folder):
            what = f"SUN RGB-D: neither the official folders nor packs in {folder}: {describe_folder(folder)}"
            raise DataError(what, hint=SOURCE)
        if packed and depth == "raw":
            raise UsageError('data.depth = "raw": the packs of SUN RGB-D have one depth', hint="leave it out")
        available = {**SPECS, "depth": PACKED_DEPTH} if packed else SPECS
        specs, _ = choose_specs(available, inputs, reading.get("normalize"), names={})
        training = split == "train"
        if packed:
            source = packs.find_views(folder, training, inputs)
        else:
            source = official.find_views(folder, training, inputs, depth=depth)
        super().__init__(source, specs, CLASS_NAMES, **reading)
