"""Corruptions: what they do to stored images and measurements, at which strengths, and where they mean nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from cen_cli.data import tensors
from cen_cli.data.altered.corruptions import CORRUPTIONS, LEVELS, Corrupted, meaningless
from cen_cli.data.altered.dataset import AlteredViews
from cen_cli.data.modality import Encoding, ModalitySpec
from cen_cli.data.normalization import denormalize, normalize
from cen_cli.data.sets.folders import FolderModality, Folders
from cen_cli.data.sets.nyudv2 import SPECS, NYUDv2
from cen_cli.data.sets.rooms import SPECS as ROOMS
from cen_cli.data.tensors import DepthMap


def corrupted(name: str, image: Tensor, level: int, seed: int = 0) -> Tensor:
    kind = CORRUPTIONS[name]
    return kind.apply(image, kind.strengths[level - 1], torch.Generator().manual_seed(seed))


@pytest.fixture
def grey() -> Tensor:
    """Mid-grey, 96 x 120."""
    return tensors.Image(torch.full((3, 96, 120), 128, dtype=torch.uint8))


@pytest.fixture
def depth() -> DepthMap:
    """Two metres, and a corner without measurement."""
    metres = torch.full((1, 96, 120), 2.0)
    metres[:, :10, :10] = 0
    return DepthMap(metres)


@pytest.mark.parametrize("level", LEVELS)
def test_noise_of_an_image_has_the_stated_spread(grey: Tensor, level: int) -> None:
    noisy = corrupted("noise", grey, level)
    assert isinstance(noisy, tensors.Image)
    assert noisy.std().item() == pytest.approx((0.05, 0.1, 0.2)[level - 1], rel=0.05)
    assert noisy.mean().item() == pytest.approx(128 / 255, abs=0.01)
    assert 0 <= noisy.min() <= noisy.max() <= 1


@pytest.mark.parametrize("level", LEVELS)
def test_noise_of_a_measurement_is_a_share_of_it_and_measures_nothing_new(depth: DepthMap, level: int) -> None:
    noisy = corrupted("noise", depth, level)
    assert isinstance(noisy, DepthMap)
    assert torch.equal(noisy == 0, depth == 0)
    assert noisy[noisy > 0].std().item() == pytest.approx(2 * (0.05, 0.1, 0.2)[level - 1], rel=0.05)


def test_blur_spreads_a_point_by_a_share_of_the_shorter_side() -> None:
    point = torch.zeros(1, 101, 121, dtype=torch.uint8)
    point[0, 50, 60] = 255
    rows = torch.arange(101, dtype=torch.float32) - 50
    for level, share in zip(LEVELS, (0.01, 0.02, 0.04), strict=True):
        profile = corrupted("blur", tensors.Image(point), level)[0].sum(1)
        assert profile.sum().item() == pytest.approx(1, abs=1e-3)
        assert (profile * rows**2).sum().sqrt().item() == pytest.approx(101 * share, rel=0.08)


@pytest.mark.parametrize(("level", "left"), [(1, 0.5), (2, 0.25), (3, 0.1)])
def test_darkening_leaves_a_share_of_the_light(grey: Tensor, level: int, left: float) -> None:
    assert corrupted("darkening", grey, level).mean().item() == pytest.approx(left * 128 / 255, rel=1e-4)


@pytest.mark.parametrize(("level", "share"), [(1, 0.1), (2, 0.25), (3, 0.5)])
def test_holes_take_a_share_of_the_pixels(depth: DepthMap, level: int, share: float) -> None:
    holed = corrupted("holes", depth, level)
    assert isinstance(holed, DepthMap)
    lost = (holed == 0) & (depth > 0)
    assert lost.sum().item() / (depth > 0).sum().item() == pytest.approx(share, abs=0.02)
    assert torch.equal(holed[holed > 0], depth[holed > 0])
    weaker = corrupted("holes", depth, 1) == 0
    assert (holed == 0)[weaker].all()  # a stronger corruption has the holes of the weaker one


def test_the_seed_decides(grey: Tensor) -> None:
    assert torch.equal(corrupted("noise", grey, 1), corrupted("noise", grey, 1))
    assert not torch.equal(corrupted("noise", grey, 1), corrupted("noise", grey, 1, seed=1))


def test_float_images_of_16_bits_are_corrupted_as_those_of_8() -> None:
    image = torch.rand(1, 32, 32, generator=torch.Generator().manual_seed(1)).mul(255).round()
    eight, sixteen = tensors.Image(image.to(torch.uint8)), tensors.Image(image / 255)
    for name in ("noise", "blur", "darkening"):
        torch.testing.assert_close(corrupted(name, eight, 2), corrupted(name, sixteen, 2))


def apt(spec: ModalitySpec) -> list[str]:
    return [name for name in CORRUPTIONS if meaningless(name, spec) is None]


THERMAL = ModalitySpec("thermal", "depth", encoding=Encoding("uint16", 1, -20.0, 80.0, unit="degrees"))
NIR = ModalitySpec("nir", "image", encoding=Encoding("uint8", 1, 0.0, 255.0))


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        (SPECS["rgb"], ["noise", "blur", "darkening"]),
        (NIR, ["noise", "blur", "darkening"]),
        (dataclasses.replace(ROOMS["reshading"], name="shade"), ["noise", "blur", "darkening"]),
        (SPECS["depth"], ["noise", "holes"]),
        (THERMAL, ["noise", "holes"]),
        (SPECS["normal"], ["noise", "blur"]),
        (SPECS["edge_texture"], ["noise", "blur"]),
        (dataclasses.replace(ROOMS["edge_texture"], name="texture"), ["noise", "blur"]),
        (SPECS["hha"], ["noise", "blur"]),
        (ROOMS["principal_curvature"], ["noise", "blur"]),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_each_kind_of_modality_has_the_corruptions_that_mean_something(spec: ModalitySpec, names: list[str]) -> None:
    assert apt(spec) == names


def test_noise_does_not_leave_the_range_of_a_measurement(tmp_path: Path) -> None:
    for name in ("thermal", "made"):
        (tmp_path / name).mkdir()
        for number in range(4):
            np.save(tmp_path / name / f"{number}.npy", np.full((32, 32), 75, np.float32))
    modalities = {
        name: FolderModality(f"{name}/{{stem}}.npy", "measurement", 1, "float32", (-20.0, 80.0))
        for name in ("thermal", "made")
    }
    data = Folders(tmp_path, "train", ("thermal",), modalities=modalities, target="made")
    altered = AlteredViews(data, Corrupted("thermal", "noise", 3, seed=0))[0]
    depth = denormalize(altered.inputs["thermal"], data.specs[0])
    assert depth.max() == pytest.approx(100, abs=1e-3)
    assert depth.std() > 5


def test_one_modality_of_a_view_is_corrupted_as_stored(tiny_root: Path) -> None:
    data = NYUDv2(tiny_root, "val", ("rgb", "depth"))
    altered, whole = AlteredViews(data, Corrupted("rgb", "darkening", 2, seed=0))[1], data[1]
    darkened = data.view(1).inputs["rgb"].as_subclass(torch.Tensor).float() / 255 * 0.25
    expected = normalize(darkened, torch.ones(1, *darkened.shape[1:], dtype=torch.bool), data.specs[0])
    torch.testing.assert_close(altered.inputs["rgb"], expected)
    assert torch.equal(altered.inputs["depth"], whole.inputs["depth"])
    assert torch.equal(altered.target, whole.target)
    noisy = AlteredViews(data, Corrupted("depth", "noise", 3, seed=0))
    patterns = [noisy[index].inputs["depth"] / data[index].inputs["depth"] for index in (0, 1, 0)]
    assert torch.equal(patterns[0], patterns[2])
    assert not torch.allclose(patterns[0], patterns[1])  # every view has its own
    holed = AlteredViews(data, Corrupted("depth", "holes", 3, seed=0))[1]
    assert not holed.valid["depth"].all()
    assert not holed.inputs["depth"][:, ~holed.valid["depth"][0]].any()
    assert torch.equal(holed.inputs["rgb"], whole.inputs["rgb"])
