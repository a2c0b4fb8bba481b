"""What `cen translate` shows and writes: translated images, and a contact sheet of a few views.

Pictures are uint8 [H, W, 3]; depth maps are float [H, W] in metres with 0 where there is no measurement. So are other
measurements of the user's own, in their unit and counted from a `floor`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import RenderableType

from cen_cli.reporting.files import write_png, write_tiff
from cen_cli.reporting.panels import branch_caption, colour_depth, depth_range
from cen_cli.reporting.sheets import Array, enlarged, sheet
from cen_cli.reporting.tables import facts
from cen_cli.results import PictureRow, Translations

LEGIBLE = 128
"""Pictures of a contact sheet whose longer side is shorter than this are enlarged by a whole factor."""
SIXTEEN_BITS = 65535


def contact_sheet(rows: Iterable[PictureRow], *, longest: int | None = None) -> Image.Image:
    """One row of pictures per view: inputs, every branch, the ensemble, the truth; captions above the columns.

    Depth maps that were made and their truth share one range of colours, every input has its own; the range of what was
    made, or else of the first input, is written behind the view's name. `longest` as in `sheet`. Raises ValueError
    without rows or where columns differ.
    """
    drawn = [(*_pictures(row), row.frame) for row in rows]
    names, pictures, frames = zip(*drawn, strict=True) if drawn else ((), (), ())
    return sheet(pictures, names, frames, longest=longest)


def _pictures(row: PictureRow) -> tuple[str, dict[str, Array]]:
    """What is written above a row, and its columns as pictures by caption."""
    results = {branch_caption(name, row.inputs): image for name, image in row.outputs.items()}
    if row.truth is not None:
        results["truth"] = row.truth
    made = [image for image in results.values() if image.ndim == 2]
    span = depth_range(*(made[-1:] if row.truth is not None else made)) if made else None
    pictures = {name: _picture(image) for name, image in row.inputs.items()}
    pictures |= {name: _picture(image, span) for name, image in results.items()}
    shown = span or next((depth_range(image) for image in row.inputs.values() if image.ndim == 2), None)
    name, unit, floor = row.quantity
    if shown is None or not name:
        return row.name, pictures
    written = f"{name} {shown[0] + floor:.2f} .. {shown[1] + floor:.2f} {unit}"
    return f"{row.name}    {written.rstrip()}", pictures


def _picture(image: Array, span: tuple[float, float] | None = None) -> Array:
    """A picture, or a depth map in the colours of a span, as a picture [H, W, 3]; small ones enlarged."""
    picture = colour_depth(image, span) if image.ndim == 2 else image
    return enlarged(picture, -(-LEGIBLE // max(picture.shape[:2])))


def stored_depth(depth: Array, units: float, invalid: int) -> Array:
    """Depth in metres, as a network makes it, as uint16 in `units` per metre, at least 1 and never `invalid`."""
    values = np.clip(np.round(depth.astype(np.float64) * units), 1, SIXTEEN_BITS)
    return np.where(values == invalid, values - 1, values).astype(np.uint16)


def write_stored(path: Path, values: Array) -> Path:
    """Write [H, W] or [H, W, 3] without loss; `path` is without suffix. Returns the file. Raises SaveError.

    Of 8 bits, and grey of 16 bits, a PNG; else, where Pillow has none, a TIFF.
    """
    if values.dtype == np.uint8 or (values.dtype == np.uint16 and values.ndim == 2):
        return write_png(path.with_name(f"{path.name}.png"), Image.fromarray(values))
    return write_tiff(path.with_name(f"{path.name}.tif"), values)


def write_measurement(
    path: Path, values: Array, *, units: float, floor: float, stored: str, invalid: Sequence[float]
) -> Path:
    """Write a measurement [H, W] as its own files store it; `path` is without suffix. Returns the file.

    `values` count from `floor`; of one unit there are `units` steps. None becomes one of the `invalid` values. As in
    `write_stored`.
    """
    meant = (values.astype(np.float64) + floor) * units
    if stored == "float32":
        meant = meant.astype(stored)
        meant = np.where(np.isin(meant, np.array(invalid, stored)), np.nextafter(meant, np.float32(np.inf)), meant)
    else:
        numbers = np.iinfo(stored)
        valid = np.setdiff1d(np.arange(numbers.min, numbers.max + 1), invalid)
        meant = valid[np.searchsorted(valid, np.round(meant)).clip(max=len(valid) - 1)]
    return write_stored(path, meant.astype(stored))


PROTOCOLS = {
    "strict": "strict: images as the network makes them",
    "paper": "paper: dropout drew, and every image is stretched between its own minimum and maximum",
}
"""What each protocol means."""


def render_translation(done: Translations) -> list[RenderableType]:
    """What was translated by what, and where it was written."""
    first = Path(done.files[0])
    count = f"{len(done.files)} images of {done.views} view{'s' if done.views != 1 else ''}"
    pairs = [
        ("network", done.network),
        ("translated", f"{', '.join(done.inputs)} -> {done.target}"),
        ("protocol", PROTOCOLS[done.protocol]),
        ("wrote", f"{count}: {first.parent}"),
        ("for example", Path(done.files[-1]).name),
        ("contact sheet", done.contact_sheet),
    ]
    return [facts(pairs)]
