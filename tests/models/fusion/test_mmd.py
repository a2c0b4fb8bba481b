"""MK-MMD against two plain loops, its gradient, and what it says of equal and of different distributions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cen_cli.models.fusion.mmd import multi_kernel_mmd
from tests.reference import fusing


def normal(n: int, dimensions: int, *, seed: int, shift: float = 0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, dimensions, generator=generator, dtype=torch.float64) + shift


@pytest.mark.parametrize(("n", "m", "dimensions"), [(7, 7, 3), (5, 9, 1), (12, 4, 6)])
@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_it_is_what_two_loops_compute(n: int, m: int, dimensions: int, shift: float) -> None:
    x, y = normal(n, dimensions, seed=1), normal(m, dimensions, seed=2, shift=shift)
    assert float(multi_kernel_mmd(x, y)) == pytest.approx(fusing.mmd(x.numpy(), y.numpy()), rel=1e-6, abs=1e-9)


def test_it_is_zero_in_expectation_for_one_distribution_and_positive_for_a_shifted_one() -> None:
    same = [float(multi_kernel_mmd(normal(20, 4, seed=s), normal(20, 4, seed=1000 + s))) for s in range(200)]
    standard_error = np.std(same) / np.sqrt(len(same))
    assert abs(np.mean(same)) < 3 * standard_error
    assert min(same) < 0 < max(same)
    shifted = [
        float(multi_kernel_mmd(normal(20, 4, seed=s), normal(20, 4, seed=1000 + s, shift=1.0))) for s in range(20)
    ]
    assert min(shifted) > 10 * standard_error


def test_its_gradient_is_right() -> None:
    """Numerically, with samples so many that moving one does not move the median, which counts as a constant."""
    x, y = normal(9, 3, seed=1).requires_grad_(), normal(8, 3, seed=2, shift=0.5).requires_grad_()
    gradients = torch.autograd.grad(multi_kernel_mmd(x, y), (x, y))
    median = fusing.median_distance(np.concatenate([x.detach().numpy(), y.detach().numpy()]))
    for which, index in ((0, (0, 0)), (0, (4, 2)), (1, (3, 1)), (1, (7, 0))):
        values = []
        for step in (-1e-5, 1e-5):
            moved = [x.detach().numpy().copy(), y.detach().numpy().copy()]
            moved[which][index] += step
            values.append(fusing.mmd(*moved, median=median))
        assert float(gradients[which][index]) == pytest.approx((values[1] - values[0]) / 2e-5, rel=1e-5, abs=1e-9)


def test_following_the_gradient_brings_two_sets_together() -> None:
    x, y = normal(30, 2, seed=1), normal(30, 2, seed=2, shift=2.0).requires_grad_()
    before = float(multi_kernel_mmd(x, y.detach()))
    for _ in range(100):
        (gradient,) = torch.autograd.grad(multi_kernel_mmd(x, y), y)
        y = (y - 2 * gradient).detach().requires_grad_()
    assert float(multi_kernel_mmd(x, y.detach())) < before / 2


def test_sets_of_one_sample() -> None:
    one = torch.tensor([[1.0, 2.0]])
    assert float(multi_kernel_mmd(one, one.clone())) == 0
    assert float(multi_kernel_mmd(one, one + 1)) > 0.1


def test_between_two_single_samples_a_larger_distance_is_a_larger_discrepancy() -> None:
    """Of their own distance as scale, each would be as far from the other as every other pair."""
    one = torch.tensor([[1.0, 2.0]])
    steps = [float(multi_kernel_mmd(one, one + step)) for step in (0.001, 0.01, 0.1, 1.0)]
    assert steps == sorted(steps)
    assert steps[0] < 0.01 * steps[-1]


def test_samples_that_coincide_are_no_division_by_zero() -> None:
    assert float(multi_kernel_mmd(torch.zeros(4, 2), torch.zeros(4, 2))) == 0


@pytest.mark.parametrize(("x", "y"), [((3, 2), (3, 4)), ((3,), (3,)), ((0, 2), (3, 2))])
def test_other_shapes_are_refused(x: tuple[int, ...], y: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"two sets of samples \[N, D\]"):
        multi_kernel_mmd(torch.zeros(x), torch.zeros(y))
