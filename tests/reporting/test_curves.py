from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from cen_cli.reporting import curves
from cen_cli.reporting.figures import COLOURS
from cen_cli.results import Evaluation, LoggedStep, LoggedValidation, ReplacedCount, RunLog


@pytest.fixture
def log(evaluation: Evaluation) -> RunLog:
    """Two epochs of 100 steps."""
    steps = tuple(
        LoggedStep(
            1 + step // 101,
            step,
            {"rgb": 2 - step / 200, "depth": 3 - step / 100, "ensemble": 1.5, "sparsity": 1 / step, "total": 6.0},
            {"encoder": 1e-3, "decoder": 1e-3, "gamma": 2e-3},
            (ReplacedCount("rgb", step, 400, 800), ReplacedCount("depth", 0, 400, 800)),
        )
        for step in (50, 100, 150, 200)
    )
    validations = tuple(LoggedValidation(epoch, 100 * epoch, evaluation) for epoch in (1, 2))
    return RunLog(steps, validations)


def test_all_that_was_logged_is_drawn_and_branches_keep_their_colours(log: RunLog, tmp_path: Path) -> None:
    drawn = curves.draw_curves(log, ("rgb", "depth"), tmp_path)
    assert [path.name for path in drawn] == ["losses.png", "rates.png", "scores.png", "replaced.png"]
    for path in drawn:
        with Image.open(path) as image:
            assert image.size == (round(curves.WIDTH * curves.DPI), round(curves.HEIGHT * curves.DPI))
            found = {colour for _, colour in image.convert("RGB").getcolors(maxcolors=2**20)}
        branches = {tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5)) for colour in COLOURS[:2]}
        assert branches <= found, path.name  # the rates are drawn in the same two


def test_nothing_is_drawn_of_nothing(log: RunLog, tmp_path: Path) -> None:
    assert curves.draw_curves(RunLog(), ("rgb",), tmp_path) == []
    bare = RunLog(tuple(LoggedStep(s.epoch, s.step, s.losses, s.learning_rates, ()) for s in log.steps[:1]))
    assert [path.stem for path in curves.draw_curves(bare, ("rgb", "depth"), tmp_path)] == ["losses", "rates"]


def test_more_branches_than_colours_leave_one_for_the_other_terms(tmp_path: Path) -> None:
    branches = [f"m{index}" for index in range(8)]
    steps = tuple(
        LoggedStep(1, 10, {name: 1.0 + n for n, name in enumerate([*branches, "total"])}, {}, ()) for _ in "a"
    )
    assert curves.loss_curves(RunLog(steps), branches, tmp_path / "a.png").is_file()


def test_a_loss_that_may_be_negative_is_drawn(log: RunLog, tmp_path: Path) -> None:
    steps = [LoggedStep(1, 10, {"alignment": -0.1, "total": 5.0}, {"encoder": 0.0}, ())]
    assert curves.loss_curves(RunLog(tuple(steps)), (), tmp_path / "a.png").is_file()


def test_equal_series_share_a_line() -> None:
    found = curves.merged({"encoder": [1, 2], "decoder": [1, 2], "gamma": [2, 2]})
    assert found == {"encoder, decoder": (1, 2), "gamma": (2, 2)}
