from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from rich.console import Console

from cen_cli.reporting import robustness, tables
from cen_cli.reporting.robustness import render_robustness, write_corruptions
from cen_cli.results import (
    CorruptedScores,
    Evaluation,
    Fill,
    MissingScores,
    Reliance,
    Robustness,
    SegmentationScores,
    as_json,
)


def worse(evaluation: Evaluation, by: float) -> Evaluation:
    """Every IoU less by so much."""
    scores = {
        name: dataclasses.replace(
            item, mean_iou=item.mean_iou - by, class_iou=(item.class_iou[0] - by, *item.class_iou[1:])
        )
        for name, item in evaluation.scores.items()
        if isinstance(item, SegmentationScores)
    }
    return dataclasses.replace(evaluation, scores=dict(scores))


@pytest.fixture
def report(evaluation: Evaluation) -> Robustness:
    def drop(by: float) -> dict[str, float]:
        return dict.fromkeys(evaluation.scores, by)

    missing = [
        MissingScores(worse(evaluation, by), drop(by), present, gone, fill)
        for present, gone, by in ((("depth",), ("rgb",), 0.125), (("rgb",), ("depth",), 0.25))
        for fill in (Fill.MEAN, Fill.OTHER)
    ]
    corrupted = [
        CorruptedScores(worse(evaluation, by), drop(by), "depth", "holes", level, share)
        for level, share, by in ((1, 0.1, 0.0625), (2, 0.25, 0.125), (3, 0.5, 0.25))
    ]
    reliance = (
        Reliance("rgb", 0.75, 0.25, {"rgb": 0.2, "depth": 0.05}),
        Reliance("depth", 0.25, 0.375, {"rgb": 0.0, "depth": 0.3}),
        Reliance("ensemble", None, 0.5, {"rgb": 0.1, "depth": 0.25}),
    )
    notes = ("depth: no blur (a reason)",)
    return Robustness("mean_iou", 7, evaluation, tuple(missing), tuple(corrupted), reliance, notes)


def printed(console: Console, report: Robustness) -> list[str]:
    tables.show(console, render_robustness(report))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_a_cell_is_the_score_and_its_change(console: Console, report: Robustness) -> None:
    lines = [" ".join(line.split()) for line in printed(console, report)]
    assert lines[0] == "test split, 1,654 samples, strict protocol, seed 7"
    assert "all - 25.00 37.50 50.00" in lines
    assert "depth mean 12.50 -12.50 25.00 -12.50 37.50 -12.50" in lines
    assert "other 12.50 -12.50 25.00 -12.50 37.50 -12.50" in lines  # the subset's name stands once
    assert "rgb mean 0.00 -25.00 12.50 -25.00 25.00 -25.00" in lines
    assert "holes 10% 18.75 -6.25 31.25 -6.25 43.75 -6.25" in lines
    assert "50% 0.00 -25.00 12.50 -25.00 25.00 -25.00" in lines
    assert "rgb 0.750 25.00 -20.00 -5.00" in lines
    assert "ensemble - 50.00 -10.00 -25.00" in lines
    assert "depth 0.250 37.50 0.00 -30.00" in lines
    assert "note: left out: depth: no blur (a reason)" in lines


def test_only_what_was_used_is_explained(console: Console, report: Robustness) -> None:
    text = "\n".join(printed(console, report))
    for words in ("the mean of each channel", "the same modality of another view", "lose their measurement"):
        assert words in text
    for words in ("0 as the network sees it", "noise with the mean", "of the light that is lost"):
        assert words not in text


def test_classes_with_each_modality_missing(console: Console, report: Robustness) -> None:
    lines = [" ".join(line.split()) for line in printed(console, report)]
    assert "IoU per class, percent: ensemble, in the place of what is missing mean" in lines
    assert lines[lines.index("without without") + 1] == "class all rgb depth"
    assert "wall 50.00 37.50 25.00" in lines
    assert "ceiling - - -" in lines


