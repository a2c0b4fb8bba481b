"""The official nyu_depth_v2_labeled.mat as folders of images, which are smaller and quicker to read.

    rgb/000001.png      8-bit RGB
    masks/000001.png    palette PNG: labels 0 .. 39, 255 = void
    depth/000001.png    16-bit grey, 5000 units per metre, 0 = nothing measured
    train.txt, val.txt  the official split

Everything is cut to the inside of the white border, 468 x 625. Read back, images and labels are the official file's to
the bit, and depth is to half a unit, 0.1 mm.
"""

from __future__ import annotations

import colorsys
from pathlib import Path

import numpy as np
from PIL import Image

from cen_cli.data.sample import RawView
from cen_cli.data.sets.nyudv2 import SPECS, NYUDv2
from cen_cli.data.sets.nyudv2.frames import Depth
from cen_cli.data.sets.nyudv2.official import CLASS_NAMES, SOURCE
from cen_cli.errors import DataError, UsageError
from cen_cli.results import Advance, unheard

_PARTS = {"train": "train.txt", "val": "val.txt"}
FOLDERS = ("rgb", "masks", "depth")
_MOST_UNITS = 65535


def write_folders(mat: Path, folder: Path, *, depth: Depth = "filled", progress: Advance = unheard) -> int:
    """Write all frames of the official file into an empty folder; returns how many.

    `depth`: inpainted, or as measured. `progress` is told (frames done, frames in all). Raises UsageError where there
    is no such file, DataError where it cannot be read, OSError where the folder cannot be written.
    """
    if not mat.is_file():
        raise UsageError(f"{mat}: {'a folder' if mat.exists() else 'no such file'}", hint=SOURCE)
    parts = {part: NYUDv2(mat, part, depth=depth) for part in _PARTS}
    total, done = sum(map(len, parts.values())), 0
    for name in FOLDERS:
        (folder / name).mkdir(parents=True)
    for part, views in parts.items():
        lines = []
        for index in range(len(views)):
            lines.append("\t".join(_write_view(views.view(index), folder)) + "\n")
            done += 1
            progress(done, total)
        (folder / _PARTS[part]).write_text("".join(lines), encoding="utf-8")
    return total


def _write_view(view: RawView, folder: Path) -> tuple[str, str, str]:
    """Write a view's three files; returns their names, as lists have them."""
    assert view.target is not None, "the official file has labels"
    rgb, masks, depth = (f"{name}/{view.name}.png" for name in FOLDERS)
    Image.fromarray(np.ascontiguousarray(view.inputs["rgb"].permute(1, 2, 0).numpy())).save(folder / rgb)
    labels = Image.fromarray(np.ascontiguousarray(view.target[0].numpy()))
    labels.putpalette(_palette())
    labels.save(folder / masks)
    Image.fromarray(_units(view)).save(folder / depth)
    return rgb, masks, depth


def _units(view: RawView) -> np.ndarray:
    units = np.round(view.inputs["depth"][0].numpy().astype(np.float64) * SPECS["depth"].scale)
    if units.max() > _MOST_UNITS:
        raise DataError(
            f"{view.files['depth']}: depth of {units.max() / SPECS['depth'].scale:.1f} m does not fit into 16 bits at "
            f"{SPECS['depth'].scale:g} units per metre",
            hint="NYUDv2 ends at 10 m: is it the labelled data set?",
        )
    return units.astype(np.uint16)


def _palette() -> bytes:
    """Colours of the label maps, for people: hues spread over the classes, void black."""
    colours = np.zeros((256, 3), dtype=np.uint8)
    for label in range(len(CLASS_NAMES)):
        hue, value = label * 0.618 % 1.0, (1.0, 0.7, 0.85)[label % 3]
        colours[label] = np.round(255 * np.asarray(colorsys.hsv_to_rgb(hue, 0.65, value)))
    return colours.tobytes()
