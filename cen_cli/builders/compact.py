"""A trained network -> its compact form, with what a checkpoint of it holds."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from torch import Tensor

from cen_cli.builders.checkpoints import (
    COMPACT,
    COMPACT_FORM,
    LoadedNetwork,
    check_trainable,
    from_tensors,
    labels_of_network,
)
from cen_cli.errors import UsageError
from cen_cli.models.compact import compact_sites, compact_tensors
from cen_cli.models.exchange import exchanging_layers
from cen_cli.models.norms import set_norm_statistics


@dataclasses.dataclass(frozen=True)
class Compacted:
    """A compact network in eval mode on the CPU, built from exactly what its checkpoint holds."""

    loaded: LoadedNetwork
    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def compact(model: LoadedNetwork, source: str) -> Compacted:
    """The compact form of a loaded network, which is left as it is but for its norms' statistics, the recipe's.

    Raises UsageError for one that is compact already, for one whose gates mix channels, and for one in which there is
    nothing to compact.
    """
    check_trainable(model, source, "it is compact already")
    if any(layer.mixes for layer in exchanging_layers(model.network).values()):
        raise UsageError(
            f"{source}: its gates mix channels, which no index stands for",
            hint="train with exchange.budget, which hardens the gates",
        )
    set_norm_statistics(model.network, model.recipe.eval.norm_statistics)
    if not compact_sites(model.network):
        raise UsageError(
            f"{source}: nothing to compact: no channel is replaced, and instance norms by each image's own statistics "
            "cannot be folded",
            hint=f"cen exchange-stats {source} shows what is replaced",
        )
    metadata = {**labels_of_network(model), COMPACT: COMPACT_FORM}
    tensors = compact_tensors(model.network)
    compacted = from_tensors(tensors, metadata, Path(source))
    compacted.network.eval()
    return Compacted(compacted, tensors, metadata)
