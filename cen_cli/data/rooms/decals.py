"""Decals: pictures, windows, doors and rugs. They have no thickness and differ from their surface in colour alone.

A decal is a rectangle or ellipse on one of the six faces of the room, in the face's own coordinates (along, up) in
metres. Its pattern gives colours and marks the points that it covers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cen_cli.data.rooms import settings as names
from cen_cli.data.rooms.geometry import Floats
from cen_cli.data.rooms.materials import KINDS, Colour, noise

FACE_AXES = ((1, 2), (0, 2), (0, 1))
"""The world axes that are (along, up) on faces across x, y and z."""


@dataclass(frozen=True)
class Decal:
    """A flat thing on a face (2 * axis + 1 for the far one): label, centre, half sizes, pattern, colours, glow."""

    face: int
    label: int
    centre: tuple[float, float]
    half: tuple[float, float]
    pattern: str
    colours: tuple[Colour, ...]
    round: bool = False
    glow: float = 0.0

    def covers(self, along: Floats, up: Floats) -> tuple[npt.NDArray[np.bool_], Floats, Floats]:
        """Return which points of the face are covered, and all points relative to the decal's centre."""
        u, v = along - np.float32(self.centre[0]), up - np.float32(self.centre[1])
        if self.round:
            return (u / self.half[0]) ** 2 + (v / self.half[1]) ** 2 < 1, u, v
        return (np.abs(u) < self.half[0]) & (np.abs(v) < self.half[1]), u, v

    def paint(self, u: Floats, v: Floats) -> Floats:
        """Return display colours [3, N] at covered points given relative to the centre."""
        colours = np.array(self.colours, np.float32)
        rim = np.minimum(self.half[0] - np.abs(u), self.half[1] - np.abs(v))
        if self.round:
            reach = np.sqrt((u / self.half[0]) ** 2 + (v / self.half[1]) ** 2)
            rim = (1 - reach) * min(self.half)
        index = _PATTERNS[self.label](self, u, v, rim)
        return colours[index].T


def _picture(decal: Decal, u: Floats, v: Floats, rim: Floats) -> npt.NDArray[np.intp]:
    """Frame (0), mount (1), then a landscape, a poster with a disc, or blocks in three colours (2, 3, 4)."""
    x, y = u / decal.half[0], v / decal.half[1]
    if decal.pattern == "landscape":
        hill = 0.35 * np.sin(3 * x + 9 * decal.half[0]) - 0.15
        sun = (x - 0.4) ** 2 + (y - 0.5) ** 2 < 0.05
        inner = np.where(y < hill, np.where(y < hill - 0.45, 4, 3), np.where(sun, 1, 2))
    elif decal.pattern == "disc":
        disc = x * x + (y - 0.25) ** 2 < 0.25
        lines = (y < -0.45) & ((y * 5).astype(int) % 2 == 0) & (np.abs(x) < 0.7)
        inner = np.where(disc, 3, np.where(lines, 4, 2))
    else:
        inner = 2 + ((x > 0.15).astype(int) + (y > -0.2) * 2 + (x * y > 0.1)) % 3
    return np.where(rim < 0.03, 0, np.where(rim < 0.06, 1, inner))


def _window(decal: Decal, u: Floats, v: Floats, rim: Floats) -> npt.NDArray[np.intp]:
    """Frame and bars (0), sky (1), cloud or far trees (2), or blinds (0 and 2)."""
    x, y = u / decal.half[0], v / decal.half[1]
    bars = (np.abs(u) < 0.025) | (np.abs(v - decal.half[1] * 0.2) < 0.02)
    frame = (rim < 0.06) | bars
    if decal.pattern == "blinds":
        slat = ((v + 9) * 16).astype(int) % 2
        return np.where(rim < 0.06, 0, np.where(y > -0.3, slat * 2, 1))
    low = noise(u, v * 0.3, 3) * 0.8 - 0.9 > y
    return np.where(frame, 0, np.where(low, 2, 1)) if decal.pattern == "view" else np.where(frame, 0, 1 + (x > y + 0.5))


def _door(decal: Decal, u: Floats, v: Floats, _rim: Floats) -> npt.NDArray[np.intp]:
    """Frame (0), leaf (1), the rims of its panels (2), knob (3)."""
    half_width, half_height = decal.half
    rows = 2 if decal.pattern == "two" else 3
    x = np.abs(u) / half_width
    y = (v / half_height + 1) / 2 * rows % 1
    if decal.pattern == "glazed":
        panel = (x < 0.55) & (v > 0)
    else:
        box = np.maximum(np.abs(x - 0.42) / 0.3, np.abs(y - 0.5) / 0.38)
        panel = (box < 1) & (box > 0.8)
    knob = (u - half_width * 0.72) ** 2 + v**2 < 0.0016
    frame = (half_width - np.abs(u) < 0.06) | (half_height - v < 0.06)
    return np.where(frame, 0, np.where(knob, 3, np.where(panel, 2, 1)))


def _rug(decal: Decal, u: Floats, v: Floats, rim: Floats) -> npt.NDArray[np.intp]:
    """Border (0), inner line (1), then a texture in two colours (2, 3)."""
    if decal.pattern == "diamonds":
        inner = ((np.abs(u) + np.abs(v)) / 0.28).astype(int) & 1
    elif decal.pattern == "rings":
        inner = (np.maximum(np.abs(u), np.abs(v)) / 0.22).astype(int) & 1
    else:
        scale = np.full(len(u), 0.2, np.float32)
        inner = (KINDS[decal.pattern](u, v, scale) > 0.5).astype(int)
    return np.where(rim < 0.09, 0, np.where((rim > 0.12) & (rim < 0.16), 1, 2 + inner))


_PATTERNS = {names.PICTURE: _picture, names.WINDOW: _window, names.DOOR: _door, names.RUG: _rug}
PATTERN_NAMES = {
    names.PICTURE: ("landscape", "disc", "blocks"),
    names.WINDOW: ("view", "sky", "blinds"),
    names.DOOR: ("two", "three", "glazed"),
    names.RUG: ("diamonds", "rings", "stripes", "checks", "fabric"),
}
