"""Read one image file and refuse what is not what it should be.

Every failure is a `DataError` that names the file, what is wrong with it and, where something can be done, what.
Label maps whose stored values are not the labels are translated by a table (`label_table`).
Depth of 16 bits is float32 from here on: integer arithmetic on uint16 wraps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from cen_cli.data import tensors
from cen_cli.data.decoding import EIGHT_BIT, LOSSY, SIXTEEN_BIT, STORED, Decoded, decode, describe_mode, take_bands
from cen_cli.data.modality import Encoding, LabelEncoding
from cen_cli.data.tensors import DepthMap
from cen_cli.errors import DataError
from cen_cli.results import VOID
from cen_cli.wording import listed

UNKNOWN = 254
"""In a table of labels: no label."""

_EXPECTED = {
    ("uint8", 1): "8-bit grey",
    ("uint8", 3): "8-bit RGB",
    ("uint16", 1): "16-bit grey",
    ("uint16", 3): "16-bit RGB",
    ("int16", 1): "16-bit grey with a sign",
    ("int16", 3): "16-bit of 3 bands with a sign",
    ("float32", 1): "32-bit float",
    ("float32", 3): "32-bit float RGB",
}
_TINY = 1e-6
"""Share of a measurement's range that its lowest value lies above 0, since 0 means that nothing was measured."""


def read_image(path: str | Path, *, scale: float = 255.0, colour: bool = False) -> tensors.Image:
    """Read an 8-bit RGB or grey image (only RGB, with `colour`), or where `scale` is above 255 a 16-bit grey one.

    Returns uint8 [3 or 1, H, W] for 8 bits, float32 [1, H, W] = value / `scale`, at most 1, for 16 bits (`scale` is the
    value that means 1.0). Raises DataError for other encodings and unreadable files.
    """
    decoded = decode(path)
    mode, values = decoded.mode, decoded.values
    if scale > VOID:
        if mode in SIXTEEN_BIT:
            return tensors.Image(_planes(np.minimum(values.astype(np.float32) / np.float32(scale), np.float32(1))))
        raise DataError(
            f"{path}: the image is {describe_mode(mode)}, expected 16-bit grey (full scale {scale:g})",
            hint="8-bit copies have lost the scale: use the 16-bit files of the data set",
        )
    if mode == "RGB" or (mode == "L" and not colour):
        return tensors.Image(_planes(values))
    expected = "8-bit RGB" if colour else "8-bit RGB or grey"
    hint = "a palette image looks like a label map: is it the right file?" if mode == "P" else None
    raise DataError(f"{path}: the image is {describe_mode(mode)}, expected {expected}", hint=hint)


def read_depth(
    path: str | Path, *, scale: float, invalid: int = 0, rotated: bool = False, clip: float | None = None
) -> DepthMap:
    """Read a 16-bit grey depth image: float32 [1, H, W] metres = value / `scale`, 0 where the value is `invalid` or 0.

    `rotated`: the bits of the stored value are rotated to the left by 3, as in SUN RGB-D. `clip`: metres to which all
    that is farther is brought. Raises DataError for other bit depths and unreadable files.
    """
    values = units = read_units(path)
    if rotated:
        stored = values.astype(np.uint16, copy=False)
        units = stored >> 3 | stored << 13
    metres = np.divide(units, np.float32(scale), dtype=np.float32)
    if invalid != 0:
        metres[values == invalid] = 0.0
    if clip is not None:
        np.minimum(metres, np.float32(clip), out=metres)
    return DepthMap(torch.from_numpy(metres)[None])


def read_units(path: str | Path) -> np.ndarray:
    """The stored values of a 16-bit grey depth image, whole numbers [H, W]. Raises DataError for other bit depths."""
    decoded = decode(path)
    mode, values = decoded.mode, decoded.values
    if mode not in SIXTEEN_BIT:
        raise DataError(
            f"{path}: the depth image is {describe_mode(mode)}, expected 16-bit grey",
            hint="8-bit copies have lost the metric depth: use the 16-bit files of the data set",
        )
    return values


def read_labels(path: str | Path, *, classes: int) -> tensors.Mask:
    """Read a label map, 8-bit grey or palette (the indices count, not the colours): uint8 [1, H, W].

    Raises DataError for colour images, lossy formats, unreadable files, and labels other than 0 .. classes - 1 and 255.
    """
    values = read_label_values(path)
    outside = np.unique(values[(values >= classes) & (values != VOID)]).tolist()
    if outside:
        start = f"labels seem to start at 1 with 0 as void: subtract 1 and store void as {VOID}, or say "
        raise DataError(
            f"{path}: label {listed(outside)} is none of the {classes} classes 0 .. {classes - 1} or {VOID} (void)",
            hint=f"{start}data.label_start = 1 (NYUDv2)" if outside == [classes] else None,
        )
    return _mask(values)


