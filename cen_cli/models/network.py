"""What all networks here have in common: M streams through an encoder and a decoder, and their learned ensemble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

from torch import Tensor, nn

from cen_cli.models.backbones.encoder import Encoder
from cen_cli.models.conversion import convert_layers, nowhere
from cen_cli.models.ensemble import LearnedEnsemble
from cen_cli.models.exchange import exchange_layers
from cen_cli.models.fusion.placement import FUSED
from cen_cli.models.modal_network import checked_names
from cen_cli.models.settings import MERGED, StreamSettings
from cen_cli.models.streams import ModalOutput, stack_images

PARTS = ("encoder", "decoder", "ensemble")
"""The children of such a network: nothing else in it may have parameters."""


class StreamNetwork(nn.Module):
    """M streams through one encoder and one decoder, and the learned ensemble of what they make (P Eq. 4).

    `encoder` takes [M*B, 3, H, W] and returns what `decoder` takes; `decoder` returns predictions [M*B, K, h, w] or,
    from an auxiliary head in training, two such tensors.
    """

    task: str
    """Of the kind of network."""
    start: str = ""
    """What a network that starts from a trained one was given, for people."""

    def __init__(
        self,
        encoder: Encoder,
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

    @classmethod
    def joined(
        cls, encoder: Encoder, decoder: nn.Module, modalities: Sequence[str], streams: StreamSettings, *, fused: bool
    ) -> Self:
        """With a decoder, as built for one network, made one of M streams, or of the one that is left once `fused`."""
        convert_layers(decoder, 1 if fused else len(modalities), MERGED if fused else streams.in_decoder, after=nowhere)
        return cls(encoder, decoder, modalities, (FUSED,) if fused else None)

    def forward(self, inputs: Mapping[str, Tensor] | Tensor) -> ModalOutput:
        """The prediction of every branch, [M, B, K, h, w], and of the ensemble.

        `inputs`: normalised images, one [B, 3, H, W] per modality, or a stack of them (see `stack_modalities`).
        Raises ValueError naming the shape, size or modality that does not fit.
        """
        x = stack_images(inputs, self.modalities)  # [M*B, 3, H, W]
        made = self.decoder(self.encoder(x))
        return self.ensemble.combine(*made) if isinstance(made, tuple) else self.ensemble.combine(made)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Groups "encoder", "decoder" and "ensemble", and what exchanging layers take out of these: "gamma", and "gate"
        where there are gates.

        What the encoder's junctions hold, the fusion blocks of a baseline, starts untrained as the decoder does, and is
        in its group. Each parameter is in exactly one group; AssertionError where one lies outside the `PARTS`.
        """
        layers = exchange_layers(self).values()
        gammas = [layer.norm.weight for layer in layers]
        gates = [layer.gate for layer in layers if layer.gate is not None]
        blocks = [*self.encoder.junctions.parameters()]
        taken = {id(parameter) for parameter in (*gammas, *gates, *blocks)}
        encoder, decoder, ensemble = (
            [p for p in self.get_submodule(part).parameters() if id(p) not in taken] for part in PARTS
        )
        groups = {"encoder": encoder, "decoder": [*decoder, *blocks], "gamma": gammas, "ensemble": ensemble}
        groups |= {"gate": gates} if gates else {}
        grouped = sorted(id(p) for group in groups.values() for p in group)
        assert grouped == sorted(id(p) for p in self.parameters()), "a parameter is in no group, or in two"
        return groups
