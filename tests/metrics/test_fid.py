from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

import cen_cli
from cen_cli.metrics import fid, frechet_distance, frechet_interval
from cen_cli.metrics.features import distance_notes
from tests.metrics.features import two_sets
from tests.reference import distances

FEW = [(20, 20), (15, 30), (30, 15), (2, 40)]
SOME = [(20, 200), (200, 20)]
MANY = [(200, 200), (130, 400), (400, 130)]


@pytest.mark.parametrize(
    ("sizes", "rtol"), [*((sizes, 1e-4) for sizes in FEW + SOME), *((sizes, 1e-8) for sizes in MANY)], ids=str
)
@pytest.mark.parametrize("seed", range(2))
def test_against_the_square_root_of_scipy(sizes, rtol, seed):
    real, fake = two_sets(*sizes, dimension=48, seed=seed)
    assert frechet_distance(real, fake) == pytest.approx(distances.frechet(real, fake), rel=rtol)


def test_against_torch_fidelity():
    real, fake = (torch.from_numpy(features) for features in two_sets(150, 170, dimension=32))
    statistics = [fid_features_to_statistics(features) for features in (real, fake)]
    expected = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert frechet_distance(real, fake) == pytest.approx(expected, rel=1e-8)


def test_hand_made_case():
    """Diagonal covariances: sum of squared differences of means and of standard deviations."""
    square = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]]) * np.sqrt(3 / 4)  # variance 1 with denominator 3
    real, fake = square * [2, 3], square * [5, 7] + [10, 0]
    assert frechet_distance(real, fake) == pytest.approx(100 + (2 - 5) ** 2 + (3 - 7) ** 2)


@pytest.mark.parametrize("sizes", FEW + SOME + MANY, ids=str)
def test_is_symmetric_and_blind_to_order(sizes):
    real, fake = two_sets(*sizes, dimension=48)
    assert frechet_distance(fake, real) == pytest.approx(frechet_distance(real, fake), rel=1e-10)
    assert frechet_distance(real[::-1].copy(), fake) == pytest.approx(frechet_distance(real, fake), rel=1e-10)


@pytest.mark.parametrize("size", [10, 48, 49, 300])
def test_of_equal_sets_is_zero_and_never_below(size):
    real, _ = two_sets(size, 2, dimension=48)
    assert 0 <= frechet_distance(real, real) < 1e-10
    assert 0 <= frechet_distance(real, real[::-1].copy()) < 1e-10


class TestWhereCovariancesAreSingular:
    """More images than features, and still no full rank."""

    def test_dead_features(self):
        real, fake = two_sets(200, 200, dimension=48)
        real[:, 7:30] = fake[:, 7:30] = 0
        alive = np.r_[0:7, 30:48]
        assert frechet_distance(real, fake) == pytest.approx(frechet_distance(real[:, alive], fake[:, alive]), rel=1e-9)

    def test_dead_on_one_side_only(self):
        real, fake = two_sets(200, 200, dimension=48)
        real[:, 0] = 3.0
        expected = distances.frechet(real, fake)
        assert frechet_distance(real, fake) == pytest.approx(expected, rel=1e-5)
        assert frechet_distance(fake, real) == pytest.approx(expected, rel=1e-5)

    def test_copied_features(self):
        real, fake = two_sets(200, 200, dimension=48)
        real[:, 24:], fake[:, 24:] = real[:, :24], fake[:, :24]
        half = frechet_distance(real[:, :24], fake[:, :24])
        assert frechet_distance(real, fake) == pytest.approx(2 * half, rel=1e-9)

    def test_the_same_image_again_and_again(self):
        real, _ = two_sets(200, 2, dimension=48)
        same = np.repeat(real[:1], 100, axis=0)
        expected = np.square(real.mean(axis=0) - real[0]).sum() + np.trace(np.cov(real, rowvar=False))
        assert frechet_distance(real, same) == pytest.approx(expected, rel=1e-9)
        assert 0 <= frechet_distance(same, same) < 1e-30

    def test_features_of_very_different_scales(self):
        real, fake = (features * np.logspace(0, -9, 48) for features in two_sets(200, 200, dimension=48))
        squared = [np.cov(features, rowvar=False) for features in (real, fake)]
        assert frechet_distance(real, fake) == pytest.approx(distances.frechet(real, fake), rel=1e-5)
        assert frechet_distance(real, real) < 1e-10 * np.trace(squared[0])


@pytest.mark.parametrize("sizes", [(200, 200), (130, 300)])
def test_the_ways_agree(sizes, monkeypatch):
    """Cholesky for many images, and triangles where it is not trusted."""
    real, fake = two_sets(*sizes, dimension=48)
    triangle, made = fid._triangle, list[torch.Tensor]()
    monkeypatch.setattr(fid, "_triangle", lambda factor: made.append(factor) or triangle(factor))
    by_cholesky = frechet_distance(real, fake)
    assert not made
    monkeypatch.setattr(fid, "_WELL_CONDITIONED", 2.0)
    assert frechet_distance(real, fake) == pytest.approx(by_cholesky, rel=1e-11)
    assert len(made) == 2


def test_float32_tensors_are_taken_as_float64():
    real, fake = (torch.from_numpy(features).float() for features in two_sets(30, 30, dimension=48))
    assert frechet_distance(real, fake) == frechet_distance(real.double(), fake.double())


def test_public_name():
    assert cen_cli.metrics.frechet_distance is frechet_distance


