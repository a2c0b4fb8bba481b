"""What a converted file of others held."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Conversion:
    """What `cen convert` found in a published file and made of it."""

    kind: str
    """`refinenet`, `unet`, `discriminator` or `resnet`."""
    network: str
    """In words: depth, classes, layers, channels."""
    inputs: tuple[str, ...]
    """The modalities; none where the file holds no network of streams."""
    target: str | None
    parameters: int
    tensors: int
    """In the file."""
    unused: tuple[str, ...]
    """Of these, the ones that the network has no use for."""
    remarks: dict[str, float]
    """Numbers that stood beside the state dict, as the file calls them."""
    notes: tuple[str, ...] = ()
    """What a user of the result must know."""
    file: str = ""
    checkpoint: str = ""
    """What was written."""
    next: tuple[str, ...] = ()
    """Commands that take it."""
