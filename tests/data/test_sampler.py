from __future__ import annotations

import pytest
import torch

from cen_cli.data.sampler import EpochBatches, batches_per_epoch, mixed_seed


def indices(batches: EpochBatches) -> list[int]:
    return [index for batch in batches for _, index in batch]


def test_an_epoch_shows_every_sample_once():
    assert sorted(indices(EpochBatches(12, 4, seed=0, epoch=0))) == list(range(12))


def test_keys_carry_the_epoch():
    assert {epoch for batch in EpochBatches(12, 4, seed=0, epoch=5) for epoch, _ in batch} == {5}


def test_last_incomplete_batch_is_dropped():
    batches = EpochBatches(14, 4, seed=0, epoch=0)
    assert [len(batch) for batch in batches] == [4, 4, 4]
    assert len(batches) == 3


def test_an_only_batch_is_kept_though_incomplete():
    batches = EpochBatches(3, 4, seed=0, epoch=0)
    assert [len(batch) for batch in batches] == [3]
    assert len(batches) == 1


@pytest.mark.parametrize(("length", "batch", "count"), [(0, 4, 0), (1, 4, 1), (4, 4, 1), (7, 4, 1), (8, 4, 2)])
def test_batches_per_epoch(length, batch, count):
    assert batches_per_epoch(length, batch) == count


@pytest.mark.parametrize("start", range(6))
def test_entered_in_its_middle_an_epoch_goes_on_as_it_would_have(start):
    whole = list(EpochBatches(23, 4, seed=3, epoch=2))
    late = EpochBatches(23, 4, seed=3, epoch=2, start_batch=start)
    assert list(late) == whole[start:]
    assert len(late) == len(whole[start:])


def test_epochs_follow_one_another():
    alone = [list(EpochBatches(23, 4, seed=3, epoch=epoch)) for epoch in (2, 3, 4)]
    together = EpochBatches(23, 4, seed=3, epoch=2, start_batch=2, epochs=3)
    assert list(together) == alone[0][2:] + alone[1] + alone[2]
    assert len(together) == 13


def test_order_is_a_function_of_seed_and_epoch():
    orders = {(seed, epoch): tuple(indices(EpochBatches(30, 3, seed, epoch))) for seed in (0, 1) for epoch in (0, 1)}
    assert len(set(orders.values())) == 4
    assert tuple(indices(EpochBatches(30, 3, 1, 0))) == orders[1, 0]


def test_global_random_state_is_not_used():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    list(EpochBatches(30, 3, seed=0, epoch=0))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("arguments", [{"batch": 0}, {"batch": 2, "start_batch": -1}])
def test_impossible_arguments(arguments):
    with pytest.raises(ValueError, match="batch must be at least 1 and start_batch at least 0"):
        EpochBatches(4, seed=0, epoch=0, **arguments)


def test_mixed_seeds_differ_and_fit_a_generator():
    seeds = {mixed_seed(seed, epoch, index) for seed in range(3) for epoch in range(10) for index in range(100)}
    assert len(seeds) == 3000
    assert len({seed & 0xFFFFFFFF for seed in seeds}) > 2990  # torch's generator keeps the low half
    torch.Generator().manual_seed(max(seeds))
