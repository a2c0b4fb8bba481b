"""Procedural textures: for points on a surface, how much of a material's second colour shows.

Every texture is a function of surface coordinates (u, v) in metres and returns the blend in [0, 1] between the
material's two colours, so that a material is a kind, two colours and a scale. Book spines alone bring their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cen_cli.data.rooms.geometry import Floats

Colour = tuple[float, float, float]

_SIDE = 256
_CELLS = 32


@dataclass(frozen=True)
class Material:
    """A texture kind, its two colours (display values in [0, 1]), its pattern's size in metres, and its glow."""

    kind: str
    first: Colour
    second: Colour
    scale: float = 0.1
    glow: float = 0.0


def _lattice() -> Floats:
    """Return a periodic smooth noise picture with values in [0, 1]; the same on every machine."""
    coarse = np.random.default_rng(20).random((_CELLS, _CELLS))
    position = np.arange(_SIDE) * _CELLS / _SIDE
    cell = position.astype(int)
    weight = position - cell
    weight = weight * weight * (3 - 2 * weight)
    following = (cell + 1) % _CELLS
    rows = coarse[cell] * (1 - weight[:, None]) + coarse[following] * weight[:, None]
    return (rows[:, cell] * (1 - weight) + rows[:, following] * weight).astype(np.float32)


_NOISE = _lattice().ravel()
_HASH = np.random.default_rng(21).random(1024).astype(np.float32)
_SPINES = np.random.default_rng(22).random((1024, 3)).astype(np.float32) ** 1.3 * 0.75 + 0.05


def noise(u: Floats, v: Floats, frequency: float) -> Floats:
    """Return smooth noise in [0, 1] with `frequency` bumps a metre."""
    rate = np.float32(frequency * _SIDE / _CELLS)
    # A cast to int rounds towards 0: what is added keeps coordinates positive, and is a multiple of the table's side.
    column = (u * rate + 65536).astype(np.int32) & (_SIDE - 1)
    row = (v * rate + 65536).astype(np.int32) & (_SIDE - 1)
    return _NOISE[row * _SIDE + column]


def _cells(values: Floats, scale: Floats | float) -> tuple[npt.NDArray[np.int32], Floats]:
    """Return the number of the cell that each value lies in, and where in it, in [0, 1)."""
    shifted = values / scale + 4096  # positive, since a cast to int rounds towards 0
    cell = shifted.astype(np.int32)
    return cell, shifted - cell


def plain(u: Floats, v: Floats, _scale: Floats) -> Floats:
    """Paint: faint, slow variation."""
    return 0.25 * noise(u, v, 2.5)


def fabric(u: Floats, v: Floats, _scale: Floats) -> Floats:
    """Cloth or carpet: fine speckle over slow variation."""
    return 0.65 * noise(u, v, 42) + 0.35 * noise(v, u, 5)


def wood(u: Floats, v: Floats, _scale: Floats) -> Floats:
    """Wood: grain drawn out along u."""
    bend = noise(u, v, 1.2) * 0.08
    return 0.6 * noise(u * 0.06, v + bend, 28) + 0.4 * noise(u * 0.1, v + bend, 9)


def planks(u: Floats, v: Floats, scale: Floats) -> Floats:
    """Floor boards of width `scale`, each of its own tone, with dark joints."""
    row, across = _cells(v, scale)
    column, along = _cells(u + _HASH[row & 1023] * 3, scale * 8)
    tone = _HASH[(row * 57 + column * 131) & 1023]
    joint = (across < 0.06) | (along < 0.012)
    return np.where(joint, np.float32(1), 0.55 * tone + 0.3 * noise(u * 0.1, v, 20))


def checks(u: Floats, v: Floats, scale: Floats) -> Floats:
    """A chessboard with squares of side `scale`."""
    return ((_cells(u, scale)[0] + _cells(v, scale)[0]) & 1).astype(np.float32)


def stripes(u: Floats, _v: Floats, scale: Floats) -> Floats:
    """Upright stripes of width `scale`, with a faint line between."""
    column, across = _cells(u, scale)
    return ((column & 1) * 0.8 + (across < 0.12) * 0.2).astype(np.float32)


