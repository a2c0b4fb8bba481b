"""First stages of an encoder that are not trained: they stay as loaded, and cost no backward pass."""

from __future__ import annotations

from typing import Any

from cen_cli.errors import UsageError
from cen_cli.models.conversion import replace_layers
from cen_cli.models.exchange import exchange_layers
from cen_cli.models.norms import set_frozen_statistics


def freeze_first_stages(encoder: Any, count: int) -> None:
    """Freeze weights and statistics of the first `count` stages, in place; they exchange nothing, for no gamma moves.

    `encoder` has `first_stages`. Call it again after `set_frozen_statistics`. Raises UsageError where it has fewer.
    """
    if count > len(encoder.junctions):
        raise UsageError(f"model.frozen_stages = {count}: the encoder has {len(encoder.junctions)}")
    for module in encoder.first_stages(count) if count else ():
        module.requires_grad_(False)
        exchanges = {layer: layer.norm for layer in exchange_layers(module).values()}
        replace_layers(encoder, exchanges)  # type: ignore[arg-type]  # modules for modules
        set_frozen_statistics(module, True)
