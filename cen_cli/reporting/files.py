"""Writing picture files whole or not at all."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

from PIL import Image

from cen_cli.errors import SaveError


def write_whole(content: bytes, out: Path) -> Path:
    """Write a picture file whole or not at all, making its folder. Raises SaveError."""
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(out)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise SaveError(f"{out}: cannot be written ({error.strerror or error})", hint="choose another --out") from error
    return out


def write_png(out: Path, image: Image.Image) -> Path:
    """Write a picture as PNG, whole or not at all. Raises SaveError."""
    return write_picture(out, image, "PNG")


def write_picture(out: Path, image: Image.Image, kind: str) -> Path:
    """Write a picture in one of Pillow's formats, whole or not at all. Raises SaveError."""
    buffer = io.BytesIO()
    image.save(buffer, format=kind)
    return write_whole(buffer.getvalue(), out)
