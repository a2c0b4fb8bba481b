from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch_fidelity.metric_kid import kid_features_to_metric

import cen_cli
from cen_cli.metrics import kernel_distance
from tests.metrics.features import two_sets
from tests.reference import distances


def by_torch_fidelity(real, fake, subsets, subset_size, seed):
    pair = (torch.from_numpy(real), torch.from_numpy(fake))
    metric = kid_features_to_metric(
        *pair, kid_subsets=subsets, kid_subset_size=subset_size, rng_seed=seed, verbose=False
    )
    return metric["kernel_inception_distance_mean"], metric["kernel_inception_distance_std"]


@pytest.mark.parametrize("dimension", [48, 8], ids=["N < D", "N > D"])
@pytest.mark.parametrize(
    ("sizes", "subsets", "subset_size"),
    [
        ((40, 40), 20, 15),
        ((40, 30), 7, 30),  # one side whole
        ((40, 30), 50, 20),
        ((40, 46), 3, 2),  # fewer products subset by subset
        ((40, 46), 2, 10),
    ],
)
@pytest.mark.parametrize("seed", [0, 2020])
def test_against_torch_fidelity(sizes, dimension, subsets, subset_size, seed):
    real, fake = two_sets(*sizes, dimension)
    ours = kernel_distance(real, fake, subsets, subset_size, seed)
    assert ours == pytest.approx(by_torch_fidelity(real, fake, subsets, subset_size, seed), rel=1e-9, abs=1e-14)


@pytest.mark.parametrize("dimension", [48, 8], ids=["N < D", "N > D"])
def test_against_the_definition(dimension):
    real, fake = two_sets(20, 26, dimension)
    mean, std = kernel_distance(real, fake)
    assert mean == pytest.approx(distances.kernel(real, fake), rel=1e-10)
    assert math.isnan(std)


def test_hand_made_case():
    """D = 1: k(a, b) = (ab + 1)^3."""
    mean, _ = kernel_distance(np.array([[0.0], [1.0]]), np.array([[1.0], [2.0]]))
    assert mean == pytest.approx(1 + 27 - 2 * (1 + 1 + 8 + 27) / 4)


@pytest.mark.parametrize("sizes", [(30, 30), (30, 20)])
@pytest.mark.parametrize("subset_size", [30, 1000])
def test_subsets_that_are_all_the_whole_set_are_computed_once_and_have_no_spread(sizes, subset_size, monkeypatch):
    real, fake = two_sets(*sizes, dimension=8)
    passes = []
    sums = cen_cli.metrics.kid._kernel_sums
    monkeypatch.setattr(cen_cli.metrics.kid, "_kernel_sums", lambda *args: passes.append(args) or sums(*args))
    mean, std = kernel_distance(real, fake, subset_size=subset_size)
    assert math.isnan(std)
    assert mean == pytest.approx(distances.kernel(real, fake))
    assert [chosen.shape[0] for _, _, chosen, _ in passes] == [1, 1, 1]


def test_one_side_whole_still_has_a_spread():
    mean, std = kernel_distance(*two_sets(60, 20, dimension=8), subset_size=30)
    assert std > 0
    assert mean == pytest.approx(distances.kernel(*two_sets(60, 20, dimension=8)), abs=4 * std)


def test_kernel_matrix_in_blocks_of_rows(monkeypatch):
    pair = two_sets(40, 46, dimension=8)
    whole = kernel_distance(*pair, subsets=20, subset_size=30)
    monkeypatch.setattr(cen_cli.metrics.kid, "_ROWS", 7)
    assert kernel_distance(*pair, subsets=20, subset_size=30) == pytest.approx(whole, rel=1e-12)


def test_one_subset_has_no_spread():
    mean, std = kernel_distance(*two_sets(40, 40, dimension=8), subsets=1, subset_size=10)
    assert math.isfinite(mean)
    assert math.isnan(std)


def test_same_distribution_is_about_zero_and_may_fall_below():
    random = np.random.default_rng(0)
    means = [kernel_distance(*random.normal(size=(2, 50, 8)))[0] for _ in range(40)]
    assert min(means) < 0 < max(means)
    assert abs(np.mean(means)) < 3 * np.std(means) / math.sqrt(40)


def test_same_seed_same_value():
    pair = two_sets(40, 40, dimension=8)
    assert kernel_distance(*pair, subset_size=10) == kernel_distance(*pair, subset_size=10, seed=0)
    assert kernel_distance(*pair, subset_size=10) != kernel_distance(*pair, subset_size=10, seed=1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"subsets": 0}, "got 0 and 1000"), ({"subset_size": 1}, "subset_size >= 2, got 50 and 1")],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        kernel_distance(*two_sets(5, 5, dimension=4), **settings)


def test_public_name():
    assert cen_cli.metrics.kernel_distance is kernel_distance
