"""The words of a run's page: the verdict, and what is said to be absent."""

from __future__ import annotations

import dataclasses

import pytest

from cen_cli.reporting.html import rendered
from cen_cli.reporting.run_page import RunReport, judged, run_page
from cen_cli.results import (
    Evaluation,
    ExchangeRow,
    ExpectedScore,
    GammaDiagnosis,
    LoggedValidation,
    RunLog,
    RunProgress,
)
from tests.pages import check_page


@pytest.fixture
def report(evaluation: Evaluation) -> RunReport:
    """Three modalities; the best validation is not the last one."""
    first, last = LoggedValidation(1, 100, evaluation), LoggedValidation(2, 200, evaluation)
    rows = [
        ExchangeRow("rgb", 4, 10, 30, "layer1", {"depth": 0.75, "normal": 0.25}),
        ExchangeRow("rgb", 4, 10, 30, "total", {"depth": 0.75, "normal": 0.25}),
    ]
    return RunReport(
        run="runs/<odd> name",
        recipe="rooms",
        task="segmentation",
        modalities=("rgb", "depth", "normal"),
        target=None,
        changed={"data.inputs": ("rgb", "depth"), "data.cache": True},
        toml='task = "segmentation"\n',
        environment={"command": ["cen", "train", "a b.toml"], "git_commit": None, "data": {"train": "0" * 64}},
        progress=RunProgress(2, 2, 200, 61.0),
        log=RunLog((), (first, last)),
        best=first,
        of_best=True,
        best_by="ensemble.mean_iou",
        expected=(),
        scored_split="test",
        diagnosis=GammaDiagnosis("healthy", ("rgb: some",), "nothing needs changing"),
        gammas=(),
        recoveries=(),
        stages=rows,
        layers=rows,
        records=(),
        plots={},
        views=None,
        views_absent="No views.",
        commands=[("Score it", "cen eval 'runs/<odd> name'")],
    )


def expect(value: float) -> ExpectedScore:
    return ExpectedScore("ensemble.mean_iou", value, 0.01, "somewhere", 0.5)


@pytest.mark.parametrize(
    ("changes", "tone", "headline"),
    [
        ({}, "good", "Trained to the end"),
        ({"expected": (expect(0.5),)}, "good", "Trained, and as good as the recipe expects"),
        ({"expected": (expect(0.5), expect(0.9))}, "bad", "Trained, but below what the recipe expects"),
        (
            {"diagnosis": GammaDiagnosis("collapsed", (), "lower exchange.sparsity")},
            "bad",
            "Trained, but the exchange is not healthy: collapsed",
        ),
        ({"diagnosis": GammaDiagnosis("no exchange", (), "")}, "good", "Trained to the end"),
        (
            {"progress": RunProgress(1, 2, 100, 1.0, settled=True)},
            "good",
            "Trained until ensemble.mean_iou got no better",
        ),
        ({"progress": RunProgress(1, 2, 100, 1.0), "expected": (expect(0.9),)}, "open", "Not finished: 1 of 2 epochs"),
    ],
)
def test_the_verdict_names_the_worst(report: RunReport, changes: dict, tone: str, headline: str) -> None:
    assert judged(dataclasses.replace(report, **changes)) == (tone, headline)


def test_the_page_says_what_is_there_and_what_is_not(report: RunReport) -> None:
    problems, text, images = check_page(rendered(run_page(report)))
    assert problems == []
    assert images == 0
    assert "<odd> name" in text
    assert "mean IoU % on test: rgb 25.00, depth 37.50, ensemble 50.00 (best by ensemble.mean_iou, epoch 1)." in text
    assert "Exchange: healthy. Replaced of the pressed channels: rgb 40.0%." in text
    assert "layer1 rgb 4 10 30 40.0 13.3 depth 75, normal 25" in text
    assert "Last validation: epoch 2, step 200" in text
    assert "data.inputs rgb, depth" in text
    assert "data.cache true" in text
    assert "cen train 'a b.toml'" in text
    assert "git commit" not in text
    for absent in ("Nothing has been logged yet.", "No gammas were recorded", "No views."):
        assert absent in text


def test_the_page_says_which_checkpoint_it_is_of(report: RunReport) -> None:
    whose = dataclasses.replace(report, progress=RunProgress(2, 2, 200, 61.0, best_step=100), of_best=False)
    assert (
        "of the newest checkpoint, of step 200, since the best checkpoint, of step 100, is missing"
        in check_page(rendered(run_page(whose)))[1]
    )


def test_advice_stands_with_the_commands_where_something_is_wrong(report: RunReport) -> None:
    sick = dataclasses.replace(report, diagnosis=GammaDiagnosis("collapsed", (), "lower exchange.sparsity"))
    text = check_page(rendered(run_page(sick)))[1]
    assert text.index("Lower exchange.sparsity.") > text.index("Environment")