def brick(u: Floats, v: Floats, scale: Floats) -> Floats:
    """Bricks in running bond, `scale` high; the second colour is the mortar."""
    row, across = _cells(v, scale)
    column, along = _cells(u + (row & 1) * scale * 1.2, scale * 2.4)
    tone = _HASH[(row * 31 + column * 17) & 1023] * np.float32(0.3)
    return np.where((across < 0.13) | (along < 0.06), np.float32(1), tone)


def tiles(u: Floats, v: Floats, scale: Floats) -> Floats:
    """Square tiles of side `scale` with thin joints."""
    row, across = _cells(v, scale)
    column, along = _cells(u, scale)
    tone = _HASH[(row * 31 + column * 17) & 1023] * np.float32(0.25)
    return np.where((across < 0.06) | (along < 0.06), np.float32(1), tone)


def dots(u: Floats, v: Floats, scale: Floats) -> Floats:
    """Wallpaper with round dots, one in each square of side `scale`."""
    row, across = _cells(v, scale)
    _, along = _cells(u + (row & 1) * scale * 0.5, scale)
    return ((across - 0.5) ** 2 + (along - 0.5) ** 2 < 0.07).astype(np.float32)


def fronts(u: Floats, v: Floats, scale: Floats) -> Floats:
    """Doors and drawers: dark joints every `scale` sideways and half that upwards, a knob in each."""
    _, across = _cells(v, scale * 0.6)
    _, along = _cells(u, scale)
    joint = (np.abs(across - 0.5) > 0.46) | (np.abs(along - 0.5) > 0.475)
    knob = ((across - 0.5) ** 2 * 0.36 + (along - 0.5) ** 2) < 0.004
    return np.where(joint | knob, np.float32(1), 0.25 * noise(u, v * 0.1, 16))


_TEXTURES = (plain, fabric, wood, planks, checks, stripes, brick, tiles, dots, fronts)
KINDS: dict[str, Callable[[Floats, Floats, Floats], Floats]] = {texture.__name__: texture for texture in _TEXTURES}
KIND_NUMBERS = {kind: number for number, kind in enumerate((*KINDS, "books"))}


def spines(u: Floats, v: Floats) -> Floats:
    """Return display colours [3, N] of a row of books seen from the front; u runs along the shelf."""
    book, along = _cells(u, 0.037)
    _, band = _cells(v + _HASH[book & 1023], 0.21)
    colour = _SPINES[(book * 7) & 1023].T.copy()
    colour[:, (along < 0.14)] *= 0.35
    stripe = (band > 0.72) & (band < 0.8) & ((book & 1) == 0)
    colour[:, stripe] = 0.85
    return colour


class MaterialTable:
    """The materials of a scene as arrays, evaluated for many points at once."""

    def __init__(self, materials: list[Material]) -> None:
        self.kinds = np.array([KIND_NUMBERS[m.kind] for m in materials], np.int8)
        first = np.array([m.first for m in materials], np.float32).T
        second = np.array([m.second for m in materials], np.float32).T
        self.base = first**2
        self.change = second**2 - self.base
        self.scales = np.array([m.scale for m in materials], np.float32)
        self.glow = np.array([m.glow for m in materials], np.float32)

    def albedo(self, material: npt.NDArray[np.int16], u: Floats, v: Floats) -> Floats:
        """Return linear reflectances [3, N] (squared display colours) at points with the given materials [N]."""
        kinds = self.kinds[material]
        blend = np.zeros(len(u), np.float32)
        for number, texture in enumerate(KINDS.values()):
            where = np.flatnonzero(kinds == number)
            if len(where):
                blend[where] = texture(u[where], v[where], self.scales[material[where]])
        colour = np.empty((3, len(u)), np.float32)
        for channel in range(3):
            colour[channel] = self.base[channel][material] + self.change[channel][material] * blend
        where = np.flatnonzero(kinds == KIND_NUMBERS["books"])
        if len(where):
            colour[:, where] = spines(u[where], v[where]) ** 2
        return colour
