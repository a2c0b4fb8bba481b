from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_two_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = runpy.run_path(str(EXAMPLES / "two_folders.py"))["main"](tmp_path, views=12, epochs=1)
    assert {row.modality for row in found.rows} == {"rgb", "depth"}
    assert found.threshold == 0.01
    assert {Path(plot).name for plot in found.plots} >= {"gamma-proportions.png", "gamma-trajectories.png"}
    assert all(Path(plot).read_bytes().startswith(b"\x89PNG") for plot in found.plots)
    assert (tmp_path / "run" / "images" / "test.png").is_file()
    assert "ensemble  mean IoU" in capsys.readouterr().out
