"""The measured evaluation against the plain one of the benchmarks."""

from __future__ import annotations

import pytest
import torch

from benchmarks import evaluation
from benchmarks.timing import Row

TINY = "--size 32 --levels 3 --filters 4 --chunk 2"


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> evaluation.Evaluation:
    return evaluation.Evaluation(evaluation.parse(TINY.split()), tmp_path_factory.mktemp("bench"))


def test_features_are_those_of_the_plain_way(bench):
    assert bench.largest_difference() < evaluation.RTOL


def test_a_difference_is_seen(bench, monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "folder", tmp_path)
    monkeypatch.setattr(bench, "translate", lambda: torch.zeros_like(bench.fakes))
    assert bench.largest_difference() > 10 * evaluation.RTOL


def test_a_whole_is_the_ratio_of_sums():
    rows = [Row("a", 2.0, 1.0, 3.0, 20.0, 10.0), Row("b", 4.0, 4.0, 4.0, 40.0, 10.0)]
    assert evaluation.total("both", rows).ratio == 3.0
