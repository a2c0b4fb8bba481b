"""What takes the place of a missing modality: values, validity, seeds; and the altered data set as a data set."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from cen_cli.data.altered.dataset import AlteredViews
from cen_cli.data.altered.missing import Missing, channel_statistics, derangement, stand_ins
from cen_cli.data.loading import evaluation_loader
from cen_cli.data.sample import Sample
from cen_cli.data.sets.nyudv2 import NYUDv2
from cen_cli.data.sets.rooms import Rooms
from cen_cli.errors import DataError
from cen_cli.results import Fill
from tests.tiny import write_frame


@pytest.fixture
def frames(tiny_root: Path) -> NYUDv2:
    """Four frames."""
    return NYUDv2(tiny_root, "val", ("rgb", "depth"))


def lacking(data: NYUDv2 | Rooms, names: tuple[str, ...], fill: Fill, seed: int = 0) -> AlteredViews:
    return AlteredViews(data, Missing(names, fill, stand_ins(data, [fill], seed=seed)))


def same(one: Sample, other: Sample, name: str) -> bool:
    return torch.equal(one.inputs[name], other.inputs[name]) and torch.equal(one.valid[name], other.valid[name])


@pytest.mark.parametrize("fill", list(Fill))
def test_only_what_is_missing_changes_and_it_is_nowhere_valid(frames: NYUDv2, fill: Fill) -> None:
    for index in range(len(frames)):
        whole, altered = frames[index], lacking(frames, ("depth",), fill)[index]
        assert same(whole, altered, "rgb")
        assert not torch.equal(whole.inputs["depth"], altered.inputs["depth"])
        assert not altered.valid["depth"].any()
        assert altered.inputs["depth"].shape == whole.inputs["depth"].shape
        assert torch.equal(whole.target, altered.target)


def test_zero_is_zero_as_the_network_sees_it(frames: NYUDv2) -> None:
    altered = lacking(frames, ("rgb",), Fill.ZERO)[1]
    assert not altered.inputs["rgb"].any()
    assert same(altered, frames[1], "depth")


def test_statistics_are_those_of_valid_pixels(write_rooms) -> None:
    data = Rooms(write_rooms(), "train", ("rgb", "depth"))
    found = channel_statistics(data)
    for name in ("rgb", "depth"):
        samples = [data[index] for index in range(len(data))]
        values = torch.cat([sample.inputs[name][:, sample.valid[name][0]] for sample in samples], dim=1)
        torch.testing.assert_close(found[name].mean, values.mean(1))
        torch.testing.assert_close(found[name].std, values.std(1, correction=0))
    assert not all(data[index].valid["depth"].all() for index in range(len(data)))


def test_mean_and_noise_have_the_modalitys_statistics(frames: NYUDv2) -> None:
    statistics = channel_statistics(frames)["rgb"]
    mean = lacking(frames, ("rgb",), Fill.MEAN)[2].inputs["rgb"]
    assert torch.equal(mean, statistics.mean[:, None, None].expand_as(mean))
    noise = lacking(frames, ("rgb",), Fill.NOISE)
    drawn = torch.cat([noise[index].inputs["rgb"].flatten(1) for index in range(4)], dim=1)
    torch.testing.assert_close(drawn.mean(1), statistics.mean, atol=0.08, rtol=0)
    torch.testing.assert_close(drawn.std(1), statistics.std, atol=0.08, rtol=0)


def test_noise_depends_on_seed_view_and_modality_alone(frames: NYUDv2) -> None:
    def noise(names: tuple[str, ...], index: int, seed: int = 0) -> Tensor:
        return lacking(frames, names, Fill.NOISE, seed)[index].inputs["depth"]

    assert torch.equal(noise(("depth",), 1), noise(("rgb", "depth"), 1))
    assert not torch.equal(noise(("depth",), 1), noise(("depth",), 2))
    assert not torch.equal(noise(("depth",), 1), noise(("depth",), 1, seed=1))
    grey = noise(("depth",), 1)
    assert torch.equal(grey[0], grey[2])
    colours = lacking(frames, ("rgb",), Fill.NOISE)[1].inputs["rgb"]
    assert not torch.equal(colours[0], colours[2])


def test_the_other_view_is_never_the_same_one(frames: NYUDv2) -> None:
    altered = lacking(frames, ("depth",), Fill.OTHER)
    partners = derangement(len(frames), seed=0)
    for index, partner in enumerate(partners):
        assert torch.equal(altered[index].inputs["depth"], frames[partner].inputs["depth"])


@pytest.mark.parametrize("length", [2, 3, 50])
def test_a_derangement_moves_every_view(length: int) -> None:
    found = derangement(length, seed=4)
    assert sorted(found) == list(range(length))
    assert all(index != partner for index, partner in enumerate(found))
    assert found == derangement(length, seed=4)
    assert length < 50 or found != derangement(length, seed=5)


def test_one_view_has_no_other() -> None:
    with pytest.raises(DataError, match="the split has one view, and none that could lend its image"):
        derangement(1, seed=0)


def test_another_views_image_is_brought_to_this_ones_size(tmp_path: Path) -> None:
    for stem, size in (("a", (32, 40)), ("b", (16, 24))):
        write_frame(tmp_path, stem, size=size)
    (tmp_path / "val.txt").write_text("".join(f"rgb/{s}.png\tmasks/{s}.png\tdepth/{s}.png\n" for s in "ab"))
    data = NYUDv2(tmp_path, "val", ("rgb", "depth"))
    altered = lacking(data, ("depth",), Fill.OTHER)[0].inputs["depth"]
    assert altered.shape == (3, 32, 40)
    assert set(altered.unique().tolist()) <= {1.0, 2.0}  # metres, never a mean across an edge


@pytest.mark.parametrize("fill", [Fill.NOISE, Fill.OTHER])
def test_loading_workers_change_nothing(frames: NYUDv2, fill: Fill) -> None:
    altered = lacking(frames, ("rgb",), fill)
    here, there = (list(evaluation_loader(altered, batch=2, workers=workers)) for workers in (0, 1))
    for one, other in zip(here, there, strict=True):
        assert torch.equal(one.inputs["rgb"], other.inputs["rgb"])


def test_it_is_still_the_same_data_set(frames: NYUDv2) -> None:
    altered = lacking(frames, ("rgb",), Fill.ZERO)
    assert len(altered) == len(frames)
    assert (altered.specs, altered.target, altered.class_names) == (frames.specs, None, frames.class_names)
    assert altered.fingerprint() == frames.fingerprint()
    assert altered.files(1) == frames.files(1)
    assert torch.equal(altered.view(1).inputs["rgb"], frames.view(1).inputs["rgb"])
