"""Translation networks: a U-Net of M exchanging streams and a learned ensemble (P Eq. 4, S Section 2).

Every stream makes the target from its own modality; they meet where the encoder's channels are exchanged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from cen_cli.models.backbones.unet import NormLayers, UNetEncoder, fuse_streams
from cen_cli.models.conversion import checked_names, convert_layers, nowhere
from cen_cli.models.ensemble import LearnedEnsemble
from cen_cli.models.exchange import Region, Replace
from cen_cli.models.fusion.placement import FUSED, Fusion
from cen_cli.models.heads.unet import UNetDecoder
from cen_cli.models.initialisation import draw_normal_weights
from cen_cli.models.norms import NormSharing, Share
from cen_cli.models.parameters import parameter_groups
from cen_cli.models.settings import MERGED, StreamSettings
from cen_cli.models.streams import ModalOutput, stack_images


class Translator(nn.Module):
    """M streams through one encoder and one decoder; `unet_translator` builds one."""

    task = "translation"

    class_names: tuple[str, ...] = ()
    """An image has no classes."""
    specs: tuple[Any, ...]
    """Set by `cen_cli.load`, like the two below: how each modality's files are stored and normalised."""
    target_spec: Any
    """The same of the target."""
    recipe: Any
    """What the network was trained by; a label for people, not read by the network."""
    compact: bool = False
    """Whether it is one for inference alone, made by `cen compact`."""

    def __init__(
        self,
        encoder: UNetEncoder,
        decoder: UNetDecoder,
        modalities: Sequence[str],
        branches: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        self.modalities = checked_names(modalities)
        self.branches = self.modalities if branches is None else checked_names(branches)
        """Names of the images made: one for each modality, or one in all where a baseline fuses the streams."""
        self.encoder = encoder
        self.decoder = decoder
        self.ensemble = LearnedEnsemble(len(self.branches))

    @property
    def size_multiple(self) -> int:
        """Pixels: height and width of the images must be multiples of it."""
        return self.encoder.size_multiple

    def forward(self, inputs: Mapping[str, Tensor] | Tensor) -> ModalOutput:
        """Images in [-1, 1] of every branch, [M, B, 3, H, W], and of the ensemble.

        `inputs`: images in [-1, 1], one [B, 3, H, W] per modality, or a stack of them (see `stack_modalities`). Raises
        ValueError naming the shape, size or modality that does not fit.
        """
        x = stack_images(inputs, self.modalities)  # [M*B, 3, H, W]
        return self.ensemble.combine(self.decoder(self.encoder(x)))

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by how they are trained (see `parameter_groups`)."""
        return parameter_groups(self)


def unet_translator(
    modalities: Sequence[str],
    *,
    levels: int = 8,
    filters: int = 64,
    norm_layers: NormLayers = "all",
    dropout: float = 0.5,
    conv: Share = "shared",
    norm: NormSharing = "private",
    threshold: float = 1e-2,
    region: Region = "disjoint",
    replace: Replace = "own-part",
    exchange: bool = True,
    gamma_init: float | None = None,
    fusion: Fusion | None = None,
) -> Translator:
    """A U-Net of M streams that exchange in the encoder, as in S-Tables 6, 8 and 9.

    `levels`, `filters` and `norm_layers` are those of `UNetEncoder`, `dropout` that of `UNetDecoder`; `fusion` puts a
    baseline in the place of exchange and ensemble, and then nothing of the rest is read; the rest are the fields of
    `StreamSettings`, and hold in encoder and decoder. Images need sides of 2^levels pixels or multiples: 8
    levels for 256, 7 for 128, 6 for 64. In evaluation instance norms go by each image's own statistics
    (`set_norm_statistics`). Raises ValueError for bad arguments.
    """
    names = checked_names(modalities)
    settings = StreamSettings(threshold, region, replace, conv, norm, exchange, gamma_init)
    encoder = UNetEncoder(levels, filters, norm_layers)
    decoder = UNetDecoder(encoder.channels, dropout)
    for part in (encoder, decoder):
        draw_normal_weights(part)
    if fusion is not None:
        fuse_streams(encoder, len(names), fusion)
        convert_layers(decoder, 1, MERGED, after=nowhere)
        return Translator(encoder, decoder, names, branches=(FUSED,))
    convert_layers(encoder, len(names), settings)
    convert_layers(decoder, len(names), settings, after=nowhere)
    return Translator(encoder, decoder, names)
