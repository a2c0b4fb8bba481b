"""What commands load before they work: torchvision takes more than a second, and most need none of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import cen_cli.jobs

JOBS = sorted(path.stem for path in Path(cen_cli.jobs.__file__).parent.glob("[a-z]*.py"))


def loads_torchvision(code: str, *words: object) -> bool:
    """Whether a fresh process has it after this code, in which sys and main(words), the command line, are known."""
    before = "import sys\ndef main(words):\n    from cen_cli.cli.app import main\n    assert main(words) == 0\n"
    after = "\nsys.exit(42 if 'torchvision' in sys.modules else 0)"
    done = subprocess.run(
        [sys.executable, "-c", before + code + after, *map(str, words)], capture_output=True, text=True
    )
    assert done.returncode in (0, 42), done.stderr
    return done.returncode == 42


def test_no_job_loads_torchvision_before_it_works() -> None:
    assert "analyze" in JOBS
    assert not loads_torchvision("\n".join(f"import cen_cli.jobs.{name}" for name in JOBS))


@pytest.mark.parametrize("command", ["analyze-gammas", "exchange-stats"])
def test_networks_that_are_not_torchvisions_are_analysed_without_it(
    command: str, tiny_translation_run: Path, tmp_path: Path
) -> None:
    assert not loads_torchvision("main(sys.argv[1:])", command, tiny_translation_run, "--out", tmp_path)


def test_a_resnet_is_torchvisions(tiny_run: Path, tmp_path: Path) -> None:
    assert loads_torchvision("main(sys.argv[1:])", "exchange-stats", tiny_run, "--out", tmp_path)
