"""The built-in data set: rooms by a seeded analytic ray caster in NumPy, physically consistent in every domain.

    folder = prepare(RoomsSettings(), None, domains=("rgb", "depth_sensor", "labels"))   # rendered on first use
    view = render_view(RoomsSettings(), "val", room=3, view=0)                            # one view as arrays

Nothing here imports torch.
"""

# ruff: noqa: F401 (what is imported here is offered)

from __future__ import annotations

from cen_cli.data.rooms.encoding import DEPTH_INVALID, DEPTH_UNITS, EDGE_UNITS
from cen_cli.data.rooms.render import render_view
from cen_cli.data.rooms.settings import CLASS_NAMES, DOMAINS, PALETTE, RENDERER_VERSION, RoomsSettings
from cen_cli.data.rooms.storage import default_folder, prepare
