"""What all encoders are: a chain of stages, behind each of which stands a junction (`fusion.placement`).

The contract: `channels`, of every stage's map; `forward(x [M*B, 3, H, W])` -> one map for each stage [M*B, channels[i],
h, w], modality-major, finest first. Where a baseline has fused the streams, features from the point of fusion on are
[B, channels[i], h, w], and so are those before it, averaged over the modalities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from torch import Tensor, nn

from cen_cli.models.conversion import convert_layers, nowhere, replace_layers
from cen_cli.models.fusion.blocks import InputConcat
from cen_cli.models.fusion.placement import Fusion, Junction, place
from cen_cli.models.norms import ModalBatchNorm2d, ModalInstanceNorm2d
from cen_cli.models.settings import MERGED, PRIVATE


class Encoder(nn.Module):
    """`stages`, finest first: the modules of each by name, run one after the other, children of the encoder."""

    def __init__(self, stages: Sequence[Mapping[str, nn.Module]], channels: tuple[int, ...]) -> None:
        super().__init__()
        for name, module in (named for stage in stages for named in stage.items()):
            self.add_module(name, module)
        self.stage_names = [tuple(stage) for stage in stages]
        self.junctions = nn.ModuleList(Junction() for _ in stages)
        self.channels = channels

    def stages(self) -> list[list[nn.Module]]:
        """The modules of each stage."""
        return [[self.get_submodule(name) for name in names] for names in self.stage_names]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """[M*B, 3, H, W] -> one map for each stage, see the contract above."""
        features = []
        for stage, junction in zip(self.stages(), self.junctions, strict=True):
            for module in stage:
                x = module(x)
            feature, x = junction(x)
            features.append(feature)
        return tuple(features)

    def first_convolutions(self) -> list[nn.Conv2d]:
        """Those that take the image."""
        return [next(layer for layer in self.modules() if isinstance(layer, nn.Conv2d))]

    def fuse(
        self,
        modalities: int,
        fusion: Fusion,
        points: Mapping[str, int],
        norm: type[ModalBatchNorm2d] | type[ModalInstanceNorm2d] = ModalBatchNorm2d,
    ) -> None:
        """Make M private streams, in place, that a baseline fuses; `points` as in `place`, `norm` of its blocks."""
        junctions, streams = place(fusion, points, self.channels, modalities, partial(norm, modalities=1))
        if fusion.stage == "input":  # one network of M images side by side
            replace_layers(self, {conv: InputConcat(conv, modalities) for conv in self.first_convolutions()})
        for number, names in enumerate(self.stage_names):
            stage = nn.ModuleDict({name: self.get_submodule(name) for name in names})
            private = number < streams
            settings = PRIVATE if private else MERGED
            convert_layers(stage, modalities if private else 1, settings, after=nowhere, linear=True)
            for name, module in stage.items():
                setattr(self, name, module)
        self.junctions = nn.ModuleList(junctions)
