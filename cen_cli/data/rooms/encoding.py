"""How each domain is stored as a PNG file.

rgb, rgb_clean         8-bit RGB
depth_*                16-bit grey, 512 units a metre; 65535 = invalid
normal                 8-bit RGB, 127 + 127 * component (right, up, towards the viewer)
reshading              8-bit grey
edge_texture           16-bit grey, 11355 * strength
edge_occlusion         16-bit grey, 11584 * strength
principal_curvature    8-bit RGB, 127 + 8 * curvature (1/m) in red and green, clipped; blue is 127
labels                 8-bit palette: index = class, 255 = void

Where Taskonomy has the domain, the encoding is Taskonomy's, so that its loader reads these files as they are.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from cen_cli.data.rooms.settings import PALETTE

DEPTH_UNITS = 512
"""Stored depth units a metre."""
DEPTH_INVALID = 65535
EDGE_UNITS = {"edge_texture": 11355, "edge_occlusion": 11584}
"""Stored value of edges of full strength."""
CURVATURE_UNITS = 8
"""Stored curvature units for 1/m."""


def encode(domain: str, values: np.ndarray) -> bytes:
    """Return the PNG file of a domain's array as `render_view` gives it."""
    stream = io.BytesIO()
    _to_image(domain, values).save(stream, format="PNG", compress_level=2)
    return stream.getvalue()


def _to_image(domain: str, values: np.ndarray) -> Image.Image:
    if domain.startswith("depth_"):
        units = np.minimum(np.round(values * DEPTH_UNITS), DEPTH_INVALID - 1)
        return Image.fromarray(np.where(values > 0, units, DEPTH_INVALID).astype(np.uint16))
    if domain in EDGE_UNITS:
        return Image.fromarray(np.round(values * EDGE_UNITS[domain]).astype(np.uint16))
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
