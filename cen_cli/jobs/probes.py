"""The images on which compact and exported networks are compared with the network that they were made of."""

from __future__ import annotations

from cen_cli import builders
from cen_cli.analysis.equality import Probe, random_probes, real_probes
from cen_cli.builders import LoadedNetwork, Network
from cen_cli.recipe.load import override


def network_size(loaded: LoadedNetwork) -> tuple[int, int]:
    """Height and width that the network is evaluated at, as far as its recipe says; else those it was trained at."""
    recipe = loaded.recipe
    size = recipe.evaluation_size or recipe.data.crop
    multiple = size_multiple(loaded.network)
    return size if all(side % multiple == 0 for side in size) else recipe.data.crop


def size_multiple(model: Network) -> int:
    """What the sides of its images must be multiples of: 1 for segmentation, a power of 2 for a U-Net."""
    return getattr(model, "size_multiple", 1)


def find_probes(loaded: LoadedNetwork, data_root: str | None, source: str) -> tuple[list[Probe], list[str]]:
    """Random images and, where the recipe's data are at hand, real ones; then remarks on what could not be had."""
    recipe = override(loaded.recipe, (), data_root=data_root, source=source)
    multiple = size_multiple(loaded.network)
    probes = random_probes(loaded.modalities, network_size(loaded), multiple)
    data = builders.at_hand(recipe, recipe.eval.split)
    real = [] if data is None else real_probes(data, recipe.eval.split, multiple)
    if real:
        return [*probes, *real], []
    lack = "the recipe's data are not at hand" if data is None else "its views are of sizes that it does not take"
    return probes, [f"{lack}: compared on random images only (--data-root names the data)"]