def read_coded_labels(path: str | Path, *, table: np.ndarray) -> tensors.Mask:
    """As `read_labels`, where `table` (of `label_table`) says which label each stored value means."""
    return coded_labels(path, read_label_values(path), table)


def read_label_values(path: str | Path) -> np.ndarray:
    """The stored values of a label map, uint8 [H, W]. Raises DataError for colour images and lossy formats."""
    decoded = decode(path)
    if decoded.mode not in ("L", "P"):
        raise DataError(
            f"{path}: the label map is {describe_mode(decoded.mode)}, expected 8-bit grey or palette",
            hint="store class indices, not colours, as an 8-bit PNG",
        )
    _refuse_lossy(path, decoded, "store it as a PNG")
    return decoded.values


def _refuse_lossy(path: str | Path, decoded: Decoded, hint: str) -> None:
    if decoded.format in LOSSY:
        raise DataError(f"{path}: the label map is a {decoded.format} file, which changes labels", hint=hint)


def label_table(labels: Mapping[int, int]) -> np.ndarray:
    """A table for `coded_labels`, uint8: the label of each stored value, `UNKNOWN` for values that `labels` has not."""
    table = np.full(max(256, max(labels) + 1), UNKNOWN, dtype=np.uint8)
    table[list(labels)] = list(labels.values())
    return table


def coded_labels(path: str | Path, values: np.ndarray, table: np.ndarray) -> tensors.Mask:
    """Labels, uint8 [1, H, W], of stored values [H, W]. Raises DataError naming `path` for values without a label."""
    values = np.ascontiguousarray(values)
    if values.dtype == np.uint8:  # three times as fast as the general way
        labels = np.frombuffer(bytearray(values).translate(table[:256].tobytes()), dtype=np.uint8).reshape(values.shape)
        unknown = labels == UNKNOWN
    else:
        labels = table.take(values, mode="clip")
        unknown = (labels == UNKNOWN) | (values >= len(table))
    if unknown.any():
        known, outside = np.flatnonzero(table != UNKNOWN), np.unique(values[unknown]).tolist()
        raise DataError(
            f"{path}: the label map holds {listed(outside)}, expected values from {known[0]} to {known[-1]}",
            hint="is it the right file, and of this data set?",
        )
    return _mask(labels)


def read_encoded(path: str | Path, encoding: Encoding, *, measured: bool = False) -> tensors.Image | DepthMap:
    """Read an image or, with `measured`, a measurement of one's own, whose encoding is stated.

    Returns an Image, uint8 [1 or 3, H, W] as stored where `encoding.plain`, else float32 in [0, 1]; or a DepthMap,
    float32 [1, H, W]. Raises DataError for other encodings and unreadable files.
    """
    values = _encoded(path, encoding)
    if encoding.plain and not measured:
        return tensors.Image(_planes(values))
    meant = values.astype(np.float32) / np.float32(encoding.scale)
    span = encoding.high - encoding.low
    if not measured:
        if not np.isfinite(meant).all():
            raise DataError(
                f"{path}: {1 - np.isfinite(meant).mean():.2%} of the values are NaN or infinite, which no image means",
                hint='kind = "measurement" in the recipe\'s table of the modality leaves such pixels out (of several '
                "`bands` each is a modality then)",
            )
        unit = np.clip((meant - np.float32(encoding.low)) / np.float32(span), 0, 1)
        return tensors.Image(_planes(unit))
    above = np.clip(meant - np.float32(encoding.low), _TINY * span, span)
    above[~measured_pixels(values, encoding.invalid)] = 0.0
    return DepthMap(torch.from_numpy(above)[None])


def measured_pixels(values: np.ndarray, invalid: Sequence[float]) -> np.ndarray:
    """Where stored values mean that something was measured: finite ones that are not `invalid`."""
    measured = np.isfinite(values)
    for value in invalid:
        measured &= values != value
    return measured


def _encoded(path: str | Path, encoding: Encoding) -> np.ndarray:
    """The stored values [H, W] or [H, W, 3]. Raises DataError where they are not of the type and number stated."""
    decoded = decode_encoded(path, encoding)
    mode, values = decoded.mode, decoded.values
    channels = 1 if values.ndim == 2 else values.shape[-1]
    stored = STORED.get(mode, mode.partition(" x ")[0])
    if stored == "uint16" and encoding.stored == "int16" and values.max() <= np.iinfo(np.int16).max:
        stored, values = "int16", values.astype(np.int16)  # arrays and bands without a negative value
    if stored == encoding.stored and channels == encoding.channels:
        return values
    expected = _EXPECTED[encoding.stored, encoding.channels]
    hint = "`stored` and `channels` in the recipe's table of the modality say what is expected"
    if mode in EIGHT_BIT and encoding.stored == "uint8":
        hint = f"convert the file to {expected}; in training, `convert = true` in the modality's table does it"
        hint += "; but is it the right file? Palette images are label maps more often" if mode == "P" else ""
    elif values.ndim == 3 and channels > encoding.channels:
        hint = f"`bands` in the recipe's table of the modality says which of the {channels} are read: bands = "
        hint += str(list(range(1, encoding.channels + 1)))
    raise DataError(f"{path}: the image is {describe_mode(mode)}, expected {expected}", hint=hint)


