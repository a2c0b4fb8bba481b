"""NYU Depth v2 (Silberman et al., ECCV 2012) with 40 classes: the official file, or the folders that it is turned into.

    frames.py     nyu_depth_v2_labeled.mat itself
    folders.py    rgb/, masks/ and depth/ with lists, as RGB-D segmentation uses them; or RGB/, HHA/, Depth/ and Label/
    prepare.py    from the one to the other
    official.py   the split, the 40 classes

795 views to train, 654 to validate and test (there is one list for both).

The photographs have a white border, which is no picture and has no labels: frames of 480 x 640 that come from the
official file, or are read for translation, are cut to their inside, 468 x 625. In folders images and masks often are
468 x 625 already, while depth still has the border and is then cut to its centre.

Two more modalities are computed on reading, from a view's own files (`cen_cli.data.derived`): `edge_texture` (in short
`texture` or `edge`: edges of depth would give away the depth) from rgb, and `normal` from depth.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from cen_cli.data.derived import CORNER, INNER, WHOLE
from cen_cli.data.listing import root_of
from cen_cli.data.modality import HALF, IMAGENET_MEAN, IMAGENET_STD, SHORT_NAMES, ModalitySpec, Normalization
from cen_cli.data.sample import LABELS, TARGET
from cen_cli.data.sets.nyudv2.folders import find_views
from cen_cli.data.sets.nyudv2.frames import Depth, find_frames
from cen_cli.data.sets.nyudv2.official import CLASS_NAMES, MAT_FILE, SOURCE
from cen_cli.data.views import FileViews, Frame, Reading, choose_specs
from cen_cli.errors import UsageError

__all__ = ["CLASS_NAMES", "FRAME", "NAMES", "SPECS", "NYUDv2", "modality_specs"]

SPECS = {
    "rgb": ModalitySpec("rgb", "image", mean=IMAGENET_MEAN, std=IMAGENET_STD, jitter=True),
    "depth": ModalitySpec("depth", "depth", scale=5000.0),
    "edge_texture": ModalitySpec("edge_texture", "image", mean=HALF, std=HALF, derived="edge_texture"),
    "normal": ModalitySpec("normal", "image", scale=5000.0, mean=HALF, std=HALF, mirror_sum=254, derived="normal"),
    "hha": ModalitySpec("hha", "image", mean=IMAGENET_MEAN, std=IMAGENET_STD, colour=True),
}
NAMES = {**SHORT_NAMES, "depth": "depth", "edge": "edge_texture"}
"""Short name -> modality, as this data set understands it."""
LOG_SCALE, MAX_DEPTH = 1.0, 10.0
"""Of depth in translation: its logarithm, up to 10 metres."""
FRAME = Frame(WHOLE, *(slice(first, first + length) for first, length in zip(CORNER, INNER, strict=True)))
"""The white border of whole frames."""

_DERIVED_FROM = {"edge_texture": "rgb", "normal": "depth"}


def modality_specs(
    inputs: Sequence[str], normalize: Normalization | None = None, *, target: str | None = None
) -> tuple[tuple[ModalitySpec, ...], ModalitySpec | None]:
    """How `inputs` and `target` are encoded and normalised; a target makes everything fit for translation.

    Raises UsageError for unknown or repeated names.
    """
    ranged = {key: spec.for_translation(log_scale=LOG_SCALE, max_depth=MAX_DEPTH) for key, spec in SPECS.items()}
    return choose_specs(ranged if target else SPECS, inputs, normalize, target=target, names=NAMES)


class NYUDv2(FileViews):
    """The views of one split: `train`, `val` or `test` (the same as `val`).

    `root`: the official file, the folder that holds it, or a folder of images. `target`: the modality to translate to;
    without one, views have labels. `list_file` (relative to the folder) takes the place of the split's own list.
    `depth`: which of the official file's depths. `label_start`: where the labels of a folder start, 0 or 1; None: as
    the label maps show. `reading`: see `Reading`. Raises DataError where the file, the folder, the list or a listed
    file is not there, and UsageError for a choice that the layout does not offer.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        inputs: Sequence[str] = ("rgb", "depth"),
        target: str | None = None,
        *,
        list_file: str = "",
        depth: Depth = "filled",
        label_start: int | None = None,
        **reading: Unpack[Reading],
    ) -> None:
        specs, target_spec = modality_specs(inputs, reading.get("normalize"), target=target)
        columns = {name: _column(name) for name in inputs}
        columns |= {LABELS: LABELS} if target is None else {TARGET: _column(target)}
        path = root_of(root, split, "NYUDv2", hint=SOURCE, file=True)
        inside = path / MAT_FILE
        mat = path if path.is_file() else inside if inside.is_file() and not (path / "train.txt").is_file() else None
        if mat is None and depth == "raw":
            raise UsageError('data.depth = "raw": a folder of images has one depth', hint="leave it out")
        if mat is not None and label_start is not None:
            raise UsageError(f"data.label_start = {label_start}: {mat.name} has its own labels", hint="leave it out")
        if mat is None:
            source = find_views(path, split, columns, list_file=list_file, start=label_start)
        else:
            source = find_frames(mat, split, columns, depth=depth, list_file=list_file)
        frame = None if target is None and mat is None else FRAME
        source = dataclasses.replace(source, crop_depth=True, frame=frame)
        super().__init__(source, specs, CLASS_NAMES, target=target_spec, **reading)


def _column(name: str) -> str:
    """What a modality is read from."""
    modality = NAMES.get(name, name)
    return _DERIVED_FROM.get(modality, modality)
