"""How one modality is stored, and how it is normalised for the network."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)
"""As mean and standard deviation: [0, 1] becomes [-1, 1]."""

Triple = tuple[float, float, float]
Normalization = Mapping[str, tuple[float | Sequence[float], float | Sequence[float]]]
"""By modality: (mean, std), each one number for all three channels or one number per channel."""


@dataclasses.dataclass(frozen=True)
class Encoding:
    """How files of one's own store a modality, as the recipe states it; other files are refused.

    A stored value means value / scale. What means `low` becomes 0 and what means `high` becomes 1 (images) or
    high - low (measurements); what lies outside is brought to them.
    """

    stored: Literal["uint8", "uint16", "int16", "float32"]
    channels: int
    low: float
    high: float
    scale: float = 1.0
    """Stored steps of one unit."""
    invalid: tuple[float, ...] = ()
    """Measurements only: stored values of pixels in which nothing was measured."""
    unit: str = ""
    """Measurements only: what the unit is called."""
    bands: tuple[int, ...] | None = None
    """Which of the file's bands are read, counted from 1; None: all."""
    convert: bool | None = None
    """Whether other pictures of 8 bits are brought to `channels`: grey repeated, transparency dropped, palettes looked
    up; None: such files are refused."""

    @property
    def plain(self) -> bool:
        """Whether values are kept as they are stored: pictures of 8 bits over their whole range."""
        return (self.stored, self.low, self.high) == ("uint8", 0.0, 255.0)


@dataclasses.dataclass(frozen=True)
class LabelEncoding:
    """How label maps of one's own store classes; any other stored value is refused.

    A colour counts as one number of 24 bits, 65536 red + 256 green + blue, so that it is looked up as a label is.
    """

    values: tuple[int, ...]
    """The stored value of every class."""
    void: tuple[int, ...] = ()
    """Stored values of pixels without class."""
    color: bool = False
    """Whether the files are RGB images; otherwise they hold one number a pixel."""
    tolerance: int = dataclasses.field(default=0, repr=False)
    """How far a stored value may lie from that of its class; above 0 lossy formats are read."""


@dataclasses.dataclass(frozen=True)
class ModalitySpec:
    """How one modality is stored and how it is normalised for the network.

    Images become value / scale, depths metres = value / scale (and, with `log_scale`, their logarithm); both are then
    (x - mean) / std, three channels each (one stored channel is repeated). Pixels that are invalid or lie outside the
    view are 0 after normalisation.
    """

    name: str
    kind: Literal["image", "depth"]
    scale: float = 255.0
    """Images: the stored value that means 1.0; above 255 the file must have 16 bits. Depth: stored units per metre."""
    invalid: int = 0
    """Depth only: the stored value of pixels that have no depth (0 metres always means invalid, too)."""
    coding: Literal["rotated", "disparity", "stereo"] | None = None
    """Depth only: what is stored in place of units of length. Units whose bits are rotated (SUN RGB-D); a stereo
    camera's disparity, taken as it is or turned into metres by the camera's own file (Cityscapes)."""
    clip: float | None = None
    """Depth only: metres to which all that is farther is brought."""
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)
    jitter: bool = False
    """Whether colour jitter applies: photographs only."""
    mirror_sum: int | None = None
    """Surface normals: channel 0 is the horizontal component, and a mirrored value v becomes mirror_sum - v."""
    colour: bool = False
    """Images: whether the file must have three channels (grey ones are taken as they are where it need not)."""
    derived: Literal["", "edge_texture", "normal"] = ""
    """Computed on reading: edges from a photograph, or surface normals from a depth map (`cen_cli.data.derived`)."""
    log_scale: float = 0.0
    """Depth: d metres become log(1 + log_scale d) / log(1 + log_scale max_depth), at most 1; 0: metres as they are."""
    max_depth: float = 0.0
    """Depth in metres that becomes 1 where `log_scale` is given."""
    encoding: Encoding | None = None
    """Files of one's own: how they store it, in place of `scale`, `invalid` and `colour`."""

    @property
    def floor(self) -> float:
        """What a `DepthMap` of 0 would measure, in the modality's unit."""
        return self.encoding.low if self.encoding is not None and self.kind == "depth" else 0.0

    @property
    def unit(self) -> str:
        """The unit of a measurement."""
        return "m" if self.encoding is None else self.encoding.unit

    def normalized_by(self, mean: float | Sequence[float], std: float | Sequence[float]) -> ModalitySpec:
        """The same modality with another mean and standard deviation, one number or three each; `std` above 0."""
        first, second, third = (number - self.floor for number in _triple(mean))
        return dataclasses.replace(self, mean=(first, second, third), std=_triple(std))

    def for_translation(self, *, log_scale: float, max_depth: float) -> ModalitySpec:
        """The same modality in [-1, 1], depth by its logarithm; never with colour jitter."""
        spec = dataclasses.replace(self, mean=HALF, std=HALF, jitter=False)
        return dataclasses.replace(spec, log_scale=log_scale, max_depth=max_depth) if self.kind == "depth" else spec


def _triple(value: float | Sequence[float]) -> Triple:
    first, second, third = (value,) * 3 if isinstance(value, (int, float)) else value
    return float(first), float(second), float(third)


SHORT_NAMES = {
    "shade": "reshading",
    "texture": "edge_texture",
    "edge": "edge_occlusion",
    "depth": "depth_euclidean",
    "normal": "normal",
    "rgb": "rgb",
}
"""Short name -> full name, as Taskonomy spells it.

A modality keeps the name that the recipe uses, as name of its stream and of its score. Where two names are compared (an
input against the target, inputs against each other, a checkpoint against what is asked of it) the full names count. Two
data sets read a name in a way of their own, as their modules say: NYUDv2 has one kind of edges, those of texture, which
`edge` means there too, and its own `depth`; in the rooms `depth` is the depth camera (`depth_sensor`) for segmentation.
"""


def full_name(name: str) -> str:
    """The full name of a domain: `shade` and `reshading` are both `reshading`; a name without short form is its own."""
    return SHORT_NAMES.get(name, name)
