"""Normalisation, where pixels are invalid, and the way back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from cen_cli.data import tensors
from cen_cli.data.modality import HALF, Encoding, ModalitySpec
from cen_cli.data.normalization import denormalize, mirrored, normalize
from cen_cli.data.sample import RawView
from cen_cli.data.sets.nyudv2 import SPECS
from cen_cli.data.sets.rooms import SPECS as ROOM_SPECS
from cen_cli.data.tensors import DepthMap
from cen_cli.data.transforms import EvalTransform
from cen_cli.results import FULL_RANGE


def as_input(image: Tensor, spec: ModalitySpec) -> tuple[Tensor, Tensor]:
    """What the network gets of one stored image, and where it is valid."""
    sample = EvalTransform()(RawView("view", {spec.name: image}, None, {}), [spec]).normalized()
    return sample.inputs[spec.name], sample.valid[spec.name]


class TestNormalize:
    def test_rgb_by_imagenet_statistics(self):
        image = torch.randint(0, 256, (3, 5, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        ours, valid = as_input(tensors.Image(image), SPECS["rgb"])
        reference = v2.functional.normalize(image.float() / 255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        torch.testing.assert_close(ours, reference)
        assert valid.shape == (1, 5, 7)
        assert valid.all()

    def test_depth_stays_in_metres_by_default(self):
        depth = DepthMap(torch.tensor([[[0.0, 1.5, 9.0]]]))
        ours, valid = as_input(depth, SPECS["depth"])
        assert ours.tolist() == [[[0.0, 1.5, 9.0]]] * 3
        assert valid.tolist() == [[[False, True, True]]]

    def test_invalid_depth_is_zero_after_normalisation(self):
        spec = SPECS["depth"].normalized_by(2.5, 0.5)
        ours, valid = as_input(DepthMap(torch.tensor([[[0.0, 3.0]]])), spec)
        assert ours[:, 0].tolist() == [[0.0, 1.0]] * 3
        assert valid.tolist() == [[[False, True]]]

    def test_float_and_8_bit_images_agree(self):
        image = torch.randint(0, 256, (1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        spec = ROOM_SPECS["edge_texture"]
        torch.testing.assert_close(as_input(image, spec)[0], as_input(image.float() / 255, spec)[0])

    def test_result_is_a_plain_contiguous_tensor(self):
        interleaved = tensors.Image(torch.zeros(4, 5, 3, dtype=torch.uint8).permute(2, 0, 1))
        image, _ = as_input(interleaved, SPECS["rgb"])
        assert type(image) is torch.Tensor
        assert image.is_contiguous()

    def test_a_batch_is_normalised_as_its_images_are(self):
        images = torch.randint(0, 256, (3, 3, 4, 5), dtype=torch.uint8)
        valid = torch.rand(3, 1, 4, 5) > 0.3
        spec = SPECS["rgb"]
        together = normalize(images, valid, spec)
        for image, mask, expected in zip(images, valid, together, strict=True):
            assert torch.equal(normalize(image, mask, spec), expected)
        assert not together[~valid.expand_as(together)].any()
        interleaved = images.contiguous(memory_format=torch.channels_last)
        assert torch.equal(normalize(interleaved, valid, spec), together)


class TestTranslationSpecs:
    def test_images_and_depth_lie_in_plus_minus_one(self):
        rgb = SPECS["rgb"].for_translation(log_scale=1.0, max_depth=10.0)
        assert (rgb.mean, rgb.std, rgb.jitter, rgb.log_scale) == ((0.5,) * 3, (0.5,) * 3, False, 0.0)
        depth = SPECS["depth"].for_translation(log_scale=2.0, max_depth=10.0)
        values, valid = as_input(DepthMap(torch.tensor([[[0.0, 1.0, 10.0, 12.0]]])), depth)
        expected = [0.0, 2 * np.log(3) / np.log(21) - 1, 1.0, 1.0]
        np.testing.assert_allclose(values.numpy(), [[expected]] * 3, atol=1e-6)
        assert valid.tolist() == [[[False, True, True, True]]]

    def test_denormalize_of_metres(self):
        spec = SPECS["depth"].normalized_by(2.0, 4.0)
        metres = denormalize(as_input(DepthMap(torch.tensor([[[1.0, 3.5]]])), spec)[0], spec)
        assert metres.tolist() == [[[1.0, 3.5]]]

    def test_denormalize_takes_the_mean_of_the_channels(self):
        spec = SPECS["depth"]
        assert denormalize(torch.tensor([1.0, 2.0, 3.0])[:, None, None], spec).tolist() == [[[2.0]]]


def test_normals_mirrored_after_normalisation_equal_normals_mirrored_before():
    spec = ModalitySpec("normal", "image", mean=HALF, std=HALF, mirror_sum=254)
    stored = torch.arange(256).repeat(3, 1).reshape(3, 16, 16).to(torch.uint8)
    before = stored.flip(-1).clone()
    before[0] = (254 - before[0].clamp(max=254)).masked_fill((before == 0).all(0), 0)
    once = mirrored(as_input(stored, spec)[0], spec)
    torch.testing.assert_close(once, as_input(before, spec)[0])
    plain = ModalitySpec("rgb", "image", mean=HALF, std=HALF)
    values = as_input(stored, plain)[0]
    assert torch.equal(mirrored(values, plain), values.flip(-1))


def test_missing_normals_are_0_in_a_mirror_too():
    spec = ModalitySpec("normal", "image", mean=(0.0,) * 3, std=(1.0,) * 3, mirror_sum=254)
    assert not mirrored(torch.zeros(2, 3, 4, 5), spec).any()
    image = torch.zeros(3, 1, 2)
    image[2, 0, 0] = 0.5
    assert mirrored(image, spec)[:, 0, 0].tolist() == [0.0, 0.0, 0.0]
    assert mirrored(image, spec)[0, 0, 1] == pytest.approx(254 / 255)


@pytest.mark.parametrize("stored", ["uint8", "uint16", "float32"])
def test_normals_of_one_s_own_are_mirrored_however_they_are_stored(stored):
    """As training does: in [0, 255] where they are plain, else in [0, 1]."""
    encoding = Encoding(stored, 3, 0.0, float(FULL_RANGE.get(stored, (0, 1))[1]))
    full = 255 if encoding.plain else 1
    spec = ModalitySpec("normal", "image", mean=HALF, std=HALF, mirror_sum=full, encoding=encoding)
    values = torch.linspace(0, 1, 16).view(1, 4, 4).expand(3, 4, 4)
    image = (values * 255).round().to(torch.uint8) if encoding.plain else values
    before = image.flip(-1).clone()
    before[0] = (full - before[0]).masked_fill((before == 0).all(0), 0)
    torch.testing.assert_close(mirrored(as_input(image, spec)[0], spec), as_input(before, spec)[0])
