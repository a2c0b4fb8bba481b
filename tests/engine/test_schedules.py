import math

import pytest
import torch

from cen_cli.engine.schedules import Schedule, first_exchange_step


def test_constant():
    schedule = Schedule("constant", total_steps=10)
    assert {schedule.rate(0.1, step) for step in range(10)} == {0.1}


def test_cosine_falls_from_the_base_to_zero():
    schedule = Schedule("cosine", total_steps=8)
    assert schedule.rate(0.4, 0) == 0.4
    assert schedule.rate(0.4, 4) == pytest.approx(0.2)
    assert schedule.rate(0.4, 7) == pytest.approx(0.4 * (1 + math.cos(math.pi * 7 / 8)) / 2)


def test_poly_falls_from_the_base_towards_zero():
    schedule = Schedule("poly", total_steps=10, power=0.9)
    rates = [schedule.rate(2.0, step) for step in range(10)]
    assert rates[0] == 2.0
    assert rates == sorted(rates, reverse=True)
    assert rates[5] == pytest.approx(2.0 * 0.5**0.9)


def test_stages_change_at_their_first_step():
    schedule = Schedule("staged", total_steps=60, stage_steps=(10, 20, 30))
    rates = [schedule.rate((3e-3, 1.5e-3, 7e-4), step) for step in range(60)]
    assert rates == [3e-3] * 10 + [1.5e-3] * 20 + [7e-4] * 30


def test_one_rate_for_all_stages():
    schedule = Schedule("staged", total_steps=6, stage_steps=(2, 4))
    assert [schedule.rate(0.5, step) for step in range(6)] == [0.5] * 6


def test_warmup_rises_linearly_and_is_over_after_its_steps():
    schedule = Schedule("constant", total_steps=10, warmup_steps=4)
    assert [schedule.rate(1.0, step) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("kind", ["sgd", "adam"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_first_exchange_is_where_the_optimizer_takes_a_gamma_that_only_the_penalty_moves(kind, momentum):
    schedule = Schedule("poly", total_steps=200, warmup_steps=5)
    gamma = torch.tensor([0.105], requires_grad=True)
    optimizers = {"sgd": torch.optim.SGD([gamma], lr=1.0, momentum=momentum), "adam": torch.optim.Adam([gamma], lr=1.0)}
    optimizer = optimizers[kind]
    for step in range(200):
        if gamma < 0.01:
            break
        optimizer.param_groups[0]["lr"] = schedule.rate(0.01, step)
        optimizer.zero_grad()
        (0.1 * gamma.abs().sum()).backward()
        optimizer.step()
    assert 5 < step < 199
    arguments = {"gap": 0.095, "optimizer": kind, "momentum": momentum}
    assert first_exchange_step(schedule, 0.01, sparsity=0.1, **arguments) == step


def test_first_exchange_is_none_where_the_run_ends_before_and_without_a_penalty():
    schedule = Schedule("constant", total_steps=1000)
    arguments = {"gap": 0.095, "optimizer": "sgd", "momentum": 0.9}
    assert first_exchange_step(schedule, 0.01, sparsity=1e-4, **arguments) is None
    assert first_exchange_step(schedule, 0.01, sparsity=0.0, **arguments) is None


def test_gammas_that_start_below_the_threshold_are_exchanged_at_once():
    schedule = Schedule("constant", total_steps=10)
    assert first_exchange_step(schedule, 0.1, sparsity=0.1, gap=-0.5, optimizer="sgd", momentum=0.0) == 0
    assert first_exchange_step(schedule, 0.1, sparsity=0.0, gap=-0.5, optimizer="sgd", momentum=0.0) == 0
