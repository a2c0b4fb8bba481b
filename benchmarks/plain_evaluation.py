"""A plain evaluation of translated images: what one writes first, one image at a time.

Images are stretched between their own minimum and maximum, drawn by matplotlib, saved as PNGs, read back, and measured
by torch-fidelity's own network, in NCHW and with its norms; those of the truth anew in every evaluation.
"""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from benchmarks.plain import Streams
from benchmarks.plain_translation import PlainTranslator

mpl.use("Agg")
from matplotlib import pyplot as plt  # after the backend is chosen

DPI = 100


class PlainInception(FeatureExtractorInceptionV3):
    """torch-fidelity's own network; as it is initialised where the file is empty, as its constructor insists on one."""

    def __init__(self, weights: Path | io.BytesIO) -> None:
        super().__init__("plain", ["2048"], feature_extractor_weights_path=weights)

    def load_state_dict(self, state, *args, **kwargs):  # noqa: D102, ANN
        return super().load_state_dict(state, *args, **kwargs) if state else None


def write_random_weights(path: Path) -> Path:
    """A file of random weights in the layout of the published one, with norms that do something."""
    empty = io.BytesIO()
    torch.save({}, empty)
    empty.seek(0)
    with torch.device("meta"):
        layout = PlainInception(empty).state_dict()
    generator = torch.Generator().manual_seed(0)
    torch.save({name: _random_value(name, like, generator) for name, like in layout.items()}, path)
    return path


def _random_value(name: str, like: Tensor, generator: torch.Generator) -> Tensor:
    value = torch.zeros(like.shape, dtype=like.dtype)
    if name.endswith("conv.weight"):
        return value.normal_(0, (2 / like[0].numel()) ** 0.5, generator=generator)
    if name.endswith(("running_var", "bn.weight")):
        return value.uniform_(0.5, 1.5, generator=generator)
    return value.normal_(0, 0.1, generator=generator) if value.is_floating_point() else value


def plain_translate(generator: PlainTranslator, inputs: Streams) -> Tensor:
    """M x [N, 3, H, W] -> the ensemble's images [N, 3, H, W], one by one."""
    with torch.no_grad():
        return torch.cat([generator([stream[i : i + 1] for stream in inputs])[1] for i in range(len(inputs[0]))])


def plain_pictures(images: Tensor, folder: Path) -> list[Path]:
    """Draw [N, 3, H, W] as PNGs of the same size."""
    paths = []
    for place, image in enumerate(images):
        values = image.permute(1, 2, 0).numpy()
        values = (values - values.min()) / (values.max() - values.min())
        height, width, _ = values.shape
        figure = plt.figure(figsize=(width / DPI, height / DPI), dpi=DPI)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.axis("off")
        axes.imshow(values, interpolation="nearest")
        paths.append(folder / f"{place}.png")
        figure.savefig(paths[-1], dpi=DPI)
        plt.close(figure)
    return paths


def plain_features(net: PlainInception, paths: list[Path]) -> Tensor:
    """Features [N, 2048] of pictures."""
    with torch.no_grad():
        return torch.cat([net(plain_read(path))[0] for path in paths])


def plain_read(path: Path) -> Tensor:
    """A picture as uint8 [1, 3, H, W]."""
    with Image.open(path) as picture:
        return torch.from_numpy(np.asarray(picture.convert("RGB")).copy()).permute(2, 0, 1)[None]
