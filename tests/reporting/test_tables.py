from __future__ import annotations

import dataclasses
import io
import math

import pytest
from rich.console import Console

from cen_cli.reporting import tables
from cen_cli.reporting.formats import duration
from cen_cli.results import DryRun, Evaluation, ExpectedScore, ReplacedCount, RunSummary, TrainingPlan


def printed(console: Console, parts: list) -> list[str]:
    """The lines that the parts print, without trailing spaces."""
    tables.show(console, parts)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def row(lines: list[str], first: str) -> list[str]:
    """The words of the first line that starts with a word."""
    return next(line.split() for line in lines if line.split()[:1] == [first])


def test_scores_per_branch_and_ensemble(console: Console, evaluation: Evaluation) -> None:
    lines = printed(console, tables.render_evaluation(evaluation))
    assert lines[0] == "test split, 1,654 samples, strict protocol"
    assert row(lines, "rgb") == ["rgb", "0.750", "90.00", "80.00", "25.00"]
    assert row(lines, "ensemble") == ["ensemble", "-", "90.00", "80.00", "50.00"]


def test_the_convention_and_one_line_to_copy_stand_under_the_scores(console: Console, evaluation: Evaluation) -> None:
    lines = printed(console, tables.render_evaluation(evaluation))
    text = " ".join(lines)
    assert "One confusion matrix over the split; classes absent from the truth are left out" in text
    assert "void never counts" in text
    assert lines[-1].startswith(
        "metrics: split=test protocol=strict samples=1654 ensemble.pixel_accuracy=90.00 ensemble.mean_accuracy=80.00"
        " ensemble.mean_iou=50.00 depth.pixel_accuracy=90.00"
    )
    assert lines[-1].endswith("rgb.mean_iou=25.00")


def test_expected_scores_are_judged(console: Console, evaluation: Evaluation) -> None:
    expected = [
        ExpectedScore("ensemble.mean_iou", 0.51, 0.02, "S-Table 7", 0.5),
        ExpectedScore("rgb.mean_iou", 0.49, 0.01, "S-Table 7", 0.25),
        ExpectedScore("normal.mean_iou", 0.4, 0.01, "S-Table 7", None),
    ]
    lines = printed(console, tables.render_evaluation(evaluation, expected))
    assert row(lines, "ensemble.mean_iou") == ["ensemble.mean_iou", "51.00", "2.00", "50.00", "met"]
    assert row(lines, "rgb.mean_iou") == ["rgb.mean_iou", "49.00", "1.00", "25.00", "MISSED"]
    assert row(lines, "normal.mean_iou") == ["normal.mean_iou", "40.00", "1.00", "-", "no", "score"]
    assert "rgb.mean_iou       S-Table 7" in lines


def test_expected_scores_of_another_split_are_shown_and_not_judged(console: Console, evaluation: Evaluation) -> None:
    expected = [ExpectedScore("rgb.mean_iou", 0.49, 0.01, "S-Table 7", 0.25, "cen eval on the split test")]
    lines = printed(console, tables.render_evaluation(evaluation, expected))
    assert row(lines, "rgb.mean_iou") == ["rgb.mean_iou", "49.00", "1.00", "25.00", "not", "judged"]
    assert "Not judged here: expected are the scores of cen eval on the split test." in lines


def test_scores_of_a_translation(console: Console, translation: Evaluation) -> None:
    lines = printed(console, tables.render_evaluation(translation))
    assert row(lines, "branch") == ["branch", "weight", "MAE", "MSE", "PSNR", "dB", "SSIM"]
    assert row(lines, "shade") == ["shade", "0.750", "0.2500", "0.1250", "12.50", "0.5000"]
    assert row(lines, "ensemble") == ["ensemble", "-", "0.1500", "0.0500", "15.00", "0.6250"]
    text = "\n".join(lines)
    assert "FID" not in text
    assert "KID" not in text
    assert "prints both x 10^-1, of values whose scale is unknown" in text


def test_distances_stand_in_a_table_of_their_own(console: Console, measured: Evaluation) -> None:
    lines = printed(console, tables.render_evaluation(measured))
    headings = [line for line in lines if line.lstrip().startswith("branch")]
    assert headings[1].split() == ["branch", "FID", "FID", "interval", "KID", "x", "100"]
    assert ["texture", "123.46", "120.00", "..", "130.25", "1.23"] in [line.split() for line in lines]
    assert "note: FID of 300 images: few" in lines
    assert "95% interval" in "\n".join(lines)


