"""Scales, mirror images and windows: exactness, and averages re-derived pixel by pixel."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cen_cli.data.modality import ModalitySpec
from cen_cli.models.ensemble import LearnedEnsemble
from cen_cli.models.segmenter import Segmenter, refinenet_segmenter
from cen_cli.models.streams import ModalOutput
from cen_cli.scoring.segmentation import evaluating, predict_labels, segment_views
from cen_cli.scoring.test_time_augmentation import MultiScaleFlip, mean_probabilities
from tests.reference import averaging as by_hand
from tests.streams import built

SPECS = (ModalitySpec("rgb", "image"), ModalitySpec("depth", "depth"))
SIZE = (48, 56)


@pytest.fixture(scope="module")
def net() -> Segmenter:
    torch.manual_seed(0)
    net = refinenet_segmenter(("rgb", "depth"), 4, backbone="resnet18", width=4, encoder_width=8)
    nn.init.normal_(net.decoder.classifier.weight)
    net.ensemble.alpha.data = torch.tensor([0.3, -0.2])
    return net.eval()


def images(batch: int = 2) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {spec.name: torch.randn(batch, 3, *SIZE, generator=generator) for spec in SPECS}


def labels(net: nn.Module, x: Mapping[str, Tensor], **looks) -> Tensor:
    with evaluating(net):
        return segment_views(net, x, SPECS, SIZE, MultiScaleFlip(**looks))


class Pixelwise(nn.Module):
    """A network whose logits at a pixel depend on the pixel and on the mean of what it was shown."""

    modalities = ("rgb", "depth")

    def __init__(self) -> None:
        super().__init__()
        self.ensemble = LearnedEnsemble(2)
        self.ensemble.alpha.data = torch.tensor([0.5, -0.5], dtype=torch.float64)
        self.shown: list[tuple[int, ...]] = []

    def forward(self, inputs: Mapping[str, Tensor]) -> ModalOutput:
        x = torch.cat([inputs[name] for name in self.modalities])
        self.shown.append(tuple(x.shape[2:]))
        return self.ensemble.combine(x + 3 * x.mean((2, 3), keepdim=True) + x.roll(1, dims=-1))


def numpy_logits(image: np.ndarray) -> np.ndarray:
    return image + 3 * image.mean((1, 2), keepdims=True) + np.roll(image, 1, axis=-1)


def doubles(height: int, width: int, batch: int = 1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(4)
    return {spec.name: torch.randn(batch, 3, height, width, dtype=torch.float64, generator=generator) for spec in SPECS}


@pytest.mark.parametrize(
    "looks", [{}, {"scales": (1.0,)}, {"window": SIZE}, {"window": (99, 99), "stride": (5, 5)}], ids=str
)
def test_one_look_is_the_plain_prediction_bit_for_bit(net, looks):
    x = images()
    with torch.inference_mode():
        plain = predict_labels(net(x), SIZE)
    assert torch.equal(labels(net, x, **looks), plain)
    assert len(plain.unique()) > 1


@torch.no_grad()
def test_probabilities_of_one_look_are_the_softmax_of_the_plain_logits(net):
    x = images()
    found = mean_probabilities(net, x, SPECS, SIZE, MultiScaleFlip())
    output = net(x)
    for row, logits in zip(found, [*output.branches, output.ensemble], strict=True):
        expected = F.interpolate(logits, size=SIZE, mode="bicubic", align_corners=False).softmax(1)
        assert torch.equal(row, expected)


@torch.no_grad()
def test_mirror_images_are_mirrored_back_and_averaged(net):
    x = images()
    mirror = {name: image.flip(-1) for name, image in x.items()}
    one, other = (mean_probabilities(net, view, SPECS, SIZE, MultiScaleFlip()) for view in (x, mirror))
    found = mean_probabilities(net, x, SPECS, SIZE, MultiScaleFlip(flip=True))
    torch.testing.assert_close(found, (one + other.flip(-1)) / 2)
    assert (one - other.flip(-1)).abs().max() > 0.01
    torch.testing.assert_close(found, mean_probabilities(net, mirror, SPECS, SIZE, MultiScaleFlip(flip=True)).flip(-1))


@torch.no_grad()
def test_symmetric_views_get_symmetric_labels_from_mirror_images(net):
    x = {name: image + image.flip(-1) for name, image in images().items()}
    plain, averaged = labels(net, x), labels(net, x, flip=True)
    assert torch.equal(averaged, averaged.flip(-1))
    assert not torch.equal(plain, plain.flip(-1))


@torch.no_grad()
def test_scales_are_averaged_and_depth_is_resized_by_the_nearest_pixel(net):
    x = images()

    def resized(scale: float) -> dict[str, Tensor]:
        size = [round(side * scale) for side in SIZE]
        rgb = F.interpolate(x["rgb"], size=size, mode="bilinear", align_corners=False, antialias=True)
        return {"rgb": rgb, "depth": F.interpolate(x["depth"], size=size, mode="nearest-exact")}

    looks = [mean_probabilities(net, view, SPECS, SIZE, MultiScaleFlip()) for view in (resized(0.5), x, resized(1.25))]
    found = mean_probabilities(net, x, SPECS, SIZE, MultiScaleFlip(scales=(0.5, 1.0, 1.25)))
    torch.testing.assert_close(found, sum(looks) / 3)
    assert (looks[0] - looks[2]).abs().max() > 0.01
    assert found.sum(2).sub(1).abs().max() < 1e-5


@torch.no_grad()
@pytest.mark.parametrize(
    ("size", "window", "stride"),
    [((9, 11), (4, 5), (3, 2)), ((9, 11), (4, 5), None), ((8, 8), (4, 4), (4, 4)), ((5, 12), (7, 5), (7, 1))],
)
def test_overlapping_windows_average_what_they_say_of_a_pixel(size, window, stride):
    net, x = Pixelwise(), doubles(*size)
    found = mean_probabilities(net, x, SPECS, size, MultiScaleFlip(window=window, stride=stride))
    step = stride or (window[0] * 2 // 3, window[1] * 2 // 3)
    for m, spec in enumerate(SPECS):
        expected = by_hand.windowed(numpy_logits, x[spec.name][0].numpy(), window, step)
        np.testing.assert_allclose(found[m, 0].numpy(), expected, rtol=1e-6, atol=1e-6)  # softmax in float32
    assert all(rows <= window[0] and columns <= window[1] for rows, columns in net.shown)


@torch.no_grad()
def test_the_ensemble_is_the_mean_of_the_networks_own_ensemble():
    net, x = Pixelwise(), doubles(6, 6)
    found = mean_probabilities(net, x, SPECS, (6, 6), MultiScaleFlip(window=(4, 4), stride=(2, 2)))
    weights = net.ensemble.weights().numpy()
    mixed = sum(weight * x[spec.name][0].numpy() for weight, spec in zip(weights, SPECS, strict=True))
    expected = by_hand.windowed(numpy_logits, mixed, (4, 4), (2, 2))  # linear, so it mixes before as after
    np.testing.assert_allclose(found[2, 0].numpy(), expected, rtol=1e-6, atol=1e-6)


@torch.no_grad()
def test_windows_scales_and_mirror_images_together():
    net, x = Pixelwise(), doubles(8, 10, batch=2)
    looks = MultiScaleFlip(scales=(1.0, 1.5), flip=True, window=(8, 10), stride=(8, 5))
    found = mean_probabilities(net, x, SPECS, (8, 10), looks)
    assert found.shape == (3, 2, 3, 8, 10)
    assert found.sum(2).sub(1).abs().max() < 1e-5
    assert net.shown == [(8, 10)] * 2 + [(8, 10)] * 2 * 4  # 12 x 15 in windows that begin at 0 and 4, 0 and 5
    for place in range(2):
        alone = {name: image[place : place + 1] for name, image in x.items()}
        torch.testing.assert_close(
            found[:, place : place + 1], mean_probabilities(net, alone, SPECS, (8, 10), looks), rtol=1e-6, atol=1e-6
        )


def test_one_modality_has_no_ensemble():
    torch.manual_seed(0)
    net = built(refinenet_segmenter, ("rgb",), 4, backbone="resnet18", width=4, encoder_width=8, exchange=False).eval()
    with torch.inference_mode():
        found = mean_probabilities(net, {"rgb": images()["rgb"]}, SPECS[:1], SIZE, MultiScaleFlip(flip=True))
    assert found.shape == (1, 2, 4, *SIZE)


@pytest.mark.parametrize(
    ("looks", "words"),
    [
        (MultiScaleFlip(), ""),
        (MultiScaleFlip(scales=(0.75, 1.0)), "scales 0.75, 1: mean of softmax probabilities"),
        (MultiScaleFlip(flip=True), "scales 1, each with its mirror image: mean of softmax probabilities"),
        (MultiScaleFlip(window=(713, 512)), "scales 1, in windows of 713 x 512: mean of softmax probabilities"),
    ],
)
def test_looks_are_named(looks, words):
    assert looks.described() == words
