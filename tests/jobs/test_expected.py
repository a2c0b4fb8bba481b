"""Expected scores beside obtained ones."""

from __future__ import annotations

from cen_cli.jobs.expected import expected_scores
from cen_cli.recipe import load_recipe
from cen_cli.results import Evaluation, SegmentationScores


def test_expected_scores_stand_beside_what_was_obtained() -> None:
    score = SegmentationScores(0.8, 0.6, 0.505, (0.6,), (0.505,))
    evaluation = Evaluation(
        "segmentation", "test", "strict", 1, {"rgb": score, "ensemble": score}, {"rgb": 1.0}, ("x",)
    )
    settings = ['expected."depth.mean_iou"={value=0.4, tolerance=0.1, source="x"}']
    lines = {line.metric: line for line in expected_scores(load_recipe("nyudv2", settings), evaluation)}
    assert lines["ensemble.mean_iou"].obtained == 0.505
    assert lines["ensemble.mean_iou"].met
    assert not lines["ensemble.mean_accuracy"].met
    assert lines["depth.mean_iou"].obtained is None
    assert lines["depth.mean_iou"].met is None
