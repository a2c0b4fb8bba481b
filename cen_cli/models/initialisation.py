"""How the weights of translation networks start (Isola et al., CVPR 2017)."""

from __future__ import annotations

from torch import nn

STANDARD_DEVIATION = 0.02


def draw_normal_weights(network: nn.Module) -> None:
    """Draw the weights of every convolution, transposed or not, from N(0, 0.02); biases 0. Norms stay as they are."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, std=STANDARD_DEVIATION)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
