"""What all tests share: few threads, and when the tests on real images run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from cen_cli.cli.app import main
from tests.tiny import write_nyudv2, write_recipe

torch.set_num_threads(min(2, torch.get_num_threads()))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("CEN_NYUDV2"):
        return
    not_run = pytest.mark.skip(reason="needs the real NYUDv2 images: set CEN_NYUDV2 to their folder")
    for item in items:
        if item.get_closest_marker("nyudv2"):
            item.add_marker(not_run)


@pytest.fixture(scope="session")
def nyudv2_root() -> Path:
    """The folder of the real NYUDv2 images; ask for it in tests marked `nyudv2` only."""
    return Path(os.environ["CEN_NYUDV2"])
