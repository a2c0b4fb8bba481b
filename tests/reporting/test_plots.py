from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cen_cli.errors import SaveError
from cen_cli.reporting import plots

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


@pytest.mark.parametrize("records", [1, 2, 30])
@pytest.mark.parametrize("modalities", [2, 3])
def test_trajectories(tmp_path: Path, records: int, modalities: int) -> None:
    names = ("rgb", "depth", "normal")[:modalities]
    out = plots.gamma_trajectories(
        np.arange(records) * 20,
        gammas(records, modalities, 12),
        parts(modalities, 12),
        modalities=names,
        threshold=0.5,
        title="layer",
        out=tmp_path / "plots" / "a.png",
    )
    pixels = picture(out)
    assert pixels.shape[:2] == (374, round((3.6 * modalities + 0.8) * plots.DPI))
    assert {plots.KEPT, plots.FALLEN, "#000000"} <= colours(pixels)


def test_trajectories_of_every_panel_fit_under_one_axis(tmp_path: Path) -> None:
    values = np.full((2, 2, 2), 0.5)
    values[:, 1, 1] = 50
    out = plots.gamma_trajectories(
        np.array([0, 20]), values, parts(2, 2), modalities=("a", "b"), threshold=0.1, title="t", out=tmp_path / "a.png"
    )
    right = picture(out)[:300, 480:]  # the second panel, without the legend
    assert (np.abs(right.astype(int) - (0, 114, 178)).sum(axis=-1) < 200).any()


def test_proportions_are_of_absolute_values_and_survive_dead_channels() -> None:
    shares = plots.proportions(np.array([[-1.0, 0.0, 2.0], [3.0, 0.0, -2.0]]))
    np.testing.assert_allclose(shares, [[0.25, 0.0, 0.5], [0.75, 0.0, 0.5]])


def test_proportions_fill_the_plot_with_the_modalities_colours(tmp_path: Path) -> None:
    values = np.array([[1.0] * 8, [3.0] * 8])
    out = plots.gamma_proportions(
        values, parts(2, 8), modalities=("rgb", "depth"), title="layer", out=tmp_path / "a.png"
    )
    pixels = picture(out)
    assert pixels.shape[:2] == (352, 880)
    filled = [(pixels == [int(plots.COLOURS[m][i : i + 2], 16) for i in (1, 3, 5)]).all(axis=-1).sum() for m in (0, 1)]
    assert filled[1] == pytest.approx(3 * filled[0], rel=0.1)


def test_own_parts() -> None:
    assert plots.own_parts(parts(3, 8)) == [(0, 0, 3), (1, 3, 6), (2, 6, 8)]
    assert plots.own_parts(np.ones((2, 4), dtype=bool)) == []


@pytest.mark.parametrize("layers", [1, 4, 9])
def test_all_layers_in_one_grid(tmp_path: Path, layers: int) -> None:
    values = {f"encoder.layer{index}.bn": gammas(1, 2, 16)[0] for index in range(layers)}
    pressed = {name: parts(2, 16) for name in values}
    out = plots.all_proportions(values, pressed, modalities=("rgb", "depth"), title="all", out=tmp_path / "a.png")
    pixels = picture(out)
    columns, rows = min(4, layers), -(-layers // 4)
    assert pixels.shape[1] == pytest.approx((2.7 * columns + 0.6) * plots.DPI, abs=1)
    assert pixels.shape[0] == pytest.approx((1.35 * rows + 0.9) * plots.DPI, abs=1)
    assert {plots.COLOURS[0], plots.COLOURS[1]} <= colours(pixels)


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


def test_plots_leave_matplotlibs_state_alone(tmp_path: Path) -> None:
    from matplotlib import pyplot

    plots.gamma_proportions(gammas(1, 2, 8)[0], parts(2, 8), modalities=("a", "b"), title="t", out=tmp_path / "a.png")
    assert pyplot.get_fignums() == []


def test_a_plot_that_cannot_be_written_names_its_path_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SaveError, match=r"file/a\.png: cannot be written"):
        plots.gamma_proportions(
            gammas(1, 2, 8)[0], parts(2, 8), modalities=("a", "b"), title="t", out=tmp_path / "file" / "a.png"
        )
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
