"""Choices of the channels that are replaced, other than the threshold of P Eq. 6: one class each (docs/method.md).

A choice belongs to one `ChannelExchange`. It decides at the start, and is asked again behind every backward pass of a
training. What it remembers are buffers and parameters of its layer, so that a checkpoint holds them and a resumed run
goes on exactly. A choice of whole channels ends in `ChannelExchange.fixed`, the mask that the forward pass reads.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from cen_cli import ranks
from cen_cli.models.exchange import ChannelExchange, exchange_layers, exchanging_layers

SHARE = 0.3
"""Of each part, where none is given: what the comparison of choices was made with (docs/results.md)."""
MEMORY = 0.98
"""What an average over steps keeps of itself in a step."""
SWAPS = 0.3
"""Share of the replaced channels that may be swapped at the start; it falls along a cosine to 0 (Evci et al. 2020)."""
SETTLED = 0.75
"""Share of the run after which no channel is swapped any more, and gates are hardened."""
CLOSED, HARD = -2.2, 1e4
"""Logits of gates: at the start (a tenth is mixed in), and, with either sign, of those that mix no more."""


class Choice(nn.Module):
    """Which channels of one exchanging layer are replaced; this one leaves it to the threshold."""

    asks_for_gain = False
    """Whether it needs the first-order gains of its layer (`watch_gains`)."""

    def begin(self, layer: ChannelExchange, generator: torch.Generator) -> None:
        """Choose for the first time."""

    def revise(self, layer: ChannelExchange, step: int, total: int) -> None:
        """Behind the backward pass of optimiser step `step`, counted from 0, of `total`."""


class RandomShare(Choice):
    """A fixed random `share`, in (0, 1], of the channels that may be replaced, 1 for all: the control.

    Raises ValueError for another share.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        if not 0 < share <= 1:
            raise ValueError(f"share = {share}: above 0, at most 1")
        self.share = share

    def begin(self, layer: ChannelExchange, generator: torch.Generator) -> None:
        """Draw round(share * channels of its part) channels in each modality."""
        mask = torch.zeros_like(layer.replaceable, device="cpu")
        for row, allowed in zip(mask, layer.replaceable.cpu(), strict=True):
            places = allowed.nonzero().flatten()
            row[places[torch.randperm(len(places), generator=generator)[: round(self.share * len(places))]]] = True
        layer.fix(mask)


class SmallestGammas(Choice):
    """The `share` of each part with the smallest |gamma|, chosen anew every `every` steps."""

    def __init__(self, share: float, every: int) -> None:
        super().__init__()
        self.share, self.every = share, every

    def begin(self, layer: ChannelExchange, generator: torch.Generator) -> None:  # noqa: ARG002 (nothing is drawn)
        """Choose by the gammas as they are."""
        layer.fix(smallest(layer.gamma.detach().abs(), layer.replaceable, self.share))

    def revise(self, layer: ChannelExchange, step: int, total: int) -> None:  # noqa: ARG002 (at all times alike)
        """Choose by the gammas as they are."""
        if (step + 1) % self.every == 0:
            layer.fix(smallest(layer.gamma.detach().abs(), layer.replaceable, self.share))


class LargestGains(RandomShare):
    """A `share` of each part: drawn at first, then swapped for channels of a larger first-order gain.

    The gain of a channel is -dL/da of (1 - a) own + a others, at a = 0 where the channel is kept and at a = 1 where it
    is replaced; `gain`, float32 [M, C], is its moving average over steps. Every `every` steps the replaced channels of
    the smallest gain are compared with as many kept ones of the largest, pair by pair, and swapped where that gains.
    """

    asks_for_gain = True
    gain: Tensor

    def __init__(self, share: float, every: int) -> None:
        super().__init__(share)
        self.every = every

    def begin(self, layer: ChannelExchange, generator: torch.Generator) -> None:
        """Draw as `RandomShare` does."""
        super().begin(layer, generator)
        self.register_buffer("gain", torch.zeros_like(layer.replaceable, dtype=torch.float32))

    @torch.no_grad()
    def revise(self, layer: ChannelExchange, step: int, total: int) -> None:
        """Take in this step's gains; swap where it is time."""
        if layer.probe is not None and layer.probe.grad is not None:
            self.gain.lerp_(-layer.probe.grad, 1 - MEMORY)
            layer.probe.grad = None
        if (step + 1) % self.every == 0 and layer.fixed is not None:
            layer.fix(swapped(layer.fixed, self.gain, layer.replaceable, falling_share(step + 1, total)))


