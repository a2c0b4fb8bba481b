"""Where the fusion baselines merge their streams (S Section 2): behind one stage of an encoder, or behind all of them.

Until they merge, streams are private networks, with convolutions, linear layers and norms of their own. What is left,
less than 1% of the parameters, they share: layer scales, and group norms, which are not converted.

    one point   stage 1 (M) --> ... --> stage p (M) --> block --> stage p+1 (one) --> ... --> stage L (one)
                   | mean over M            fused |                    |                        |
                decoder                        decoder              decoder                  decoder

    all         stage 1 (M) -----> ... -----> stage L (M)
                   | block                      | block
                decoder                      decoder

    input       the images side by side --> stage 1 (one) --> ... --> stage L (one)

A junction stands behind each stage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from cen_cli.models.fusion.blocks import AverageFusion

Stage = Literal["input", "early", "middle", "late", "all"]
MakeNorm = Callable[[int], nn.Module]
MakeBlock = Callable[[int, int, MakeNorm], nn.Module]
"""(channels C, modalities M, what makes a norm of so many channels) -> a fusion block."""


FUSED = "fused"
"""Name of the one branch that a baseline's network has."""


@dataclass(frozen=True)
class Fusion:
    """A baseline: which block, and behind which stages it stands."""

    make_block: MakeBlock
    stage: Stage
    last: int | None = None
    """How many of the last stages the decoder reads, and "all" fuses; None: every one."""


class Junction(nn.Module):
    """Behind a stage: what the decoder gets, and what the next stage gets.

    Without a `block` both get what came. Else the decoder gets what the block makes of the streams; so does the next
    stage where the streams end (`merges`), and where not they go on apart.
    """

    def __init__(self, block: nn.Module | None = None, *, merges: bool = False) -> None:
        super().__init__()
        self.block, self.merges = block, merges

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[M*B, C, h, w] -> two of [M*B, C, h, w], or [B, C, h, w] where fused."""
        if self.block is None:
            return x, x
        fused = self.block(x)
        return fused, fused if self.merges else x

    def update_state(self, tensors: dict[str, Tensor], prefix: str) -> None:
        """Drop the block that version 0.1 had, without anybody reading it, where now the mean is taken."""
        if isinstance(self.block, AverageFusion):
            for name in [name for name in tensors if name.startswith(prefix)]:
                del tensors[name]


def place(
    fusion: Fusion, points: Mapping[str, int], channels: Sequence[int], modalities: int, make_norm: MakeNorm
) -> tuple[list[Junction], int]:
    """The junctions of an encoder whose stages end in `channels`, and how many of its first stages are streams.

    `points`: early, middle, late -> stage, from 1. Raises ValueError for fewer than two modalities.
    """
    if modalities < 2:
        raise ValueError(f"modalities = {modalities}: there is nothing to fuse")
    if fusion.stage == "all":
        first, end = len(channels) - (fusion.last or len(channels)), len(channels)
    else:
        end = 0 if fusion.stage == "input" else points[fusion.stage]
        first = max(end - 1, 0)
    means = [Junction(AverageFusion(modalities)) for _ in range(first)]
    blocks = [fusion.make_block(width, modalities, make_norm) for width in channels[first:end]]
    fusing = [Junction(block, merges=fusion.stage != "all") for block in blocks]
    return [*means, *fusing, *(Junction() for _ in channels[end:])], end
