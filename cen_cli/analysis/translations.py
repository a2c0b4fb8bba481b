"""Translated images as arrays, for files and pictures: what each branch and the ensemble make of a view."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from torch import Tensor

from cen_cli.analysis.predictions import as_array
from cen_cli.data import tensors
from cen_cli.data.modality import ModalitySpec
from cen_cli.data.normalization import denormalize
from cen_cli.data.sample import RawView, collate
from cen_cli.data.tensors import DepthMap
from cen_cli.data.transforms import EvalTransform, resize
from cen_cli.data.views import ViewDataset
from cen_cli.errors import DataError
from cen_cli.metrics.pictures import as_pictures
from cen_cli.models.translator import Translator
from cen_cli.results import TranslationRow
from cen_cli.scoring.translation import NormStatistics, Protocol, translating


def translate_view(
    model: Translator,
    specs: Sequence[ModalitySpec],
    view: RawView,
    *,
    protocol: Protocol,
    norm_statistics: NormStatistics,
) -> dict[str, Tensor]:
    """What every branch and then the ensemble (of several) make of a view: float32 [3, H, W] in [-1, 1].

    Height and width must be multiples of `model.size_multiple`. Raises DataError where the output holds NaN.
    """
    batch = collate([EvalTransform()(view, specs)]).to(next(model.parameters()).device)
    with translating(model, protocol, norm_statistics):
        output = model(batch.inputs)
    images = {name: image[0].float().cpu() for name, image in output.named(model.branches).items()}
    if any(image.isnan().any() for image in images.values()):
        raise DataError(f"{view.name}: the network's output holds NaN", hint="it diverged; use an earlier checkpoint")
    return images


def rendered(
    image: Tensor, spec: ModalitySpec, *, protocol: Protocol, size: tuple[int, int] | None = None
) -> np.ndarray:
    """A translated image [3, H, W] in [-1, 1] as a file holds it, brought to `size` (height, width) where given.

    Pictures become uint8 [H, W, 3], depth float32 [H, W] metres; by protocol paper both become pictures, stretched
    between their own minimum and maximum.
    """
    stored: tensors.Image | DepthMap
    if protocol == "paper":
        stored = tensors.Image(as_pictures(image[None], stretch=True)[0])
    else:
        values = denormalize(image, spec)
        stored = DepthMap(values) if spec.kind == "depth" else tensors.Image(values)
    return as_array(stored if size is None else resize(stored, size))


def translation_row(
    view: RawView, images: dict[str, Tensor], spec: ModalitySpec, *, protocol: Protocol
) -> TranslationRow:
    """A view beside what was made of it; `spec` is the target's."""
    return TranslationRow(
        name=view.name,
        inputs={name: as_array(image) for name, image in view.inputs.items()},
        images={name: rendered(image, spec, protocol=protocol) for name, image in images.items()},
        truth=_truth(view, spec, protocol),
        quantity=_quantity(spec),
    )


def _quantity(spec: ModalitySpec) -> tuple[str, str, float]:
    """Of the target; of data of one's own, inputs may measure different things."""
    if spec.encoding is None:
        return "depth", "m", 0.0
    return (spec.name, spec.unit, spec.floor) if spec.kind == "depth" else ("", "", 0.0)


def _truth(view: RawView, spec: ModalitySpec, protocol: Protocol) -> np.ndarray | None:
    """The true image, shown as the translated ones are."""
    if view.target is None or protocol == "strict":
        return None if view.target is None else as_array(view.target)
    return rendered(EvalTransform()(view, (), target=spec).normalized().target, spec, protocol=protocol)


def translation_rows(
    model: Translator,
    specs: Sequence[ModalitySpec],
    target: ModalitySpec,
    data: ViewDataset,
    indices: Iterable[int],
    *,
    protocol: Protocol = "strict",
    norm_statistics: NormStatistics = "instance",
) -> Iterator[TranslationRow]:
    """Some views of a data set beside what the network makes of them; `specs` and `target`: of what, and what."""
    for index in indices:
        view = data.view(index)
        images = translate_view(model, specs, view, protocol=protocol, norm_statistics=norm_statistics)
        yield translation_row(view, images, target, protocol=protocol)
