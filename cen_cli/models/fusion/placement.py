"""Where the fusion baselines merge their streams (S Section 2): behind one stage of an encoder, or behind all of them.

Until they merge, streams are private networks, with convolutions and norms of their own.

    one point   stage 1 (M) --> ... --> stage p (M) --> block --> stage p+1 (one) --> ... --> stage L (one)
                   | mean over M            fused |                    |                        |
                decoder                        decoder              decoder                  decoder

    all         stage 1 (M) -----> ... -----> stage L (M)
                   | block                      | block
                decoder                      decoder

    input       the images side by side --> stage 1 (one) --> ... --> stage L (one)

A junction stands behind each stage: `forward(x)` -> (what the decoder gets, what the next stage gets).
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


class PassOn(nn.Module):
    """Decoder and next stage get what came."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[N, C, h, w] -> the same, twice."""
        return x, x


class Merge(nn.Module):
    """The streams end here: decoder and next stage get the fused map."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[M*B, C, h, w] -> [B, C, h, w], twice."""
        fused = self.block(x)
        return fused, fused


class Tap(nn.Module):
    """The decoder gets the fused map; the streams go on apart."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[M*B, C, h, w] -> [B, C, h, w] and [M*B, C, h, w]."""
        return self.block(x), x


class Untapped(nn.Module):
    """The streams go on apart. The decoder gets their mean, or reads nothing here."""

    def __init__(self, modalities: int) -> None:
        super().__init__()
        self.mean = AverageFusion(modalities)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[M*B, C, h, w] -> [B, C, h, w] and [M*B, C, h, w]."""
        return self.mean(x), x

    def update_state(self, tensors: dict[str, Tensor], prefix: str) -> None:
        """Drop the block that version 0.1 had here without anybody reading it."""
        for name in [name for name in tensors if name.startswith(prefix)]:
            del tensors[name]


@dataclass(frozen=True)
class Placement:
    """An encoder's junctions, one behind each stage, and how many of its first stages are streams."""

    junctions: tuple[nn.Module, ...]
    private_stages: int


def place(
    fusion: Fusion, points: Mapping[str, int], channels: Sequence[int], modalities: int, make_norm: MakeNorm
) -> Placement:
    """The junctions of an encoder whose stages end in `channels`; `points`: early, middle, late -> stage, from 1.

    Raises ValueError for fewer than two modalities.
    """
    if modalities < 2:
        raise ValueError(f"modalities = {modalities}: there is nothing to fuse")
    if fusion.stage == "input":
        return Placement(tuple(PassOn() for _ in channels), private_stages=0)
    if fusion.stage == "all":
        unread = 0 if fusion.last is None else len(channels) - fusion.last
        taps = [Tap(fusion.make_block(width, modalities, make_norm)) for width in channels[unread:]]
        return Placement((*(Untapped(modalities) for _ in range(unread)), *taps), private_stages=len(channels))
    point = points[fusion.stage]
    before = [Untapped(modalities) for _ in range(point - 1)]
    merge = Merge(fusion.make_block(channels[point - 1], modalities, make_norm))
    behind = [PassOn() for _ in range(len(channels) - point)]
    return Placement((*before, merge, *behind), private_stages=point)