class TestInterval:
    def test_holds_the_distance_and_narrows_with_the_number_of_images(self):
        widths = []
        for size in (60, 600):
            real, fake = two_sets(size, size, dimension=16)
            low, high = frechet_interval(real, fake)
            assert 0 <= low < frechet_distance(real, fake) < high
            widths.append(high - low)
        assert widths[1] < widths[0] / 2

    @pytest.mark.parametrize("size", [60, 20])
    def test_is_about_as_wide_as_the_spread_of_fresh_sets(self, size):
        """Over features with more (60) and fewer (20) images than dimensions."""
        sets = [two_sets(size, size, dimension=32, seed=0)]
        random = np.random.default_rng(5)
        pool = two_sets(5000, 5000, dimension=32, seed=0)
        fresh = [frechet_distance(*(side[random.choice(5000, size, False)] for side in pool)) for _ in range(100)]
        sets = [[side[random.choice(5000, size, False)] for side in pool] for _ in range(5)]
        widths = [np.subtract(*frechet_interval(*pair)[::-1]) for pair in sets]
        spread = np.subtract(*np.quantile(fresh, [0.975, 0.025]))
        assert 0.8 < np.mean(widths) / spread < 1.5

    @pytest.mark.parametrize("sizes", [(20, 24), (12, 300), (300, 12), (60, 70)], ids=str)
    def test_is_the_derivative_by_the_weight_of_each_image(self, sizes):
        """Over few and many images: by autograd through the covariances' eigenvalues."""
        real, fake = (torch.from_numpy(features) for features in two_sets(*sizes, dimension=32))
        weights = [torch.ones(size, dtype=torch.float64, requires_grad=True) for size in sizes]
        fitted = [weighted(*pair) for pair in zip((real, fake), weights, strict=True)]
        (mean, factor), (other, factor_of_other) = fitted
        root = torch.linalg.svdvals(factor @ factor_of_other.T).sum()
        parts = (mean - other).square().sum(), factor.square().sum(), factor_of_other.square().sum()
        moves = torch.autograd.grad(sum(parts) - 2 * root, weights)
        error = float(sum((move - move.mean()).square().sum() for move in moves)) ** 0.5
        low, high = frechet_interval(real, fake, level=0.8)
        assert (high - low) / 2 == pytest.approx(1.2815515655446004 * error, rel=1e-6)
        assert (high + low) / 2 == pytest.approx(frechet_distance(real, fake), rel=1e-6)

    def test_higher_level_is_wider(self):
        real, fake = two_sets(40, 30, dimension=16)
        low, high = frechet_interval(real, fake, level=0.5)
        lower, higher = frechet_interval(real, fake, level=0.95)
        assert lower < low < high < higher

    def test_is_never_below_zero(self):
        real, _ = two_sets(40, 2, dimension=16)
        low, high = frechet_interval(real, real)
        assert 0 <= low <= high < 1e-6

    def test_a_level_beyond_1(self):
        with pytest.raises(ValueError, match=r"level is 1\.0, not between 0 and 1"):
            frechet_interval(*two_sets(5, 5, dimension=4), level=1.0)


def weighted(features: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and factor of the covariance of rows that count so much."""
    mean = weights @ features / weights.sum()
    return mean, (weights / (weights.sum() - 1)).sqrt()[:, None] * (features - mean)


GOOD = np.ones((3, 4))


@pytest.mark.parametrize("distance", [frechet_distance, frechet_interval, cen_cli.metrics.kernel_distance])
@pytest.mark.parametrize(
    ("real", "fake", "message"),
    [
        (np.ones(4), GOOD, r"real features are a matrix \[N, D\] of real numbers, not torch.float64 of shape \(4,\)"),
        (GOOD, np.ones((2, 3, 4)), r"fake features are a matrix .* of shape \(2, 3, 4\)"),
        (GOOD, np.ones((3, 0)), r"fake features are a matrix .* of shape \(3, 0\)"),
        (GOOD, GOOD * 1j, "fake features are a matrix .* not torch.complex128"),
        (GOOD[:1], GOOD, "real features need at least two rows for a covariance, got 1"),
        (GOOD, GOOD[:0], "fake features need at least two rows for a covariance, got 0"),
        (GOOD, np.ones((3, 5)), "real features are of length 4, fake ones of length 5"),
        (GOOD, np.where(np.eye(3, 4), np.nan, 1), "fake features hold NaN or infinity"),
        (np.where(np.eye(3, 4), np.inf, 1), GOOD, "real features hold NaN or infinity"),
    ],
)
def test_what_is_no_pair_of_features(distance, real, fake, message):
    with pytest.raises(ValueError, match=message):
        distance(real, fake)


class TestNotes:
    def test_few_images(self):
        bias, spread = distance_notes(500, 500)
        assert bias.startswith("FID of 500 images: fewer than 2048")
        assert spread.startswith("KID of 500 images: every subset of 1000 is the whole set")

    def test_images_of_one_side_are_few(self):
        (bias,) = distance_notes(5000, 1500)
        assert bias.startswith("FID of 5000 real and 1500 generated images: fewer than 2048")

    def test_subsets_differ_where_one_side_is_larger(self):
        assert [note[:3] for note in distance_notes(1001, 700)] == ["FID"]
        assert [note[:3] for note in distance_notes(1000, 700)] == ["FID", "KID"]

    def test_enough_of_both(self):
        assert distance_notes(2048, 2048) == ()
        assert [note[:3] for note in distance_notes(2048, 2048, subset_size=2048)] == ["KID"]
