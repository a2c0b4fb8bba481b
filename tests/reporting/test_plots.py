from __future__ import annotations

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
