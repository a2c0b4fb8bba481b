"""Predictions as arrays, for pictures: what each branch and the ensemble make of a view."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch

from cen_cli.data.modality import ModalitySpec
from cen_cli.data.sample import RawView, collate
from cen_cli.data.tensors import DepthMap
from cen_cli.data.transforms import EvalTransform
from cen_cli.data.views import ViewDataset
from cen_cli.models.segmenter import Segmenter
from cen_cli.models.streams import output_names
from cen_cli.results import PanelRow
from cen_cli.scoring.segmentation import evaluating, segment_views
from cen_cli.scoring.test_time_augmentation import SINGLE_SCALE, MultiScaleFlip


def panel_rows(
    model: Segmenter,
    specs: Sequence[ModalitySpec],
    data: ViewDataset,
    indices: Iterable[int],
    *,
    augmentation: MultiScaleFlip = SINGLE_SCALE,
) -> Iterator[PanelRow]:
    """What the network predicts on some views of a data set, beside inputs and truth; `specs`: its modalities."""
    for index in indices:
        view = data.view(index)
        yield panel_row(model, specs, view, size=view.size, augmentation=augmentation)


def panel_row(
    model: Segmenter,
    specs: Sequence[ModalitySpec],
    view: RawView,
    *,
    size: tuple[int, int],
    augmentation: MultiScaleFlip = SINGLE_SCALE,
) -> PanelRow:
    """What the network predicts on one view; label maps are brought to `size` (height, width)."""
    batch = collate([EvalTransform()(view, specs)]).to(next(model.parameters()).device)
    with evaluating(model):
        labels = segment_views(model, batch.inputs, specs, size, augmentation)
    maps = labels[:, 0].to(torch.uint8).cpu().numpy()
    return PanelRow(
        name=view.name,
        inputs={name: as_array(image) for name, image in view.inputs.items()},
        truth=None if view.target is None else view.target.numpy()[0],
        predictions=dict(zip(output_names(model.branches), maps, strict=True)),
    )


def picture(view: RawView) -> np.ndarray | None:
    """The first modality of a view that is a picture, uint8 [H, W, 3]; None where all are depth maps."""
    images = (image for image in view.inputs.values() if not isinstance(image, DepthMap))
    return next((as_array(image) for image in images), None)


def as_array(image: torch.Tensor) -> np.ndarray:
    """An Image [1 or 3, H, W] as a picture, uint8 [H, W, 3]; a DepthMap as float32 [H, W] metres."""
    if isinstance(image, DepthMap):
        return image.numpy()[0]
    pixels = image if image.dtype == torch.uint8 else (image * 255).round().to(torch.uint8)
    return pixels.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()