def decode_encoded(path: str | Path, encoding: Encoding) -> Decoded:
    """What a file stores of a modality: the bands that are read, converted where that is asked for."""
    if encoding.convert:
        return decode(path, convert="RGB" if encoding.channels == 3 else "L")
    decoded = decode(path)
    return take_bands(path, decoded, encoding.bands) if encoding.bands else decoded


def read_class_map(path: str | Path, encoding: LabelEncoding) -> tensors.Mask:
    """Read a label map of one's own: uint8 [1, H, W], the position of each stored value among the classes, or `VOID`.

    Raises DataError for lossy formats, unreadable files, and stored values that are neither a class nor void.
    """
    stored = stored_labels(path, color=encoding.color, lossy=encoding.tolerance > 0)
    known = np.array([*encoding.values, *encoding.void], dtype=np.int64)
    labels = np.array([*range(len(encoding.values)), *([VOID] * len(encoding.void))], dtype=np.uint8)
    order = known.argsort()
    nearest = known[order]
    place = order[np.searchsorted((nearest[1:] + nearest[:-1]) // 2, stored)]
    unknown = np.abs(known[place] - stored) > encoding.tolerance
    if unknown.any():
        raise _unknown_labels(path, np.unique(stored[unknown]).tolist(), encoding)
    return _mask(labels[place])


def stored_labels(path: str | Path, *, color: bool, lossy: bool = False) -> np.ndarray:
    """The stored values of a label map, int64 [H, W]; of a colour image, 65536 red + 256 green + blue.

    Floats are read where all are whole numbers, and transparency is dropped where it is the same everywhere. Raises
    DataError for lossy formats unless `lossy`, unreadable files, and files of the other kind.
    """
    decoded = without_alpha(decode(path))
    mode, values = decoded.mode, decoded.values
    wanted = ("RGB",) if color else ("1", "L", "P", "F", "I", "I;16S", *SIXTEEN_BIT)
    if mode not in wanted:
        expected = "8-bit RGB" if color else "grey or palette"
        other = "index" if color else "color"
        raise DataError(
            f"{path}: the label map is {describe_mode(mode)}, expected {expected}",
            hint=f'data.folders.labels.stored = "{other}" reads the other kind of label maps',
        )
    if mode == "F" and not whole_numbers(values, lowest=-32768):
        raise DataError(f"{path}: the label map holds floats that are no whole numbers", hint="store it as a PNG")
    if not lossy:
        hint = "store it as a PNG; of two classes, such as 0 and 255, data.folders.labels.tolerance = 127 tells them"
        _refuse_lossy(path, decoded, hint)
    stored = values.astype(np.int64)
    return stored @ np.array([65536, 256, 1]) if color else stored


def without_alpha(decoded: Decoded) -> Decoded:
    """A picture without its transparency, where that is the same everywhere."""
    values = decoded.values
    if decoded.mode not in ("LA", "RGBA") or values[..., -1].min() != values[..., -1].max():
        return decoded
    grey = decoded.mode == "LA"
    return dataclasses.replace(decoded, mode=decoded.mode[:-1], values=values[..., 0] if grey else values[..., :3])


def whole_numbers(values: np.ndarray, *, lowest: int = 0) -> bool:
    """Whether floats are whole numbers as labels are, from `lowest` to 65535, all of them."""
    return bool(((values >= lowest) & (values <= 65535) & (values == np.floor(values))).all())


def _unknown_labels(path: str | Path, values: Sequence[int], encoding: LabelEncoding) -> DataError:
    shown = listed([[v >> 16, v >> 8 & 255, v & 255] if encoding.color else v for v in values])
    what = "colour" if encoding.color else "label"
    keys = "colors and void_colors" if encoding.color else "first, values and void"
    first, last = encoding.values[0], encoding.values[-1]
    hint = f"{keys} in [data.folders.labels] say what is stored"
    if not encoding.color and values == [last + 1] and last - first + 1 == len(encoding.values):
        hint = f"labels seem to start at {first + 1}: data.folders.labels.first = {first + 1}"
    return DataError(f"{path}: {what} {shown} is none of the {len(encoding.values)} classes and not void", hint=hint)


def _mask(labels: np.ndarray) -> tensors.Mask:
    return tensors.Mask(torch.from_numpy(labels)[None])


def _planes(values: np.ndarray) -> torch.Tensor:
    """[H, W] or [H, W, C] to [C, H, W]; colours keep their pixel-interleaved memory order, which resizes faster."""
    tensor = torch.from_numpy(values)
    return tensor[None] if tensor.ndim == 2 else tensor.permute(2, 0, 1)
