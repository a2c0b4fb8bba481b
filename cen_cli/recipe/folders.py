"""The recipe's `[data.folders]`: where files of one's own are and how they are to be understood.

Read with `data.kind = "folders"`. `folder_rules` holds the rules between these keys; `cen_cli.data.sets.folders`
reads the files.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from cen_cli.recipe.table import AboveZero, Count, Positive, Table, Text, ascending
from cen_cli.wording import one_line_each

MOST_CLASSES = 255
"""Labels are 8-bit numbers, and the last one is void."""

Share = Annotated[float, Field(ge=0, le=1)]
Byte = Annotated[int, Field(ge=0, le=255)]
Color = tuple[Byte, Byte, Byte]
StoredValue = Annotated[int, Field(ge=0, le=65535)]


def _pattern(text: str) -> str:
    """The pattern; empty ones are left to the rules. Raises ValueError for one that can name no files."""
    fields = re.findall(r"\{([^{}]*)\}", text)
    rest = re.sub(r"\{[^{}]*\}", "", text)
    understood = (
        set(fields) <= {"stem", "group", "split"}
        and fields.count("split") < 2
        and fields.count("stem") < 2
        and not re.search(r"[{}]|\*\*", rest)
    )
    inside = not text.startswith("/") and ".." not in text.split("/")
    if text and not ("stem" in fields and understood and inside):
        raise ValueError(
            'a path within data.root that holds {stem} once, such as "rgb/{stem}.png"; {split} may stand in it once, '
            "{group} once and more, and * for anything within a name"
        )
    return text


def _classes(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) != len(names) or not one_line_each(names) or len(names) > MOST_CLASSES:
        raise ValueError(f"a list of class names, each named once, at most {MOST_CLASSES}, of one line each")
    return names


def _shares(shares: tuple[float, float, float]) -> tuple[float, float, float]:
    if abs(sum(shares) - 1) > 1e-6 or not (shares[0] > 0 and shares[1] > 0):
        raise ValueError("three shares [train, val, test] that sum to 1, train and val above 0")
    return shares


class FolderModality(Table):
    """One modality: where its files are, and how they store it."""

    pattern: Annotated[Text, AfterValidator(_pattern)]
    """Where the files are, within the root: "nir/{stem}.png". Files of one {stem} are one view. {group} stands for what
    is not to be divided between splits, a scene or a patient; {split} for folders train, val and test; * for anything
    within a name."""
    kind: Literal["photograph", "image", "normals", "measurement"]
    """ "photograph": a camera's picture, to which colour jitter applies. "image": any other picture. "normals": surface
    normals, the first channel pointing right. "measurement": a physical quantity such as depth, resized without mixing
    neighbours; pixels may be invalid."""
    channels: Literal[1, 3] = Field(description="Channels that are read, of the files or of their bands.")
    bands: tuple[Positive, ...] = ()
    """Which bands of files of several are read, counted from 1: one or three, as channels says. Several modalities may
    read bands of the same files. Empty: all."""
    convert: bool = False
    """Bring all pictures of 8 bits to these channels: grey is repeated, transparency dropped, palettes are looked up.
    Without it, such files among others are refused."""
    stored: Literal["uint8", "uint16", "int16", "float32"] = "uint8"
    """Type of the stored values: 8 bits, 16 bits, 16 bits with a sign, or 32-bit float (.tif, .npy)."""
    range: Annotated[tuple[float, float], AfterValidator(ascending)] | None = None
    """[lowest, highest]: the stored values that become darkest and brightest; what lies outside is brought to them.
    Absent: all that the type holds, or [0, 1] for float32. A measurement needs it, in its unit."""
    scale: AboveZero | None = None
    """Measurement only: stored steps of one unit, for example 1000 where millimetres become metres. Absent: 1."""
    unit: str | None = Field(default=None, description='Measurement only: the unit\'s name in tables, for example "m".')
    invalid: tuple[float, ...] = ()
    """Measurement only: stored values that mean that nothing was measured. NaN and infinity always do."""


class FolderLabels(Table):
    """The label maps (segmentation)."""

    pattern: Annotated[str, AfterValidator(_pattern)] = ""
    """Where the label maps are: "masks/{stem}.png". A segmentation needs it."""
    stored: Literal["index", "color"] = "index"
    """ "index": one number a pixel, grey or palette (of which the colours do not matter). "color": RGB."""
    classes: Annotated[tuple[str, ...], AfterValidator(_classes)] = ()
    """Names of the classes, in order. A segmentation needs them."""
    first: StoredValue | None = None
    """Stored value of the first class, from which the others count on. Absent: 0."""
    values: tuple[StoredValue, ...] = ()
    """Stored value of every class, where they do not follow one another. Empty: see first."""
    void: tuple[Annotated[int, Field(ge=-32768, le=65535)], ...] | None = None
    """Stored values of pixels without class, which count in no loss and no score. Absent: 255, where no class has
    it and there is no tolerance."""
    tolerance: int = Field(default=0, ge=0, le=32767)
    """How far a stored value may lie from that of its class, with two classes of index maps: 127 for masks of 0 and 255
    that are JPEG files, which other label maps may not be."""
    colors: tuple[Color, ...] = ()
    """[red, green, blue] of every class; for index maps only to draw them."""
    void_colors: tuple[Color, ...] | None = None
    """Colours of pixels without class. Absent: black, where no class has it."""


class Folders(Table):
    """Files of your own: any number of modalities, with label maps or with a modality as target."""

    shares: Annotated[tuple[Share, Share, Share], AfterValidator(_shares)] = (0.8, 0.1, 0.1)
    """[train, val, test] where neither lists nor {split} divide the views. If test is 0, it is val."""
    split_seed: Count = Field(default=0, description="Another seed divides them in another way.")
    modalities: dict[str, FolderModality] = Field(default={}, description="The modalities, by name.")
    labels: FolderLabels = Field(default=FolderLabels(), description="The label maps.")
