"""Several networks on the same views: where their outputs differ most (S-Fig 6 to 10).

Differences are those between the networks' final outputs, the ensemble's where there is one: for label maps the share
of pairs of networks that disagree at a pixel, for images the range of their values there, averaged over channels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from cen_cli.analysis.predictions import PanelRow, panel_row
from cen_cli.analysis.translations import TranslationRow, translate_view, translation_row
from cen_cli.data.modality import ModalitySpec
from cen_cli.data.views import ViewDataset
from cen_cli.models.segmenter import Segmenter
from cen_cli.models.translator import Translator
from cen_cli.results import Frame

FRAME = 1 / 3
"""Side of the framed region, as a share of the picture's."""
CANDIDATES = 64
"""Views among which those are sought where networks differ most, evenly spaced over the split."""

Specs = Sequence[ModalitySpec]
Difference = npt.NDArray[np.float64]
Row = TypeVar("Row", PanelRow, TranslationRow)


def compared_labels(models: Mapping[str, tuple[Segmenter, Specs]], data: ViewDataset, count: int) -> list[PanelRow]:
    """The `count` views on which networks, by name, differ most, those first, each with its region framed.

    A network comes with its modalities' specs. `predictions` of a row hold each one's final label map. All networks
    must take the same inputs.
    """

    def row(index: int) -> tuple[PanelRow, Difference]:
        view = data.view(index)
        rows = {name: panel_row(*model, view, size=view.size) for name, model in models.items()}
        final = {name: [*row.predictions.values()][-1] for name, row in rows.items()}
        first = next(iter(rows.values()))
        return dataclasses.replace(first, predictions=final), label_disagreement([*final.values()])

    return _most_different(row, len(data), count)


def compared_images(
    models: Mapping[str, tuple[Translator, Specs]], target: ModalitySpec, data: ViewDataset, count: int
) -> list[TranslationRow]:
    """The same of translation networks: `images` of a row hold what each network made in the end of `target`."""

    def row(index: int) -> tuple[TranslationRow, Difference]:
        view = data.view(index)
        made = {
            name: [*translate_view(*model, view, protocol="strict", norm_statistics="instance").values()][-1]
            for name, model in models.items()
        }
        drawn = translation_row(view, made, target, protocol="strict")
        return drawn, image_range([*drawn.images.values()])

    return _most_different(row, len(data), count)


def _most_different(row: Callable[[int], tuple[Row, Difference]], views: int, count: int) -> list[Row]:
    """Of evenly spaced views the `count` rows with the largest mean difference, each with its region framed."""
    chosen = np.unique(np.linspace(0, views - 1, min(views, CANDIDATES)).round().astype(int)).tolist()
    found = sorted((row(index) for index in chosen), key=lambda pair: -float(pair[1].mean()))
    return [dataclasses.replace(each, frame=most_different_region(difference)) for each, difference in found[:count]]


def label_disagreement(maps: Sequence[np.ndarray]) -> Difference:
    """Share of pairs of label maps [H, W] that differ at each pixel, [H, W]; 0 for a single map."""
    pairs = [(one, other) for index, one in enumerate(maps) for other in maps[index + 1 :]]
    if not pairs:
        return np.zeros(maps[0].shape)
    return np.mean([one != other for one, other in pairs], axis=0)


def image_range(images: Sequence[np.ndarray]) -> Difference:
    """Largest minus smallest value at each pixel of images [H, W] or [H, W, 3], averaged over channels: [H, W]."""
    spread = np.ptp(np.stack(images).astype(np.float64), axis=0)
    return spread if spread.ndim == 2 else spread.mean(axis=-1)


def most_different_region(difference: Difference) -> Frame:
    """The region of a third of the height and width with the largest sum of differences [H, W]."""
    height, width = difference.shape
    tall, wide = (max(round(side * FRAME), 1) for side in (height, width))
    sums = np.pad(difference, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)  # of everything above and left
    windows = sums[tall:, wide:] - sums[:-tall, wide:] - sums[tall:, :-wide] + sums[:-tall, :-wide]
    top, left = (int(place) for place in np.unravel_index(int(windows.argmax()), windows.shape))
    return top / height, left / width, (top + tall) / height, (left + wide) / width
