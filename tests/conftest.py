"""What all tests share: one thread a process, a tiny data set and run, and when the tests on real images run."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest
import torch

from cen_cli.cli.app import main
from tests.tiny import write_nyudv2, write_recipe, write_translation_recipe

torch.set_num_threads(1)  # the tests run in as many processes as there are cores
os.environ["OMP_NUM_THREADS"] = "1"  # and so do the commands that they start


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    lacking = {}
    if not os.environ.get("CEN_NYUDV2"):
        lacking["nyudv2"] = "needs the real NYUDv2 images: set CEN_NYUDV2 to their folder"
    if not all(importlib.util.find_spec(name) for name in ("PySide6", "PySide6.QtWebEngineWidgets")):
        lacking["browser"] = "needs a browser: pip install '.[browser]'"
    for item in items:
        for name, reason in lacking.items():
            if item.get_closest_marker(name):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def nyudv2_root() -> Path:
    """The folder of the real NYUDv2 images; ask for it in tests marked `nyudv2` only."""
    return Path(os.environ["CEN_NYUDV2"])


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few frames in NYUDv2's processed layout; read only."""
    return write_nyudv2(tmp_path_factory.mktemp("nyudv2"))


@pytest.fixture
def tiny_recipe(tmp_path: Path, tiny_root: Path) -> Path:
    """A recipe that trains on them in seconds."""
    return write_recipe(tmp_path / "tiny.toml", tiny_root)


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory, tiny_root: Path) -> Path:
    """A finished run of that recipe; read only."""
    folder = tmp_path_factory.mktemp("run")
    recipe = write_recipe(folder / "tiny.toml", tiny_root)
    assert main(["train", str(recipe), "--out", str(folder / "tiny"), "--device", "cpu", "--json"]) == 0
    return folder / "tiny"


@pytest.fixture(scope="session")
def tiny_translation_recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe that learns to translate in seconds; read only."""
    folder = tmp_path_factory.mktemp("translation")
    return write_translation_recipe(folder / "tiny-translate.toml", folder / "rooms")


@pytest.fixture(scope="session")
def tiny_translation_run(tiny_translation_recipe: Path) -> Path:
    """A finished run of that recipe; read only."""
    run = tiny_translation_recipe.parent / "run"
    assert main(["train", str(tiny_translation_recipe), "--out", str(run), "--device", "cpu", "--json"]) == 0
    return run
