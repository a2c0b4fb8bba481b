from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from cen_cli.reporting import plots
from tests.reporting.test_gamma_plots import picture


@pytest.mark.parametrize("records", [1, 2, 30])
def test_replaced_over_steps(tmp_path: Path, records: int) -> None:
    shares = np.zeros((records, 5, 2))
    shares[:, :, 1] = 1
    out = plots.replaced_over_steps(
        np.arange(records) * 20,
        shares,
        layers=[f"encoder.{index}" for index in range(5)],
        modalities=("rgb", "depth"),
        title="replaced",
        out=tmp_path / "a.png",
    )
    pixels = picture(out)
    dark = (pixels == (0, 34, 78)).all(axis=-1)  # both ends of the colour map fill one panel each
    bright = (pixels == (254, 232, 56)).all(axis=-1)
    assert dark.mean() > 0.2
    assert bright.mean() > 0.2


def test_a_panel_per_curve_with_both_spreads(tmp_path: Path) -> None:
    curve = plots.Curve("a task", "theta", "mean IoU, %", [1e-3, 1e-2], [40.0, 50.0], [5.0, 1.0], [20, 60], [10, 0])
    out = plots.score_and_share([curve] * 4, title="t", bars="bars: standard deviation", out=tmp_path / "a.png")
    four = picture(out)
    one = picture(plots.score_and_share([curve], title="t", bars="b", out=tmp_path / "b.png"))
    assert four.shape[1] > 3 * one.shape[1]
    steady = dataclasses.replace(curve, share_spreads=[0, 0])
    without = picture(plots.score_and_share([steady], title="t", bars="b", out=tmp_path / "c.png"))
    assert (one != without).any()
