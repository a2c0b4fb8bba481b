"""Kills, starves and feeds commands with hostile input at random, and counts what came out: python -m tests.harness.

With --ranks 2 each training is two processes of torchrun; one of them is killed, or torchrun, ten times a turn.

What was killed or starved is finished afterwards and must end with the bytes of a run that was never touched; what
cannot be done must be refused with a message, within two minutes, and never be scored. `tests/test_harness.py` runs a
small part of it; docs/reliability.md has the figures of a long one.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from tests.tiny import write_nyudv2, write_recipe

CEN = [sys.executable, "-m", "cen_cli"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
SETTINGS = ["--set", "train.log_every=1", "--set", "train.checkpoint_every=2", "--device", "cpu"]
SAME = (
    "gammas.safetensors",
    "events.jsonl",
    "checkpoints/last/model.safetensors",
    "checkpoints/best/model.safetensors",
)
SWEEP = """
title = "two rows"
base = "{base}"
seeds = [0]
split = "val"
metrics = ["ensemble.mean_iou"]
reference = "on"
[set.train]
epochs = 1
[variants.on]
[variants.off]
set = {{ exchange.choose = "none" }}
"""
WRONG = "wrong: "
HANGS = 120
"""Seconds after which a command that should have refused or finished counts as hanging."""

PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR"
HOSTILE: dict[str, bytes] = {
    "nothing": b"",
    "noise": bytes(range(256)) * 8,
    "a program": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%touch started) (w) file\nshowpage\n",
    "half a PNG": PNG + struct.pack(">IIBBBBB", 40, 32, 8, 2, 0, 0, 0),
    "an endless PNG": PNG + b"\x7f\xff\xff\xff" * 2 + b"\x08\x02\0\0\0",
    "a TIFF in a circle": b"II*\0\x08\0\0\0" + b"\0\0" + b"\x08\0\0\0",
    "a pickle": b"\x80\x04cos\nsystem\n(S'touch started'\ntR.",
    "a GIF": b"GIF89a\x01\0\x01\0\0\0\0;",
}
"""Files in the place of an image, by what they are."""


class Harness:
    """One tiny recipe, its untouched run, and what was done to others; `counts` holds how each ended."""

    def __init__(self, folder: Path, seed: int, ranks: int = 1) -> None:
        self.folder, self.random = folder, random.Random(seed)
        self.launch = CEN if ranks == 1 else [*TORCHRUN, str(ranks), *CEN[1:]]
        self.data = write_nyudv2(folder / "data", train=16)
        self.recipe = write_recipe(folder / "tiny.toml", self.data)
        self.straight = folder / "straight"
        self.counts: Counter[str] = Counter()
        started = time.monotonic()
        self._train(self.straight)
        self.seconds = time.monotonic() - started
        self.table = ""

    def kill(self, kills: int = 1) -> None:
        """Kill runs until `kills` of them were killed, each up to three times; finish each, and compare its files."""
        self._until_killed(kills, self._kill_a_run)

    def _until_killed(self, kills: int, attempt: Callable[[], None]) -> None:
        """Try until so many more were killed; one that ends by itself does not count."""
        killed = self.counts["kills"] + kills
        for _ in range(5 * kills):
            if self.counts["kills"] < killed:
                attempt()
        if self.counts["kills"] < killed:
            self.counts[f"{WRONG}fewer killed than asked for"] += 1

    def _kill_a_run(self) -> None:
        run = self._new_run()
        for _ in range(self.random.randint(1, 3)):
            self._kill([self._command(run)])
            while list(_trainings_of(run)):  # the others end, once they know
                time.sleep(0.1)
        self._finish(run, "killed")

    def damage(self) -> None:
        """Flip one bit of a checkpoint, or cut it short, and score it."""
        file = self.folder / "model.safetensors"
        content = bytearray((self.straight / "checkpoints/best/model.safetensors").read_bytes())
        place = self.random.randrange(len(content))
        if self.random.random() < 0.8:
            content[place] ^= 1 << self.random.randrange(8)
        else:
            del content[place:]
        file.write_bytes(content)
        self._refused("damaged files", f"byte {place}", ["eval", str(file), "--device", "cpu"])

    def feed(self) -> None:
        """Put something hostile in the place of an image, and train on it."""
        folder = self.folder / "hostile"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.data, folder)
        image = self.random.choice(sorted(folder.glob("*/*.png")))
        image.unlink()
        kind = self.random.choice([*HOSTILE, "a pipe", "a folder"])
        if kind == "a pipe":
            os.mkfifo(image)
        elif kind == "a folder":
            image.mkdir()
        else:
            image.write_bytes(HOSTILE[kind])
        words = ["train", str(self.recipe), "--data-root", str(folder), "--out", str(self._new_run()), *SETTINGS]
        self._refused("hostile images", kind, words)
        if (self.folder / "started").exists():
            self.counts[f"{WRONG}{kind} was started"] += 1

    def starve(self, kind: str = "") -> None:
        """Train with too little of one kind of thing, drawn where none is named; then finish, and compare."""
        run = self._new_run()
        kinds: dict[str, Callable[[], None]] = {
            "memory": lambda: _limit(resource.RLIMIT_AS, self.random.randint(1 << 29, 6 << 30)),
            "file size": lambda: _limit(resource.RLIMIT_FSIZE, self.random.randint(1, 1 << 20)),
            "open files": lambda: _limit(resource.RLIMIT_NOFILE, self.random.randint(5, 40)),
            "closed output": lambda: os.closerange(1, 3),
            "full output": lambda: _full(1, 2),
        }
        kind = kind or self.random.choice([*kinds, "disk", "inodes"])
        if kind in ("disk", "inodes"):
            self._on_a_small_disk(kind)
            return
        said = self._run(self._command(run), kinds[kind])
        self._judge("starved", kind, said)
        self._finish(run, "starved")

    def sweep(self, kills: int = 10) -> None:
        """Start two sweeps on one folder until `kills` of them were killed; finish, and compare the tables."""
        file = self.folder / "grid.toml"
        file.write_text(SWEEP.format(base=self.recipe))
        if not self.table:
            self.table = self._sweep_to_the_end(file, self.folder / "sweep")
        folder = self.folder / "swept"
        shutil.rmtree(folder, ignore_errors=True)
        command = [*CEN, "sweep", str(file), "--out", str(folder), "--device", "cpu"]
        self._until_killed(kills, lambda: self._kill([command, command]))
        same = self._sweep_to_the_end(file, folder) == self.table
        self.counts["killed sweeps, same table" if same else f"{WRONG}killed sweep differs"] += 1

    @property
    def failures(self) -> list[str]:
        """What must not have happened."""
        return [name for name in self.counts if name.startswith(WRONG)]

    def _new_run(self) -> Path:
        run = self.folder / "run"
        shutil.rmtree(run, ignore_errors=True)
        return run

    def _command(self, run: Path) -> list[str]:
        begun = any((run / "checkpoints" / name).is_dir() for name in ("last", "last.old"))
        words = ["--resume", str(run)] if begun else [str(self.recipe), "--out", str(run), *SETTINGS]
        return [*self.launch, "train", *words]

    def _kill_one_of(self, launcher: int) -> None:
        """The process, or one of those that it has started."""
        children = Path(f"/proc/{launcher}/task/{launcher}/children")
        started = children.read_text().split() if self.launch is not CEN and children.exists() else []
        with suppress(ProcessLookupError):
            os.kill(self.random.choice([launcher, *map(int, started)]), signal.SIGKILL)

    def _train(self, run: Path) -> None:
        done = self._run(self._command(run))
        assert done.returncode == 0, done.stderr

    def _finish(self, run: Path, what: str) -> None:
        """Train a run to its end and compare it with the one that was never touched."""
        self._train(run)
        same = all((run / name).read_bytes() == (self.straight / name).read_bytes() for name in SAME)
        self.counts[f"{what} runs, same" if same else f"{WRONG}{what} run differs"] += 1

    def _kill(self, commands: list[list[str]]) -> None:
        """Start commands together and kill each at a random moment."""
        quiet = subprocess.DEVNULL
        running = [subprocess.Popen(command, stdout=quiet, stderr=quiet, cwd=self.folder) for command in commands]
        for process in running:
            try:
                process.wait(self.random.uniform(0.2, 1.0) * self.seconds)
            except subprocess.TimeoutExpired:
                self._kill_one_of(process.pid)
                process.wait()
                self.counts["kills"] += 1

    def _sweep_to_the_end(self, file: Path, folder: Path) -> str:
        """The sweep's table as CSV, once all of it is done; members of killed sweeps may still be saving."""
        for _ in range(20):
            done = self._run([*CEN, "sweep", str(file), "--out", str(folder), "--device", "cpu", "--as", "csv"])
            assert done.returncode == 0, done.stderr
            if done.stdout.count("\n") == 3:
                return done.stdout
            time.sleep(1)
        return "never done"

    def _on_a_small_disk(self, kind: str) -> None:
        """Train on a disk that is full before the run ends; needs a Linux that lets its users mount one."""
        disk = self.folder / "disk"
        disk.mkdir(exist_ok=True)
        size = f"size={self.random.randint(64, 4096)}k" if kind == "disk" else f"nr_inodes={self.random.randint(2, 20)}"
        train = ["train", str(self.recipe), "--out", str(disk / "run"), *SETTINGS]
        mount = 'mount -t tmpfs -o "$1" tmpfs "$2" || exit 77; shift 2; exec "$@"'
        done = self._run(["unshare", "-rm", "sh", "-c", mount, "sh", size, str(disk), *CEN, *train])
        if done.returncode == 77 or "unshare" in done.stderr:
            self.counts[f"starved of {kind}: not tried, no disk can be mounted"] += 1
            return
        self._judge("starved", kind, done)

    def _refused(self, what: str, how: str, words: list[str]) -> None:
        done = self._run([*CEN, *words])
        refused = done.returncode in (1, 2) and "\nerror: " in f"\n{done.stderr}" and not done.stdout
        if not refused:
            self.counts[f"{WRONG}{what}, {how}: exit code {done.returncode}"] += 1
        else:
            self._judge(what, how, done)

    def _judge(self, what: str, how: str, done: subprocess.CompletedProcess[str]) -> None:
        """Count how a command ended that had a reason to fail: it may, but with a message."""
        odd = next((sign for sign in ("internal error", "Traceback", "hangs") if sign in done.stderr), "")
        odd = odd or ("" if done.returncode in (0, 1, 2) else f"exit code {done.returncode}")
        ended = "refused" if done.returncode else "finished"
        self.counts[f"{WRONG}{what}, {how}: {odd}" if odd else f"{what}, {ended}"] += 1

    def _run(self, command: list[str], before: Callable[[], None] | None = None) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=HANGS, preexec_fn=before, cwd=self.folder
            )
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 1, "", "hangs")


def _limit(what: int, most: int) -> None:
    resource.setrlimit(what, (most, most))


def _full(*descriptors: int) -> None:
    """Let these write to a full disk."""
    full = os.open("/dev/full", os.O_WRONLY)
    for descriptor in descriptors:
        os.dup2(full, descriptor)


def _trainings_of(run: Path) -> Iterator[int]:
    """Processes that still train it: those that were started with its folder's name."""
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if f"\0{run}\0" in line.read_text():
                yield int(line.parent.name)


def main() -> int:
    """Take turns until the time is up, and write down what came of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ranks", type=int, default=1)
    given = parser.parse_args()
    deadline = time.monotonic() + 60 * given.minutes
    with tempfile.TemporaryDirectory() as folder:
        harness = Harness(Path(folder), given.seed, given.ranks)
        turns = (harness.kill, harness.starve, harness.damage, harness.feed, harness.sweep)
        endless = itertools.cycle(turns if given.ranks == 1 else [partial(harness.kill, 10)])
        while time.monotonic() < deadline:
            next(endless)()
    for name, count in sorted(harness.counts.items()):
        sys.stdout.write(f"{count:5} {name}\n")
    return bool(harness.failures)


if __name__ == "__main__":
    sys.exit(main())
