"""Segmentation networks: an encoder of M exchanging streams, a decoder, a learned ensemble (P Eq. 4, S Section 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from cen_cli.models.backbones.resnet import resnet_encoder
from cen_cli.models.conversion import checked_names, private_convolutions, replace_layers
from cen_cli.models.ensemble import LearnedEnsemble
from cen_cli.models.exchange import Region, Replace, exchange_layers
from cen_cli.models.heads.refinenet import RefineNetDecoder
from cen_cli.models.norms import NormSharing, Share
from cen_cli.models.streams import ModalOutput, split_modalities, stack_modalities


class Segmenter(nn.Module):
    """M streams through one encoder and one decoder.

    `encoder` takes [M*B, 3, H, W] and returns what `decoder` takes; `decoder` returns logits [M*B, K, h, w].
    """

    task = "segmentation"

    class_names: tuple[str, ...]
    """Set by `cen_cli.load`, like the two below: names of the K classes."""
    specs: tuple[Any, ...]
    """How each modality's files are stored and normalised."""
    recipe: Any
    """What the network was trained by; a label for people, not read by the network."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, modalities: Sequence[str]) -> None:
        super().__init__()
        self.modalities = checked_names(modalities)
        self.encoder = encoder
        self.decoder = decoder
        self.ensemble = LearnedEnsemble(len(self.modalities))

    def forward(self, inputs: Mapping[str, Tensor] | Tensor) -> ModalOutput:
        """Logits of every branch and of the ensemble, at the decoder's resolution (a quarter of the input's).

        `inputs`: normalised images, one [B, 3, H, W] per modality, or a stack of them (see `stack_modalities`).
        Raises ValueError naming the shape or modality that does not fit.
        """
        x = stack_modalities(inputs, self.modalities)  # [M*B, 3, H, W]
        if x.shape[1] != 3:
            raise ValueError(f"each modality must have 3 channels (repeat a single one), got shape {tuple(x.shape)}")
        logits = self.decoder(self.encoder(x))  # [M*B, K, h, w]
        branches = split_modalities(logits, len(self.modalities))
        return ModalOutput(branches, self.ensemble(branches), self.ensemble.weights())

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by how they are trained: "encoder", "decoder", "gamma" (of exchanging norms), "ensemble".

        Each parameter is in exactly one group.
        """
        gammas = [layer.norm.weight for layer in exchange_layers(self).values()]
        taken = {id(gamma) for gamma in gammas}
        groups = {
            "encoder": [p for p in self.encoder.parameters() if id(p) not in taken],
            "decoder": [p for p in self.decoder.parameters() if id(p) not in taken],
            "gamma": gammas,
            "ensemble": list(self.ensemble.parameters()),
        }
        grouped = sorted(id(p) for group in groups.values() for p in group)
        assert grouped == sorted(id(p) for p in self.parameters()), "a parameter is in no group, or in two"
        return groups


def refinenet_segmenter(
    modalities: Sequence[str],
    classes: int,
    *,
    backbone: str = "resnet101",
    width: int = 256,
    encoder_width: int = 64,
    dropout: float = 0.5,
    weights: str | None = None,
    conv: Share = "shared",
    norm: NormSharing = "private",
    threshold: float = 2e-2,
    region: Region = "disjoint",
    replace: Replace = "own-part",
    exchange: bool = True,
    gamma_init: float | None = None,
) -> Segmenter:
    """RefineNet on a ResNet, as in S-Table 7.

    `width` and `dropout` are the decoder's; `conv = "private"` gives each modality its own kernels in encoder and
    decoder. The other arguments, and errors, are those of `resnet_encoder`.
    """
    names = checked_names(modalities)
    encoder = resnet_encoder(
        backbone,
        len(names),
        width=encoder_width,
        weights=weights,
        threshold=threshold,
        region=region,
        replace=replace,
        conv=conv,
        norm=norm,
        exchange=exchange,
        gamma_init=gamma_init,
    )
    decoder = RefineNetDecoder(encoder.channels, classes, width, dropout)
    if conv == "private":
        replace_layers(decoder, private_convolutions(decoder, len(names)))
    return Segmenter(encoder, decoder, names)
