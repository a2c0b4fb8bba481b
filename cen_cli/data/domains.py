"""The short names that users may write for domains, and the full names by which domains are compared.

A modality keeps the name that the recipe uses, as name of its stream and of its score. Where two names are compared (an
input against the target, inputs against each other, a checkpoint against what is asked of it) the full names count.

Two data sets read a name in a way of their own, as their modules say: NYUDv2 has one kind of edges, those of texture,
which `edge` means there too, and its own `depth`; in the rooms `depth` is the depth camera (`depth_sensor`) for
segmentation.
"""

from __future__ import annotations

SHORT_NAMES = {
    "shade": "reshading",
    "texture": "edge_texture",
    "edge": "edge_occlusion",
    "depth": "depth_euclidean",
    "normal": "normal",
    "rgb": "rgb",
}
"""Short name -> full name, as Taskonomy spells it."""


def full_name(name: str) -> str:
    """The full name of a domain: `shade` and `reshading` are both `reshading`; a name without short form is its own."""
    return SHORT_NAMES.get(name, name)
