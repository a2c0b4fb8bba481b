"""Translation networks: a U-Net of M exchanging streams and a learned ensemble (P Eq. 4, S Section 2).

Every stream makes the target from its own modality; they meet where the encoder's channels are exchanged.
"""

from __future__ import annotations

from collections.abc import Sequence

from cen_cli.models.backbones.unet import NormLayers, UNetEncoder
from cen_cli.models.conversion import convert_layers
from cen_cli.models.fusion.placement import Fusion
from cen_cli.models.heads.unet import UNetDecoder, draw_normal_weights
from cen_cli.models.modal_network import checked_names
from cen_cli.models.network import StreamNetwork
from cen_cli.models.norms import ModalInstanceNorm2d
from cen_cli.models.settings import StreamSettings


class Translator(StreamNetwork):
    """M streams to images in [-1, 1]; `unet_translator` builds one."""

    task = "translation"

    encoder: UNetEncoder

    @property
    def size_multiple(self) -> int:
        """Pixels: height and width of the images must be multiples of it."""
        return self.encoder.size_multiple


def unet_translator(
    modalities: Sequence[str],
    *,
    levels: int = 8,
    filters: int = 64,
    norm_layers: NormLayers = "all",
    dropout: float = 0.5,
    streams: StreamSettings = StreamSettings(),  # noqa: B008 (frozen)
    fusion: Fusion | None = None,
) -> Translator:
    """A U-Net of M streams that exchange in the encoder, as in S-Tables 6, 8 and 9.

    `levels`, `filters` and `norm_layers` are those of `UNetEncoder`, `dropout` that of `UNetDecoder`; `streams` says
    what the modalities share, in encoder and decoder, and how they exchange. `fusion` puts a baseline in the place of
    exchange and ensemble, and then `streams` is not read. Images need sides of 2^levels pixels or multiples: 8 levels
    for 256, 7 for 128, 6 for 64. In evaluation instance norms go by each image's own statistics
    (`set_norm_statistics`). Raises ValueError for bad arguments.
    """
    names = checked_names(modalities)
    encoder = UNetEncoder(levels, filters, norm_layers)
    decoder = UNetDecoder(encoder.channels, dropout)
    for part in (encoder, decoder):
        draw_normal_weights(part)
    if fusion is None:
        convert_layers(encoder, len(names), streams)
    else:  # the middle of eight layers is the fourth (S Section 3)
        points = {"early": 1, "middle": (levels + 1) // 2, "late": levels}
        encoder.fuse(len(names), fusion, points, ModalInstanceNorm2d)
    return Translator.joined(encoder, decoder, names, streams, fused=fusion is not None)
