"""Read one image file and refuse what is not what it should be.

Every failure is a `DataError` that names the file, what is wrong with it and, where something can be done, what.
Label maps whose stored values are not the labels are translated by a table (`label_table`).
Pillow opens 16-bit grey PNGs as uint16 (mode I;16): integer arithmetic on them wraps, so depth is float32 from here on.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision import tv_tensors

from cen_cli.data.sample import VOID, DepthMap
from cen_cli.errors import DataError

UNKNOWN = 254
"""In a table of labels: no label."""

_SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I")
_LOSSY = ("JPEG", "MPO", "WEBP")
_MODES = {
    "1": "1-bit black and white",
    "L": "8-bit grey",
    "P": "8-bit palette",
    "RGB": "8-bit RGB colours",
    "RGBA": "8-bit RGB colours with transparency",
    "LA": "8-bit grey with transparency",
    "PA": "8-bit palette with transparency",
    "CMYK": "8-bit CMYK colours",
    "I;16": "16-bit grey",
    "I": "32-bit grey",
    "F": "32-bit float",
}


def read_image(path: str | Path, *, scale: float = 255.0, colour: bool = False) -> tv_tensors.Image:
    """Read an 8-bit RGB or grey image (only RGB, with `colour`), or where `scale` is above 255 a 16-bit grey one.

    Returns uint8 [3 or 1, H, W] for 8 bits, float32 [1, H, W] = value / `scale`, at most 1, for 16 bits (`scale` is the
    value that means 1.0). Raises DataError for other encodings and unreadable files.
    """
    mode, _, values = _decode(path)
    if scale > VOID:
        if mode in _SIXTEEN_BIT:
            return tv_tensors.Image(_planes(np.minimum(values.astype(np.float32) / np.float32(scale), np.float32(1))))
        raise DataError(
            f"{path}: the image is {_describe(mode)}, expected 16-bit grey (full scale {scale:g})",
            hint="8-bit copies have lost the scale: use the 16-bit files of the data set",
        )
    if mode == "RGB" or (mode == "L" and not colour):
        return tv_tensors.Image(_planes(values))
    expected = "8-bit RGB" if colour else "8-bit RGB or grey"
    hint = "a palette image looks like a label map: is it the right file?" if mode == "P" else None
    raise DataError(f"{path}: the image is {_describe(mode)}, expected {expected}", hint=hint)


def read_depth(
    path: str | Path, *, scale: float, invalid: int = 0, rotated: bool = False, clip: float | None = None
) -> DepthMap:
    """Read a 16-bit grey depth image: float32 [1, H, W] metres = value / `scale`, 0 where the value is `invalid` or 0.

    `rotated`: the bits of the stored value are rotated to the left by 3, as in SUN RGB-D. `clip`: metres to which all
    that is farther is brought. Raises DataError for other bit depths and unreadable files.
    """
    values = read_units(path)
    units = _rotated_back(values) if rotated else values
    metres = units.astype(np.float32)
    metres /= np.float32(scale)
    if invalid != 0:
        metres[values == invalid] = 0.0
    if clip is not None:
        np.minimum(metres, np.float32(clip), out=metres)
    return DepthMap(torch.from_numpy(metres)[None])


def read_units(path: str | Path) -> np.ndarray:
    """The stored values of a 16-bit grey depth image, whole numbers [H, W]. Raises DataError for other bit depths."""
    mode, _, values = _decode(path)
    if mode not in _SIXTEEN_BIT:
        raise DataError(
            f"{path}: the depth image is {_describe(mode)}, expected 16-bit grey",
            hint="8-bit copies have lost the metric depth: use the 16-bit files of the data set",
        )
    return values


def _rotated_back(values: np.ndarray) -> np.ndarray:
    """16-bit values with their bits rotated to the right by 3."""
    stored = values.astype(np.uint16, copy=False)
    units = stored >> 3
    units |= stored << 13
    return units


def read_labels(path: str | Path, *, classes: int) -> tv_tensors.Mask:
    """Read a label map, 8-bit grey or palette (the indices count, not the colours): uint8 [1, H, W].

    Raises DataError for colour images, lossy formats, unreadable files, and labels other than 0 .. classes - 1 and 255.
    """
    values = read_label_values(path)
    _check_labels(path, values, classes)
    return tv_tensors.Mask(torch.from_numpy(values)[None])


def read_coded_labels(path: str | Path, *, table: np.ndarray) -> tv_tensors.Mask:
    """As `read_labels`, where `table` (of `label_table`) says which label each stored value means."""
    return tv_tensors.Mask(torch.from_numpy(look_up(path, read_label_values(path), table))[None])


def read_label_values(path: str | Path) -> np.ndarray:
    """The stored values of a label map, uint8 [H, W]. Raises DataError for colour images and lossy formats."""
    mode, kind, values = _decode(path)
    if mode not in ("L", "P"):
        raise DataError(
            f"{path}: the label map is {_describe(mode)}, expected 8-bit grey or palette",
            hint="store class indices, not colours, as an 8-bit PNG",
        )
    if kind in _LOSSY:
        raise DataError(f"{path}: the label map is a {kind} file, which changes labels", hint="store it as a PNG")
    return values


def label_table(labels: Mapping[int, int]) -> np.ndarray:
    """A table for `look_up`, uint8: the label of each stored value, `UNKNOWN` for values that `labels` has not."""
    table = np.full(max(256, max(labels) + 1), UNKNOWN, dtype=np.uint8)
    table[list(labels)] = list(labels.values())
    return table


def look_up(path: str | Path, values: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Labels, uint8 [H, W], of stored values. Raises DataError naming `path` for values without a label."""
    values = np.ascontiguousarray(values)
    if values.dtype == np.uint8:  # three times as fast as the general way
        found = np.frombuffer(bytearray(values).translate(table[:256].tobytes()), dtype=np.uint8).reshape(values.shape)
        unknown = found == UNKNOWN
    else:
        found = table.take(values, mode="clip")
        unknown = (found == UNKNOWN) | (values >= len(table))
    if unknown.any():
        known, found_outside = np.flatnonzero(table != UNKNOWN), np.unique(values[unknown]).tolist()
        raise DataError(
            f"{path}: the label map holds {_listed(found_outside)}, expected values from {known[0]} to {known[-1]}",
            hint="is it the right file, and of this data set?",
        )
    return found


