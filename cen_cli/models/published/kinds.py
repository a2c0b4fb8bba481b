"""Which kind of network a published file holds, seen from its names; and the ResNet in it."""

from __future__ import annotations

from typing import Literal

from cen_cli.errors import CheckpointError
from cen_cli.models.backbones.resnet import RESNETS
from cen_cli.models.published.tensors import PublishedTensors

Kind = Literal["refinenet", "unet", "discriminator", "resnet"]

FIRST_NAMES: dict[Kind, tuple[str, ...]] = {
    "refinenet": ("clf_conv.weight", "bn1.bn_0.weight"),
    "unet": ("deconv1.deconv.weight",),
    "discriminator": ("conv1.conv.weight",),
    "resnet": ("layer1.0.conv1.weight",),
}
"""Kind -> names of which one is enough to tell it; those above go first."""


def kind_of(published: PublishedTensors) -> Kind:
    """The kind of network. Raises CheckpointError where the names are those of none."""
    for kind, names in FIRST_NAMES.items():
        if any(name in published.tensors for name in names):
            return kind
    stored = list(published.stored_names.values())
    shown = ", ".join(stored[:3]) + (", ..." if len(stored) > 3 else "")
    raise CheckpointError(
        f"{published.source}: the {len(stored)} tensors ({shown}) are those of no network that is known here",
        hint="known are the authors' segmentation network, generator and discriminator, and torchvision's ResNets",
    )


def resnet_name(published: PublishedTensors) -> str:
    """Which ResNet, by the blocks in its four stages and the convolutions in a block.

    Raises CheckpointError where there is none with so many.
    """
    bottleneck = "layer1.0.conv3.weight" in published.tensors
    blocks = [published.numbered(rf"layer{stage}\.\d+\.conv1\.weight") for stage in range(1, 5)]
    for name, depth in RESNETS.items():
        if depth.layers == blocks and depth.bottlenecks == bottleneck:
            return name
    known = ", ".join(f"{name} {depth.layers}" for name, depth in RESNETS.items())
    raise CheckpointError(
        f"{published.source}: stages of {blocks} {'bottleneck' if bottleneck else 'basic'} blocks are no ResNet's "
        f"({known})",
        hint="is the file complete?",
    )


def count_modalities(published: PublishedTensors, pattern: str) -> int:
    """M, the norms whose names match. Raises CheckpointError for fewer than two, which have nothing to exchange."""
    modalities = published.numbered(pattern)
    if modalities < 2:
        raise CheckpointError(f"{published.source}: norms of {modalities} modalities: two or more are needed")
    return modalities
