"""A network at other thresholds."""

from __future__ import annotations

import pytest

from cen_cli.analysis.thresholds import score_thresholds, usual_thresholds
from cen_cli.models.exchange import count_replaced, exchange_layers
from cen_cli.results import Evaluation, SegmentationScores

MODALITIES = ("rgb", "depth")


def test_counts_and_scores_are_those_of_each_threshold(network):
    def score(model):
        replaced = sum(count.replaced for count in count_replaced(exchange_layers(model), MODALITIES))
        scores = {"ensemble": SegmentationScores(0.0, 0.0, replaced / 10, (), ())}
        return Evaluation("segmentation", "val", "strict", 1, scores, {})

    rows = score_thresholds(network, MODALITIES, [1.0, 0.0, 0.05, 0.05], score)
    assert [row.threshold for row in rows] == [0.0, 0.05, 1.0]
    assert [[count.replaced for count in row.replaced] for row in rows] == [[0, 0], [1, 0], [3, 3]]
    assert [row.evaluation.metric("ensemble.mean_iou") for row in rows] == [0.0, 0.1, 0.6]
    assert {layer.threshold for layer in exchange_layers(network).values()} == {0.1}


def test_the_network_is_left_as_it_was_where_scoring_fails(network):
    def fail(model):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        score_thresholds(network, MODALITIES, [5.0], fail)
    assert {layer.threshold for layer in exchange_layers(network).values()} == {0.1}


def test_usual_thresholds_differ_in_what_they_replace(network):
    found = usual_thresholds(network)
    assert 0.0 in found
    assert 0.1 in found
    assert found == sorted(set(found))
    layers = exchange_layers(network).values()

    def replaced(value):
        return sum(int((layer.gamma.abs() < value)[layer.replaceable].sum()) for layer in layers)

    counts = [replaced(value) for value in found if value not in (0.0, 0.1)]
    assert len(counts) == len(set(counts))
