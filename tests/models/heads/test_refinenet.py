"""The RefineNet decoder against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from cen_cli.models.heads.refinenet import ChainedPooling, RefineNetDecoder, RefinePath, ResidualUnits
from tests.reference import refining

TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}


def array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().numpy()


def unit_blocks(units: ResidualUnits) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    pairs = zip(units.first, units.second, strict=True)
    return [(array(first.weight), array(first.bias), array(second.weight)) for first, second in pairs]


def image(channels: int, height: int = 5, width: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(channels)
    return torch.randn(1, channels, height, width, dtype=torch.float64, generator=generator)


def path_by_hand(path: RefinePath, features: np.ndarray, coarser: np.ndarray | None) -> np.ndarray:
    x = refining.conv3x3(features, array(path.reduce.weight))
    x = refining.residual_units(x, unit_blocks(path.adapt))
    if coarser is not None:
        x = refining.conv3x3(x, array(path.join.weight))
        x = x + refining.resize_bilinear(coarser, *x.shape[1:])
    x = refining.chained_pooling(refining.relu(x), [array(conv.weight) for conv in path.pooling.convs])
    x = refining.residual_units(x, unit_blocks(path.refine))
    return refining.conv3x3(x, array(path.widen.weight)) if isinstance(path.widen, nn.Conv2d) else x


def test_residual_units_carry_the_rectified_input():
    units = ResidualUnits(3, 2).double()
    x = image(3)
    np.testing.assert_allclose(
        array(units(x))[0], refining.residual_units(array(x)[0], unit_blocks(units)), **TOLERANCE
    )
    for conv in units.second:
        nn.init.zeros_(conv.weight)
    assert torch.equal(units(x), x.relu())


def test_chained_pooling():
    pooling = ChainedPooling(3, kernel=3).double()
    x = image(3)
    expected = refining.chained_pooling(array(x)[0], [array(conv.weight) for conv in pooling.convs])
    np.testing.assert_allclose(array(pooling(x))[0], expected, **TOLERANCE)


def test_the_decoder_equals_plain_loops():
    decoder = RefineNetDecoder((2, 3, 4, 5), classes=3, width=2).double().eval()
    for parameter in decoder.parameters():
        nn.init.normal_(parameter, std=0.3)
    features = (image(2, 9, 7), image(3, 5, 4), image(4, 3, 2), image(5, 2, 1))
    x = None
    for path, feature in zip((decoder.path4, decoder.path3, decoder.path2, decoder.path1), features[::-1], strict=True):
        x = path_by_hand(path, array(feature)[0], x)
    expected = refining.conv3x3(x, array(decoder.classifier.weight), array(decoder.classifier.bias))
    np.testing.assert_allclose(array(decoder(features))[0], expected, rtol=1e-8, atol=1e-8)


def test_samples_are_treated_alone():
    decoder = RefineNetDecoder((4, 4, 4, 4), classes=3, width=4).eval()
    features = tuple(torch.randn(2, 4, size, size) for size in (8, 4, 2, 1))
    together = decoder(features)
    for index in range(2):
        alone = decoder(tuple(f[index : index + 1] for f in features))
        torch.testing.assert_close(together[index : index + 1], alone, rtol=1e-4, atol=1e-5)


def test_dropout_falls_on_the_two_coarse_features_and_before_the_classifier():
    decoder = RefineNetDecoder((4, 4, 4, 4), classes=3, width=4, dropout=0.5)
    seen: list[torch.Size] = []
    decoder.drop.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].shape))
    features = tuple(torch.randn(1, 4, size, size) for size in (8, 4, 2, 1))
    assert not torch.equal(decoder(features), decoder(features))
    assert [tuple(shape[2:]) for shape in seen[:3]] == [(1, 1), (2, 2), (8, 8)]
    decoder.eval()
    assert torch.equal(decoder(features), decoder(features))


def test_initial_weights_follow_the_table():
    decoder = RefineNetDecoder((64, 64, 64, 64), classes=20, width=64)
    path = decoder.path3
    deviations = {
        path.reduce: (1 / (9 * 64)) ** 0.5,
        path.join: (1 / (9 * 64)) ** 0.5,
        path.widen: (1 / (9 * 64)) ** 0.5,
        path.adapt.first[0]: (2 / (9 * 64)) ** 0.5,
        path.refine.second[2]: 0.1 * (1 / (9 * 64)) ** 0.5,
        path.pooling.convs[3]: 0.1 * (1 / (9 * 64)) ** 0.5,
        decoder.classifier: 0.01,
    }
    for conv, deviation in deviations.items():
        assert conv.weight.std().item() == pytest.approx(deviation, rel=0.05)
        assert conv.bias is None or (conv.bias == 0).all()
    biased = [name for name, module in decoder.named_modules() if getattr(module, "bias", None) is not None]
    assert all(".first." in name or name == "classifier" for name in biased)


def test_channels_last_stays_channels_last():
    decoder = RefineNetDecoder((4, 4, 4, 4), classes=3, width=4)
    features = tuple(torch.randn(2, 4, s, s).to(memory_format=torch.channels_last) for s in (16, 8, 4, 2))
    assert decoder(features).is_contiguous(memory_format=torch.channels_last)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match=r"channels = \(4,\): two"):
        RefineNetDecoder((4,), 3)


def test_the_light_decoder_has_no_residual_units_and_mixes_pixels_only_by_pooling_resizing_and_classifying():
    decoder = RefineNetDecoder((2, 3, 4, 5), classes=3, width=2, light=True)
    assert not [module for module in decoder.modules() if isinstance(module, ResidualUnits)]
    kernels = {name: conv.kernel_size for name, conv in decoder.named_modules() if isinstance(conv, nn.Conv2d)}
    assert kernels.pop("classifier") == (3, 3)
    assert set(kernels.values()) == {(1, 1)}
    assert len(kernels) == 4 + 3 + 3 + 4 * 4  # reduce, join, widen, pooling


def test_the_light_decoder_equals_plain_products():
    decoder = RefineNetDecoder((2, 3, 4, 5), classes=3, width=2, light=True).double().eval()
    features = tuple(image(channels, side, side) for channels, side in zip((2, 3, 4, 5), (8, 4, 2, 1), strict=True))

    def product(conv: nn.Module, x: np.ndarray) -> np.ndarray:
        return np.einsum("oi,ihw->ohw", array(conv.weight)[..., 0, 0], x) if isinstance(conv, nn.Conv2d) else x

    x = None
    for path, stage in zip((decoder.path4, decoder.path3, decoder.path2, decoder.path1), features[::-1], strict=True):
        own = product(path.join, product(path.reduce, array(stage)[0]))
        own = own if x is None else own + refining.resize_bilinear(x, *own.shape[1:])
        link = own = refining.relu(own)
        for conv in path.pooling.convs:
            link = product(conv, refining.max_pool5(link))
            own = own + link
        x = product(path.widen, own)
    expected = refining.conv3x3(x, array(decoder.classifier.weight), array(decoder.classifier.bias))
    np.testing.assert_allclose(array(decoder(features))[0], expected, **TOLERANCE)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_every_path_has_its_norms_however_many_maps_there_are(count):
    decoder = RefineNetDecoder((4,) * count, classes=3, width=4, norm=True)
    norms = [name for name, layer in decoder.named_modules() if isinstance(layer, nn.BatchNorm2d)]
    assert len(norms) == count + 2 * (count - 1)  # reduce; join of all but the coarsest, widen of all but the finest
    features = tuple(torch.randn(2, 4, 2**side, 2**side) for side in range(count, 0, -1))
    assert decoder(features).shape == (2, 3, 2**count, 2**count)
