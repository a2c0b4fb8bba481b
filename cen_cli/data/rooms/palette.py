"""Colours and textures of a room and its furniture: free ones, or those of a house style.

The free palette hides furniture on purpose: 45% of the items take the colours of the wall or of the floor, so that
rgb alone cannot tell them from their background; half of the others have a colour typical of their class. The house
palette ties every colour to class, texture and one of three styles, and a style also shows in the textures of wall and
floor; colours can then be predicted from shape and texture.
"""

from __future__ import annotations

import colorsys

import numpy as np

from cen_cli.data.rooms import settings as names
from cen_cli.data.rooms.materials import Colour, Material

CAMOUFLAGED = 0.45
"""The share of furniture that takes the colours of the wall or the floor."""


def from_hsv(hue: float, saturation: float, value: float) -> Colour:
    """Return the display colour of a hue (wrapped), saturation and value (clipped to [0, 1])."""
    return colorsys.hsv_to_rgb(hue % 1, min(max(saturation, 0), 1), min(max(value, 0), 1))


def shade(colour: Colour, factor: float) -> Colour:
    """Return a lighter or darker colour."""
    red, green, blue = (min(channel * factor, 1.0) for channel in colour)
    return red, green, blue


_SCALES = {
    "checks": (0.12, 0.35),
    "stripes": (0.06, 0.2),
    "brick": (0.06, 0.1),
    "tiles": (0.2, 0.45),
    "dots": (0.12, 0.25),
    "planks": (0.09, 0.16),
    "fronts": (0.35, 0.55),
}


TYPICAL = 0.5
"""The share of the other furniture that has a colour typical of its class."""
_Range = tuple[float, float]
_TYPICAL: dict[int, tuple[_Range, _Range, _Range]] = {  # ranges of hue, saturation and value
    names.TABLE: ((0.05, 0.11), (0.35, 0.7), (0.3, 0.7)),
    names.CHAIR: ((0.95, 1.1), (0.4, 0.8), (0.2, 0.7)),
    names.SOFA: ((0.5, 0.75), (0.25, 0.7), (0.25, 0.7)),
    names.BED: ((0.0, 1.0), (0.0, 0.15), (0.75, 0.97)),
    names.CABINET: ((0.05, 0.13), (0.15, 0.5), (0.5, 0.9)),
    names.LAMP: ((0.1, 0.16), (0.1, 0.45), (0.85, 1.0)),
    names.BOX: ((0.07, 0.1), (0.4, 0.6), (0.5, 0.75)),
}


class RandomPalette:
    """Free colours, half of them typical of the class; 45% of the furniture camouflaged.

    The scene asks for the `surface` of walls, floor and ceiling; for the main material of a piece of furniture made of
    one of some kinds (`item`) and further ones of the same piece (`accent`: legs, cushions); and for the colours that
    the pattern of a picture, window, door or rug needs (`decal`).
    """

    def __init__(self, generator: np.random.Generator) -> None:
        self._draw = generator
        self._wall = self._wall_material()
        self._floor = self._floor_material()
        self._last = self._wall

    def surface(self, label: int) -> Material:
        """Return the material of the walls, the floor or the ceiling."""
        if label == names.FLOOR:
            return self._floor
        if label == names.CEILING:
            tint = from_hsv(self._draw.random(), self._draw.uniform(0, 0.08), self._draw.uniform(0.8, 0.97))
            return Material("plain", tint, shade(tint, 0.9))
        return self._wall

    def item(self, label: int, kinds: tuple[str, ...]) -> Material:
        """Return the main material of the next piece of furniture."""
        background = self._wall if self._draw.random() < 0.6 else self._floor
        if self._draw.random() < CAMOUFLAGED:
            self._last = self._near(background, kinds)
        else:
            self._last = self._free(label, kinds)
        return self._last

    def accent(self, label: int, kinds: tuple[str, ...]) -> Material:
        """Return a relative of the last main material or, for a third of the items, a free one."""
        if self._draw.random() < 0.33:
            return self._free(label, kinds)
        return self._near(self._last, kinds)

    def decal(self, label: int) -> tuple[Colour, ...]:
        """Return free colours; a window looks at the sky, a door may be the wall's colour."""
        draw = self._draw
        frame = from_hsv(draw.uniform(0.03, 0.13), draw.uniform(0, 0.6), draw.uniform(0.2, 0.95))
        if label == names.WINDOW:
            sky = from_hsv(draw.uniform(0.5, 0.65), draw.uniform(0.05, 0.45), draw.uniform(0.75, 1))
            return frame, sky, from_hsv(draw.random(), draw.uniform(0, 0.4), draw.uniform(0.4, 0.95))
        if label == names.DOOR:
            leaf = shade(self._wall.first, draw.uniform(0.7, 1.15))
            if draw.random() < 0.6:
                leaf = from_hsv(draw.uniform(0.02, 0.14), draw.uniform(0, 0.6), draw.uniform(0.3, 0.95))
            return shade(leaf, draw.uniform(0.6, 1.2)), leaf, shade(leaf, 0.7), (0.75, 0.7, 0.5)
        if label == names.RUG:
            field = from_hsv(draw.random(), draw.uniform(0.1, 0.8), draw.uniform(0.25, 0.85))
            border = from_hsv(draw.random(), draw.uniform(0.1, 0.7), draw.uniform(0.2, 0.8))
            return border, shade(field, 1.3), field, shade(field, draw.uniform(0.55, 0.85))
        free = (from_hsv(draw.random(), draw.uniform(0.1, 0.9), draw.uniform(0.2, 0.95)) for _ in range(3))
        return (frame, (0.93, 0.92, 0.88), *free)

    def _kind(self, kinds: tuple[str, ...]) -> tuple[str, float]:
        kind = kinds[self._draw.integers(len(kinds))]
        return kind, self._draw.uniform(*_SCALES.get(kind, (0.1, 0.2)))

    def _free(self, label: int, kinds: tuple[str, ...]) -> Material:
        draw = self._draw
        kind, scale = self._kind(kinds)
        hues, saturations, values = (0.0, 1.0), (0.05, 0.75), (0.2, 0.92)
        if label in _TYPICAL and draw.random() < TYPICAL:
            hues, saturations, values = _TYPICAL[label]
        colour = from_hsv(draw.uniform(*hues), draw.uniform(*saturations), draw.uniform(*values))
        return Material(kind, colour, shade(colour, draw.uniform(0.6, 0.85)), scale)

    def _near(self, background: Material, kinds: tuple[str, ...]) -> Material:
        kind, scale = self._kind(kinds)
        if self._draw.random() < 0.4:
            kind, scale = background.kind, background.scale
        factor = self._draw.uniform(0.88, 1.1)
        return Material(kind, shade(background.first, factor), shade(background.second, factor), scale)

    def _wall_material(self) -> Material:
        draw = self._draw
        kinds = ("plain", "plain", "plain", "fabric", "stripes", "dots", "brick", "wood")
        kind, scale = self._kind(kinds)
        colour = from_hsv(draw.random(), draw.uniform(0.03, 0.45), draw.uniform(0.5, 0.92))
        return Material(kind, colour, shade(colour, draw.uniform(0.72, 0.92)), scale)

    def _floor_material(self) -> Material:
        draw = self._draw
        kind, scale = self._kind(("planks", "planks", "tiles", "checks", "fabric", "plain"))
        hue = draw.uniform(0.04, 0.11) if kind == "planks" and draw.random() < 0.7 else draw.random()
        colour = from_hsv(hue, draw.uniform(0.05, 0.55), draw.uniform(0.35, 0.8))
        return Material(kind, colour, shade(colour, draw.uniform(0.6, 0.88)), scale)


