"""The published discriminator under the names of `PatchDiscriminator`.

Its layers are called `convK.conv` and `convK.insnorm`; here they are numbered along `body`. The norms of the first and
the last convolution lie in the file and are never used. The published one ends in a sigmoid, ours in the logit before
it: the weights are the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from cen_cli.errors import CheckpointError
from cen_cli.models.heads.patch_discriminator import PatchDiscriminator
from cen_cli.models.published.tensors import COUNTERS, PublishedTensors


@dataclass(frozen=True)
class DiscriminatorSize:
    """What names and shapes say of a discriminator."""

    filters: int
    layers: int
    """Convolutions between the first and the last."""


def discriminator_size(published: PublishedTensors) -> DiscriminatorSize:
    """Read off a file's names and shapes. Raises CheckpointError where they tell of no such network."""
    convolutions = published.numbered(r"conv\d+\.conv\.weight")
    if convolutions < 3:
        raise CheckpointError(f"{published.source}: a discriminator of {convolutions} convolutions: 3 are the fewest")
    return DiscriminatorSize(filters=published.size("conv1.conv.weight", 0), layers=convolutions - 2)


def unused_names(size: DiscriminatorSize) -> str:
    """Regular expression of what such a network leaves unused: the norms at both ends, and all running statistics."""
    return rf"conv(1|{size.layers + 2})\.insnorm\.(weight|bias)|.*\.(running_mean|running_var)|{COUNTERS}"


def published_names(network: PatchDiscriminator) -> dict[str, str]:
    """Our name -> the file's, for every tensor of the network."""
    names: dict[str, str] = {}
    number = 0
    for place, layer in network.body.named_children():
        number += isinstance(layer, nn.Conv2d)
        published = "conv" if isinstance(layer, nn.Conv2d) else "insnorm"
        names |= {f"body.{place}.{kind}": f"conv{number}.{published}.{kind}" for kind, _ in layer.named_parameters()}
    return names
