"""SUN RGB-D as its two official archives unpack.

    SUNRGBD/<sensor>/.../<view>/image/*.jpg       8-bit RGB
    SUNRGBD/<sensor>/.../<view>/depth_bfx/*.png   16-bit grey, inpainted; depth/ the same as measured, 0 = nothing. The
                                                  stored value's bits are rotated to the left by 3: rotated back it is
                                                  millimetres; what is farther than 8 m is brought to 8 m
    SUNRGBDtoolbox/Metadata/SUNRGBDMeta.mat       names of these files, one entry a view
    SUNRGBDtoolbox/Metadata/SUNRGBD2Dseg.mat      label maps in the same order (HDF5): references to uint8 [W, H], 0 =
                                                  void, 1 .. 37
    SUNRGBDtoolbox/traintestSUNRGBD/allsplit.mat  `alltrain`: the folders of the training views

Label maps are read one at a time: all of them at once take tens of gigabytes. They are counted from 1, as in MATLAB.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import scipy.io

from cen_cli.data import tensors
from cen_cli.data.listing import check_files
from cen_cli.data.reading import coded_labels, label_table
from cen_cli.data.sample import LABELS
from cen_cli.data.sets.matfile import MatFile
from cen_cli.data.views import Source, ViewFiles
from cen_cli.errors import DataError
from cen_cli.results import VOID

Depth = Literal["filled", "raw"]
DEPTH_FOLDERS: dict[Depth, str] = {"filled": "depth_bfx", "raw": "depth"}

IMAGES, TOOLBOX = "SUNRGBD", "SUNRGBDtoolbox"
_META, _SPLIT = "Metadata/SUNRGBDMeta.mat", "traintestSUNRGBD/allsplit.mat"
_LABELS, _LABEL_ARRAY = f"{TOOLBOX}/Metadata/SUNRGBD2Dseg.mat", "SUNRGBD2Dseg/seglabel"

CLASSES = 37
FROM_ONE = label_table({0: VOID} | {label + 1: label for label in range(CLASSES)})
"""Stored value -> label, 255 where it is void."""


def find_views(root: Path, training: bool, inputs: Sequence[str], *, depth: Depth) -> Source:
    """The views of one part, in the order of the metadata. Raises DataError."""
    entries = _entries(root / TOOLBOX)
    labels = MatFile(root / _LABELS)
    shape = labels.shape(_LABEL_ARRAY)
    if shape != (len(entries), 1):
        expected = f"[{len(entries)}, 1], one for each view of {_META}"
        raise DataError(f"{labels.path}: {_LABEL_ARRAY} is of shape {list(shape)}, expected {expected}")
    images, views = [], []
    for number, (folder, rgb, depth_name, trains) in enumerate(entries, start=1):
        if trains == training:
            depth_file = f"{IMAGES}/{folder}/{DEPTH_FOLDERS[depth]}/{depth_name}"
            files = {"rgb": f"{IMAGES}/{folder}/image/{rgb}", "depth": depth_file}
            images.append(ViewFiles(folder, {name: files[name] for name in inputs}))
            views.append(ViewFiles(folder, images[-1].files | {LABELS: f"{_LABELS}/{_LABEL_ARRAY}/{number}"}))
    if not views:
        raise DataError(f"{root / TOOLBOX / _SPLIT}: no view of {_META} is for {'training' if training else 'testing'}")
    check_files(root, images, listed_in=root / TOOLBOX / _META, hint="unpack SUNRGBD.zip beside SUNRGBDtoolbox/")
    return Source(root, views, labels=partial(_read_labels, labels))


def _read_labels(labels: MatFile, path: str | Path) -> tensors.Mask:
    """Labels uint8 [1, H, W], 0 .. 36 and 255, of a path such as <file>/SUNRGBD2Dseg/seglabel/3. Raises DataError."""
    values = labels.referred(_LABEL_ARRAY, (int(Path(path).name) - 1, 0)).T
    return coded_labels(path, values, FROM_ONE)


@functools.lru_cache(maxsize=2)
def _entries(toolbox: Path) -> tuple[tuple[str, str, str, bool], ...]:
    """Of every view its folder below SUNRGBD/, the names of its files, and whether it is for training."""
    meta = np.atleast_1d(_load(toolbox / _META, "SUNRGBDMeta"))
    training = {_below_images(str(path)).rstrip("/") for path in np.atleast_1d(_load(toolbox / _SPLIT, "alltrain"))}
    entries = []
    for path, rgb, depth in zip(*(_column(meta, name, toolbox / _META) for name in _FIELDS), strict=True):
        folder = _below_images(path).rsplit("/", 2)[0]  # without image/<name>.jpg
        entries.append((folder, rgb, depth, folder in training))
    return tuple(entries)


_FIELDS = ("rgbpath", "rgbname", "depthname")


def _load(path: Path, name: str) -> Any:
    """A variable of a MATLAB v5 file."""
    if not path.is_file():
        raise DataError(f"{path}: no such file", hint="unpack SUNRGBDtoolbox.zip")
    try:
        variables = scipy.io.loadmat(path, squeeze_me=True, variable_names=[name])
    except Exception as error:  # of many kinds, for what scipy's reader meets in a damaged file
        raise DataError(
            f"{path}: not a MATLAB v5 file that can be read ({error})", hint="unpack SUNRGBDtoolbox.zip again"
        ) from None
    if name not in variables:
        raise DataError(f"{path}: holds no variable {name}", hint="unpack SUNRGBDtoolbox.zip again")
    return variables[name]


def _column(meta: np.ndarray, name: str, path: Path) -> list[str]:
    if meta.dtype.names is None or name not in meta.dtype.names:
        raise DataError(f"{path}: SUNRGBDMeta has no field {name}")
    return [str(value) for value in meta[name]]


def _below_images(path: str) -> str:
    """The part of a recorded path below SUNRGBD/, which was /n/fs/sun3d/data/SUNRGBD/ where it was recorded."""
    return path.partition(f"/{IMAGES}/")[2]
