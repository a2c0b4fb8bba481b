"""The built-in data set: rooms by a seeded analytic ray caster in NumPy, physically consistent in every domain.

    folder = prepare(RoomsSettings(), None, domains=("rgb", "depth_sensor", "labels"))   # rendered on first use
    view = render_view(RoomsSettings(), "val", room=3, view=0)                            # one view as arrays

Nothing here imports torch.
"""

from __future__ import annotations

from cen_cli.data.rooms.render import render_view
from cen_cli.data.rooms.settings import CLASS_NAMES, DOMAINS, PALETTE, RENDERER_VERSION, SPLITS, RoomsSettings
from cen_cli.data.rooms.storage import default_folder, prepare

__all__ = [
    "CLASS_NAMES",
    "DOMAINS",
    "PALETTE",
    "RENDERER_VERSION",
    "SPLITS",
    "RoomsSettings",
    "default_folder",
    "prepare",
    "render_view",
]
