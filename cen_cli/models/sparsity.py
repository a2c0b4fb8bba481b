"""The L1 penalty that presses gammas towards 0: the last term of P Eq. 4, sum over m, l and c in part m of |gamma|.

It is computed once per step (a release of the method may add it once per output; its lambda then counts M + 1 times).

One lambda for all layers presses hardest, beside the task, where the task's gradients are smallest: the coarsest
layers fall first. `scale_by_gradients` weighs each layer's term by the size s of the task's gradients with respect to
its gammas, s_l / mean of s, so that penalty and task stand in the same proportion everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cen_cli.models.exchange import ChannelExchange, computed_channels, exchange_layers

MEMORY = 0.98
"""What the running mean square of a layer's gradients keeps of itself in a step."""


def sparsity_penalty(model: nn.Module) -> Tensor:
    """Sum of |gamma| over the pressed channels of every `ChannelExchange` in `model`: scalar, at least float32.

    The last term of P Eq. 4, without lambda. Gammas outside the pressed parts get exactly zero gradient. A model
    without exchanging layers gives 0.
    """
    layers = list(exchange_layers(model).values())
    if not layers:
        device = next((tensor.device for tensor in model.parameters()), None)
        return torch.zeros((), device=device)
    gammas = torch.cat([layer.gamma for layer in layers], dim=1)  # [M, all channels]
    pressed = torch.cat([layer.pressed for layer in layers], dim=1)
    sizes = gammas.to(torch.promote_types(gammas.dtype, torch.float32)).abs()
    scales = layer_scales(layers)
    if scales is not None:
        sizes = sizes * torch.cat(
            [scale.expand(layer.norm.channels) for scale, layer in zip(scales, layers, strict=True)]
        )
    return torch.where(pressed, sizes, torch.zeros_like(sizes)).sum()


def scale_by_gradients(model: nn.Module) -> None:
    """From now on weigh every layer's term by the size of its gradients, as `follow_gradients` sees them."""
    for layer in exchange_layers(model).values():
        layer.gradient_square = torch.zeros((), device=layer.norm.weight.device)


@torch.no_grad()
def layer_scales(layers: Sequence[ChannelExchange]) -> Tensor | None:
    """[L]: what each layer's term is multiplied by, 1 on average, all 1 before the first step; None without scaling."""
    squares = [layer.gradient_square for layer in layers if layer.gradient_square is not None]
    if not squares:
        return None
    sizes = torch.stack(squares).sqrt()
    return torch.where(sizes.sum() > 0, sizes / sizes.mean(), 1.0)


@torch.no_grad()
def follow_gradients(model: nn.Module, weight: float) -> None:
    """Take in the task's gradients of a step, behind its backward pass: those of the loss less the penalty's.

    `weight` is lambda. Counted are pressed gammas whose channel some stream reads, for the task reaches no others.
    """
    layers = list(exchange_layers(model).values())
    scales = layer_scales(layers)
    for index, layer in enumerate(layers):
        gamma, square = layer.norm.weight, layer.gradient_square
        if scales is None or square is None or gamma.grad is None:
            continue
        penalty = weight * scales[index] * layer.pressed.float().sum_to_size(gamma.shape) * gamma.sign()
        counted = (layer.pressed & computed_channels(layer.replaced(), layer.donor)).float()
        squares = (gamma.grad - penalty).square().float().expand_as(counted) * counted
        square.lerp_(squares.sum() / counted.sum().clamp_min(1), (1 - MEMORY) * counted.any())
