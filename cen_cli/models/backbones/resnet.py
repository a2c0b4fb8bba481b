"""ResNet encoders: torchvision's own network, converted to exchanging streams (S Section 2).

Its 4 feature maps are at strides 4, 8, 16 and 32 (4, 8, 8 and 8 where stages are dilated; sizes rounded up).
Parameters are named as in torchvision.

The exchange sits after the norm of every 3x3 convolution and before what follows it (a ReLU; in basic blocks also the
addition of the shortcut): 16 places in ResNet-50, 33 in ResNet-101, 50 in ResNet-152. Stem and 1x1 convolutions do not
exchange.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cen_cli.errors import CheckpointError
from cen_cli.models.backbones.encoder import Encoder
from cen_cli.models.backbones.pretrained import check_there, read_resnet_weights
from cen_cli.models.conversion import Convolution, convert_layers
from cen_cli.models.fusion.placement import Fusion
from cen_cli.models.settings import StreamSettings

if TYPE_CHECKING:
    from torchvision.models.resnet import ResNet


class Depth(NamedTuple):
    """What tells one ResNet from another."""

    bottlenecks: bool
    layers: list[int]

    @property
    def expansion(self) -> int:
        """Channels that a block gives, as a multiple of its 3x3 convolution's."""
        return 4 if self.bottlenecks else 1

    def network(self, width: int = 64, *, dilated: bool = False) -> ResNet:
        """Torchvision's network without its classifier; `dilated`: stages 3 and 4 keep the size of stage 2."""
        from cen_cli.models.backbones.torchvision_resnet import scaled_resnet  # takes more than a second

        return scaled_resnet(self.bottlenecks, self.layers, width, dilated=dilated)


RESNETS = {
    "resnet18": Depth(False, [2, 2, 2, 2]),
    "resnet34": Depth(False, [3, 4, 6, 3]),
    "resnet50": Depth(True, [3, 4, 6, 3]),
    "resnet101": Depth(True, [3, 4, 23, 3]),
    "resnet152": Depth(True, [3, 8, 36, 3]),
}


STAGES = [("conv1", "bn1", "relu", "maxpool", "layer1"), ("layer2",), ("layer3",), ("layer4",)]
"""Modules of each stage; the stem belongs to the first."""
FUSION_POINTS = {"early": 2, "middle": 3, "late": 4}
"""Stage behind which a baseline fuses (S Section 2)."""


def resnet_encoder(
    name: str,
    modalities: int,
    settings: StreamSettings,
    *,
    width: int = 64,
    weights: str | None = None,
    dilated: bool = False,
    fusion: Fusion | None = None,
) -> Encoder:
    """A ResNet of M streams.

    Args:
        name: resnet18, resnet34, resnet50, resnet101 or resnet152.
        modalities: M >= 1.
        settings: what the streams share and exchange; its gamma_init counts where there are no weights.
        width: channels of stem and stage 1; other than 64 only without weights.
        weights: None or "none" (random), "imagenet" (torchvision's IMAGENET1K_V1) or a file of a torchvision ResNet's
            weights (.safetensors, or a torch file); every stream starts from a copy.
        dilated: stages 3 and 4 dilate their convolutions instead of halving the map, as PSPNet wants it: strides 4, 8,
            8 and 8. ResNet-50, 101 and 152 only.
        fusion: a baseline in place of the exchange; its streams are private networks, and `settings` is not read.

    Raises CheckpointError where weights cannot be had or do not fit.
    """
    weights = None if weights == "none" else weights
    if weights is not None and width != 64:
        if weights != "imagenet":
            check_there(Path(weights).expanduser())
        raise CheckpointError(
            f"{weights}: weights of width 64, and the encoder's is {width}", hint="--set model.encoder_width=64"
        )
    depth = RESNETS[name]
    resnet = depth.network(width, dilated=dilated)
    if weights is not None:
        resnet.load_state_dict(read_resnet_weights(name, weights, resnet.state_dict()))
        settings = replace(settings, gamma_init=None)
    channels = tuple(width * 2**stage * depth.expansion for stage in range(4))
    encoder = Encoder([{name: resnet.get_submodule(name) for name in names} for names in STAGES], channels)
    if fusion is None:
        convert_layers(encoder, modalities, settings, after=_is_three_by_three)
    else:
        encoder.fuse(modalities, fusion, FUSION_POINTS)
    return encoder


def _is_three_by_three(name: str, conv: Convolution) -> bool:  # noqa: ARG001 (called with both)
    return tuple(conv.kernel_size) == (3, 3)
