"""Timing two ways in turn: the order, and how often each is run."""

from __future__ import annotations

import torch

from cen_cli.models import cost


def test_attention_is_counted():
    q = torch.zeros(1, 1, 10, 4)
    assert cost.macs(lambda: torch.nn.functional.scaled_dot_product_attention(q, q, q)) == 2 * 10 * 10 * 4


def test_both_run_in_turn_in_every_round(monkeypatch):
    calls: list[str] = []
    clock = iter(range(1000))
    monkeypatch.setattr(cost.time, "perf_counter", lambda: float(next(clock)))
    rounds = cost.in_turn(lambda: calls.append("a"), lambda: calls.append("b"), torch.device("cpu"), 3)
    assert rounds == [(1.0, 1.0)] * 3
    assert "".join(calls) == "aabb" + "ab" * 3


def test_short_work_is_repeated_within_a_round(monkeypatch):
    calls: list[str] = []
    clock = (tick / 200 for tick in range(1000))  # every call takes 5 ms
    monkeypatch.setattr(cost.time, "perf_counter", lambda: next(clock))
    rounds = cost.in_turn(lambda: calls.append("a"), lambda: calls.append("b"), torch.device("cpu"), 1)
    assert "".join(calls) == "aabb" + "aaaa" + "bbbb"
    assert len(rounds) == 1
