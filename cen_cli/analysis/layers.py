"""The state of exchanging layers as plain arrays: what every analysis of gammas and exchange starts from.

Reads the `ChannelExchange` modules that a network has, never names of its parts; works the same for any converted CNN.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cen_cli.models.choices import LargestGains
from cen_cli.models.exchange import computed_channels, exchange_layers
from cen_cli.models.sparsity import layer_scales
from cen_cli.results import below_threshold

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_STAGE = re.compile(r"(layer|stage)_?\d+$")


@dataclasses.dataclass(frozen=True)
class LayerState:
    """One exchanging layer of M modalities and C channels."""

    name: str
    gammas: Floats
    """|gamma|, [M, C]."""
    pressed: Mask
    """Where the L1 penalty acts (the own part of each modality, or everywhere), [M, C]."""
    replaceable: Mask
    """Where a channel may be replaced, [M, C]; nowhere while exchange is switched off or has no donors."""
    threshold: float
    fixed: Mask | None = None
    """The channels that are replaced whatever the threshold says, [M, C]; None where it chooses."""
    donor: npt.NDArray[np.int64] | None = None
    """The modality that gives to a replaced channel, [M, C]; None where the mean of the others does."""
    mixing: Floats | None = None
    """How much of the others gates mix into each channel, in [0, 1], [M, C]; None where there are no gates."""
    gain: Floats | None = None
    """The first-order gains by which channels were chosen, [M, C]; None where they were not."""
    scale: float = 1.0
    """What the penalty's lambda is multiplied by in this layer (`exchange.sparsity_scale`)."""
    shared_gamma: bool = False
    """Whether the modalities have one gamma, pressed once for each of them that presses the channel."""

    def under(self, gammas: Floats) -> Mask:
        """Which of these, signed or not, are below the threshold, [..., M, C]."""
        return np.asarray(below_threshold(gammas, self.threshold))

    @property
    def below(self) -> Mask:
        """|gamma| < threshold, [M, C]."""
        return self.under(self.gammas)

    @property
    def replaced(self) -> Mask:
        """The channels that the forward pass replaces (P Eq. 6), [M, C]."""
        return self.replaced_with(self.gammas)

    @property
    def dead(self) -> Mask:
        """The replaced channels without a donor above the threshold, [M, C]."""
        if self.donor is None:
            return self.replaced & self.below.all(axis=0)
        return self.replaced & self.below & np.take_along_axis(self.below, self.donor, axis=0)

    @property
    def read(self) -> Mask:
        """The channels whose own values some stream reads, which are not replaced or give to others, [M, C]."""
        donor = None if self.donor is None else torch.from_numpy(self.donor)
        return computed_channels(torch.from_numpy(self.replaced), donor).numpy()

    def fallen_with(self, gammas: Floats) -> Mask:
        """Which of these |gamma|, [..., M, C], are pressed and below a threshold that decides what is replaced."""
        return self.under(gammas) & self.pressed & (self.fixed is None)

    def replaced_with(self, gammas: Floats) -> Mask:
        """The channels that it would replace with these |gamma|, [..., M, C]."""
        chosen = np.broadcast_to(self.fixed, gammas.shape) if self.fixed is not None else self.under(gammas)
        return chosen & self.replaceable


def layer_states(model: nn.Module) -> tuple[LayerState, ...]:
    """The exchanging layers of a network in network order; empty where it exchanges nothing."""
    layers = exchange_layers(model)
    scaled = layer_scales([*layers.values()])
    scales = [1.0] * len(layers) if scaled is None else scaled.tolist()
    return tuple(
        LayerState(
            name=name,
            gammas=layer.gamma.detach().abs().float().cpu().numpy(),
            pressed=layer.pressed.cpu().numpy(),
            replaceable=layer.replaceable.cpu().numpy() & (layer.active and layer.modalities > 1),
            threshold=float(layer.threshold),
            fixed=_array(layer.fixed if layer.gate is None else layer.replaced()),
            donor=_array(layer.donor),
            mixing=_array(None if layer.gate is None else layer.mixing),
            gain=_array(layer.choice.gain if isinstance(layer.choice, LargestGains) else None),
            scale=scale,
            shared_gamma=len(layer.norm.weight) < layer.modalities,
        )
        for (name, layer), scale in zip(layers.items(), scales, strict=True)
    )


def _array(tensor: Tensor | None) -> npt.NDArray[Any] | None:
    return None if tensor is None else tensor.detach().cpu().numpy()


def mean(values: npt.NDArray[Any]) -> float:
    """The mean; NaN of nothing."""
    return float(values.mean()) if values.size else float("nan")


def stage_of(layer: str) -> str:
    """The stage that a layer belongs to, from its dotted name.

    It is the first component called `layer<n>` or `stage<n>` (`encoder.layer1.0.bn2` -> `layer1`); in networks without
    such names, everything up to the first numbered component (`body.down3.norm` -> `body.down3`, `features.4.norm` ->
    `features.4`); and where nothing is numbered, the module that holds the layer (`encoder.norm` -> `encoder`).
    """
    *parents, own = layer.split(".")
    for component in parents:
        if _STAGE.match(component):
            return component
    for index, component in enumerate(parents):
        if component[-1:].isdigit():
            return ".".join(parents[: index + 1])
    return ".".join(parents) or own
