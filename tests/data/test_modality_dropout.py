"""Modality dropout: how often, never all, drawn by seed, epoch and view alone, for both tasks."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import pytest
import torch

from cen_cli import builders
from cen_cli.data.loading import training_loader
from cen_cli.data.sets.nyudv2 import NYUDv2
from cen_cli.data.transforms import TrainTransform, draw_dropped
from cen_cli.recipe import load_recipe

NAMES = ("rgb", "depth", "normal")
DRAWS = 4000


@pytest.mark.parametrize("modalities", [2, 3])
@pytest.mark.parametrize("probability", [0.25, 0.9])
def test_each_modality_is_dropped_with_its_probability_and_never_all(modalities: int, probability: float) -> None:
    names, generator = NAMES[:modalities], torch.Generator().manual_seed(5)
    drawn = Counter(draw_dropped(names, probability, generator) for _ in range(DRAWS))
    assert names not in drawn
    assert drawn[()] / DRAWS == pytest.approx((1 - probability) ** modalities, abs=0.025)
    expected = probability - probability**modalities / modalities
    for name in names:
        share = sum(count for dropped, count in drawn.items() if name in dropped) / DRAWS
        assert share == pytest.approx(expected, abs=0.03)


def test_the_only_modality_stays() -> None:
    generator = torch.Generator().manual_seed(0)
    assert {draw_dropped(("rgb",), 0.99, generator) for _ in range(50)} == {()}


def frames(root: Path, probability: float, seed: int = 0) -> NYUDv2:
    transform = TrainTransform((24, 24), scale=(0.8, 1.2), modality_dropout=probability)
    return NYUDv2(root, "train", ("rgb", "depth"), transform=transform, seed=seed)


def dropped(data: NYUDv2, epoch: int) -> list[tuple[str, ...]]:
    samples = [data[epoch, index] for index in range(len(data))]
    return [tuple(name for name, valid in sample.valid.items() if not valid.any()) for sample in samples]


def test_it_depends_on_seed_epoch_and_view(tiny_root: Path) -> None:
    data = frames(tiny_root, 0.5)
    found = [dropped(data, epoch) for epoch in range(6)]
    assert found == [dropped(frames(tiny_root, 0.5), epoch) for epoch in range(6)]
    assert len({tuple(epoch) for epoch in found}) > 1
    assert found != [dropped(frames(tiny_root, 0.5, seed=1), epoch) for epoch in range(6)]
    assert set(itertools.chain(*found)) == {(), ("rgb",), ("depth",)}


def test_all_else_is_as_without_it(tiny_root: Path) -> None:
    plain, some = frames(tiny_root, 0.0), frames(tiny_root, 0.5)
    for index, missing in enumerate(dropped(some, epoch=1)):
        expected, sample = plain[1, index], some[1, index]
        assert torch.equal(sample.target, expected.target)
        for name in ("rgb", "depth"):
            image = torch.zeros(3, 24, 24) if name in missing else expected.inputs[name]
            assert torch.equal(sample.inputs[name], image)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_epoch_entered_in_its_middle_goes_on_as_it_would_have(tiny_root: Path, workers: int) -> None:
    data = frames(tiny_root, 0.5)
    whole = list(training_loader(data, batch=2, seed=3, epoch=1))
    rest = list(training_loader(data, batch=2, seed=3, epoch=1, start_batch=2, workers=workers))
    assert len(rest) == len(whole) - 2
    for batch, expected in zip(rest, whole[2:], strict=True):
        assert all(torch.equal(batch.inputs[name], expected.inputs[name]) for name in expected.inputs)
    assert any(not batch.valid["rgb"][0].any() or not batch.valid["depth"][0].any() for batch in whole)


@pytest.mark.parametrize("name", ["tiny_recipe", "tiny_translation_recipe"])
def test_the_recipes_key_reaches_the_training_views_alone(name: str, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(name)
    recipe = load_recipe(str(path), ["train.modality_dropout=0.9"])
    training, validation = builders.dataset(recipe, "train", training=True), builders.dataset(recipe, "val")
    lacking = [[not image.any() for image in training[0, index].inputs.values()] for index in range(6)]
    assert all(sum(row) <= 1 for row in lacking)
    assert sum(map(sum, lacking)) >= 3
    assert all(image.any() for image in validation[0].inputs.values())
