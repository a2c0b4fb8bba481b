"""Pictures of views: inputs, truth, and what a network makes of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from PIL import Image

from cen_cli import builders
from cen_cli.analysis.comparison import MakeRow
from cen_cli.analysis.pictures import labelled_row, translate_view, translated_row
from cen_cli.builders import LoadedNetwork
from cen_cli.data.sample import RawView
from cen_cli.data.views import ViewDataset
from cen_cli.models.translator import Translator
from cen_cli.recipe import Recipe
from cen_cli.reporting.panels import segmentation_panel
from cen_cli.reporting.translation import contact_sheet
from cen_cli.results import PictureRow


def row_maker(loaded: LoadedNetwork, recipe: Recipe, *, training: bool = False) -> MakeRow:
    """What makes a row of a view by a network, as the recipe's evaluation, or its validations in `training`, do."""
    network, specs, target = loaded.network, loaded.specs, loaded.target
    protocol, augmentation = recipe.eval.protocol, builders.multi_scale_flip(recipe, training=training)
    precision = loaded.precision(recipe)

    def row(view: RawView) -> PictureRow:
        if not isinstance(network, Translator):
            return labelled_row(network, specs, view, augmentation=augmentation, precision=precision)
        assert target is not None, "a translation network has one"
        images = translate_view(
            network,
            specs,
            view,
            protocol=protocol,
            norm_statistics=recipe.eval.norm_statistics,
            precision=precision,
        )
        return translated_row(view, images, target, protocol=protocol)

    return row


def draw_rows(
    rows: Iterable[PictureRow], loaded: LoadedNetwork, class_names: Sequence[str], *, longest: int | None = None
) -> Image.Image:
    """Rows of what networks that do the same as this one made; `longest`: pixels to which larger pictures are brought.

    It is the longer side that counts.
    """
    if loaded.task == "translation":
        return contact_sheet(rows, longest=longest)
    return segmentation_panel(rows, class_names, builders.palette(loaded.recipe), longest=longest)


def picture_of_views(
    loaded: LoadedNetwork,
    data: ViewDataset,
    recipe: Recipe,
    views: Iterable[int],
    *,
    longest: int | None = None,
    training: bool = False,
) -> Image.Image:
    """A row per view with inputs, truth, branches and ensemble, as the recipe's evaluation or validation makes them."""
    make = row_maker(loaded, recipe, training=training)
    return draw_rows([make(data.view(index)) for index in views], loaded, data.class_names, longest=longest)
