"""`cen report` on runs of every kind: what stands on the page, and that the page is whole without a network."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

from cen_cli.cli.app import main
from tests.cli.conftest import Cen
from tests.pages import check_page

ROOT = Path(__file__).parents[2]


def shown(page: Path) -> tuple[str, int]:
    """The text of a page without a fault, and how many pictures it has."""
    problems, text, images = check_page(page.read_text())
    assert problems == []
    return text, images


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_run, tmp_path / "tiny"))


@pytest.fixture(scope="module")
def page(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the tiny run with everything on it; read only."""
    path = tmp_path_factory.mktemp("page") / "tiny.html"
    assert main(["report", str(tiny_run), "--out", str(path)]) == 0
    return path


def test_a_run_that_exchanges(page: Path, tiny_run: Path) -> None:
    text, images = shown(page)
    metrics = json.loads((tiny_run / "metrics.json").read_text())
    iou = f"{100 * metrics['best']['scores']['ensemble']['mean_iou']:.2f}"
    assert f"ensemble {iou}" in text
    assert "2 of 2 epochs, 8 steps in" in text
    assert "model.backbone resnet18" in text
    assert "All 40 classes" in text
    assert "Validation scores of every output" in text
    assert "Replaced of the pressed channels: rgb" in text
    assert "One row for each view." in page.read_text()
    assert images == 10
    assert page.stat().st_size < 3_000_000


def test_numbers_are_those_of_the_other_commands(cen: Cen, page: Path, tiny_run: Path, tmp_path: Path) -> None:
    lines = cen("exchange-stats", tiny_run, "--by", "stage", "--out", tmp_path).out.splitlines()
    (total,) = [line.split() for line in lines if line.split()[:2] == ["total", "rgb"]]
    assert " ".join(total) in shown(page)[0]


def test_the_whole_recipe_is_there(page: Path, tiny_run: Path) -> None:
    assert " ".join((tiny_run / "recipe.toml").read_text().split()) in shown(page)[0]


def test_a_translation(cen: Cen, tiny_translation_run: Path, tmp_path: Path) -> None:
    found = cen("report", tiny_translation_run, "--out", tmp_path / "page.html", "--json").document
    assert found["report"] == str(tmp_path / "page.html")
    assert found["pictures"] is True
    text, images = shown(tmp_path / "page.html")
    assert "translation of shade, texture to rgb" in text
    assert "PSNR dB" in text
    assert "--ckpt" in text
    assert "classes" not in text.split("Training")[0]
    assert images >= 8


def test_data_that_are_not_at_hand_are_said_to_be_missing(cen: Cen, run: Path, tmp_path: Path) -> None:
    done = cen("report", run, "--data-root", tmp_path / "nowhere")
    assert "Pictures of views are left out" in done.err
    text, images = shown(run / "report.html")
    assert f"no folder {tmp_path / 'nowhere'}" in text
    assert images == 9


def test_a_run_without_validation_yet(cen: Cen, run: Path) -> None:
    (run / "metrics.json").unlink()
    shutil.rmtree(run / "checkpoints" / "best")
    lines = (run / "events.jsonl").read_text().splitlines()[:1]
    (run / "events.jsonl").write_text(f'{lines[0]}\n{{"kind": "st')
    state = json.loads((run / "checkpoints" / "last" / "state.json").read_text())
    state["progress"] |= {"epoch": 0, "step": 2, "best_step": 0}
    (run / "checkpoints" / "last" / "state.json").write_text(json.dumps(state))
    done = cen("report", run, "--images", "0")
    assert done.out.splitlines()[0] == "Not finished: 0 of 2 epochs"
    assert done.out.splitlines()[-1] == f"next: cen train --resume {run}"
    text, _ = shown(run / "report.html")
    assert "No validation has finished yet, so there are no scores." in text
    assert "of the newest checkpoint" in text


