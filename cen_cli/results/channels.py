"""What the analyses say about scaling factors and replaced channels."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from cen_cli.results.conventions import COLLAPSED
from cen_cli.results.records import from_json
from cen_cli.results.scores import Evaluation


@dataclasses.dataclass(frozen=True)
class ReplacedCount:
    """Replaced channels of one modality, over the whole network or one layer."""

    DERIVED: ClassVar = ("share_of_pressed", "share_of_all", "collapsed")

    modality: str
    replaced: int
    pressed: int
    """Channels on which the L1 penalty acts (the own part, or all channels)."""
    channels: int
    fallen: int = dataclasses.field(default=0, kw_only=True)
    """Of the pressed ones, those whose gamma is below a threshold that decides what is replaced."""

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ReplacedCount:
        """What `as_json` made of one."""
        return from_json(ReplacedCount, document)

    @property
    def share_of_pressed(self) -> float:
        """Replaced channels as a share of the pressed part, in [0, 1]."""
        return self.replaced / self.pressed if self.pressed else 0.0

    @property
    def collapsed(self) -> bool:
        """Whether nearly every pressed channel was given up, so that nothing was chosen."""
        return self.fallen > COLLAPSED * self.pressed

    @property
    def share_of_all(self) -> float:
        """Replaced channels as a share of all channels, in [0, 1]."""
        return self.replaced / self.channels if self.channels else 0.0


TOTAL = "total"
"""Stands for the layer in rows that count the whole network."""


@dataclasses.dataclass(frozen=True)
class ExchangeRow(ReplacedCount):
    """Replaced channels of one modality in one exchanging layer (or stage, or in total)."""

    layer: str
    donors: dict[str, float]
    """Modalities whose mean takes the replaced channels' place, each with its part of the donors' |gamma|: its mean
    over the replaced channels, in [0, 1]; they sum to 1, and are NaN where nothing is replaced."""
    mixed: float | None = None
    """How much of the others gates mix into the channels that may be replaced: mean, in [0, 1]; None without gates."""
    gain: tuple[float, float] | None = None
    """Mean first-order gain of the replaced and of the kept channels, as the choice by gain remembers it; in units of
    the loss, NaN where there are none. None where channels are chosen otherwise."""


@dataclasses.dataclass(frozen=True)
class ReplacedAtStep:
    """Replaced channels of every modality, over the whole network, in one record of a run."""

    step: int
    replaced: tuple[ReplacedCount, ...]
    epoch: float | None = None
    """Epochs that were done by then; None where the run does not say how long one is."""


@dataclasses.dataclass(frozen=True)
class GammaRow:
    """Distribution of |gamma| of one modality in one exchanging layer."""

    layer: str
    modality: str
    channels: int
    quantiles: tuple[float, float, float, float, float]
    """Minimum, quartiles, maximum of |gamma| over all channels of the layer."""
    below_inside: float
    """Share of the own part with |gamma| < threshold, in [0, 1]."""
    below_outside: float
    """Share of the rest with |gamma| < threshold; NaN where there is no rest."""
    overlap: float
    """Share of all channels below the threshold in this modality and in at least one other (a dead donor)."""


@dataclasses.dataclass(frozen=True)
class GainRow:
    """What replacing channels of one modality in one exchanging layer gains, to first order, in units of the loss."""

    layer: str
    modality: str
    channels: int
    """That may be replaced; of them:"""
    positive: float
    """Share, in [0, 1], whose replacing lowers the loss."""
    kept: float
    """Mean gain of those that are kept; NaN where none is."""
    replaced: float
    """Mean gain of those that are replaced; NaN where none is."""
    correlation: float
    """Spearman's rank correlation of |gamma| and gain; NaN below three channels, or where one is constant."""


@dataclasses.dataclass(frozen=True)
class GammaRecovery:
    """What became of one modality's pressed gammas over the recorded steps of a run (S-Fig 5)."""

    modality: str
    fell: int
    """Pressed gammas that were below the threshold in at least one record."""
    returned: int
    """Of those, how many were at or above the threshold in any later record."""
    ended_above: int
    """Of those, how many were at or above the threshold in the last record."""


@dataclasses.dataclass(frozen=True)
class GammaDiagnosis:
    """What the gammas say about a network, in words."""

    verdict: str
    """`healthy`, `collapsed`, `no effect`, `dead`, `overlapping`, `unread`, `no exchange` or `fixed` (a control)."""
    evidence: tuple[str, ...]
    """The numbers that the verdict rests on, one sentence each."""
    advice: str
    """What to change, or that nothing needs changing."""
    settings: Mapping[str, float | str] = dataclasses.field(default_factory=dict)
    """Recipe keys to try instead, with their values."""


@dataclasses.dataclass(frozen=True)
class ThresholdRow:
    """A trained network at another threshold."""

    threshold: float
    replaced: tuple[ReplacedCount, ...]
    evaluation: Evaluation
