"""What a training is warned of at its end."""

from __future__ import annotations

import dataclasses

from cen_cli.analysis.ending import ending_warnings
from cen_cli.reporting.scores import written
from cen_cli.results import Evaluation, ReplacedCount, RunSummary, SegmentationScores


def summary(ensemble: float, depth: float, replaced: int = 5, found: float = 0.4) -> RunSummary:
    scores = {
        name: SegmentationScores(0.5, 0.5, value, (0.5, found), (0.5, found))
        for name, value in (("rgb", 0.1), ("depth", depth), ("ensemble", ensemble))
    }
    best = Evaluation("segmentation", "val", "strict", 1, scores, {}, class_names=("wall", "lamp"))
    counts = (ReplacedCount("rgb", replaced, 10, 20), ReplacedCount("depth", 0, 10, 20))
    return RunSummary("run", 1, 8, 1.0, best, best, 4, "ensemble.mean_iou", counts)


def said(of: RunSummary) -> list[str]:
    return [text for text, _ in ending_warnings(of, written=written)]


def test_a_good_end_is_silent() -> None:
    assert said(summary(0.5, 0.4)) == []
    assert said(dataclasses.replace(summary(0.5, 0.4), replaced=())) == []


def test_nothing_exchanged() -> None:
    assert said(summary(0.5, 0.4, replaced=0)) == [
        "nothing was exchanged: none of 20 channels was replaced in the best checkpoint, of step 4"
    ]


def test_a_class_that_is_never_found() -> None:
    assert said(summary(0.5, 0.4, found=0.0)) == ["never found on val: lamp"]
    hints = [
        hint
        for weighted in (False, True)
        for _, hint in ending_warnings(summary(0.5, 0.4, found=0.0), written=written, weighted=weighted)
    ]
    assert ['"median"' in hint for hint in hints] == [True, False], "what is set already is no advice"


def test_an_ensemble_below_a_branch() -> None:
    assert said(summary(0.36, 0.41)) == ["the ensemble (mean_iou 36.00) is worse than depth (41.00)"]
    assert said(summary(0.36, 0.365)) != []
    assert said(summary(0.36, 0.363)) == [], "less than a hundredth of the score is no finding"
