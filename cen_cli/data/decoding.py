"""Image files -> the values they store: only raster formats that hold their own pixels, nothing rounded or turned.

PNG, JPEG, TIFF, BMP and WebP are opened, none of the others that Pillow knows: some of those start programs. Pillow
keeps the high bytes alone of colours of 16 bits, and of TIFFs neither signs of 8 bits nor bands beyond colours and
transparency: by the file's own header, imagecodecs decodes PNGs of that kind, and tifffile TIFFs. Of a TIFF of several
pages the first counts; if it is grey, those of its size and type are further bands. Grey PNGs of 2 and 4 bits are
spread to 8, as that format means them. NumPy's arrays (.npy) count as images of the mode that their type and shape
correspond to.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
import stat
import struct
import tokenize
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from cen_cli.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".npy", ".bmp", ".webp")
"""What names of image files end in, in small letters."""
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")
"""Pillow's names of the formats that are opened. JPEG includes MPO, which some cameras write as .jpg."""
LOSSY = ("JPEG", "MPO", "WEBP")
"""Formats that may change stored values."""
SIXTEEN_BIT = ("I;16", "I;16L", "I;16B")
"""Modes of whole numbers of one band, from 0 to 65535."""
STORED = {"L": "uint8", "RGB": "uint8", "RGB;16": "uint16", "I;16S": "int16", "F": "float32", "RGB;F": "float32"}
STORED |= dict.fromkeys(SIXTEEN_BIT, "uint16")
"""The type of the values, by mode, where a modality can have it."""
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
    "I;16S": "16-bit grey with a sign",
    "I": "32-bit grey",
    "F": "32-bit float",
    "RGB;16": "16-bit RGB colours",
    "RGB;F": "32-bit float RGB colours",
}
_BITS = {"uint8": "8-bit", "uint16": "16-bit", "int16": "16-bit with a sign", "float32": "32-bit float"}
_CODED = ("P", "PA", "CMYK")
"""Modes of numbers of colours, and of inks."""
EIGHT_BIT = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK")
"""Modes of pictures of 8 bits, which can be turned into one another."""
_ORIENTATION = 0x0112
_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLES, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 258, 262, 277, 338, 339
_SIGNED = 2
_TRANSPARENCY = (2,)
"""Of `_EXTRA_SAMPLES`: by it colours are not multiplied, which Pillow would undo."""
_WHITE_IS_ZERO = 0
_GREY = (_WHITE_IS_ZERO, 1)
"""Of a page's colours, `_PHOTOMETRIC`: grey, with 0 for white or for black."""
_NO_BAND = 1 | 4
"""Of a page's kind: a smaller copy of another one, or its mask."""
_READING_FAILED = (
    OSError,
    SyntaxError,
    TypeError,
    ValueError,
    EOFError,
    KeyError,
    IndexError,
    struct.error,
    zlib.error,
)


@dataclasses.dataclass(frozen=True)
class Decoded:
    """What an image file stores."""

    mode: str
    """Pillow's name of the kind of pixels, or one like it: "RGB;16", "RGB;F", "I;16S", or "uint16 x 5" for bands."""
    format: str
    """Pillow's name of the file's format, or "NPY"."""
    values: np.ndarray
    """[H, W] or [H, W, bands], writable."""
    turned: bool = False
    """Whether the file said that it is to be turned or mirrored (EXIF), which was done."""


def decode(path: str | Path, *, convert: Literal["L", "RGB"] | None = None) -> Decoded:
    """The values that an image file stores, turned upright.

    `convert`: bring pictures of 8 bits to this mode: grey repeated, transparency dropped, palettes looked up. Raises
    DataError for files that are missing, damaged, no images, or too large.
    """
    _check_file(path)
    if os.fspath(path).lower().endswith(".npy"):
        decoded = _decode_array(path)
        if convert is None or decoded.mode not in EIGHT_BIT:
            return decoded
        return dataclasses.replace(
            decoded, mode=convert, values=np.array(Image.fromarray(decoded.values).convert(convert))
        )
    try:
        # a stream, since Pillow maps files that have a name to memory, and turned TIFFs with rows of a wrong length
        with open(path, "rb") as stream, Image.open(stream, formats=FORMATS) as image:
            orientation = image.getexif().get(_ORIENTATION, 1)
            if _loses_bits(path, image):
                return _png_of_16_bits(path, orientation) if image.format == "PNG" else _tiff(path)
            chosen = image.convert(convert) if convert and image.mode in EIGHT_BIT else image
            values = np.array(chosen)
            mode = _mode(chosen, values)
            values = values.astype(np.int16) if mode == "I;16S" else values
            upright = values if image.format == "TIFF" else _turn(values, orientation)  # Pillow turns TIFFs itself
            return Decoded(mode, image.format or "", upright, orientation != 1)
    except Image.UnidentifiedImageError:
        if _is_tiff(path):
            return _tiff(path)
        size = Path(path).stat().st_size
        reason = "the file is empty (0 bytes)" if size == 0 else f"not an image file that can be read ({size} bytes)"
        raise DataError(f"{path}: {reason}", hint="copy or download the file again") from None
    except Image.DecompressionBombError as error:
        raise _too_large(path, int((re.findall(r"\d+", str(error)) or ["0"])[0])) from None
    except _READING_FAILED as error:
        raise _damaged(path, error) from None