def test_a_log_that_lost_its_validations_is_no_run_without_them(cen: Cen, run: Path) -> None:
    lines = (run / "events.jsonl").read_text().splitlines(keepends=True)
    (run / "events.jsonl").write_text("".join(line for line in lines if '"validation"' not in line))
    cen("report", run, "--images", "0")
    text, _ = shown(run / "report.html")
    assert "No validation has finished" not in text
    assert "events.jsonl lacks the best validation, of step" in text
    assert "of the best checkpoint, of step" in text


def test_a_run_of_one_modality(cen: Cen, train: Cen, tmp_path: Path) -> None:
    settings = ('data.inputs=["rgb"]', "model.fusion=none", "train.epochs=1")
    train("--out", tmp_path / "run", "--json", settings=settings)
    cen("report", tmp_path / "run", "--images", "1")
    text, images = shown(tmp_path / "run" / "report.html")
    assert "No channels are exchanged in this network." in text
    assert "Nothing is exchanged in this network" in text
    assert "diagnosis no exchange" in text
    assert images == 5


def test_a_baseline_has_one_branch_and_no_exchange(cen: Cen, train: Cen, tmp_path: Path) -> None:
    train("--out", tmp_path / "run", "--json", settings=("model.fusion=concat", "train.epochs=1"))
    cen("report", tmp_path / "run", "--images", "0")
    text, images = shown(tmp_path / "run" / "report.html")
    assert "mean IoU % on val: fused" in text
    assert "No channels are exchanged in this network." in text
    assert images == 4


def test_a_missed_expectation_is_the_verdict(cen: Cen, run: Path) -> None:
    (run / "report.html").write_text("of an earlier time")
    wish = '\n[expected."ensemble.mean_iou"]\nvalue = 1.0\ntolerance = 0.0\nsource = "a wish"\n'
    recipe = (run / "recipe.toml").read_text()
    assert 'split = "test"' in recipe
    (run / "recipe.toml").write_text(recipe + wish)
    assert "good as" not in cen("report", run, "--images", "0").out
    text, _ = shown(run / "report.html")
    assert "not judged" in text
    assert "MISSED" not in text
    (run / "recipe.toml").write_text(recipe.replace('split = "test"', 'split = "val"') + wish)
    assert cen("report", run / "checkpoints" / "best", "--images", "0").out.startswith(
        "Trained, but below what the recipe expects\n"
    )
    text, _ = shown(run / "report.html")
    assert "MISSED" in text
    assert "a wish" in text


def test_what_is_no_run_is_refused(cen: Cen, run: Path, tmp_path: Path) -> None:
    assert "no such file or directory" in cen("report", tmp_path / "nowhere", code=2).err
    loose = shutil.copy(run / "checkpoints" / "best" / "model.safetensors", tmp_path / "net.safetensors")
    assert "belongs to no run" in cen("report", loose, code=2).err
    assert f"--out {tmp_path}: is a folder" in cen("report", run, "--out", tmp_path, code=2).err


def test_a_run_that_lost_a_file_says_which(cen: Cen, run: Path) -> None:
    (run / "environment.json").unlink()
    assert "environment.json: not readable" in cen("report", run, "--images", "0", code=1).err
    assert not (run / "report.html").exists()


def test_the_template_is_in_the_package() -> None:
    template = resources.files("cen_cli.reporting") / "templates" / "report.html"
    assert template.is_file()
    ignored = (ROOT / ".gitignore").read_text()
    assert not re.search(r"html|templates", ignored), "what git ignores does not travel in the wheel"


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_all_of_it(page: Path, scheme: str) -> None:
    """Every picture loads, the console is silent, nothing else is asked for, no width scrolls sideways."""
    command = [sys.executable, "-m", "tests.browser", str(page), "--scheme", scheme]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=True)
    looks = json.loads(done.stdout)
    assert [look["inner"] for look in looks] == [390, 1280]
    for look in looks:
        assert look["loaded"] is True
        assert look["dark"] is (scheme == "dark")
        assert look["ground"] == ("rgb(21, 23, 26)" if scheme == "dark" else "rgb(251, 251, 250)")
        assert look["images"] == 10
        assert look["broken"] == []
        assert look["console"] == []
        assert look["requests"] == [page.as_uri()]
        assert look["scrolled"] <= look["inner"]
