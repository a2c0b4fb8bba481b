"""The images on which `cen compact` and `cen export` compare networks, and where these are written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cen_cli.errors import UsageError

if TYPE_CHECKING:
    from cen_cli.analysis.equality import Probe
    from cen_cli.builders import Network


def network_size(model: Network) -> tuple[int, int]:
    """Height and width that the network is evaluated at, as far as its recipe says; else those it was trained at."""
    recipe = model.recipe
    size: tuple[int, int] = recipe.eval.size or recipe.data.resize or recipe.data.crop
    multiple = size_multiple(model)
    return size if all(side % multiple == 0 for side in size) else recipe.data.crop


def size_multiple(model: Network) -> int:
    """What the sides of its images must be multiples of: 1 for segmentation, a power of 2 for a U-Net."""
    return getattr(model, "size_multiple", 1)


def find_probes(model: Network, data_root: str | None, source: str) -> tuple[list[Probe], list[str]]:
    """Random images and, where the recipe's data are at hand, real ones; then remarks on what could not be had."""
    from cen_cli import builders
    from cen_cli.analysis.equality import random_probes, real_probes
    from cen_cli.recipe.load import override

    recipe = override(model.recipe, [], data_root=data_root, source=source)
    multiple = size_multiple(model)
    probes = random_probes(model.modalities, network_size(model), multiple)
    data = builders.at_hand(recipe, recipe.eval.split)
    real = [] if data is None else real_probes(data, recipe.eval.split, multiple)
    if real:
        return [*probes, *real], []
    lack = "the recipe's data are not at hand" if data is None else "its views are of sizes that it does not take"
    return probes, [f"{lack}: compared on random images only (--data-root names the data)"]


def check_free(path: Path, option: str) -> None:
    """Raises UsageError for something that exists: nothing is overwritten."""
    if path.exists():
        raise UsageError(f"{path}: exists already, and nothing is overwritten", hint=f"give another name with {option}")
