from __future__ import annotations

import dataclasses
import os
import random
import re
import signal
from collections.abc import Callable
from multiprocessing import active_children, get_start_method

import numpy as np
import pytest
import torch

from cen_cli.data.loading import evaluation_loader, training_loader, without_target
from cen_cli.data.sample import Batch, collate
from cen_cli.data.sets.nyudv2 import NYUDv2
from cen_cli.data.sets.rooms import Rooms
from cen_cli.data.transforms import ColorJitter, TrainTransform
from cen_cli.errors import DataError

AUGMENT = TrainTransform((12, 12), scale=(0.8, 1.5), jitter=ColorJitter(0.2, 0.2, 0.2, 0.05))


def same(first: list[Batch], second: list[Batch]) -> bool:
    return len(first) == len(second) and all(
        a.names == b.names
        and a.files == b.files
        and torch.equal(a.target, b.target)
        and torch.equal(a.target_valid, b.target_valid)
        and all(torch.equal(a.inputs[name], b.inputs[name]) for name in a.inputs)
        and all(torch.equal(a.valid[name], b.valid[name]) for name in a.valid)
        for a, b in zip(first, second, strict=True)
    )


@pytest.fixture
def rooms(write_rooms):
    return Rooms(write_rooms(rooms=5), "train", transform=AUGMENT, seed=1)


class TestTraining:
    def test_batches_hold_samples(self, rooms):
        batches = list(training_loader(rooms, 4, seed=0, epoch=1))
        assert [len(batch.names) for batch in batches] == [4, 4]
        batch = batches[0]
        assert batch.inputs["rgb"].dtype == batch.target.dtype == torch.uint8
        taken = batch.to("cpu")
        assert taken.inputs["rgb"].shape == taken.inputs["depth"].shape == (4, 3, 12, 12)
        assert taken.inputs["rgb"].dtype == torch.float32
        assert batch.valid["depth"].shape == (4, 1, 12, 12)
        assert batch.target.shape == (4, 12, 12)
        assert torch.equal(batch.target_valid, (batch.target != 255)[:, None])
        assert batch.files[2]["rgb"].endswith(f"{batch.names[2]}.png")

    @pytest.mark.parametrize("cache", [False, True])
    def test_workers_change_nothing(self, write_rooms, cache):
        data = Rooms(write_rooms(rooms=5), "train", transform=AUGMENT, seed=1, cache=cache)
        for epoch in range(2):
            alone = list(training_loader(data, 2, 0, seed=3, epoch=epoch))
            assert same(alone, list(training_loader(data, 2, 2, seed=3, epoch=epoch)))
            assert same(alone, list(training_loader(data, 2, 1, seed=3, epoch=epoch)))

    @pytest.mark.parametrize("workers", [0, 2])
    @pytest.mark.parametrize("start", [1, 3, 5])
    def test_entered_in_its_middle_an_epoch_goes_on_as_it_would_have(self, rooms, workers, start):
        whole = list(training_loader(rooms, 2, seed=3, epoch=4))
        late = training_loader(rooms, 2, workers, seed=3, epoch=4, start_batch=start)
        assert same(list(late), whole[start:])

    def test_workers_go_on_from_epoch_to_epoch(self, rooms):
        together = list(training_loader(rooms, 2, 2, seed=3, epoch=4, start_batch=3, epochs=2))
        alone = [list(training_loader(rooms, 2, seed=3, epoch=epoch)) for epoch in (4, 5)]
        assert same(together, alone[0][3:] + alone[1])

    @pytest.mark.skipif(get_start_method() != "fork", reason="pages are shared with forked workers only")
    def test_forked_workers_fill_one_cache(self, write_rooms):
        root = write_rooms(rooms=5)
        data = Rooms(root, "train", cache=True)
        first = list(training_loader(data, 2, 2, seed=0, epoch=0))
        for path in root.rglob("*.png"):
            path.unlink()
        assert same(first, list(training_loader(data, 2, 2, seed=0, epoch=0)))
        assert same(first, list(training_loader(data, 2, 0, seed=0, epoch=0)))

    @pytest.mark.parametrize("workers", [0, 2])
    def test_global_random_state_is_not_used(self, rooms, workers):
        torch.manual_seed(0)
        np.random.seed(0)
        random.seed(0)
        before = torch.get_rng_state(), np.random.get_state(), random.getstate()
        list(training_loader(rooms, 2, workers, seed=0, epoch=0))
        list(evaluation_loader(rooms, 2, workers))
        assert torch.equal(before[0], torch.get_rng_state())
        assert np.array_equal(before[1][1], np.random.get_state()[1])
        assert before[2] == random.getstate()

    @pytest.mark.parametrize("workers", [0, 2])
    def test_translation_is_loaded_alike(self, write_rooms, workers):
        data = Rooms(write_rooms(rooms=5), "train", ["shade", "texture"], "depth", transform=AUGMENT, cache=True)
        first = list(training_loader(data, 2, 0, seed=3, epoch=1))
        assert same(first, list(training_loader(data, 2, workers, seed=3, epoch=1)))
        assert first[0].to("cpu").target.shape == (2, 3, 12, 12)

    def test_batch_without_valid_pixel_names_its_label_maps(self, write_rooms, write):
        root = write_rooms(rooms=1)
        for view in range(2):
            write(root / f"train/labels/0000_{view}.png", np.full((16, 16), 255, np.uint8))
        [batch] = training_loader(Rooms(root, "train", transform=AUGMENT), 2, seed=0, epoch=0)
        text = without_target(batch)
        assert re.fullmatch(
            r"every label is void \(255\) in the crops of .*labels/0000_[01]\.png, .*labels/0000_[01]\.png", text
        )


