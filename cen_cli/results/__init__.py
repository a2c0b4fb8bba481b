"""Frozen records handed between floors: what the engine and the analyses return and what reporting shows.

Plain Python values only (no tensors, no torch), so that every record can be written as JSON with `as_json`.
"""

# ruff: noqa: F401 (what is imported here is offered)
from __future__ import annotations

from cen_cli.results.analysis import (
    Attraction,
    AttractionRow,
    CalibrationBin,
    ExchangeStatistics,
    GammaAnalysis,
    WrittenReport,
)
from cen_cli.results.channels import (
    TOTAL,
    ExchangeRow,
    GainRow,
    GammaDiagnosis,
    GammaRecovery,
    GammaRow,
    ReplacedAtStep,
    ReplacedCount,
    ThresholdRow,
)
from cen_cli.results.conventions import COLLAPSED, FULL_RANGE, RESERVED, SPLITS, VOID, below_threshold
from cen_cli.results.listener import SILENT, Advance, Listener, unheard
from cen_cli.results.log import (
    Health,
    LoggedHealth,
    LoggedStep,
    LoggedValidation,
    PartHealth,
    RunLog,
    RunProgress,
    unread_streams,
)
from cen_cli.results.networks import Bench, Compaction, Compared, Conversion, Export, PartCost, PartTime, Peak, Spread
from cen_cli.results.pictures import (
    ClassShare,
    Frame,
    PictureRow,
    Prediction,
    Predictions,
    Translations,
)
from cen_cli.results.records import as_json, from_json
from cen_cli.results.robustness import AlteredScores, CorruptedScores, Fill, MissingScores, Reliance, Robustness
from cen_cli.results.scores import (
    ENSEMBLE,
    LOWER_IS_BETTER,
    SCALAR_METRICS,
    SCORES,
    Evaluation,
    EvaluationReport,
    ExpectedScore,
    Scores,
    SegmentationScores,
    TranslationScores,
    is_better,
    lower_is_better,
)
from cen_cli.results.sweeps import (
    MemberOutcome,
    NetworkCost,
    PlannedMember,
    SweepCell,
    SweepReport,
    SweepRow,
    SweepVerdict,
    commonest_metric,
)
from cen_cli.results.training import DryRun, RunSummary, StepReport, TrainingPlan, ValidationReport
