"""What all networks here have in common: M streams through an encoder and a decoder, and their learned ensemble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from cen_cli.models.conversion import checked_names
from cen_cli.models.ensemble import LearnedEnsemble
from cen_cli.models.parameters import parameter_groups
from cen_cli.models.streams import ModalOutput, stack_images


class StreamNetwork(nn.Module):
    """M streams through one encoder and one decoder, and the learned ensemble of what they make (P Eq. 4).

    `encoder` takes [M*B, 3, H, W] and returns what `decoder` takes; `decoder` returns predictions [M*B, K, h, w] or,
    from an auxiliary head in training, two such tensors.
    """

    task: str
    """Of the kind of network."""
    specs: tuple[Any, ...]
    """Set by `cen_cli.load`, like the next: how each modality's files are stored and normalised."""
    recipe: Any
    """What the network was trained by; a label for people, not read by the network."""
    start: str = ""
    """What a network that starts from a trained one was given, for people."""
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
        """The prediction of every branch, [M, B, K, h, w], and of the ensemble.

        `inputs`: normalised images, one [B, 3, H, W] per modality, or a stack of them (see `stack_modalities`).
        Raises ValueError naming the shape, size or modality that does not fit.
        """
        x = stack_images(inputs, self.modalities)  # [M*B, 3, H, W]
        made = self.decoder(self.encoder(x))
        return self.ensemble.combine(*made) if isinstance(made, tuple) else self.ensemble.combine(made)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by how they are trained (see `parameter_groups`)."""
        return parameter_groups(self)
