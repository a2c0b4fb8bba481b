from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from cen_cli.analysis.diagnosis import diagnose, with_thresholds
from cen_cli.analysis.layers import layer_states
from cen_cli.models.exchange import ChannelExchange
from cen_cli.models.norms import ModalBatchNorm2d
from cen_cli.reporting.scores import written
from cen_cli.results import Evaluation, SegmentationScores, ThresholdRow

MODALITIES = ("rgb", "depth")


def test_healthy(network: nn.Module) -> None:
    found = diagnose(layer_states(network), MODALITIES, 1e-3)
    assert found.verdict == "healthy"
    assert found.evidence == (
        "rgb: 66.7% of 3 gammas of its part are below the threshold",
        "depth: 33.3% of 3 gammas of its part are below the threshold",
        "nearly all of a layer's part (over 95%) is given up by rgb in 1 of 2 layers",
        "1 of 3 replaced channels have no donor above the threshold: nothing takes their place",
    )


def test_collapsed_names_the_modality(make_layer) -> None:
    found = diagnose(layer_states(make_layer([[0.0, 0.0, 1.0, 1.0], [1.0, 1.0, 0.0, 1.0]])), MODALITIES, 1e-3)
    assert found.verdict == "collapsed"
    assert "lower exchange.sparsity" in found.advice
    assert "channel of rgb is" in found.advice


def test_no_effect_says_how_far_the_threshold_is(make_layer) -> None:
    found = diagnose(layer_states(make_layer([[0.25, 0.01], [0.01, 0.5]])), MODALITIES, 1e-3)
    assert found.verdict == "no effect"
    assert found.evidence[-1] == "the smallest of them is 0.25; the threshold is 0.1"
    assert "exchange.budget = 0.3 replaces a share of every layer" in found.advice


def test_one_gamma_of_hundreds_below_the_threshold_is_no_effect(make_layer) -> None:
    rgb, depth = [0.0] + [1.0] * 479, [1.0] * 480
    found = diagnose(layer_states(make_layer([rgb, depth])), MODALITIES, 1e-3)
    assert found.verdict == "no effect"
    assert found.evidence[-1] == "1 of 480 gammas are below it: next to nothing is exchanged"


def test_switched_off_exchange_is_not_called_healthy(make_layer) -> None:
    found = diagnose(layer_states(make_layer([[0.0, 1.0], [1.0, 1.0]], active=False)), MODALITIES, 1e-3)
    assert found.verdict == "no exchange"
    assert 'exchange.choose = "gamma"' in found.advice
    assert found.evidence[:2] == (
        "exchange is switched off in this network",
        "rgb: 100.0% of 1 gammas of its part are below the threshold",
    )


def test_the_advice_without_exchange_can_be_followed(make_layer) -> None:
    found = diagnose(layer_states(make_layer([[0.0, 1.0], [1.0, 1.0]], active=False)), MODALITIES, 0.0)
    assert 'with model.fusion = "exchange" and exchange.choose = "gamma"' in found.advice
    shared = ChannelExchange(ModalBatchNorm2d(4, 2, affine="shared"), threshold=0.1, active=False)
    assert 'sharing.norm = "shared"' in diagnose(layer_states(shared), MODALITIES, 0.0).advice


def test_channels_replaced_outside_the_pressed_part_are_an_effect(make_layer) -> None:
    few = make_layer([[1.0] * 8, [0.0] * 4 + [1.0] * 4], replace="anywhere")
    assert diagnose(layer_states(few), MODALITIES, 1e-3).verdict != "no effect"


def test_a_fixed_choice_is_called_a_control(make_layer) -> None:
    layer = make_layer([[0.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]])
    layer.fix(torch.tensor([[False, True, False, False], [False, False, True, True]]))
    found = diagnose(layer_states(layer), MODALITIES, 1e-3)
    assert found.verdict == "fixed"
    assert found.evidence[0] == "3 of 4 channels that may be replaced are replaced; no threshold decides which"