def test_a_column_without_any_number_is_left_out(console: Console, translation: Evaluation) -> None:
    small = {name: dataclasses.replace(item, ssim=math.nan) for name, item in translation.scores.items()}
    lines = printed(console, tables.render_evaluation(dataclasses.replace(translation, scores=small)))
    assert row(lines, "branch") == ["branch", "weight", "MAE", "MSE", "PSNR", "dB"]
    small["shade"] = translation.scores["shade"]
    lines = printed(console, tables.score_tables(dataclasses.replace(translation, scores=small)))
    assert ["ensemble", "-", "0.1500", "0.0500", "15.00", "-"] in [line.split() for line in lines]


def test_scores_of_four_inputs_fit_into_eighty_columns(console: Console, measured: Evaluation) -> None:
    names = ("reshading", "edge_texture", "depth_euclidean", "principal_curvature", "ensemble")
    wide = dataclasses.replace(measured.scores["ensemble"], fid=1234.5, fid_low=1200.25, fid_high=1310.5, kid_std=0.001)
    lines = printed(console, tables.score_tables(dataclasses.replace(measured, scores=dict.fromkeys(names, wide))))
    assert "1200.25 .. 1310.50" in "\n".join(lines)
    assert max(len(line) for line in lines) <= 80


def test_what_the_protocols_are_is_said_where_it_departs(console: Console, translation: Evaluation) -> None:
    paper = dataclasses.replace(translation, protocol="paper")
    for evaluation, said in ((translation, False), (paper, True)):
        shown = "\n".join(printed(console, tables.render_evaluation(evaluation)))
        assert ("dropout draws while images" in shown) is said


def test_expected_scores_of_a_translation_keep_their_unit(console: Console, translation: Evaluation) -> None:
    expected = [
        ExpectedScore("ensemble.mae", 0.14, 0.005, "docs", 0.15),
        ExpectedScore("ensemble.fid", 60, 2, "S-Table 6", math.nan),
    ]
    lines = printed(console, tables.render_evaluation(translation, expected))
    assert row(lines, "ensemble.mae") == ["ensemble.mae", "0.1400", "0.0050", "0.1500", "MISSED"]
    assert row(lines, "ensemble.fid") == ["ensemble.fid", "60.00", "2.00", "-", "no", "score"]


def test_a_translation_has_no_classes(translation: Evaluation) -> None:
    assert tables.render_class(translation) == []


def test_a_class_absent_from_the_truth_has_no_score(console: Console, evaluation: Evaluation) -> None:
    lines = printed(console, tables.render_class(evaluation))
    assert row(lines, "wall") == ["wall", "25.00", "37.50", "50.00", "50.00"]
    assert row(lines, "ceiling") == ["ceiling", "-", "-", "-", "-"]


def test_four_branches_fit_into_eighty_columns(console: Console, evaluation: Evaluation) -> None:
    scores = evaluation.scores["ensemble"]
    names = ("rgb", "depth_sensor", "normal", "edge_texture", "ensemble")
    wide = dataclasses.replace(evaluation, scores=dict.fromkeys(names, scores))
    lines = printed(console, tables.render_class(wide))
    assert row(lines, "wall")[1:] == ["50.00"] * 6
    assert max(len(line) for line in lines) <= 80


@pytest.mark.parametrize("width", [30, 60, 80])
def test_no_terminal_is_too_narrow_for_a_number_or_a_name(width: int, evaluation: Evaluation) -> None:
    names = ("photograph", "thermal_camera", "near_infrared", "height_model", "ensemble")
    wide = dataclasses.replace(evaluation, scores=dict.fromkeys(names, evaluation.scores["ensemble"]))
    console = Console(width=width, file=io.StringIO())
    tables.show(console, tables.render_class(wide))
    text = console.file.getvalue()
    assert "…" not in text
    assert all(name in text for name in names)
    assert "wall" in text
    assert console.width == width


def test_plan(console: Console, plan: TrainingPlan) -> None:
    text = "\n".join(printed(console, tables.render_plan(plan)))
    assert "1,000 = 10 epochs x 100" in text
    assert "1,001,002 = 700,000 encoder + 300,000 decoder + 1,000 gamma + 2 ensemble" in " ".join(text.split())
    assert "about step 1,234 from the sparsity penalty alone" in text
    assert "changed         train.epochs = 10\n                train.precision = 'bf16'" in text