class TestEvaluation:
    @pytest.mark.parametrize("workers", [0, 2])
    def test_all_views_in_order_and_the_rest_too(self, write_rooms, workers):
        data = Rooms(write_rooms(rooms=5), "train")
        batches = list(evaluation_loader(data, 4, workers))
        assert [len(batch.names) for batch in batches] == [4, 4, 2]
        assert [name for batch in batches for name in batch.names] == [view.name for view in data.views]

    @pytest.mark.parametrize("workers", [0, 1])
    def test_views_of_different_sizes_are_batched_by_size(self, write_nyudv2, write, workers):
        root = write_nyudv2()
        for number in (2, 3):
            write(root / f"rgb/{number:06d}.png", np.zeros((20, 30, 3), np.uint8))
            write(root / f"masks/{number:06d}.png", np.full((20, 30), 255, np.uint8))
            write(root / f"depth/{number:06d}.png", np.zeros((20, 30), np.uint16))
        data = NYUDv2(root, "train")
        batches = list(evaluation_loader(data, 4, workers))
        assert [batch.names for batch in batches] == [["000001", "000004"], ["000002", "000003"], ["000005", "000006"]]
        assert [batch.target.shape[-2:] for batch in batches] == [(18, 26), (20, 30), (18, 26)]


class _Failing:
    """A data set whose third view fails in a given way."""

    def __init__(self, views: Rooms, fail: Callable[[], None]) -> None:
        self._views = views
        self._fail = fail
        self.specs = views.specs
        self.class_names = views.class_names
        self.view = views.view
        self.target = views.target
        self.fingerprint = views.fingerprint

    def __len__(self) -> int:
        return len(self._views)

    def __getitem__(self, key):
        return self.sample(key).normalized()

    def sample(self, key):
        if key == 2:
            self._fail()
        return self._views.sample(key)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _lose_a_file() -> None:
    raise FileNotFoundError("statistics.json")


def _compute_nonsense() -> None:
    torch.zeros(2) + torch.zeros(3)


