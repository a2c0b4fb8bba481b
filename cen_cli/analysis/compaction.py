"""A network beside its compact form: are their outputs equal, and what does each part cost before and after?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from cen_cli.analysis.equality import Probe, check_equal
from cen_cli.models.compact import compact_sites, computed_channels
from cen_cli.models.cost import Work, in_turn, macs
from cen_cli.models.exchange import exchanging_layers
from cen_cli.models.network import PARTS
from cen_cli.models.norms import ModalInstanceNorm2d
from cen_cli.models.segmenter import Segmenter
from cen_cli.models.translator import Translator
from cen_cli.results import Compaction, Compared, PartCost
from cen_cli.scoring.segmentation import evaluating

NETWORK = "network"

Progress = Callable[[int, int], None]
Network = Segmenter | Translator


def compare(model: Network, compact: Network, probes: Iterable[Probe]) -> tuple[Compared, ...]:
    """How far the outputs are apart on every probe. Raises MismatchError where that is too far. Both on the CPU."""
    compared = []
    for probe in probes:
        with evaluating(model), evaluating(compact):
            expected, obtained = (network(probe.inputs).named(model.branches) for network in (model, compact))
        compared.append(Compared(probe.name, check_equal(expected, obtained, probe, "the compact network")))
    return tuple(compared)


def described(
    model: Network,
    compact: Network,
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
    sites, masks = compact_sites(model), [layer.replaced().cpu() for layer in exchanging_layers(model).values()]
    replaced = _by_modality(model, masks)
    removed = _by_modality(model, [~computed_channels(mask) for mask in masks])
    x = torch.randn(len(model.modalities), 3, *size, generator=torch.Generator().manual_seed(0)).to(device)
    costs = (works(model.to(device), x), works(compact.to(device), x))
    parts = [
        PartCost(
            part=part,
            macs=(macs(costs[0][part]), macs(costs[1][part])),
            parameters=(_numbers(stored[0], part), _numbers(stored[1], part)),
            memory=(_bytes(_part(model, part)), _bytes(_part(compact, part))),
            seconds=tuple(in_turn(costs[0][part], costs[1][part], device, rounds)) if rounds else (),
        )
        for part in (*PARTS, NETWORK)
    ]
    return Compaction(
        replaced=replaced,
        removed=removed,
        channels=sum(mask.shape[1] for mask in masks),
        folded=sum(site.folds for site in sites),
        kept=_instance_norms(model) - sum(isinstance(site.norm, ModalInstanceNorm2d) and site.folds for site in sites),
        size=size,
        parts=tuple(parts),
        compared=tuple(compared),
        device=str(device),
        notes=tuple(notes),
        task=model.task,
    )


def works(network: Network, x: Tensor) -> dict[str, Work]:
    """A forward of every part, and of all of it, on the stack x [M*B, 3, H, W]."""
    network.eval()
    with torch.inference_mode():
        features = network.encoder(x)
        logits = network.decoder(features)

    def encoder() -> None:
        with torch.inference_mode():
            network.encoder(x)

    def decoder() -> None:
        with torch.inference_mode():
            network.decoder(features)

    def ensemble() -> None:
        with torch.inference_mode():
            network.ensemble.combine(logits)

    def whole() -> None:
        with torch.inference_mode():
            network(x)

    return {"encoder": encoder, "decoder": decoder, "ensemble": ensemble, NETWORK: whole}


def _by_modality(model: Network, masks: Sequence[Tensor]) -> dict[str, int]:
    """Masks, bool [M, C], of all layers -> how often True for each modality; empty without any."""
    if not masks:
        return {}
    counts = torch.stack([mask.sum(1) for mask in masks]).sum(0)
    return dict(zip(model.modalities, counts.tolist(), strict=True))


def _instance_norms(model: nn.Module) -> int:
    return sum(isinstance(module, ModalInstanceNorm2d) for module in model.modules())


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
