"""Dropout in evaluation: a network that draws noise while all else about it is fixed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def active_dropout(model: nn.Module) -> Iterator[None]:
    """Let every nn.Dropout in `model` draw inside the `with`, whatever mode the rest is in; then put back their modes.

    Call it after `model.eval()`, which would switch them off again.
    """
    modes = {layer: layer.training for layer in model.modules() if isinstance(layer, nn.Dropout)}
    try:
        for layer in modes:
            layer.train()
        yield
    finally:
        for layer, training in modes.items():
            layer.train(training)
