"""A network beside its compact form: are their outputs equal, and what does each part cost before and after?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from cen_cli.analysis.equality import ComparedBatch, check_equal
from cen_cli.models.compact import compact_sites
from cen_cli.models.cost import Work, in_turn, macs
from cen_cli.models.exchange import exchanging_layers
from cen_cli.models.network import PARTS, StreamNetwork
from cen_cli.models.norms import ModalInstanceNorm2d
from cen_cli.results import Compaction, Compared, PartCost
from cen_cli.scoring.segmentation import evaluating

NETWORK = "network"


def compare(model: StreamNetwork, compact: StreamNetwork, batches: Iterable[ComparedBatch]) -> tuple[Compared, ...]:
    """How far the outputs are apart on every batch. Raises MismatchError where that is too far. Both on the CPU."""
    compared = []
    for batch in batches:
        with evaluating(model), evaluating(compact):
            expected, obtained = (network(batch.inputs).named(model.branches) for network in (model, compact))
        compared.append(Compared(batch.name, check_equal(expected, obtained, batch, "the compact network")))
    return tuple(compared)


def compaction_report(
    model: StreamNetwork,
    compact: StreamNetwork,
    stored: tuple[Mapping[str, Tensor], Mapping[str, Tensor]],
    compared: Sequence[Compared],
    *,
    size: tuple[int, int],
    device: torch.device,
    rounds: int,
    notes: Sequence[str] = (),
) -> Compaction:
    """What compacting changed; `stored` are the tensors of both files. Moves both networks to `device`.

    Costs are those of one view of `size`, all modalities; times are measured in so many `rounds` (0: not at all).
    """
    x = torch.randn(len(model.modalities), 3, *size, generator=torch.Generator().manual_seed(0))
    sites = compact_sites(model, x)
    exchanging = set(exchanging_layers(model).values())
    removed = [~site.computed for site in sites if site.layer in exchanging]
    left = sum(bool(layer.replaced().any()) for layer in exchanging - {site.layer for site in sites})
    if left:
        behind = "layer norms, or not directly behind an ordinary convolution (depthwise, grouped, padded by timm)"
        notes = [*notes, f"{left} of {len(exchanging)} exchanging layers stay as they are: they are {behind}"]
    x = x.to(device)
    forwards = (part_forwards(model.to(device), x), part_forwards(compact.to(device), x))
    parts = []
    for part in (*PARTS, NETWORK):
        before, after = (works[part] for works in forwards)
        cost = PartCost(
            part=part,
            macs=(macs(before), macs(after)),
            parameters=(_numbers(stored[0], part), _numbers(stored[1], part)),
            memory=(_bytes(_part(model, part)), _bytes(_part(compact, part))),
            seconds=tuple(in_turn(before, after, device, rounds)) if rounds else (),
        )
        parts.append(cost)
    instance = sum(isinstance(layer, ModalInstanceNorm2d) for layer in model.modules())
    return Compaction(
        replaced=_by_modality(model, [layer.replaced().cpu() for layer in exchanging]) if exchanging else {},
        removed=_by_modality(model, removed) if exchanging else {},
        channels=sum(layer.norm.channels for layer in exchanging),
        folded=sum(site.folds for site in sites),
        kept=instance - sum(isinstance(site.norm, ModalInstanceNorm2d) and site.folds for site in sites),
        size=size,
        parts=tuple(parts),
        compared=tuple(compared),
        device=str(device),
        notes=tuple(notes),
        task=model.task,
    )


def part_forwards(network: StreamNetwork, x: Tensor) -> dict[str, Work]:
    """A forward of every part, and of all of it, on the stack x [M*B, 3, H, W], in evaluation."""
    network.eval()
    with torch.inference_mode():
        features = network.encoder(x)
        predictions = network.decoder(features)
    forwards: dict[str, Work] = {
        "encoder": lambda: network.encoder(x),
        "decoder": lambda: network.decoder(features),
        "ensemble": lambda: network.ensemble.combine(predictions),
        NETWORK: lambda: network(x),
    }
    return {part: torch.inference_mode()(forward) for part, forward in forwards.items()}


def _by_modality(model: StreamNetwork, masks: Sequence[Tensor]) -> dict[str, int]:
    """Masks, bool [M, C], of all layers -> how often True for each modality."""
    counts = [sum(int(mask[m].sum()) for mask in masks) for m in range(len(model.modalities))]
    return dict(zip(model.modalities, counts, strict=True))


def _part(network: nn.Module, part: str) -> nn.Module:
    return network if part == NETWORK else network.get_submodule(part)


def _numbers(tensors: Mapping[str, Tensor], part: str) -> int:
    """Floating-point numbers that a file holds for a part."""
    prefix = "" if part == NETWORK else f"{part}."
    return sum(t.numel() for name, t in tensors.items() if name.startswith(prefix) and t.is_floating_point())


def _bytes(module: nn.Module) -> int:
    """Of all parameters and buffers, each counted once."""
    held = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    return sum(tensor.numel() * tensor.element_size() for tensor in held.values())
