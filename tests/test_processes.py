import os
import signal
import subprocess
import sys
import time

import pytest

from cen_cli.processes import deaf_to_interrupts

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


CHILD = """
import time
from cen_cli.processes import end_with_parent


def wait_for_the_parent():
    end_with_parent()
    time.sleep(100)
"""

PARENT = """
import sys, time
sys.path.insert(0, "")
from cen_cli.processes import fresh_processes
from child import wait_for_the_parent

with fresh_processes() as context:
    child = context.Process(target=wait_for_the_parent)
    child.start()
print(child.pid, flush=True)
time.sleep(100)
"""


def test_a_process_does_not_outlive_the_one_that_started_it(tmp_path):
    (tmp_path / "child.py").write_text(CHILD, encoding="utf-8")
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, cwd=tmp_path) as parent:
        child = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 60
    while _lives(child):
        assert time.monotonic() < deadline, "an orphan"
        time.sleep(0.05)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_what_starts_deaf_to_interrupts_ignores_them_and_its_parent_does_not():
    before = signal.getsignal(signal.SIGINT)
    told = [sys.executable, "-c", "import signal; print(signal.getsignal(signal.SIGINT) == signal.SIG_IGN)"]
    with deaf_to_interrupts():
        assert subprocess.run(told, capture_output=True, text=True, check=True).stdout == "True\n"
    assert signal.getsignal(signal.SIGINT) is before
