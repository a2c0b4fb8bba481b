import subprocess
import sys

import pytest

SCRIPT = """
import sys
from pathlib import Path
from cen_cli.data.rooms import RoomsSettings, prepare

print("ran")
many = RoomsSettings(size=16, train_rooms=20, val_rooms=1, test_rooms=0, views=1, antialias=1)
folder = prepare(many, Path(sys.argv[-1]), domains=("rgb",), workers=2)
print(len(list(folder.rglob("*.png"))), sys.modules["__main__"].__dict__["SENTINEL"])
"""


@pytest.mark.parametrize("piped", [False, True], ids=["as a file", "on standard input"])
def test_a_script_without_a_main_guard_starts_processes_and_runs_once(tmp_path, piped):
    source = "SENTINEL = 7\n" + SCRIPT
    (tmp_path / "script.py").write_text(source, encoding="utf-8")
    script = "-" if piped else str(tmp_path / "script.py")
    process = subprocess.run(
        [sys.executable, script, str(tmp_path / "rooms")],
        input=source if piped else None,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (process.returncode, process.stdout) == (0, "ran\n21 7\n"), process.stderr
