"""Views as the network sees them, as arrays for pictures: cut, augmented, normalised, and turned back into colours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from torch import Tensor

from cen_cli.data.modality import ModalitySpec
from cen_cli.data.normalization import denormalize
from cen_cli.data.views import ViewDataset
from cen_cli.results import PanelRow


def sample_rows(data: ViewDataset, indices: Iterable[int]) -> Iterator[PanelRow]:
    """Samples of a data set as its transform makes them in epoch 0; what is translated to stands among the inputs."""
    for index in indices:
        sample = data[index]
        inputs = {spec.name: _shown(sample.inputs[spec.name], sample.valid[spec.name], spec) for spec in data.specs}
        truth = None
        if data.target is None:
            truth = sample.target.numpy().astype(np.uint8)
        else:
            inputs[f"{data.target.name} (target)"] = _shown(sample.target, sample.target_valid, data.target)
        yield PanelRow(sample.name, inputs, truth, {})


def _shown(image: Tensor, valid: Tensor, spec: ModalitySpec) -> np.ndarray:
    """A normalised image [3, H, W] as a picture [H, W, 3], or as a measurement [H, W]; 0 where it is not valid."""
    values = (denormalize(image, spec) * valid).numpy()
    return values.transpose(1, 2, 0) if spec.kind == "image" else values[0]
