"""Pictures as files."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from cen_cli.files import write_bytes


def write_whole(content: bytes, out: Path) -> Path:
    """Write a picture file whole or not at all, making its folder. Raises SaveError."""
    write_bytes(out, content, hint="choose another --out")
    return out


def write_png(out: Path, image: Image.Image) -> Path:
    """Write a picture as PNG, whole or not at all. Raises SaveError."""
    return write_picture(out, image, "PNG")


def write_picture(out: Path, image: Image.Image, kind: str) -> Path:
    """Write a picture in one of Pillow's formats, whole or not at all. Raises SaveError."""
    buffer = io.BytesIO()
    image.save(buffer, format=kind)
    return write_whole(buffer.getvalue(), out)