def take_bands(path: str | Path, decoded: Decoded, bands: Sequence[int]) -> Decoded:
    """Some bands of an image, counted from 1. Raises DataError where it has not so many, and of palettes and inks."""
    if decoded.mode in _CODED:
        raise DataError(
            f"{path}: the image is {describe_mode(decoded.mode)}, whose bands are no measured values",
            hint="leave out `bands` in the recipe's table of the modality; `convert = true` makes colours of it",
        )
    values = decoded.values if decoded.values.ndim == 3 else decoded.values[..., None]
    if max(bands) > values.shape[-1]:
        raise DataError(
            f"{path}: the image is {describe_mode(decoded.mode)}, and has no band {max(bands)}",
            hint="`bands` in the recipe's table of the modality says which are read, counted from 1",
        )
    taken = np.ascontiguousarray(values[..., [band - 1 for band in bands]])
    taken = taken[..., 0] if len(bands) == 1 else taken
    return dataclasses.replace(decoded, mode=mode_of(taken), values=taken)


def describe_mode(mode: str) -> str:
    """A mode in words."""
    kind, _, bands = mode.partition(" x ")
    return f"{_BITS[kind]} of {bands} bands" if bands else _MODES.get(mode, f"of mode {mode}")


def _check_file(path: str | Path) -> None:
    """Raises DataError where there is no file: a pipe in its place would be waited for without end."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({getattr(error, 'strerror', error)})") from None
    if not stat.S_ISREG(mode):
        raise DataError(f"{path}: cannot be read ({'Is a directory' if stat.S_ISDIR(mode) else 'no regular file'})")


def _loses_bits(path: str | Path, image: Image.Image) -> bool:
    """Whether Pillow, which has opened the file, would decode less than it holds."""
    if image.format == "PNG":
        with open(path, "rb") as stream:
            depth, colours = stream.read(26)[24:]
        return depth == 16 and colours != 0
    if image.format == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]
        bits, more = max(tags.get(_BITS_PER_SAMPLE, (1,))), tags.get(_EXTRA_SAMPLES)
        turned_over = tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
        if bits == 8 and (turned_over or tags.get(_SAMPLE_FORMAT, (1,))[0] == _SIGNED):
            return True
        if tags.get(_SAMPLES, 1) > 1 and (bits > 8 or (more is not None and tuple(more) != _TRANSPARENCY)):
            return True
        grey = image.mode in ("L", "F", "I", *SIXTEEN_BIT)
        return grey and getattr(image, "n_frames", 1) > 1 and _has_bands_as_pages(path)
    return False


def _mode(image: Image.Image, values: np.ndarray) -> str:
    if image.format == "TIFF" and image.mode == "I":
        tags = image.tag_v2  # type: ignore[attr-defined]
        if tags.get(_SAMPLE_FORMAT, (1,))[0] == _SIGNED and tags.get(_BITS_PER_SAMPLE, (1,))[0] == 16:
            return "I;16S"
    return mode_of(values) or "I" if image.mode == "I" else image.mode


def _turn(values: np.ndarray, orientation: int) -> np.ndarray:
    """An image upright, by EXIF's number of how it is stored."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    down = -1 if orientation in (3, 4, 7, 8) else 1
    across = -1 if orientation in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(values[::down, ::across])


def _damaged(path: str | Path, error: Exception) -> DataError:
    if isinstance(error, OSError) and error.errno is not None:
        return DataError(f"{path}: cannot be read ({error.strerror})")
    return DataError(f"{path}: truncated or damaged ({error})", hint="copy or download the file again")


def _too_large(path: str | Path, pixels: int) -> DataError:
    most = 2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6
    return DataError(
        f"{path}: an image of {pixels / 1e6:.0f} megapixels; at most {most:.0f} are read",
        hint="cut it into tiles, a file each",
    )


# --- what Pillow cannot hold ------------------------------------------------------------------------------------------


def _png_of_16_bits(path: str | Path, orientation: int) -> Decoded:
    import imagecodecs

    try:
        values = imagecodecs.png_decode(Path(path).read_bytes())
    except (RuntimeError, *_READING_FAILED) as error:
        raise _damaged(path, error) from None
    return Decoded(mode_of(values), "PNG", _turn(values, orientation), orientation != 1)


def _is_tiff(path: str | Path) -> bool:
    with open(path, "rb") as stream:
        return stream.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def _has_bands_as_pages(path: str | Path) -> bool:
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            return len(_bands(file)) > 1
    except tifffile.TiffFileError as error:
        raise _damaged(path, error) from None


