"""Views as arrays, for pictures and files: as a data set holds them, and what branches and ensemble make of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from cen_cli.data import tensors
from cen_cli.data.modality import ModalitySpec
from cen_cli.data.normalization import denormalize
from cen_cli.data.sample import Batch, RawView, collate
from cen_cli.data.tensors import DepthMap
from cen_cli.data.transforms import EvalTransform, resize
from cen_cli.data.views import ViewDataset
from cen_cli.errors import DataError
from cen_cli.metrics.pictures import as_pictures
from cen_cli.models.device import Precision, autocast
from cen_cli.models.network import StreamNetwork
from cen_cli.models.segmenter import Segmenter
from cen_cli.models.streams import output_names
from cen_cli.models.translator import Translator
from cen_cli.results import PictureRow
from cen_cli.scoring.segmentation import evaluating, segment_views
from cen_cli.scoring.test_time_augmentation import SINGLE_SCALE, MultiScaleFlip
from cen_cli.scoring.translation import NormStatistics, Protocol, check_sides, translating


def as_array(image: Tensor) -> np.ndarray:
    """An Image [1 or 3, H, W] as a picture, uint8 [H, W, 3]; a DepthMap as float32 [H, W] metres."""
    if isinstance(image, DepthMap):
        return image.numpy()[0]
    pixels = image if image.dtype == torch.uint8 else (image * 255).round().to(torch.uint8)
    return pixels.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()


def picture(view: RawView) -> np.ndarray | None:
    """The first modality of a view that is a picture, uint8 [H, W, 3]; None where all are depth maps."""
    images = (image for image in view.inputs.values() if not isinstance(image, DepthMap))
    return next((as_array(image) for image in images), None)


def _batch_of(view: RawView, specs: Sequence[ModalitySpec], model: StreamNetwork) -> Batch:
    return collate([EvalTransform()(view, specs)]).to(next(model.parameters()).device)


def sample_rows(data: ViewDataset, indices: Iterable[int]) -> Iterator[PictureRow]:
    """Samples of a data set as its transform makes them in epoch 0; what is translated to stands among the inputs."""
    for index in indices:
        sample = data[index]
        inputs = {spec.name: _shown(sample.inputs[spec.name], sample.valid[spec.name], spec) for spec in data.specs}
        truth = None
        if data.target is None:
            truth = sample.target.numpy().astype(np.uint8)
        else:
            inputs[f"{data.target.name} (target)"] = _shown(sample.target, sample.target_valid, data.target)
        yield PictureRow(sample.name, inputs, truth, {})


def _shown(image: Tensor, valid: Tensor, spec: ModalitySpec) -> np.ndarray:
    """A normalised image [3, H, W] as a picture [H, W, 3], or as a measurement [H, W]; 0 where it is not valid."""
    values = (denormalize(image, spec) * valid).numpy()
    return values.transpose(1, 2, 0) if spec.kind == "image" else values[0]


# --- label maps -------------------------------------------------------------------------------------------------------


def labelled_row(
    model: Segmenter,
    specs: Sequence[ModalitySpec],
    view: RawView,
    *,
    size: tuple[int, int] | None = None,
    augmentation: MultiScaleFlip = SINGLE_SCALE,
    precision: Precision = "fp32",
) -> PictureRow:
    """A view beside the label maps that the network makes of it, brought to `size` (height, width) where given."""
    batch = _batch_of(view, specs, model)
    with evaluating(model, precision):
        labels = segment_views(model, batch.inputs, specs, size or view.size, augmentation, precision=precision)
    maps = labels[:, 0].to(torch.uint8).cpu().numpy()
    return PictureRow(
        name=view.name,
        inputs={name: as_array(image) for name, image in view.inputs.items()},
        truth=None if view.target is None else view.target.numpy()[0],
        outputs=dict(zip(output_names(model.branches), maps, strict=True)),
    )


# --- translated images ------------------------------------------------------------------------------------------------


def translate_view(
    model: Translator,
    specs: Sequence[ModalitySpec],
    view: RawView,
    *,
    protocol: Protocol,
    norm_statistics: NormStatistics,
    precision: Precision = "fp32",
) -> dict[str, Tensor]:
    """What every branch and then the ensemble (of several) make of a view: float32 [3, H, W] in [-1, 1].

    Raises DataError where height and width are no multiples of `model.size_multiple`, or the output holds NaN.
    """
    check_sides(model, view.name, view.size)
    batch = _batch_of(view, specs, model)
    device = next(model.parameters()).device
    with translating(model, protocol, norm_statistics, precision), autocast(device, precision):
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


def stored_image(image: Tensor, spec: ModalitySpec, size: tuple[int, int]) -> np.ndarray:
    """A translated picture of one's own data, [3, H, W] in [-1, 1], on the scale and in the type of its own files.

    Brought to `size` (height, width). Returns [H, W] where they are grey, else [H, W, 3].
    """
    encoding = spec.encoding
    assert encoding is not None, "of built-in data sets `rendered` makes pictures"
    mean, std = (torch.tensor(moments)[:, None, None] for moments in (spec.mean, spec.std))
    shares = (image.detach().float().cpu() * std + mean).clamp_(0.0, 1.0)
    shares = shares.mean(0, keepdim=True) if encoding.channels == 1 else shares
    values = resize(tensors.Image(shares), size).clamp(0.0, 1.0).permute(1, 2, 0).double().numpy()
    values = encoding.low + values * (encoding.high - encoding.low)
    values = values if encoding.stored == "float32" else np.round(values)
    return (
        np.squeeze(values.astype(encoding.stored), axis=2) if encoding.channels == 1 else values.astype(encoding.stored)
    )


def translated_row(view: RawView, images: dict[str, Tensor], spec: ModalitySpec, *, protocol: Protocol) -> PictureRow:
    """A view beside what was made of it; `spec` is the target's."""
    return PictureRow(
        name=view.name,
        inputs={name: as_array(image) for name, image in view.inputs.items()},
        truth=_truth(view, spec, protocol),
        outputs={name: rendered(image, spec, protocol=protocol) for name, image in images.items()},
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
