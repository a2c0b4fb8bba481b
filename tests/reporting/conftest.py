"""Records with round numbers, and a console that is a file of 80 columns."""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Callable

import pytest
from rich.console import Console

from cen_cli.results import (
    DryRun,
    Evaluation,
    ReplacedCount,
    RunSummary,
    SegmentationScores,
    StepReport,
    TrainingPlan,
    TranslationScores,
    ValidationReport,
)


@pytest.fixture
def console() -> Console:
    """A piped console of 80 columns; `console.file.getvalue()` is what was printed."""
    return Console(file=io.StringIO(), width=80, markup=False)


@pytest.fixture
def evaluation() -> Evaluation:
    def scores(iou: float) -> SegmentationScores:
        return SegmentationScores(0.9, 0.8, iou, (0.5, 1.0, math.nan), (iou, 1.0, math.nan))

    branches = {"rgb": scores(0.25), "depth": scores(0.375), "ensemble": scores(0.5)}
    weights = {"rgb": 0.75, "depth": 0.25}
    return Evaluation("segmentation", "test", "strict", 1654, branches, weights, ("wall", "floor", "ceiling"))


@pytest.fixture
def translation() -> Evaluation:
    """Without distances."""
    branches = {
        "shade": TranslationScores(0.25, 0.125, 12.5, 0.5),
        "texture": TranslationScores(0.2, 0.1, 13.0, 0.55),
        "ensemble": TranslationScores(0.15, 0.05, 15.0, 0.625),
    }
    return Evaluation("translation", "val", "strict", 300, branches, {"shade": 0.75, "texture": 0.25})


@pytest.fixture
def measured(translation: Evaluation) -> Evaluation:
    """The same with distances; KID has no spread."""
    far = {"fid": 123.456, "fid_low": 120.0, "fid_high": 130.25, "kid": 0.0123}
    scores = {name: dataclasses.replace(item, **far) for name, item in translation.scores.items()}
    return dataclasses.replace(translation, scores=scores, notes=("FID of 300 images: few",))


@pytest.fixture
def plan() -> TrainingPlan:
    return TrainingPlan(
        name="rooms",
        task="segmentation",
        device="cpu",
        precision="fp32",
        modalities=("rgb", "depth"),
        train_samples=1600,
        validation_samples=300,
        epochs=10,
        steps_per_epoch=100,
        parameters={"encoder": 700_000, "decoder": 300_000, "gamma": 1_000, "ensemble": 2},
        first_exchange_step=1234,
        exchanges=("encoder.layer1.bn1",),
        changed={"train.epochs": 10, "train.precision": "bf16"},
        run="runs/rooms-1",
    )


@pytest.fixture
def dry(plan: TrainingPlan) -> DryRun:
    return DryRun(plan, 61_300_000_000, 4 * 2**20, 3 * 2**20, 2**30, 8 * 2**20, {"rgb": 2.5, "total": 5.0}, 1.25)


@pytest.fixture
def step() -> Callable[..., StepReport]:
    """A function from the step and the replaced share to a report."""

    def make(number: int, share: float = 0.5) -> StepReport:
        replaced = round(1000 * share)
        counts = (ReplacedCount("rgb", replaced, 1000, 2000, fallen=replaced), ReplacedCount("depth", 100, 1000, 2000))
        losses = {"rgb": 1.5, "sparsity": 0.01234567, "total": 2.5}
        return StepReport(1 + number // 100, number, losses, {"encoder": 5e-4}, counts, 1000, 41.26)

    return make


@pytest.fixture
def validation(evaluation: Evaluation) -> ValidationReport:
    return ValidationReport(1, 100, evaluation, "ensemble.mean_iou", 0.5, is_best=True)


@pytest.fixture
def summary(evaluation: Evaluation) -> RunSummary:
    replaced = (ReplacedCount("rgb", 960, 1000, 2000, fallen=960), ReplacedCount("depth", 100, 1000, 2000))
    return RunSummary("runs/rooms-1", 10, 1000, 3725, evaluation, evaluation, 900, "ensemble.mean_iou", replaced)
