"""The L1 penalty that presses gammas towards 0: the last term of P Eq. 4, sum over m, l and c in part m of |gamma|.

It is computed once per step (a release of the method may add it once per output; its lambda then counts M + 1 times).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cen_cli.models.exchange import exchange_layers


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
    return torch.where(pressed, sizes, torch.zeros_like(sizes)).sum()
