"""Which parts of a network live: dead units, and whether a gradient of the task arrives.

While a network is watched, its layers are observed as they run. A unit, that is a channel of one stream, is *dead*
where it is positive nowhere in the batch and no gradient reaches it: a ReLU behind it has shut it off, and nothing can
open it again. A part to whose layers no gradient arrives at all learns nothing, dead or not; its gammas fall under the
L1 penalty unopposed, which is no choice of channels. Gradients are those of the loss with respect to a layer's output,
so the penalty on gammas has no share in them.

Looked at are convolutions and, where a norm follows at once, that norm instead; a channel exchange stands for the norm
in it. Values are reduced where they are and fetched once; nothing that is computed changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from cen_cli import ranks
from cen_cli.models.conversion import Convolution
from cen_cli.models.exchange import ChannelExchange, exchange_layers
from cen_cli.models.norms import ModalNorm
from cen_cli.models.streams import PrivateCopies
from cen_cli.results import Health, PartHealth

Norm = _NormBase | ModalNorm


class _Layer(NamedTuple):
    """One layer's output over a batch; one value a stream, or one in all where streams have been fused."""

    name: str
    positive: list[float]
    dead: list[float]
    gradient: list[float]


class Watch:
    """What was seen of a network's layers between the beginning and the end of `watching`."""

    def __init__(self, network: nn.Module, loss_scale: float) -> None:
        self._network, self._loss_scale = network, loss_scale
        self._per_stream: int | None = None
        self._before: tuple[str, Tensor] | None = None
        self._running = False
        """Off while a checkpointed block is computed again, for the backward pass."""
        self._passes = 0
        self._values: dict[str, Tensor] = {}
        """Shares of positive values, summed over the passes."""
        self._squares: dict[str, Tensor] = {}
        """Squared norms of gradients, summed likewise."""

    def begins(self, network: nn.Module, inputs: tuple[Any, ...]) -> None:
        """The network is about to run: note how many samples each of its streams has."""
        self._running = True
        self._passes += torch.is_grad_enabled()  # else nothing of it is kept
        images = inputs[0]
        if isinstance(images, Mapping):
            self._per_stream = len(next(iter(images.values())))
        elif images.dim() == 5:
            self._per_stream = images.shape[1]
        else:
            self._per_stream = len(images) // len(getattr(network, "modalities", (None,)))

    def ends(self, *_: object) -> None:
        """It has run. Let go of the last output: its graph holds what was hooked into it, and so this watch."""
        self._running, self._before = False, None

    def ran(self, name: str, layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        """A layer has run: keep what there is to know of its output, and of its gradient once that is there."""
        if not self._running or not isinstance(output, Tensor) or output.dim() != 4 or not output.requires_grad:
            return
        if self._before is not None and inputs[0] is self._before[1] and not isinstance(_kind(layer), Convolution):
            self._values.pop(self._before[0], None)  # a norm takes its convolution's place
            self._squares.pop(self._before[0], None)
        self._before = (name, output)
        streams = self._by_stream(output.detach())
        positive = (streams > 0).sum(dim=(1, 3, 4)) / streams[0, :, 0].numel()  # [S, C]
        self._values[name] = self._values[name] + positive if name in self._values else positive
        # What follows may write into the output; where that is a view, only its base still gets the gradient then.
        base = output._base
        target = base if base is not None and base.numel() == output.numel() else output
        shape = output.shape
        target.register_hook(lambda gradient: self._arrived(name, gradient.reshape(shape)))

    def _arrived(self, name: str, gradient: Tensor) -> None:
        if name in self._values:
            streams = self._by_stream(gradient)
            wide = torch.promote_types(gradient.dtype, torch.float32)
            norms = torch.linalg.vector_norm(streams, dim=(1, 3, 4), dtype=wide)  # [S, C]
            square = (norms / self._loss_scale).square()
            self._squares[name] = self._squares[name] + square if name in self._squares else square

    def _by_stream(self, x: Tensor) -> Tensor:
        """[S*B, C, h, w] -> [S, B, C, h, w]; S = 1 where streams have been fused."""
        size = self._per_stream
        return x.unflatten(0, (-1, size)) if size and len(x) % size == 0 else x[None]

    def health(self) -> Health:
        """What was seen, part by part in network order; one transfer from the device a layer."""
        parts: dict[str, list[_Layer]] = {}
        positives = ranks.averaged({name: value / self._passes for name, value in self._values.items()})
        squares = {name: self._squares.get(name, torch.zeros_like(each)) for name, each in positives.items()}
        for name, square in ranks.averaged(squares).items():
            positive, norms = positives[name], (square / ranks.count()).sqrt()  # [S, C]; each rank's loss is its share
            dead = ((positive == 0) & (norms == 0)).float().mean(1)
            rows = torch.stack([positive.mean(1), dead, torch.linalg.vector_norm(norms, dim=1)]).cpu().double().tolist()
            parts.setdefault(part_of(self._network, name), []).append(_Layer(name, *rows))
        gradients = {layer.name: tuple(layer.gradient) for layers in parts.values() for layer in layers}
        exchanging = {name: gradients[name] for name in exchange_layers(self._network) if name in gradients}
        return Health(tuple(_summary(name, layers) for name, layers in parts.items()), exchanging)


@contextmanager
def watching(network: nn.Module, loss_scale: float = 1.0) -> Iterator[Watch]:
    """Watch the network's layers: one or more forward passes, and the backward pass of their loss, go inside.

    `loss_scale` is what the loss is multiplied by before its backward pass.
    """
    watch = Watch(network, loss_scale)
    with ExitStack() as hooks:
        hooks.callback(network.register_forward_pre_hook(watch.begins).remove)
        hooks.callback(network.register_forward_hook(watch.ends).remove)
        for name, layer in _watched(network):
            hook = layer.register_forward_hook(
                lambda layer, inputs, output, name=name: watch.ran(name, layer, inputs, output)
            )
            hooks.callback(hook.remove)
        yield watch


def part_of(network: nn.Module, layer: str) -> str:
    """The part that a layer belongs to, as `encoder.layer4` or `decoder.path1`: its first two names, or three in lists.

    A number counts as a name of its own where it counts the members of a list, or of a sequence of sequences.
    """
    names = layer.split(".")
    if len(names) < 3 or not names[2].isdigit():
        return ".".join(names[:2])
    second, third = (network.get_submodule(".".join(names[:length])) for length in (2, 3))
    listed = isinstance(second, nn.ModuleList) or isinstance(third, nn.Sequential | nn.ModuleList)
    return ".".join(names[: 3 if listed else 2])


def _summary(name: str, layers: list[_Layer]) -> PartHealth:
    """A part by its worst layer. One that begins with streams and ends fused has the gradient of its fused layers."""
    worst = max(layers, key=lambda layer: max(layer.dead))
    stream = max(range(len(worst.dead)), key=worst.dead.__getitem__)
    rows = [layer.gradient for layer in layers if len(layer.gradient) == len(layers[-1].gradient)]
    reaching = min(max(row[index] for row in rows) for index in range(len(rows[0])))
    return PartHealth(name, worst.name, worst.dead[stream], worst.positive[stream], reaching)


def _watched(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Convolutions, norms and exchanges by name; not what an exchange or `PrivateCopies` holds."""
    holders = [module for module in network.modules() if isinstance(module, ChannelExchange | PrivateCopies)]
    inner = {id(held) for holder in holders for held in holder.modules() if held is not holder}
    for name, module in network.named_modules():
        if isinstance(_kind(module), Convolution | Norm | ChannelExchange) and id(module) not in inner:
            yield name, module


def _kind(layer: nn.Module) -> nn.Module:
    """The layer, or that of which these are copies, one for each stream."""
    return layer.layer if isinstance(layer, PrivateCopies) else layer