def _check_labels(path: str | Path, values: np.ndarray, classes: int) -> None:
    outside = (values >= classes) & (values != VOID)
    if not outside.any():
        return
    found = sorted(set(values[outside].tolist()))
    hint = None
    if found == [classes]:
        hint = f"labels seem to start at 1 with 0 as void: subtract 1 and store void as {VOID}"
        hint += ", or say data.label_start = 1 (NYUDv2)"
    raise DataError(
        f"{path}: label {_listed(found)} is none of the {classes} classes 0 .. {classes - 1} or {VOID} (void)",
        hint=hint,
    )


def _listed(values: list[int]) -> str:
    return ", ".join(map(str, values[:5])) + (", ..." if len(values) > 5 else "")


def _decode(path: str | Path) -> tuple[str, str, np.ndarray]:
    """Pillow's mode and format, and the decoded values: a writable array [H, W] or [H, W, channels]."""
    try:
        with Image.open(path) as image:
            return image.mode, image.format or "", np.array(image)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except Image.UnidentifiedImageError:
        size = Path(path).stat().st_size
        reason = "the file is empty (0 bytes)" if size == 0 else f"not an image file that can be read ({size} bytes)"
        raise DataError(f"{path}: {reason}", hint="copy or download the file again") from None
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from None
        raise DataError(f"{path}: truncated or damaged ({error})", hint="copy or download the file again") from None


def _planes(values: np.ndarray) -> torch.Tensor:
    """[H, W] or [H, W, C] to [C, H, W]; colours keep their pixel-interleaved memory order, which resizes faster."""
    tensor = torch.from_numpy(values)
    return tensor[None] if tensor.ndim == 2 else tensor.permute(2, 0, 1)


def _describe(mode: str) -> str:
    return _MODES.get(mode, f"of mode {mode}")