def test_one_modality_has_no_exchange(make_layer) -> None:
    found = diagnose(layer_states(make_layer([[0.0, 1.0]])), ("rgb",), 1e-3)
    assert found.verdict == "no exchange"
    assert found.evidence == ("1 modality, 1 layers with gammas",)
    assert "two or more data.inputs" in found.advice


def test_another_setting_is_proposed(make_layer) -> None:
    full = layer_states(make_layer([[0.0, 0.0, 1.0, 1.0], [1.0, 1.0, 0.0, 1.0]]))
    assert diagnose(full, MODALITIES, 3e-4).settings == {"exchange.sparsity": 1.5e-4}
    none = layer_states(make_layer([[0.25, 0.01], [0.01, 0.5]]))
    assert diagnose(none, MODALITIES, 2e-4).settings == {"exchange.budget": 0.3}, "which exchanges for sure"


def test_channels_that_all_modalities_gave_up_are_dead(make_layer) -> None:
    gammas = [[0.0, 0.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 1.0, 1.0]]
    found = diagnose(layer_states(make_layer(gammas, region="all")), MODALITIES, 1e-3)
    assert found.verdict == "dead"
    assert "4 of 5 replaced channels have no donor above the threshold: nothing takes their place" in found.evidence
    assert 'exchange.region = "disjoint"' in found.advice


def test_donors_that_nothing_presses_are_small_for_another_reason(make_layer) -> None:
    found = diagnose(layer_states(make_layer([[0.0, 1.0, 1.0, 1.0], [0.0, 1.0, 1.0, 1.0]])), MODALITIES, 1e-3)
    assert found.verdict == "dead"
    assert "the penalty presses no donor" in found.advice
    assert "disjoint" not in found.advice


def test_a_channel_whose_only_donor_is_dead_is_dead(make_layer) -> None:
    """Of the two that `a` gives up, the first would take from `b`, which gave it up too; `c` has it."""
    gammas = [[0.0, 0.0, 1.0, 1.0, 1.0, 1.0], [0.0, 1.0, 1.0, 1.0, 1.0, 1.0], [1.0] * 6]
    layer = make_layer(gammas, region="all")
    layer.allot(torch.tensor([[1] * 6, [2] * 6, [0] * 6]))
    found = diagnose(layer_states(layer), ("a", "b", "c"), 1e-3)
    assert "1 of 3 replaced channels have no donor above the threshold: nothing takes their place" in found.evidence


def test_channels_that_two_of_three_gave_up_are_overlapping(make_layer) -> None:
    gammas = [[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0], [1.0, 1.0, 0.0, 1.0]]
    found = diagnose(layer_states(make_layer(gammas, region="all")), ("rgb", "depth", "normal"), 1e-3)
    assert found.verdict == "overlapping"
    assert "4 of 5 replaced channels are below the threshold in another modality as well" in found.evidence


def test_of_groups_of_donors_only_the_own_one_counts(make_layer) -> None:
    """The channels that `rgb` gives up come from `normal`; that `depth` gave them up too changes nothing."""
    layer = make_layer([[0.0, 0.0, *[1.0] * 10], [0.0, 0.0, *[1.0] * 10], [1.0] * 12])
    layer.allot(torch.tensor([[2] * 12, [2] * 12, [0] * 12]))
    assert diagnose(layer_states(layer), ("rgb", "depth", "normal"), 1e-3).verdict == "healthy"
    layer.allot(torch.tensor([[1] * 12, [2] * 12, [0] * 12]))
    assert diagnose(layer_states(layer), ("rgb", "depth", "normal"), 1e-3).verdict == "dead"


def test_what_no_penalty_pressed_is_blamed_on_the_threshold(make_layer) -> None:
    found = diagnose(layer_states(make_layer([[0.0, 0.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0]])), MODALITIES, 0.0)
    assert found.verdict == "collapsed"
    assert "exchange.sparsity" not in found.advice
    assert "exchange.threshold" in found.advice
    assert found.settings == {}


