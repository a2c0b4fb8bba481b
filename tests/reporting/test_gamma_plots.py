from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cen_cli.errors import SaveError
from cen_cli.reporting import figures, gamma_plots
from cen_cli.reporting.gamma_plots import NetworkGammas
from cen_cli.results import Attraction, CalibrationBin

RNG = np.random.default_rng(0)


def gammas(records: int, modalities: int, channels: int) -> np.ndarray:
    return RNG.normal(size=(records, modalities, channels)).astype(np.float32)


def parts(modalities: int, channels: int) -> np.ndarray:
    pressed = np.zeros((modalities, channels), dtype=bool)
    for m, chunk in enumerate(np.array_split(np.arange(channels), modalities)):
        pressed[m, chunk] = True
    return pressed


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def colours(pixels: np.ndarray) -> set[str]:
    return {f"#{r:02X}{g:02X}{b:02X}" for r, g, b in np.unique(pixels.reshape(-1, 3), axis=0)}


NAMES = ("rgb", "depth", "normal")


def network(values: np.ndarray, *, layers: tuple[str, ...] = ("layer",), label: str = "a", **settings) -> NetworkGammas:
    """Every layer has the gammas of the last record of `values`, [R, M, C]."""
    records, modalities, channels = values.shape
    given = {
        "label": label,
        "modalities": NAMES[:modalities],
        "gammas": dict.fromkeys(layers, values[-1]),
        "pressed": dict.fromkeys(layers, parts(modalities, channels)),
        "threshold": 0.5,
        "steps": np.arange(records) * 20,
        "history": dict.fromkeys(layers, values),
    }
    return NetworkGammas(**given | settings)


@pytest.mark.parametrize("records", [1, 2, 30])
@pytest.mark.parametrize("modalities", [2, 3])
def test_trajectories(tmp_path: Path, records: int, modalities: int) -> None:
    out = tmp_path / "plots" / "a.png"
    gamma_plots.gamma_trajectories([network(gammas(records, modalities, 12))], "layer", out)
    pixels = picture(out)
    assert pixels.shape[:2] == (374, round((3.6 * modalities + 0.8) * figures.DPI))
    assert {figures.KEPT, figures.FALLEN, "#000000"} <= colours(pixels)


@pytest.mark.parametrize("penalised", [True, False])
def test_trajectories_say_whether_anything_is_pressed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, penalised: bool
) -> None:
    drawn = []
    monkeypatch.setattr(gamma_plots, "write_figure", lambda figure, out: drawn.append(figure))
    values = network(gammas(2, 2, 12), penalised=penalised)
    gamma_plots.gamma_trajectories([values], "layer", tmp_path / "a.png")
    titles = [drawn[0].get_suptitle(), *(axes.get_title() for axes in drawn[0].axes)]
    assert ["pressed" in title for title in titles] == [penalised] * 3


def test_trajectories_of_every_panel_fit_under_one_axis(tmp_path: Path) -> None:
    values = np.full((2, 2, 2), 0.5)
    values[:, 1, 1] = 50
    out = gamma_plots.gamma_trajectories([network(values, threshold=0.1)], "layer", tmp_path / "a.png")
    right = picture(out)[:300, 480:]  # the second panel, without the legend
    assert (np.abs(right.astype(int) - (0, 114, 178)).sum(axis=-1) < 200).any()


def test_trajectories_of_two_networks_stand_below_each_other(tmp_path: Path) -> None:
    kept, fallen = network(np.ones((2, 2, 8))), network(np.full((2, 2, 8), 0.3), label="b")
    without = network(np.ones((2, 2, 8)), steps=None, history=None)
    pixels = picture(gamma_plots.gamma_trajectories([kept, without, fallen], "layer", tmp_path / "a.png"))
    height = round((2.7 * 2 + 0.7) * figures.DPI)
    assert abs(pixels.shape[0] - height) <= 1
    upper, lower = pixels[60 : height // 2 - 20], pixels[height // 2 + 20 : -60]
    blue, red = (np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) for colour in (figures.KEPT, figures.FALLEN))

    def shows(where: np.ndarray, colour: np.ndarray) -> bool:
        return bool((np.abs(where.astype(int) - colour).sum(axis=-1) < 60).any())

    assert (shows(upper, blue), shows(upper, red)) == (True, False)
    assert (shows(lower, blue), shows(lower, red)) == (False, True)


