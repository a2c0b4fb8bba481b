"""The published generator of translations, a U-Net, under the names of `unet_translator` with `norm_layers = "inner"`.

| published                                 | here                                                  |
|-------------------------------------------|-------------------------------------------------------|
| `convK.conv`                              | `encoder.layerK.conv`                                 |
| `convK.insnorm_conv.insnorm_m`            | row m of `encoder.layerK.norm.norm`, K = 2 to L - 1   |
| `deconvK.deconv`                          | `decoder.layerK.conv`                                 |
| `deconvK.insnorm_deconv.insnorm_m`        | row m of `decoder.layerK.norm`, K = 1 to L - 1        |
| `alpha`                                   | `ensemble.alpha`                                      |

The file also carries norms of the first and last encoder layer and of the last decoder layer, which the published
network never applies; they are left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cen_cli.errors import CheckpointError
from cen_cli.models.published.kinds import count_modalities
from cen_cli.models.published.tensors import COUNTERS, ROW, PublishedTensors

LEVELS = (4, 10)
"""Fewest and most layers that a recipe can describe; the published generators have 8."""

_CONV = re.compile(r"(?P<half>encoder|decoder)\.layer(?P<layer>\d+)\.conv\.(?P<kind>weight|bias)")
_NORM = re.compile(r"(?P<half>encoder|decoder)\.layer(?P<layer>\d+)\.norm(\.norm)?\.(?P<kind>\w+)")
_PUBLISHED = {"encoder": "conv", "decoder": "deconv"}


@dataclass(frozen=True)
class GeneratorSize:
    """What names and shapes say of a generator."""

    modalities: int
    levels: int
    filters: int


def generator_size(published: PublishedTensors) -> GeneratorSize:
    """Read off a file's names and shapes. Raises CheckpointError where they tell of no such network."""
    levels = published.numbered(r"conv\d+\.conv\.weight")
    if not LEVELS[0] <= levels <= LEVELS[1]:
        raise CheckpointError(
            f"{published.source}: an encoder of {levels} layers: {LEVELS[0]} to {LEVELS[1]} are needed",
            hint="is the file complete?",
        )
    return GeneratorSize(
        modalities=count_modalities(published, r"conv2\.insnorm_conv\.insnorm_\d+\.weight"),
        levels=levels,
        filters=published.size("conv1.conv.weight", 0),
    )


def unused(size: GeneratorSize) -> str:
    """Regular expression of the names that the network does not use."""
    last = size.levels
    norms = rf"conv(1|{last})\.insnorm_conv\.insnorm_\d+\..*|deconv{last}\.insnorm_deconv\.insnorm_\d+\..*"
    return f"{norms}|{COUNTERS}"


def published_name(own: str) -> str:
    """What the file calls a tensor of ours; with `ROW` where every modality has its own."""
    if conv := _CONV.fullmatch(own):
        name = _PUBLISHED[conv["half"]]
        return f"{name}{conv['layer']}.{name}.{conv['kind']}"
    if norm := _NORM.fullmatch(own):
        name = _PUBLISHED[norm["half"]]
        return f"{name}{norm['layer']}.insnorm_{name}.insnorm_{ROW}.{norm['kind']}"
    return own.removeprefix("ensemble.")