def test_a_budget_goes_with_own_parts(make_layer) -> None:
    layer = make_layer([[1.0] * 4, [1.0] * 4], replace="anywhere")
    found = diagnose(layer_states(layer), MODALITIES, 1e-3)
    assert found.settings == {"exchange.budget": 0.3, "exchange.replace": "own-part"}


def test_a_better_threshold_takes_the_place_of_other_settings(make_layer) -> None:
    before = diagnose(layer_states(make_layer([[0.0, 0.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0]])), MODALITIES, 1e-3)
    assert before.settings == {"exchange.sparsity": 5e-4}
    found = with_thresholds(before, what_if_rows(t1=0.5, t5=0.6), 0.1, "ensemble.mean_iou", written)
    assert found.settings == {"exchange.threshold": 0.5}


def test_layers_that_give_up_everything_are_counted(make_layer) -> None:
    net = nn.Sequential(make_layer([[0.0, 1.0], [1.0, 1.0]]), make_layer([[1.0] * 4, [1.0] * 4]))
    found = diagnose(layer_states(net), MODALITIES, 1e-3)
    assert found.verdict == "healthy"
    assert "nearly all of a layer's part (over 95%) is given up by rgb in 1 of 2 layers" in found.evidence


def what_if_rows(**values: float) -> list[ThresholdRow]:
    """Rows of thresholds (t1 = 0.1) with these values of the ensemble's IoU."""
    scores = {name: {"ensemble": SegmentationScores(0, 0, value, (), ())} for name, value in values.items()}
    return [
        ThresholdRow(int(name[1:]) / 10, (), Evaluation("segmentation", "val", "strict", 1, scores[name], {}))
        for name in values
    ]


@pytest.mark.parametrize(
    ("rows", "said", "settings"),
    [
        ({"t0": 0.3, "t1": 0.5, "t5": 0.51}, "; at 0.5 it would be 51.00", {"exchange.threshold": 0.5}),
        ({"t0": 0.3, "t1": 0.5, "t5": 0.502}, ", and no other threshold that was tried makes it better by 1%", {}),
        ({"t0": 0.7, "t1": 0.5, "t5": 0.1}, "; at 0 it would be 70.00", {}),
    ],
)
def test_what_other_thresholds_score_is_evidence(network, rows, said, settings) -> None:
    before = diagnose(layer_states(network), MODALITIES, 1e-3)
    found = with_thresholds(before, what_if_rows(**rows), 0.1, "ensemble.mean_iou", written)
    assert found.evidence[-1] == f"at its threshold 0.1 ensemble.mean_iou is 50.00{said}"
    assert found.settings == settings
    better = "exchange.threshold = 0.5 scores better without training"
    without = 'the network is better where nothing is exchanged: compare it with one of exchange.choose = "none"'
    assert found.advice == (better if settings else without if "at 0" in said else before.advice)


def test_thresholds_that_have_no_score_change_nothing(network) -> None:
    before = diagnose(layer_states(network), MODALITIES, 1e-3)
    assert with_thresholds(before, what_if_rows(t1=math.nan, t5=math.nan), 0.1, "ensemble.mean_iou", written) == before


def test_a_better_threshold_is_not_tried_beside_a_budget(make_layer) -> None:
    before = diagnose(layer_states(nn.Sequential(make_layer([[1.0] * 4, [1.0] * 4]))), MODALITIES, 1e-3)
    assert "exchange.budget" in before.settings
    found = with_thresholds(before, what_if_rows(t1=0.5, t5=0.6), 0.1, "ensemble.mean_iou", written)
    assert found.settings == {key: value for key, value in before.settings.items() if key != "exchange.budget"} | {
        "exchange.threshold": 0.5
    }
    assert found.advice == f"exchange.threshold = 0.5 scores better without training; or {before.advice}"
