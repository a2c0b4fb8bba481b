import math

import pytest

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


def test_first_exchange_with_sgd_follows_the_drift():
    schedule = Schedule("constant", total_steps=1000)
    # a step moves gamma by 0.01 * 0.1 / (1 - 0.9) = 0.01; a gap of 0.095 is crossed after 10 of them
    arguments = {"sparsity": 0.1, "gap": 0.095, "optimizer": "sgd", "momentum": 0.9}
    assert first_exchange_step(schedule, 0.01, **arguments) == 10
    assert first_exchange_step(schedule, 0.01, **arguments | {"sparsity": 1e-4}) is None
    assert first_exchange_step(schedule, 0.01, **arguments | {"sparsity": 0.0}) is None


def test_first_exchange_with_adam_depends_on_the_rate_alone():
    schedule = Schedule("constant", total_steps=1000)
    arguments = {"gap": 0.095, "optimizer": "adam", "momentum": 0.9}
    assert first_exchange_step(schedule, 0.01, sparsity=1e-6, **arguments) == 10


def test_gammas_that_start_below_the_threshold_are_exchanged_at_once():
    schedule = Schedule("constant", total_steps=10)
    assert first_exchange_step(schedule, 0.1, sparsity=0.1, gap=-0.5, optimizer="sgd", momentum=0.0) == 0
    assert first_exchange_step(schedule, 0.1, sparsity=0.0, gap=-0.5, optimizer="sgd", momentum=0.0) == 0
