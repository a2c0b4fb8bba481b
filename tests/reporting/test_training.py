from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable

import pytest
from rich.console import Console

from cen_cli.reporting import training
from cen_cli.reporting.training import Clock, TrainingDisplay, end_line, step_line, validation_line
from cen_cli.results import SILENT, Evaluation, RunSummary, StepReport, TrainingPlan, ValidationReport

MakeStep = Callable[..., StepReport]


def test_step_line(step: MakeStep) -> None:
    assert step_line(step(120), 65.0) == (
        "epoch 2 | step 120/1000 | loss rgb 1.5 sparsity 0.01235 total 2.5 | replaced rgb 50.0%, depth 10.0%"
        " | lr encoder 0.0005 | 41.3 samples/s | left 0:01:05"
    )


def test_step_line_without_exchange(step: MakeStep) -> None:
    line = step_line(dataclasses.replace(step(120), replaced=()), None)
    assert "replaced" not in line
    assert line.endswith("left -:--:--")


def test_step_line_warns_of_saturation(step: MakeStep) -> None:
    assert "rgb 96.0% (collapsed: cen analyze-gammas says why), depth 10.0%" in step_line(step(120, share=0.96), None)


def test_validation_line(validation: ValidationReport) -> None:
    line = "validation | epoch 1 | step 100 | mean IoU % rgb 25.00 depth 37.50 ensemble 50.00 | ensemble.mean_iou 50.00"
    assert validation_line(validation) == f"{line} (best so far)"
    assert validation_line(dataclasses.replace(validation, is_best=False)) == line


def test_validation_line_of_a_translation(translation: Evaluation) -> None:
    report = ValidationReport(1, 100, translation, "ensemble.psnr", 15.0, is_best=True)
    assert validation_line(report) == (
        "validation | epoch 1 | step 100 | MAE shade 0.2500 texture 0.2000 ensemble 0.1500 | ensemble.psnr 15.00"
        " (best so far)"
    )


def test_end_line(summary: RunSummary) -> None:
    assert end_line(summary) == "finished 1000 steps in 1:02:05, best at step 900"


def test_clock_counts_from_the_first_report_so_that_a_resumed_run_is_right() -> None:
    clock = Clock()
    assert clock.remaining(1000, now=0.0) is None
    clock.tick(500, now=100.0)
    assert clock.remaining(1000, now=100.0) is None
    clock.tick(600, now=150.0)  # half a second a step
    assert clock.remaining(1000, now=150.0) == pytest.approx(200)
    assert clock.remaining(1000, now=180.0) == pytest.approx(170)
    assert clock.remaining(1000, now=1000.0) == 0


def test_piped_display_is_one_line_per_event(
    console: Console, plan: TrainingPlan, step: MakeStep, validation: ValidationReport, summary: RunSummary
) -> None:
    with TrainingDisplay(console) as display:
        display.on_start(plan)
        before = len(console.file.getvalue().splitlines())
        display.on_step(step(20))
        display.on_validation(validation)
        display.on_note("first exchange at step 30 [sic]")
        display.on_end(summary)
    text = console.file.getvalue()
    lines = text.splitlines()[before:]
    assert [line.split(" ")[0] for line in lines] == ["epoch", "validation", "note:", "finished"]
    assert lines[2] == "note: first exchange at step 30 [sic]"
    assert "\x1b" not in text


@pytest.fixture
def terminal() -> Console:
    return Console(file=io.StringIO(), width=100, force_terminal=True, force_interactive=True, color_system=None)


def test_progress_is_shown_from_the_first_steps_on(
    terminal: Console, console: Console, plan: TrainingPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(training.time, "monotonic", lambda: now)
    with TrainingDisplay(console) as lines, TrainingDisplay(terminal) as live:
        for display in (lines, live):
            display.on_start(plan)
        for number in (1, 2, 3):
            now += 2.0
            lines.on_progress(1, number, 1000)
            live.on_progress(1, number, 1000)
        terminal.print(live._view())
    shown = [line for line in console.file.getvalue().splitlines() if line.startswith("epoch 1 | step")]
    assert shown == ["epoch 1 | step 2/1000 | left 0:33:16"]
    assert "3/1000" in terminal.file.getvalue()
    assert "left 0:33:14" in terminal.file.getvalue()


def test_terminal_display_shows_progress_and_gives_the_terminal_back(
    terminal: Console, plan: TrainingPlan, step: MakeStep, validation: ValidationReport, summary: RunSummary
) -> None:
    with TrainingDisplay(terminal) as display:
        display.on_start(plan)
        display.on_step(step(20, share=0.99))
        display.on_validation(validation)
        terminal.print(display._view())
        display.on_end(summary)
    text = terminal.file.getvalue()
    assert "20/1000" in text
    assert "99.0% of 1,000 pressed replaced" in text
    assert "collapsed: cen analyze-gammas says why" in text
    assert "best, step 100" in text
    assert text.rstrip().endswith("best at step 900")
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # the cursor is visible again


def test_terminal_display_of_a_translation(
    terminal: Console, plan: TrainingPlan, step: MakeStep, translation: Evaluation
) -> None:
    with TrainingDisplay(terminal) as display:
        display.on_start(plan)
        display.on_step(dataclasses.replace(step(20), replaced=()))
        display.on_validation(ValidationReport(1, 100, translation, "ensemble.mae", 0.15, is_best=True))
        before = len(terminal.file.getvalue())
        terminal.print(display._view())
    shown = [line.split() for line in terminal.file.getvalue()[before:].splitlines()]
    assert ["MAE", "shade", "texture", "ensemble"] in shown
    assert ["best,", "step", "100", "0.2500", "0.2000", "0.1500"] in shown
    assert not any("replaced" in line for line in shown)


def test_terminal_is_given_back_after_an_error(terminal: Console, plan: TrainingPlan) -> None:
    display = TrainingDisplay(terminal)

    def fail() -> None:
        with display:
            display.on_start(plan)
            raise RuntimeError("diverged")

    with pytest.raises(RuntimeError, match="diverged"):
        fail()
    text = terminal.file.getvalue()
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def test_nobody_listening_prints_nothing(
    capfd: pytest.CaptureFixture[str],
    plan: TrainingPlan,
    step: MakeStep,
    validation: ValidationReport,
    summary: RunSummary,
) -> None:
    SILENT.on_start(plan)
    SILENT.on_step(step(20))
    SILENT.on_validation(validation)
    SILENT.on_note("note")
    SILENT.on_end(summary)
    with SILENT.counting("work") as advance:
        advance(1, 2)
    assert capfd.readouterr() == ("", "")