def _bands(file: Any) -> list[Any]:
    """The first page and, if it is grey, all that are of its size and type, but copies and masks of others."""
    first = file.pages.first
    found, seen = [first], {first.offset}
    if first.samplesperpixel > 1 or first.bitspersample == 1 or first.photometric not in _GREY:
        return found
    for page in itertools.islice(file.pages, 1, None):
        if page.offset in seen:  # a chain that goes round
            break
        seen.add(page.offset)
        if (page.shape, page.dtype) == (first.shape, first.dtype) and not page.subfiletype & _NO_BAND:
            found.append(page)
    return found


def _tiff(path: str | Path) -> Decoded:
    """What a TIFF stores; other files that one may name are not opened."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            page, *more = pages = _bands(file)
            if page.imagewidth * page.imagelength > 2 * (Image.MAX_IMAGE_PIXELS or 0):
                raise _too_large(path, page.imagewidth * page.imagelength)
            orientation = page.tags.valueof(_ORIENTATION, 1)
            values = np.stack([each.asarray() for each in pages], axis=-1) if more else page.asarray()
            values = np.moveaxis(values, page.axes.index("S"), -1) if "S" in page.axes and not more else values
            if values.ndim not in (2, 3):
                raise ValueError(f"{list(values.shape)} values where rows and columns are expected")
    except (tifffile.TiffFileError, RuntimeError, *_READING_FAILED) as error:
        raise _damaged(path, error) from None
    return _as_image(path, _turn(values, orientation), "TIFF", turned=orientation != 1, bands_last=True)


def _decode_array(path: str | Path) -> Decoded:
    """A NumPy file. Nothing but plain numbers is read; one band may come first or last."""
    try:
        values = np.load(path, allow_pickle=False)
    except (MemoryError, tokenize.TokenError, *_READING_FAILED) as error:  # numpy parses the header as Python does
        if isinstance(error, OSError) and error.errno is not None:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from None
        raise DataError(
            f"{path}: not a NumPy array that can be read ({error})", hint="write it with numpy.save"
        ) from None
    if not isinstance(values, np.ndarray):
        raise DataError(f"{path}: several arrays, expected one", hint="write it with numpy.save, one array a file")
    if values.ndim == 3 and 1 in (values.shape[0], values.shape[-1]):
        values = values[..., 0] if values.shape[-1] == 1 else values[0]
    return _as_image(path, values, "NPY")


def _as_image(
    path: str | Path, values: np.ndarray, kind: str, *, turned: bool = False, bands_last: bool = False
) -> Decoded:
    """Values of any type as the nearest that images have. Raises DataError where there is none."""
    mode = mode_of(values, bands_last=bands_last)
    mode = f"{values.dtype} x 4" if mode == "RGBA" and kind == "TIFF" else mode  # by its header no transparency
    if not mode:
        raise DataError(
            f"{path}: the {'array' if kind == 'NPY' else 'image'} is {values.dtype} {list(values.shape)}, expected "
            "[H, W] or [H, W, bands] of uint8, uint16, int16 or float32",
            hint="convert it with NumPy: one array a file, channels last; where these are many, a TIFF tells them from "
            "rows and columns",
        )
    stored = STORED.get(mode, mode.partition(" x ")[0])
    return Decoded(mode, kind, values.astype(stored if stored in _BITS else values.dtype), turned)


def mode_of(values: np.ndarray, *, bands_last: bool = False) -> str:
    """Pillow's mode for such an array, or one like it; nothing where there is none, or where bands may come first.

    `bands_last`: they are known to come last, however many there are. Else more than four do where they are fewer than
    rows and columns, or where these are as many.
    """
    kind = _type(values) if values.ndim in (2, 3) and 0 not in values.shape else ""
    if values.ndim == 2:
        return {"bool": "1", "uint8": "L", "uint16": "I;16", "int16": "I;16S", "float32": "F"}.get(kind, "")
    if not kind or kind == "bool":
        return ""
    rows, columns, bands = values.shape
    if not (bands_last or bands <= 4 or rows == columns or bands < min(rows, columns)):
        return ""
    colours = {3: {"uint8": "RGB", "uint16": "RGB;16", "float32": "RGB;F"}, 4: {"uint8": "RGBA"}}
    return colours.get(values.shape[-1], {}).get(kind, f"{kind} x {values.shape[-1]}")


def _type(values: np.ndarray) -> str:
    """The smallest type of images that holds an array's values; nothing where there is none."""
    if values.dtype.kind in "bf":
        return "bool" if values.dtype.kind == "b" else "float32"
    if values.dtype.kind not in "iu":
        return ""
    if values.dtype == np.uint8:
        return "uint8"
    low, high = int(values.min()), int(values.max())
    if values.dtype == np.int8 and low >= 0:
        return "uint8"
    fitting = (name for name in ("uint16", "int16") if np.iinfo(name).min <= low and high <= np.iinfo(name).max)
    return next(fitting, "")
