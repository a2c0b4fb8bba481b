"""Segmentation networks: an encoder of M exchanging streams, a decoder, a learned ensemble (P Eq. 4, S Section 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from cen_cli.models.backbones.resnet import resnet_encoder
from cen_cli.models.conversion import checked_names, convert_layers, make_convolutions_private, nowhere
from cen_cli.models.ensemble import LearnedEnsemble
from cen_cli.models.exchange import Region, Replace
from cen_cli.models.fusion.placement import FUSED, Fusion
from cen_cli.models.heads.pspnet import PSPNetDecoder
from cen_cli.models.heads.refinenet import RefineNetDecoder
from cen_cli.models.norms import NormSharing, Share
from cen_cli.models.parameters import parameter_groups
from cen_cli.models.settings import MERGED, StreamSettings
from cen_cli.models.streams import ModalOutput, stack_images


class Segmenter(nn.Module):
    """M streams through one encoder and one decoder.

    `encoder` takes [M*B, 3, H, W] and returns what `decoder` takes; `decoder` returns logits [M*B, K, h, w] or, from an
    auxiliary head in training, two such tensors.
    """

    task = "segmentation"

    class_names: tuple[str, ...]
    """Set by `cen_cli.load`, like the two below: names of the K classes."""
    specs: tuple[Any, ...]
    """How each modality's files are stored and normalised."""
    recipe: Any
    """What the network was trained by; a label for people, not read by the network."""
    compact: bool = False
    """Whether it is one for inference alone, made by `cen compact`."""

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        modalities: Sequence[str],
        branches: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        self.modalities = checked_names(modalities)
        self.branches = self.modalities if branches is None else checked_names(branches)
        """Names of the predictions: one for each modality, or one in all where a baseline fuses the streams."""
        self.encoder = encoder
        self.decoder = decoder
        self.ensemble = LearnedEnsemble(len(self.branches))

    def forward(self, inputs: Mapping[str, Tensor] | Tensor) -> ModalOutput:
        """Logits of every branch and of the ensemble, at the decoder's resolution (1/4 of the input's, PSPNet's 1/8).

        `inputs`: normalised images, one [B, 3, H, W] per modality, or a stack of them (see `stack_modalities`).
        Raises ValueError naming the shape or modality that does not fit.
        """
        x = stack_images(inputs, self.modalities)  # [M*B, 3, H, W]
        logits = self.decoder(self.encoder(x))
        return self.ensemble.combine(*logits) if isinstance(logits, tuple) else self.ensemble.combine(logits)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by how they are trained (see `parameter_groups`)."""
        return parameter_groups(self)


def refinenet_segmenter(
    modalities: Sequence[str],
    classes: int,
    *,
    backbone: str = "resnet101",
    width: int = 256,
    encoder_width: int = 64,
    dropout: float = 0.5,
    light: bool = False,
    weights: str | None = None,
    conv: Share = "shared",
    norm: NormSharing = "private",
    threshold: float = 2e-2,
    region: Region = "disjoint",
    replace: Replace = "own-part",
    exchange: bool = True,
    gamma_init: float | None = None,
    fusion: Fusion | None = None,
) -> Segmenter:
    """RefineNet on a ResNet, as in S-Table 7.

    `width`, `dropout` and `light` are the decoder's, `backbone`, `encoder_width` and `weights` those of
    `resnet_encoder`; `fusion` puts a baseline in the place of exchange and ensemble, and then nothing of the rest, the
    fields of `StreamSettings`, is read. Errors as in `resnet_encoder`.
    """
    names = checked_names(modalities)
    settings = StreamSettings(threshold, region, replace, conv, norm, exchange, gamma_init)
    encoder = resnet_encoder(backbone, len(names), settings, width=encoder_width, weights=weights, fusion=fusion)
    decoder = RefineNetDecoder(encoder.channels, classes, width, dropout, light=light)
    if fusion is not None:
        return Segmenter(encoder, decoder, names, branches=(FUSED,))
    if conv == "private":
        make_convolutions_private(decoder, len(names))
    return Segmenter(encoder, decoder, names)


def pspnet_segmenter(
    modalities: Sequence[str],
    classes: int,
    *,
    backbone: str = "resnet101",
    width: int = 512,
    encoder_width: int = 64,
    dropout: float = 0.1,
    auxiliary: bool = True,
    weights: str | None = None,
    conv: Share = "shared",
    norm: NormSharing = "private",
    threshold: float = 2e-2,
    region: Region = "disjoint",
    replace: Replace = "own-part",
    exchange: bool = True,
    gamma_init: float | None = None,
    fusion: Fusion | None = None,
) -> Segmenter:
    """PSPNet on a ResNet whose stages 3 and 4 are dilated, as in S-Fig 7.

    `width`, `dropout` and `auxiliary` are the decoder's, `backbone` (bottlenecks only), `encoder_width` and `weights`
    those of `resnet_encoder`; `fusion` puts a baseline in the place of exchange and ensemble, and then nothing of the
    rest, the fields of `StreamSettings`, is read. Errors as in `resnet_encoder`.
    """
    names = checked_names(modalities)
    settings = StreamSettings(threshold, region, replace, conv, norm, exchange, gamma_init)
    encoder = resnet_encoder(
        backbone, len(names), settings, width=encoder_width, weights=weights, dilated=True, fusion=fusion
    )
    decoder = PSPNetDecoder(encoder.channels, classes, width, dropout, auxiliary=auxiliary)
    if fusion is not None:
        convert_layers(decoder, 1, MERGED, after=nowhere)
        return Segmenter(encoder, decoder, names, branches=(FUSED,))
    convert_layers(decoder, len(names), settings, after=nowhere)
    return Segmenter(encoder, decoder, names)