def test_plan_names_the_target(console: Console, plan: TrainingPlan) -> None:
    text = "\n".join(printed(console, tables.render_plan(dataclasses.replace(plan, target="normal"))))
    assert "modalities      rgb, depth -> normal\n" in text


def test_plan_without_exchange_in_sight(console: Console, plan: TrainingPlan) -> None:
    lines = printed(console, tables.render_plan(dataclasses.replace(plan, first_exchange_step=None)))
    assert "first exchange  none expected in this run from the sparsity penalty alone" in lines


def test_plan_of_a_network_that_exchanges_nothing(console: Console, plan: TrainingPlan) -> None:
    lines = printed(console, tables.render_plan(dataclasses.replace(plan, exchanges=())))
    assert "first exchange  none, as no layer of this network exchanges" in lines


def test_plan_of_a_control_exchanges_from_the_first_step(console: Console, plan: TrainingPlan) -> None:
    lines = printed(console, tables.render_plan(dataclasses.replace(plan, first_exchange_step=0)))
    assert "first exchange  from the first step" in lines


def test_dry_run_adds_up_its_memory_and_says_that_it_wrote_nothing(console: Console, dry: DryRun) -> None:
    lines = printed(console, tables.render_dry_run(dry))
    text = "\n".join(lines)
    assert "about 1.0 GiB = 4.0 MiB parameters + 3.0 MiB gradients + 1.0 GiB activations + 8.0 MiB" in " ".join(
        text.split()
    )
    assert "61.3 G per training crop" in text
    assert f"about {duration(dry.step_seconds * dry.plan.total_steps)}, loading and validations aside" in text
    assert "losses    rgb 2.5  total 5" in text
    assert lines[-1] == "Dry run: nothing was written."


def test_summary_names_saturation_and_the_next_command(console: Console, summary: RunSummary) -> None:
    lines = printed(console, tables.render_summary(summary))
    assert "best by ensemble.mean_iou, step 900: 1,654 samples, strict protocol" in lines
    assert lines[0] == "last, step 1,000: 1,654 samples, strict protocol"
    assert lines[-3].endswith("rgb 96.0% (collapsed: cen analyze-gammas says why), depth 10.0%")
    assert lines[-2:] == ["1,000 steps, 10 epochs in 1:02:05: runs/rooms-1", "next: cen eval runs/rooms-1"]


def test_summary_shows_one_table_where_the_last_is_the_best(console: Console, summary: RunSummary) -> None:
    lines = printed(console, tables.render_summary(dataclasses.replace(summary, best_step=1000)))
    assert sum("mean IoU" in line for line in lines) == 1


def test_summary_of_a_network_that_cannot_exchange_counts_nothing(console: Console, summary: RunSummary) -> None:
    assert "replaced" not in "\n".join(
        printed(console, tables.render_summary(dataclasses.replace(summary, replaced=())))
    )


def test_summary_of_a_translation(console: Console, summary: RunSummary, translation: Evaluation) -> None:
    ended = dataclasses.replace(summary, best=translation, last=translation, best_by="ensemble.mae")
    lines = printed(console, tables.render_summary(ended))
    assert "best by ensemble.mae, step 900: 300 samples, strict protocol" in lines
    assert sum("MAE" in line and "PSNR" in line for line in lines) == 2  # the last and the best


def test_the_alert_begins_above_95_percent() -> None:
    assert tables.replaced_words(ReplacedCount("rgb", 95, 100, 200, fallen=95)) == "rgb 95.0%"
    assert tables.replaced_words(ReplacedCount("rgb", 96, 100, 200, fallen=96)) == (
        "rgb 96.0% (collapsed: cen analyze-gammas says why)"
    )


def test_recipe_names_are_never_cut(console: Console) -> None:
    name = "sweep-nyudv2-refinenet101-all-channels"
    lines = printed(console, [tables.catalog_table("recipe", {name: "word " * 30})])
    assert row(lines, name)[0] == name
    assert sum("word" in line for line in lines) > 1


def test_brackets_are_shown_as_they_are(console: Console) -> None:
    assert printed(console, ["[bold]runs[/bold]"]) == ["[bold]runs[/bold]"]
