"""Robustness: what is planned, how drops count, and what each branch is found to rely on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from cen_cli import builders
from cen_cli.analysis.robustness import Plan, plan_robustness, score_robustness
from cen_cli.data.sets.nyudv2 import NYUDv2
from cen_cli.data.views import ViewDataset
from cen_cli.errors import DataError
from cen_cli.recipe import load_recipe
from cen_cli.results import ENSEMBLE, Evaluation, Fill, Robustness, SegmentationScores, TranslationScores


@pytest.fixture
def frames(tiny_root: Path) -> NYUDv2:
    return NYUDv2(tiny_root, "val", ("rgb", "depth"), cache=True)


class Unchanged:
    """A scorer of a network that does well where its inputs are those of `whole`: each branch its own, all together."""

    def __init__(self, whole: ViewDataset, task: str = "segmentation") -> None:
        self.whole = whole
        self.task = task

    def __call__(self, views: ViewDataset) -> Evaluation:
        names = [spec.name for spec in views.specs]
        shares = {name: self.share(views, [name]) for name in names} | {ENSEMBLE: self.share(views, names)}
        scores = {
            branch: SegmentationScores(share, share, share, (share,), (share,))
            if self.task == "segmentation"
            else TranslationScores(1 - share, 0.0, 20 * share, share)
            for branch, share in shares.items()
        }
        return Evaluation(self.task, "val", "strict", len(views), dict(scores), dict.fromkeys(names, 0.5), ("wall",))

    def share(self, views: ViewDataset, names: Sequence[str]) -> float:
        same = [
            all(torch.equal(views[i].inputs[name], self.whole[i].inputs[name]) for name in names)
            for i in range(len(views))
        ]
        return sum(same) / len(same)


def test_every_subset_is_planned_with_every_fill(tiny_root: Path) -> None:
    data = NYUDv2(tiny_root, "val", ("rgb", "depth", "normal"))
    plan = plan_robustness(data, [Fill.ZERO, Fill.MEAN], seed=0)
    singles, pairs = [("rgb",), ("depth",), ("normal",)], [("rgb", "depth"), ("rgb", "normal"), ("depth", "normal")]
    expected = [(missing, fill) for missing in (*singles, *pairs) for fill in (Fill.ZERO, Fill.MEAN)]
    assert [(item.modalities, item.fill) for item in plan.missing] == expected
    assert [(item.modalities, item.fill) for item in plan.swapped] == [(names, Fill.OTHER) for names in singles]
    assert len(plan.corrupted) == 9 + 6 + 6
    assert plan.evaluations == 1 + 12 + 3 + 21
    assert plan.notes == (
        "rgb: no holes (an image has no pixels without measurement)",
        "depth: no blur (a mean across an edge or a hole measures nothing), no darkening (a measurement has no light)",
        "normal: no darkening (its values are not light), no holes (an image has no pixels without measurement)",
    )


def test_swaps_that_are_scored_anyway_are_not_scored_twice(frames: NYUDv2) -> None:
    plan = plan_robustness(frames, list(Fill), seed=0)
    assert plan.evaluations == 1 + 8 + 15


def test_one_modality_is_corrupted_and_swapped_and_never_missing(tiny_root: Path) -> None:
    data = NYUDv2(tiny_root, "val", ("depth",))
    plan = plan_robustness(data, list(Fill), seed=0)
    assert plan.missing == ()
    assert len(plan.corrupted) == 6
    assert plan.notes[0] == "depth is the only modality: nothing can be left out"
    report = score_robustness(data, plan, Unchanged(data), metric="mean_iou")
    assert [line.swapped for line in report.reliance] == [{"depth": 1.0}] * 2


def test_a_split_of_one_view_is_refused(frames: NYUDv2) -> None:
    frames.views, frames.names = frames.views[:1], frames.names[:1]
    with pytest.raises(DataError, match="the split has one view"):
        plan_robustness(frames, [Fill.ZERO], seed=0)


@pytest.mark.parametrize(("task", "metric"), [("segmentation", "mean_iou"), ("translation", "mae")])
def test_drops_are_positive_where_it_is_worse_whichever_way_the_metric_counts(
    frames: NYUDv2, task: str, metric: str
) -> None:
    plan = plan_robustness(frames, [Fill.ZERO], seed=0)
    report = score_robustness(frames, plan, Unchanged(frames, task), metric=metric)
    assert [(line.present, line.missing, line.drop) for line in report.missing] == [
        (("depth",), ("rgb",), {"rgb": 1.0, "depth": 0.0, ENSEMBLE: 1.0}),
        (("rgb",), ("depth",), {"rgb": 0.0, "depth": 1.0, ENSEMBLE: 1.0}),
    ]
    assert [line.evaluation.missing for line in report.missing] == [{"rgb": "zero"}, {"depth": "zero"}]
    assert report.full.missing == {}
    for line in report.corrupted:
        assert line.drop == {"rgb": 0.0, "depth": 0.0} | {line.modality: 1.0, ENSEMBLE: 1.0}
        assert line.evaluation.missing == {}
    rows = {line.branch: (line.weight, line.swapped) for line in report.reliance}
    assert rows == {
        "rgb": (0.5, {"rgb": 1.0, "depth": 0.0}),
        "depth": (0.5, {"rgb": 0.0, "depth": 1.0}),
        ENSEMBLE: (None, {"rgb": 1.0, "depth": 1.0}),
    }


def relied_on(recipe_path: Path, *settings: str) -> Robustness:
    """The reliance of an untrained network, scored as `cen eval` does."""
    recipe = load_recipe(str(recipe_path), [*settings, *untouched(recipe_path)])
    data = builders.dataset(recipe, "val")
    torch.manual_seed(0)
    model = builders.network(recipe, len(data.class_names))
    score = builders.scorer(recipe, torch.device("cpu"))
    whole = plan_robustness(data, [Fill.ZERO], seed=0)
    plan = Plan((), (), whole.swapped, (), 0)
    metric = "mae" if recipe.task == "translation" else "mean_iou"
    return score_robustness(data, plan, lambda views: score(model, views, split="val"), metric=metric)


def untouched(path: Path) -> list[str]:
    return ["eval.distances=false"] if "translate" in path.name else []


def test_without_exchange_a_branch_relies_on_its_own_input_alone(tiny_translation_recipe: Path) -> None:
    apart = relied_on(tiny_translation_recipe, "model.fusion=none").reliance
    met = relied_on(tiny_translation_recipe, "exchange.choose=all").reliance
    for line, other in zip(apart[:2], ("texture", "shade"), strict=True):
        assert line.swapped[other] == 0.0
        assert line.swapped[line.branch] != 0.0
    for line, other in zip(met[:2], ("texture", "shade"), strict=True):
        assert line.swapped[other] != 0.0


def test_a_baselines_one_branch_has_a_row(tiny_recipe: Path) -> None:
    (line,) = relied_on(tiny_recipe, "model.fusion=concat").reliance
    assert line.branch == "fused"
    assert line.weight == 1.0
    assert list(line.swapped) == ["rgb", "depth"]
