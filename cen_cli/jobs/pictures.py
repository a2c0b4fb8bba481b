"""Pictures of a few views: inputs, truth, and what a network makes of them."""

from __future__ import annotations

from collections.abc import Iterable

from PIL import Image

from cen_cli import builders
from cen_cli.analysis.predictions import panel_rows
from cen_cli.analysis.translations import translation_rows
from cen_cli.builders import LoadedNetwork
from cen_cli.data.views import ViewDataset
from cen_cli.models.translator import Translator
from cen_cli.recipe import Recipe
from cen_cli.reporting import panels
from cen_cli.reporting.translation import contact_sheet


def picture_of_views(
    loaded: LoadedNetwork, data: ViewDataset, recipe: Recipe, views: Iterable[int], *, longest: int | None = None
) -> Image.Image:
    """A row per view with inputs, truth, branches and ensemble, as the recipe's evaluation makes them.

    `longest`: pixels to which the longer side of larger pictures is brought.
    """
    if isinstance(loaded.network, Translator):
        assert loaded.target is not None, "a translation network has one"
        rows = translation_rows(
            loaded.network,
            loaded.specs,
            loaded.target,
            data,
            views,
            protocol=recipe.eval.protocol,
            norm_statistics=recipe.eval.norm_statistics,
        )
        return contact_sheet(rows, longest=longest)
    labelled = panel_rows(loaded.network, loaded.specs, data, views, augmentation=builders.multi_scale_flip(recipe))
    return panels.segmentation_panel(labelled, data.class_names, builders.palette(loaded.recipe), longest=longest)
