"""The parameters of a network of streams by how they are trained; optimisers take one rate per group."""

from __future__ import annotations

from torch import nn

from cen_cli.models.exchange import exchange_layers

PARTS = ("encoder", "decoder", "ensemble")
"""The children of such a network: nothing else in it may have parameters."""


def parameter_groups(network: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Groups "encoder", "decoder" and "ensemble", and "gamma", which takes the exchanging norms' out of the others.

    What the encoder's junctions hold, the fusion blocks of a baseline, starts untrained as the decoder does, and is in
    its group. Each parameter is in exactly one group; AssertionError where one lies outside the network's `PARTS`.
    """
    gammas = [layer.norm.weight for layer in exchange_layers(network).values()]
    blocks = [*network.get_submodule("encoder.junctions").parameters()]
    taken = {id(parameter) for parameter in (*gammas, *blocks)}
    encoder, decoder, ensemble = (
        [p for p in network.get_submodule(part).parameters() if id(p) not in taken] for part in PARTS
    )
    groups = {"encoder": encoder, "decoder": [*decoder, *blocks], "gamma": gammas, "ensemble": ensemble}
    grouped = sorted(id(p) for group in groups.values() for p in group)
    assert grouped == sorted(id(p) for p in network.parameters()), "a parameter is in no group, or in two"
    return groups
