"""Pictures as files."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from cen_cli.errors import SaveError
from cen_cli.files import write_bytes
from cen_cli.reporting.console import note

T = TypeVar("T")


def write_whole(content: bytes, out: Path) -> Path:
    """Write a picture file whole or not at all, making its folder. Raises SaveError."""
    write_bytes(out, content, hint="choose another --out")
    return out


def unless_unwritable(write: Callable[[], T], on_note: Callable[[str], None] = note) -> T | None:
    """What `write` returns; None, and a note, where its file cannot be written: numbers do not wait for a plot."""
    try:
        return write()
    except SaveError as error:
        on_note(f"not written: {error.message}")
        return None


def write_png(out: Path, image: Image.Image) -> Path:
    """Write a picture as PNG, whole or not at all. Raises SaveError."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return write_whole(buffer.getvalue(), out)


def write_tiff(out: Path, values: np.ndarray) -> Path:
    """Write values [H, W] or colours [H, W, 3] of any type as TIFF, whole or not at all. Raises SaveError."""
    import tifffile

    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, photometric="rgb" if values.ndim == 3 else "minisblack")
    return write_whole(buffer.getvalue(), out)
