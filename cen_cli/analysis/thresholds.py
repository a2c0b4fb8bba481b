"""What a trained network would exchange, and score, at other thresholds theta, without training it again (S-Fig 13).

It answers whether theta is well placed for these gammas; a network trained at another theta can do better or worse.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from torch import nn

from cen_cli.models.exchange import count_replaced, exchange_layers, exchanging_layers
from cen_cli.results import Evaluation, ThresholdRow, below_threshold


def score_thresholds(
    model: nn.Module, modalities: Sequence[str], thresholds: Sequence[float], score: Callable[[nn.Module], Evaluation]
) -> list[ThresholdRow]:
    """Score the network at every threshold, in ascending order; the network is left as it was."""
    layers, rows = list(exchange_layers(model).values()), []
    before = [layer.threshold for layer in layers]
    try:
        for threshold in sorted(set(thresholds)):
            for layer in layers:
                layer.threshold = threshold
            rows.append(ThresholdRow(threshold, count_replaced(exchanging_layers(model), modalities), score(model)))
    finally:
        for layer, own in zip(layers, before, strict=True):
            layer.threshold = own
    return rows


def usual_thresholds(model: nn.Module) -> list[float]:
    """0, the network's own theta, and decades around it as far as they change what is replaced."""
    layers = exchanging_layers(model).values()
    own = next(float(layer.threshold) for layer in layers)
    gammas = np.concatenate([layer.gamma.detach().abs().cpu().numpy()[layer.replaceable.cpu()] for layer in layers])
    candidates = [own * factor for factor in (1e-3, 1e-2, 1e-1, 3e-1, 1, 3, 10, 30)]
    kept = {int(below_threshold(gammas, threshold).sum()): threshold for threshold in candidates}
    return sorted({0.0, own, *kept.values()})
