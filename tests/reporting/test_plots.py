from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from cen_cli.errors import CenError
from cen_cli.reporting import plots
from cen_cli.reporting.sweep_plots import write_sweep_figure
from cen_cli.results import SweepCell, SweepReport, SweepRow
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
        out=tmp_path / "a.png",
    )
    pixels = picture(out)
    dark = (pixels == (0, 34, 78)).all(axis=-1)  # both ends of the colour map fill one panel each
    bright = (pixels == (254, 232, 56)).all(axis=-1)
    assert dark.mean() > 0.2
    assert bright.mean() > 0.2


def test_shares_above_the_pressed_part_have_colours_of_their_own(tmp_path: Path) -> None:
    shares = np.full((2, 5, 2), [1.0, 2.0])
    layers = [f"encoder.{index}" for index in range(5)]
    out = plots.replaced_over_steps(
        np.arange(2), shares, layers=layers, modalities=("rgb", "depth"), out=tmp_path / "a.png"
    )
    bright = (picture(out) == (254, 232, 56)).all(axis=-1)
    assert 0.2 < bright.mean() < 0.45, "one panel, not both"


KEYS = ("exchange.sparsity", "exchange.threshold")


def row(group: str, variant: str, means: tuple[float, float], replaced_std: float) -> SweepRow:
    values = dict(enumerate(means))
    cell = SweepCell("ensemble.mean_iou", values, sum(means) / 2, 0.05, None, math.nan, math.nan)
    return SweepRow(group, variant, variant, 2, 2, 0, (cell,), 0.2, replaced_std)


def test_a_panel_per_group_and_key_with_both_spreads(tmp_path: Path) -> None:
    values = {"default": (1e-3, 1e-2), "lambda": (1e-2, 1e-2), "theta": (1e-3, 1e-3)}

    def drawn(groups: tuple[str, ...], keys: tuple[str, ...], replaced_std: float = 0.1) -> np.ndarray:
        rows = [row(group, variant, (0.4, 0.5), replaced_std) for group in groups for variant in values]
        report = SweepReport("t", "", "default", "val", "segmentation", tuple(rows))
        settings = {(each.group, each.variant): dict(zip(keys, values[each.variant], strict=False)) for each in rows}
        return picture(write_sweep_figure(tmp_path / "a.png", report, settings, ["ensemble.mean_iou"]))

    four, one = drawn(("a task", "another"), KEYS), drawn(("a task",), KEYS[:1])
    assert four.shape[1] > 3 * one.shape[1]
    assert (one != drawn(("a task",), KEYS[:1], replaced_std=0.0)).any()


def test_a_row_of_value_0_has_a_place_and_shares_may_pass_100(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"default": 1e-3, "lambda": 1e-2, "off": 0.0}
    rows = tuple(dataclasses.replace(row("", name, (0.4, 0.5), 0.1), replaced=1.3) for name in values)
    report = SweepReport("t", "", "default", "val", "segmentation", rows)
    settings = {("", name): {KEYS[0]: value} for name, value in values.items()}
    figures = []
    monkeypatch.setattr("cen_cli.reporting.sweep_plots.write_figure", lambda figure, path: figures.append(figure))
    write_sweep_figure(tmp_path / "a.png", report, settings, ["ensemble.mean_iou"])
    [scores, shares] = figures[0].axes
    assert scores.get_xlim()[0] <= 0.0
    assert scores.get_xscale() == "symlog"
    assert shares.get_ylim()[1] > 130


def test_the_reference_row_alone_is_within_its_panel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = SweepReport("t", "", "default", "val", "segmentation", (row("", "default", (0.4, 0.5), 0.1),))
    figures = []
    monkeypatch.setattr("cen_cli.reporting.sweep_plots.write_figure", lambda figure, path: figures.append(figure))
    write_sweep_figure(tmp_path / "a.png", report, {("", "default"): {KEYS[0]: 1e-2}}, ["ensemble.mean_iou"])
    low, high = figures[0].axes[0].get_xlim()
    assert low < 5e-3 < 2e-2 < high


def test_without_a_reference_row_it_is_said(tmp_path: Path) -> None:
    rows = (row("", "lambda", (0.4, 0.5), 0.1),)
    report = SweepReport("t", "", "default", "val", "segmentation", rows)
    with pytest.raises(CenError, match=r"a.png: no group has its reference row, default, yet"):
        write_sweep_figure(tmp_path / "a.png", report, {("", "lambda"): {KEYS[0]: 1e-2}}, ["ensemble.mean_iou"])
