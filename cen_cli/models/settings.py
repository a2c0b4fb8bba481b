"""How M streams share their layers and exchange channels: what `to_cen` and the networks built with it are told."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cen_cli.models.exchange import THRESHOLD, Region, Replace
from cen_cli.models.norms import SHARING, NormSharing, Share


@dataclass(frozen=True)
class StreamSettings:
    """Sharing (S-Tables 7, 8, 9) and exchange (P Eq. 4 and 6) of M streams; the fields are explained in `to_cen`.

    Raises ValueError for an unknown word.
    """

    threshold: float = THRESHOLD
    region: Region = "disjoint"
    replace: Replace = "own-part"
    conv: Share = "shared"
    norm: NormSharing = "private"
    exchange: bool = True
    gamma_init: float | None = None
    decoder_conv: Share | None = None
    """Of convolutions in a decoder; None: `conv`."""

    def __post_init__(self) -> None:
        if self.norm not in SHARING:
            raise ValueError(f"norm = {self.norm!r}: one of {', '.join(SHARING)}")
        if self.conv not in ("shared", "private"):
            raise ValueError(f"conv = {self.conv!r}: 'shared' or 'private'")

    @property
    def in_decoder(self) -> StreamSettings:
        """What a decoder is converted with: nothing is exchanged there."""
        return replace(self, conv=self.decoder_conv or self.conv, exchange=False)

    @property
    def affine(self) -> Share:
        """Whether each modality has its own gamma and beta."""
        return SHARING[self.norm][0]

    @property
    def statistics(self) -> Share:
        """Whether each modality has its own mean and variance."""
        return SHARING[self.norm][1]


PRIVATE = StreamSettings(conv="private", exchange=False)
"""Streams that are networks of their own (S Section 2: the baselines before they fuse)."""
MERGED = StreamSettings(exchange=False)
"""What one stream is converted with."""
