"""The recipe's tables on the streams of a network: what they share, and how they exchange channels."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from cen_cli.recipe.table import AboveZero, NonNegative, Positive, Table, distinct


class Sharing(Table):
    """What the streams share (S-Tables 7, 8 and 9)."""

    conv: Literal["shared", "private"] = Field(default="shared", description="Convolutions.")
    private_stages: Positive | None = None
    """First stages of the encoder (layers of a U-Net) whose convolutions are private all the same, the stem with the
    first. Absent: none."""
    decoder: Literal["shared", "private"] | None = None
    """Convolutions of the decoder. Absent: as sharing.conv."""
    norm: Literal["private", "shared", "statistics-private", "affine-private"] = "private"
    """Normalisation layers. "statistics-private": one scale and offset, statistics of each modality. "affine-private":
    one set of statistics, scale and offset of each modality."""


class Exchange(Table):
    """Channel exchanging (P Eq. 4 and 6)."""

    choose: Literal["gamma", "gain", "gate", "random", "all", "none"] = "gamma"
    """ "gamma": a channel is replaced where |gamma| < threshold; with exchange.budget, the smallest of each part are.
    "gain": those whose replacing lowers the loss most, to first order. "gate": a learned gate of each channel mixes the
    others in. "none": gammas are pressed, nothing is exchanged (the rows of S-Table 7 with l1 alone). Controls:
    "random" replaces a fixed random share of the channels that may be replaced, drawn by train.seed, "all" replaces all
    of them, whatever the gammas say."""
    budget: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the channels that may be replaced which every exchanging layer and modality replaces. Absent: with
    "gamma" the threshold decides, with "gate" the gates go on mixing; "gain" needs one."""
    choose_every: Positive | None = None
    """Steps between two choices, with "gain", and with "gamma" and a budget. Absent: 20."""
    stages: Annotated[tuple[Positive, ...], Field(min_length=1), AfterValidator(distinct)] | None = None
    """Stages of the encoder that exchange, counted from 1: a ResNet's four, a U-Net's layers. Absent: all. In the
    others nothing is pressed."""
    share: float = Field(default=0.8, gt=0, le=1)
    """Share of the channels that may be replaced which the random control replaces, without a budget."""
    threshold: AboveZero = Field(default=1e-2, description="Theta: |gamma| below which a channel is replaced.")
    sparsity: NonNegative = Field(default=1e-3, description="Lambda: weight of the sum of pressed |gamma| in the loss.")
    sparsity_scale: Literal["one", "layer"] = "one"
    """ "one": the same lambda in all layers. "layer": it is multiplied by the size of the task's gradients with respect
    to the layer's gammas, over the mean of all layers."""
    region: Literal["disjoint", "all"] = "disjoint"
    """Where gammas are pressed. "disjoint": each modality in its own part of the channels. "all": everywhere."""
    replace: Literal["own-part", "anywhere"] = "own-part"
    """Where channels may be replaced. "own-part": only where they are pressed. "anywhere": wherever |gamma| <
    threshold, as in the authors' release."""
    donors: Literal["mean", "groups"] = "mean"
    """Who gives to a replaced channel, with three modalities or more. "mean": all others, averaged. "groups": one of
    the others; the channels are allotted to them at random, by train.seed, once and for all."""
    gamma_init: AboveZero = 1.0
    """Gamma of the exchanging norms at the start, where no weights are loaded. From scratch 1.0 needs very long runs to
    come down to the threshold; 0.2 works."""

    @property
    def steps_between_choices(self) -> int:
        """`choose_every`, or what stands for it."""
        return self.choose_every or 20

    @property
    def penalty(self) -> float:
        """Lambda as it acts: 0 where no gamma has a say."""
        return 0.0 if self.choose in ("gain", "gate") else self.sparsity