_STYLE_SURFACES = (("plain", "planks"), ("stripes", "tiles"), ("dots", "checks"))
_STYLE_HUES = (0.0, 0.52, 0.28)
_HOUSE = {  # hue, saturation, value of each class in the first style; the others turn the hue
    names.WALL: (0.11, 0.14, 0.9),
    names.FLOOR: (0.08, 0.45, 0.6),
    names.TABLE: (0.06, 0.6, 0.45),
    names.CHAIR: (0.0, 0.6, 0.6),
    names.SOFA: (0.58, 0.45, 0.55),
    names.BED: (0.5, 0.25, 0.75),
    names.CABINET: (0.1, 0.4, 0.75),
    names.LAMP: (0.14, 0.4, 0.95),
    names.PICTURE: (0.92, 0.45, 0.6),
    names.DOOR: (0.05, 0.35, 0.7),
    names.RUG: (0.97, 0.5, 0.5),
    names.BOX: (0.25, 0.4, 0.5),
}


class HousePalette:
    """One of three house styles: equal class, texture and style give equal colours; nothing is camouflaged."""

    def __init__(self, generator: np.random.Generator) -> None:
        self.style = int(generator.integers(len(_STYLE_SURFACES)))
        self._draw = generator

    def surface(self, label: int) -> Material:
        """Return the style's wall, floor or ceiling."""
        wall, floor = _STYLE_SURFACES[self.style]
        if label == names.CEILING:
            return Material("plain", (0.93, 0.93, 0.9), (0.86, 0.86, 0.84))
        return self._paint(label, floor if label == names.FLOOR else wall)

    def item(self, label: int, kinds: tuple[str, ...]) -> Material:
        """Return the style's material for a class made of one of `kinds`."""
        return self._paint(label, kinds[self._draw.integers(len(kinds))])

    def accent(self, label: int, kinds: tuple[str, ...]) -> Material:
        """Return the style's second material for the class."""
        return self._paint(label, kinds[self._draw.integers(len(kinds))], turn=0.12)

    def decal(self, label: int) -> tuple[Colour, ...]:
        """Return the style's colours for the pattern."""
        main = self._paint(label, "plain")
        if label == names.WINDOW:
            return (0.95, 0.95, 0.95), (0.62, 0.82, 1.0), (0.45, 0.62, 0.4)
        if label == names.DOOR:
            return main.second, main.first, shade(main.first, 0.6), (0.8, 0.75, 0.5)
        if label == names.RUG:
            return shade(main.first, 0.5), (0.9, 0.88, 0.8), main.first, main.second
        return (0.25, 0.2, 0.15), (0.95, 0.95, 0.9), main.first, shade(main.second, 0.8), shade(main.first, 0.5)

    def _paint(self, label: int, kind: str, turn: float = 0.0) -> Material:
        hue, saturation, value = _HOUSE.get(label, (0.75, 0.3, 0.5))
        hue += _STYLE_HUES[self.style] + turn + 0.015 * len(kind)
        colour = from_hsv(hue, saturation * (1 - 2 * turn), value + turn)
        low, high = _SCALES.get(kind, (0.1, 0.2))
        return Material(kind, colour, shade(colour, 0.72), (low + high) / 2)


Palette = RandomPalette | HousePalette