def test_proportions_are_of_absolute_values_and_survive_dead_channels() -> None:
    shares = gamma_plots.proportions(np.array([[-1.0, 0.0, 2.0], [3.0, 0.0, -2.0]]))
    np.testing.assert_allclose(shares, [[0.25, 0.0, 0.5], [0.75, 0.0, 0.5]])


@pytest.mark.parametrize("networks", [1, 3])
def test_proportions_fill_the_plot_with_the_modalities_colours(tmp_path: Path, networks: int) -> None:
    values = np.array([[[1.0] * 8, [3.0] * 8]])
    out = gamma_plots.gamma_proportions([network(values)] * networks, "layer", tmp_path / "a.png")
    pixels = picture(out)
    assert pixels.shape[1] == 880
    assert abs(pixels.shape[0] - (2.6 * networks + 0.6) * figures.DPI) <= 1
    inks = [[int(figures.COLOURS[m][i : i + 2], 16) for i in (1, 3, 5)] for m in (0, 1)]
    filled = [(pixels == ink).all(axis=-1).sum() for ink in inks]
    assert filled[1] == pytest.approx(3 * filled[0], rel=0.1)


def test_own_parts() -> None:
    assert gamma_plots.own_parts(parts(3, 8)) == [(0, 0, 3), (1, 3, 6), (2, 6, 8)]
    assert gamma_plots.own_parts(np.ones((2, 4), dtype=bool)) == []


@pytest.mark.parametrize(("layers", "networks", "columns", "rows"), [(1, 1, 1, 1), (9, 1, 4, 3), (5, 2, 2, 5)])
def test_all_layers_in_one_grid(tmp_path: Path, layers: int, networks: int, columns: int, rows: int) -> None:
    names = tuple(f"encoder.layer{index}.bn" for index in range(layers))
    drawn = [network(gammas(1, 2, 16), layers=names, label=label) for label in "ab"[:networks]]
    pixels = picture(gamma_plots.all_proportions(drawn, tmp_path / "a.png"))
    assert pixels.shape[1] == pytest.approx((2.7 * columns + 0.6) * figures.DPI, abs=1)
    assert pixels.shape[0] == pytest.approx((1.35 * rows + 0.9) * figures.DPI, abs=1)
    assert {figures.COLOURS[0], figures.COLOURS[1]} <= colours(pixels)


def test_theorem_1_with_and_without_a_measurement(tmp_path: Path) -> None:
    ratios = np.linspace(0, 4, 50)
    alone = picture(gamma_plots.theorem_1(ratios, ratios / 4, None, tmp_path / "a.png"))
    bins = (CalibrationBin(0.0, 0.1, 5, 0.05, 0.9, 0.5),)
    both = picture(gamma_plots.theorem_1(ratios, ratios / 4, Attraction(1e-3, 4, (), bins), tmp_path / "b.png"))
    assert both.shape[1] == 2 * alone.shape[1]
    reddish = (both[:, alone.shape[1] :].astype(int) - (213, 94, 0)).__abs__().sum(axis=-1) < 120
    assert reddish.any()


def test_plots_leave_matplotlibs_state_alone(tmp_path: Path) -> None:
    from matplotlib import pyplot

    gamma_plots.gamma_proportions([network(gammas(1, 2, 8))], "layer", tmp_path / "a.png")
    assert pyplot.get_fignums() == []


def test_a_plot_that_cannot_be_written_names_its_path_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SaveError, match=r"could not write .*file/a\.png"):
        gamma_plots.gamma_proportions([network(gammas(1, 2, 8))], "layer", tmp_path / "file" / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_parts_are_not_marked_where_nothing_is_pressed(tmp_path: Path) -> None:
    pressed = network(gammas(1, 2, 12))
    without = dataclasses.replace(pressed, penalised=False)
    layer = next(iter(pressed.gammas))
    drawn = [
        picture(gamma_plots.gamma_proportions([each], layer, tmp_path / f"{each.penalised}.png"))
        for each in (pressed, without)
    ]
    assert (drawn[0] != drawn[1]).any()