class TestErrors:
    @pytest.mark.parametrize("workers", [0, 2])
    def test_a_data_error_arrives_as_it_was(self, write_rooms, workers):
        root = write_rooms(rooms=5)
        (root / "train/rgb/0003_1.png").write_bytes(b"not a picture")
        with pytest.raises(DataError) as caught:
            list(evaluation_loader(Rooms(root, "train"), 2, workers))
        path = root / "train/rgb/0003_1.png"
        assert caught.value.message == f"{path}: not an image file that can be read (13 bytes)"
        assert str(caught.value) == caught.value.message
        assert caught.value.hint == "copy or download the file again"

    def test_workers_end_with_the_error_not_with_its_traceback(self, write_rooms):
        root = write_rooms(rooms=5)
        (root / "train/rgb/0001_0.png").unlink()
        (root / "train/rgb/0001_0.png").mkdir()
        with pytest.raises(DataError, match="Is a directory"):
            list(evaluation_loader(Rooms(root, "train"), 1, 2))
        assert active_children() == []

    def test_a_worker_that_dies_is_reported(self, write_rooms):
        data = _Failing(Rooms(write_rooms(), "train"), _die)
        with pytest.raises(DataError, match="a loading worker died: ") as caught:
            list(evaluation_loader(data, 1, 1))
        assert "/dev/shm" in str(caught.value.hint)

    @pytest.mark.parametrize("workers", [0, 1])
    @pytest.mark.parametrize(
        ("fail", "kind", "message"),
        [(_lose_a_file, FileNotFoundError, r"statistics\.json"), (_compute_nonsense, RuntimeError, "size of tensor")],
    )
    def test_a_mistake_of_a_data_set_is_not_taken_for_a_dead_worker(self, write_rooms, workers, fail, kind, message):
        data = _Failing(Rooms(write_rooms(), "train"), fail)
        with pytest.raises(kind, match=message):
            list(evaluation_loader(data, 1, workers))

    def test_an_error_of_the_consumer_is_left_alone(self, rooms):
        def consume() -> None:
            for _ in evaluation_loader(rooms, 2):
                raise RuntimeError("out of memory")

        with pytest.raises(RuntimeError, match="out of memory"):
            consume()


class TestBatch:
    def test_to_gives_what_the_samples_are_once_normalised(self, rooms):
        batch = collate([rooms.sample(0), rooms.sample(1)])
        assert set(batch.pending) == {"rgb", "depth"}
        taken = batch.to("cpu")
        assert not taken.pending
        assert same([taken], [collate([rooms[0], rooms[1]])])
        assert taken.target.dtype == torch.int64
        assert all(image.is_contiguous() for image in taken.inputs.values())

    def test_to_twice_normalises_once(self, rooms):
        taken = collate([rooms.sample(0), rooms.sample(1)]).to("cpu")
        assert same([taken.to("cpu")], [taken])

    def test_to_moves_everything(self, rooms):
        moved = collate([rooms.sample(0), rooms.sample(1)]).to("meta")
        tensors = [*moved.inputs.values(), *moved.valid.values(), moved.target, moved.target_valid]
        assert {tensor.device.type for tensor in tensors} == {"meta"}

    def test_photographs_keep_the_memory_order_in_which_they_are_decoded(self, write_rooms):
        data = Rooms(write_rooms(), "train")
        stored = collate([data.sample(0), data.sample(1)]).inputs["rgb"]
        assert stored.is_contiguous(memory_format=torch.channels_last)
        assert not stored.is_contiguous()

    @pytest.mark.parametrize("count", [1, 2])
    def test_no_batch_carries_the_cache_along(self, write_rooms, count):
        data = Rooms(write_rooms(), "train", cache=True)
        for _ in range(2):  # read, then kept
            batch = collate([data.sample(index) for index in range(count)])
            for image in (*batch.inputs.values(), batch.target):
                assert image.untyped_storage().nbytes() == image.nbytes

    def test_a_grey_picture_among_colours_gets_three_channels(self, rooms):
        colours = rooms.sample(0)
        grey = dataclasses.replace(rooms.sample(1), inputs=colours.inputs | {"rgb": colours.inputs["rgb"][:1]})
        stored = collate([colours, grey]).inputs["rgb"]
        assert stored.shape == (2, 3, 12, 12)
        assert torch.equal(stored[1], colours.inputs["rgb"][:1].expand(3, -1, -1))

    @pytest.mark.parametrize("how", ["normalised", "of another type", "of another encoding"])
    def test_samples_that_are_stored_otherwise_meet_as_the_network_takes_them(self, rooms, how):
        first, second = rooms.sample(0), rooms.sample(1)
        if how == "normalised":
            other = second.normalized()
        elif how == "of another type":
            other = dataclasses.replace(second, inputs=second.inputs | {"rgb": second.inputs["rgb"].float() / 255})
        else:
            spec = second.pending["rgb"]
            other = dataclasses.replace(second, pending={**second.pending, "rgb": spec.normalized_by(0.1, 3.0)})
        batch = collate([first, other])
        assert not batch.pending
        torch.testing.assert_close(batch.inputs["rgb"][0], rooms[0].inputs["rgb"])
        torch.testing.assert_close(batch.inputs["rgb"][1], other.normalized().inputs["rgb"])
