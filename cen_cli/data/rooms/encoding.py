"""How each domain is stored as a PNG file, and how it is read back.

rgb, rgb_clean         8-bit RGB
depth_*                16-bit grey, 512 units a metre; 65535 = invalid
normal                 8-bit RGB, 127 + 127 * component (right, up, towards the viewer)
reshading              8-bit grey
edge_*                 16-bit grey, 65535 * strength
principal_curvature    8-bit RGB, 127 + 8 * curvature (1/m) in red and green, clipped; blue is 127
labels                 8-bit palette: index = class, 255 = void
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from cen_cli.data.rooms.settings import PALETTE

DEPTH_UNITS = 512
"""Stored depth units a metre."""
DEPTH_INVALID = 65535
CURVATURE_UNITS = 8
"""Stored curvature units for 1/m."""


def encode(domain: str, values: np.ndarray) -> bytes:
    """Return the PNG file of a domain's array as `render_view` gives it."""
    stream = io.BytesIO()
    _to_image(domain, values).save(stream, format="PNG", compress_level=2)
    return stream.getvalue()


def decode(domain: str, data: bytes) -> np.ndarray:
    """Return the array of a stored domain, in the units of `render_view` (rounded as the file is)."""
    with Image.open(io.BytesIO(data)) as image:
        values = np.array(image)
    if domain.startswith("depth_"):
        return np.where(values == DEPTH_INVALID, 0, values.astype(np.float32) / DEPTH_UNITS).astype(np.float32)
    if domain.startswith("edge_"):
        return values.astype(np.float32) / 65535
    if domain == "normal":
        return (values.astype(np.float32) - 127) / 127
    if domain == "principal_curvature":
        return (values[..., :2].astype(np.float32) - 127) / CURVATURE_UNITS
    return values


def _to_image(domain: str, values: np.ndarray) -> Image.Image:
    if domain.startswith("depth_"):
        units = np.minimum(np.round(values * DEPTH_UNITS), DEPTH_INVALID - 1)
        return Image.fromarray(np.where(values > 0, units, DEPTH_INVALID).astype(np.uint16))
    if domain.startswith("edge_"):
        return Image.fromarray(np.round(values * 65535).astype(np.uint16))
    if domain == "normal":
        return Image.fromarray(np.round(values * 127 + 127).astype(np.uint8))
    if domain == "principal_curvature":
        scaled = np.clip(np.round(values * CURVATURE_UNITS + 127), 0, 255).astype(np.uint8)
        return Image.fromarray(np.concatenate([scaled, np.full_like(scaled[..., :1], 127)], -1))
    image = Image.fromarray(np.ascontiguousarray(values))
    if domain == "labels":
        colours = [channel for colour in PALETTE for channel in colour]
        image = Image.frombytes("P", image.size, image.tobytes())
        image.putpalette(colours + [0] * (768 - len(colours)))
    return image