class SoftGates(Choice):
    """A gate for each channel, learned by the task: (1 - a) own + a others, a = sigmoid(logit) inside the part.

    With a `share`, gates are hardened late in the run: in each part the share with the largest a is replaced, the rest
    is kept. Without one they mix to the end.
    """

    def __init__(self, share: float | None) -> None:
        super().__init__()
        self.share = share

    def begin(self, layer: ChannelExchange, generator: torch.Generator) -> None:  # noqa: ARG002 (nothing is drawn)
        """Give the layer its gates, nearly closed."""
        layer.gate = nn.Parameter(torch.full(layer.replaceable.shape, CLOSED, device=layer.replaceable.device))

    @torch.no_grad()
    def revise(self, layer: ChannelExchange, step: int, total: int) -> None:  # noqa: D102 (see the class)
        if self.share is not None and layer.gate is not None and step == int(SETTLED * total):
            open_gates = smallest(-layer.gate, layer.replaceable, self.share)
            layer.gate.copy_(torch.where(open_gates, HARD, -HARD))


def smallest(values: Tensor, allowed: Tensor, share: float) -> Tensor:
    """Bool [M, C]: in each row, of the n that are `allowed`, the round(share * n) with the smallest of `values`.

    Of equal values the first are taken.
    """
    order = values.masked_fill(~allowed, math.inf).argsort(dim=1, stable=True)
    counts = [round(share * count) for count in allowed.sum(dim=1).tolist()]  # in float64, as the other choices
    return (order.argsort(dim=1) < torch.tensor(counts, device=order.device)[:, None]) & allowed


def swapped(replaced: Tensor, gain: Tensor, allowed: Tensor, share: float) -> Tensor:
    """Bool [M, C]: `replaced` with at most `share` of each row's channels swapped for others of larger gain."""
    result = replaced.clone()
    for row, gains, given, kept in zip(result, gain, replaced, allowed & ~replaced, strict=True):
        leaving, coming = given.nonzero().flatten(), kept.nonzero().flatten()
        count = min(round(share * len(leaving)), len(coming))
        leaving = leaving[gains[leaving].argsort()[:count]]
        coming = coming[gains[coming].argsort(descending=True)[:count]]
        better = gains[coming] > gains[leaving]
        row[leaving[better]], row[coming[better]] = False, True
    return result


def falling_share(step: int, total: int) -> float:
    """Of the replaced channels that may be swapped behind `step` of `total` steps: from `SWAPS` down to 0."""
    return SWAPS / 2 * (1 + math.cos(math.pi * min(step / (SETTLED * total), 1.0)))


def choose_channels(model: nn.Module, choice: Choice, seed: int) -> None:
    """Give every exchanging layer of `model` a copy of this choice, and let it choose; `seed` decides what is drawn."""
    generator = torch.Generator().manual_seed(seed)
    for layer in exchange_layers(model).values():
        layer.choice = copy.deepcopy(choice)
        layer.choice.begin(layer, generator)


def check_share(model: nn.Module, share: float) -> None:
    """Raise ValueError where the share to replace is no channel in any exchanging layer of `model`."""
    largest = max(int(layer.replaceable.sum(1).max()) for layer in exchange_layers(model).values())
    if round(share * largest) == 0:
        raise ValueError(f"a share of {share} is no channel: no layer may replace more than {largest}")


def hardening_step(model: nn.Module, total: int) -> int | None:
    """After how many of `total` optimiser steps gates that mix until then are hardened; None where there are none."""
    choices = (layer.choice for layer in exchanging_layers(model).values())
    hardened = any(isinstance(choice, SoftGates) and choice.share is not None for choice in choices)
    return int(SETTLED * total) + 1 if hardened else None


def watch_gains(model: nn.Module) -> dict[str, Tensor]:
    """Let the next backward passes leave dL/da of every channel in the `grad` of each layer's probe: by layer, [M, C].

    Costs one map kept and one product per exchanging layer. To be called once the network is on its device.
    """
    probes = {}
    for name, layer in exchanging_layers(model).items():
        layer.probe = torch.zeros(layer.replaceable.shape, device=layer.replaceable.device, requires_grad=True)
        probes[name] = layer.probe
    return probes


def revise_choices(model: nn.Module, step: int, total: int, scale: float | None = 1.0) -> None:
    """Ask every layer's choice again, behind the backward pass of optimiser step `step`, counted from 0, of `total`.

    `scale` is what the loss was multiplied by; None where its gradients are not finite, and no gain is taken in.
    """
    layers = exchanging_layers(model)
    probes = {name: layer.probe for name, layer in layers.items() if layer.probe is not None}
    gains = {name: probe.grad for name, probe in probes.items() if probe.grad is not None}
    for name, gain in ranks.averaged(gains).items():
        probes[name].grad = None if scale is None else gain / scale
    for layer in layers.values():
        if isinstance(layer.choice, Choice):
            layer.choice.revise(layer, step, total)


def asks_for_gain(model: nn.Module) -> bool:
    """Whether the choice of a layer needs gains."""
    return any(
        isinstance(each.choice, Choice) and each.choice.asks_for_gain for each in exchange_layers(model).values()
    )