def test_the_last_line_is_for_copying(console: Console, report: Robustness) -> None:
    assert printed(console, report)[-1] == (
        "robustness: split=test seed=7 metric=ensemble.mean_iou all=50.00 depth/mean=37.50 depth/other=37.50 "
        "rgb/mean=25.00 rgb/other=25.00"
    )


def test_it_fits_into_80_columns(console: Console, report: Robustness) -> None:
    assert max(map(len, printed(console, report)[:-1])) <= 80


def test_more_is_worse_for_an_error(console: Console, translation: Evaluation) -> None:
    scores = {name: dataclasses.replace(item, mae=item.mae + 0.05) for name, item in translation.scores.items()}
    altered = dataclasses.replace(translation, scores=scores)
    drop = dict.fromkeys(scores, 0.05)
    line = MissingScores(altered, drop, ("shade",), ("texture",), Fill.ZERO)
    reliance = (Reliance("shade", 0.75, 0.25, {"shade": 0.05, "texture": -0.01}),)
    lines = printed(console, Robustness("mae", 0, translation, (line,), (), reliance, ()))
    text = [" ".join(line.split()) for line in lines]
    assert "shade zero 0.3000 +0.0500 0.2500 +0.0500 0.2000 +0.0500" in text
    assert "shade 0.750 0.2500 +0.0500 -0.0100" in text
    assert [line for line in text if line.startswith("Modalities missing")] == [
        f"Modalities missing: {metric}, and its change" for metric in ("MAE", "PSNR dB", "SSIM")
    ]
    assert not any("IoU" in line or "corrupted" in line for line in text)


def test_many_branches_have_their_change_below_the_score(console: Console, report: Robustness) -> None:
    def wide(evaluation: Evaluation) -> Evaluation:
        first = evaluation.scores["rgb"]
        return dataclasses.replace(evaluation, scores={**dict.fromkeys("abc", first), **evaluation.scores})

    missing = tuple(dataclasses.replace(line, evaluation=wide(line.evaluation)) for line in report.missing)
    lines = printed(console, dataclasses.replace(report, full=wide(report.full), missing=missing, corrupted=()))
    below = next(index for index, line in enumerate(lines) if line.split()[:2] == ["depth", "mean"])
    assert lines[below].split()[2:] == ["12.50"] * 4 + ["25.00", "37.50"]
    assert lines[below + 1].split() == ["-12.50"] * 6


def test_the_plot_has_a_panel_for_each_corruption(report: Robustness, tmp_path: Path) -> None:
    path = write_corruptions(tmp_path / "plots" / "robustness.png", report)
    with Image.open(path) as image:
        assert min(image.size) > 200
        assert len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)) > 20


def test_the_plot_has_the_units_of_the_tables(report: Robustness, tmp_path: Path, monkeypatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(robustness, "write_figure", lambda figure, out: drawn.append(figure))
    write_corruptions(tmp_path / "robustness.png", report)
    axes = drawn[0].axes[0]
    assert axes.get_ylabel().endswith(", percent")
    line = report.corrupted[0]
    assert axes.get_title() == f"{line.modality}: {line.corruption}"
    levels = {drawn.get_label(): drawn.get_xydata() for drawn in axes.get_lines()}["ensemble"]
    assert levels[:2, 0].tolist() == [0, 100 * line.strength]
    assert levels[0, 1] == 100 * report.full.metric(f"ensemble.{report.metric}")


def test_json_holds_every_evaluation(report: Robustness) -> None:
    document = as_json(report)
    assert document["missing"][0]["fill"] == "mean"
    assert document["missing"][0]["evaluation"]["scores"]["ensemble"]["class_iou"] == [0.375, 1.0, None]
    assert document["corrupted"][2]["drop"] == {"rgb": 0.25, "depth": 0.25, "ensemble": 0.25}
