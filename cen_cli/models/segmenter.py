"""Segmentation networks: an encoder of M exchanging streams, a decoder, a learned ensemble (P Eq. 4, S Section 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cen_cli.models.backbones.encoder import Encoder
from cen_cli.models.backbones.resnet import resnet_encoder
from cen_cli.models.backbones.staged import PREFIX, timm_encoder
from cen_cli.models.fusion.blocks import InputConcat
from cen_cli.models.fusion.placement import FUSED, Fusion
from cen_cli.models.heads.pspnet import READ_STAGES, PSPNetDecoder
from cen_cli.models.heads.refinenet import RefineNetDecoder
from cen_cli.models.modal_network import checked_names
from cen_cli.models.network import StreamNetwork
from cen_cli.models.settings import StreamSettings


class Segmenter(StreamNetwork):
    """M streams to logits of K classes, at the decoder's resolution: 1/4 of the input's, PSPNet's 1/8."""

    task = "segmentation"


def refinenet_segmenter(
    modalities: Sequence[str],
    classes: int,
    *,
    backbone: str = "resnet101",
    width: int = 256,
    encoder_width: int = 64,
    dropout: float = 0.5,
    light: bool = False,
    norm: bool = False,
    joint: bool = False,
    weights: str | None = None,
    streams: StreamSettings = StreamSettings(),  # noqa: B008 (frozen)
    fusion: Fusion | None = None,
) -> Segmenter:
    """RefineNet on a ResNet, as in S-Table 7, or on an encoder of timm ("timm/NAME").

    `width`, `dropout`, `light` and `norm` are the decoder's, `backbone`, `encoder_width` and `weights` those of
    `resnet_encoder`; `streams` says what the modalities share and how they exchange. `fusion` puts a baseline in the
    place of exchange and ensemble, and then `streams` is not read. `joint` puts the last maps of all streams side by
    side before one classifier, in the place of the ensemble. Errors as in `resnet_encoder`.
    """
    names = checked_names(modalities)
    encoder = _encoder(backbone, len(names), streams, width=encoder_width, weights=weights, fusion=fusion)
    decoder = RefineNetDecoder(encoder.channels, classes, width, dropout, light=light, norm=norm)
    classifier = decoder.classifier
    network = Segmenter.joined(encoder, decoder, names, streams, fused=fusion is not None)
    if joint and fusion is None:
        decoder.add_module("classifier", InputConcat(classifier, len(names)))
        return Segmenter(encoder, decoder, names, branches=(FUSED,))
    return network


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
    streams: StreamSettings = StreamSettings(),  # noqa: B008 (frozen)
    fusion: Fusion | None = None,
) -> Segmenter:
    """PSPNet on a ResNet whose stages 3 and 4 are dilated, as in S-Fig 7.

    `width`, `dropout` and `auxiliary` are the decoder's, `backbone` (bottlenecks only), `encoder_width` and `weights`
    those of `resnet_encoder`; `streams` and `fusion` as in `refinenet_segmenter`. Errors as in `resnet_encoder`.
    """
    names = checked_names(modalities)
    if fusion is not None:
        fusion = replace(fusion, last=READ_STAGES)
    encoder = _encoder(backbone, len(names), streams, width=encoder_width, weights=weights, dilated=True, fusion=fusion)
    decoder = PSPNetDecoder(encoder.channels, classes, width, dropout, auxiliary=auxiliary)
    return Segmenter.joined(encoder, decoder, names, streams, fused=fusion is not None)


def _encoder(backbone: str, modalities: int, streams: StreamSettings, *, width: int, **settings: Any) -> Encoder:
    """The encoder of that name; `width` is a ResNet's."""
    if backbone.startswith(PREFIX):
        return timm_encoder(backbone.removeprefix(PREFIX), modalities, streams, **settings)
    return resnet_encoder(backbone, modalities, streams, width=width, **settings)
