"""Pictures of a few views: inputs, truth, and what a network makes of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

    from cen_cli.builders import Network
    from cen_cli.data.views import ViewDataset
    from cen_cli.recipe.schema import Recipe


def picture_of_views(
    model: Network, data: ViewDataset, recipe: Recipe, views: Iterable[int], *, longest: int | None = None
) -> Image.Image:
    """A row per view with inputs, truth, branches and ensemble, as the recipe's evaluation makes them.

    `longest`: pixels to which the longer side of larger pictures is brought.
    """
    from cen_cli import builders
    from cen_cli.analysis.predictions import panel_rows
    from cen_cli.analysis.translations import translation_rows
    from cen_cli.models.translator import Translator
    from cen_cli.reporting import panels
    from cen_cli.reporting.translation import contact_sheet

    if isinstance(model, Translator):
        statistics = recipe.eval.norm_statistics
        drawn = translation_rows(model, data, views, protocol=recipe.eval.protocol, norm_statistics=statistics)
        return contact_sheet(drawn, longest=longest)
    rows = panel_rows(model, data, views, averaging=builders.averaging(recipe))
    return panels.segmentation_panel(rows, data.class_names, builders.palette(model.recipe), longest=longest)
