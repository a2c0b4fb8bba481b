"""What a rendered data set is made of: its settings, its classes, its domains, and the seeds of every room and view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from cen_cli.results import SPLITS

RENDERER_VERSION = 6

_CLASSES = {
    "wall": (150, 150, 170),
    "floor": (122, 90, 60),
    "ceiling": (222, 222, 222),
    "table": (214, 118, 32),
    "chair": (224, 52, 48),
    "sofa": (62, 118, 220),
    "bed": (150, 78, 200),
    "cabinet": (112, 164, 58),
    "lamp": (255, 232, 76),
    "picture": (250, 118, 200),
    "window": (122, 218, 255),
    "door": (164, 108, 88),
    "rug": (34, 164, 140),
    "box": (92, 92, 92),
}
CLASS_NAMES = tuple(_CLASSES)
WALL, FLOOR, CEILING, TABLE, CHAIR, SOFA, BED, CABINET, LAMP, PICTURE, WINDOW, DOOR, RUG, BOX = range(len(CLASS_NAMES))
PALETTE = tuple(_CLASSES.values())
"""Display colour (red, green, blue) of each class, in the order of `CLASS_NAMES`; void is shown black."""

DOMAINS = (
    *("rgb", "rgb_clean", "depth_euclidean", "depth_zbuffer", "depth_sensor", "normal", "reshading"),
    *("edge_texture", "edge_occlusion", "principal_curvature", "labels"),
)


@dataclass(frozen=True)
class RoomsSettings:
    """Everything that decides the pictures: equal settings and renderer version give equal files.

    `size` is the side of the square pictures in pixels; `antialias` squared rays a pixel make the rgb pictures (all
    geometry and the labels are taken at the pixel centre). `palette_style` is "random" (free colours, 45% of the
    furniture camouflaged, 30% of the views dim) or "house" (colours tied to class and material, in three styles).
    """

    size: int = 96
    seed: int = 0
    train_rooms: int = 400
    val_rooms: int = 75
    test_rooms: int = 75
    views: int = 4
    antialias: int = 2
    palette_style: Literal["random", "house"] = "random"

    def rooms(self, split: str) -> int:
        """Return the number of rooms of a split; a room belongs to one split only."""
        counts = {"train": self.train_rooms, "val": self.val_rooms, "test": self.test_rooms}
        if split not in counts:
            raise ValueError(f"split is {split!r}: it must be one of {', '.join(SPLITS)}")
        return counts[split]


def room_generator(settings: RoomsSettings, split: str, room: int) -> np.random.Generator:
    """Return the random numbers of a room, seeded by (seed, split, room)."""
    return np.random.default_rng(np.random.SeedSequence([settings.seed, SPLITS.index(split), room]))


def view_generators(settings: RoomsSettings, split: str, room: int, view: int) -> tuple[np.random.Generator, ...]:
    """Return the random numbers of a view's camera, exposure, rgb noise and depth sensor.

    They are independent streams, so that a view is the same whichever domains are asked for.
    """
    seeds = np.random.SeedSequence([settings.seed, SPLITS.index(split), room, view + 1])
    return tuple(np.random.default_rng(child) for child in seeds.spawn(4))
