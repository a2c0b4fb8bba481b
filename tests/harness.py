"""Kills trainings and damages checkpoints at random, and counts what came out: python -m tests.harness --minutes 5.

With --ranks 2 each training is one of two processes that torchrun starts; a rank, or the launcher, is killed.

A killed run is resumed and must end with the bytes of one that was never touched; a damaged checkpoint must be refused
with a message, and never scored. `tests/test_harness.py` runs a small part of it.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
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
WRONG = "wrong: "


class Harness:
    """One tiny recipe, its untouched run, and what was done to others; `counts` holds how each ended."""

    def __init__(self, folder: Path, seed: int, ranks: int = 1) -> None:
        self.folder, self.random = folder, random.Random(seed)
        self.launch = CEN if ranks == 1 else [*TORCHRUN, str(ranks), *CEN[1:]]
        self.recipe = write_recipe(folder / "tiny.toml", write_nyudv2(folder / "data", train=16))
        self.straight = folder / "straight"
        self.counts: Counter[str] = Counter()
        started = time.monotonic()
        self._train(self.straight)
        self.seconds = time.monotonic() - started

    def kill(self) -> None:
        """Start a run, kill it at a random moment up to three times, finish it, and compare its files."""
        run = self.folder / "killed"
        shutil.rmtree(run, ignore_errors=True)
        for _ in range(self.random.randint(1, 3)):
            quiet = subprocess.DEVNULL
            with subprocess.Popen(self._command(run), stdout=quiet, stderr=quiet) as process:
                try:
                    process.wait(self.random.uniform(0.2, 1.0) * self.seconds)
                except subprocess.TimeoutExpired:
                    self._kill_one_of(process.pid)
                    self.counts["kills"] += 1
            while list(_trainings_of(run)):  # the others end, once they know
                time.sleep(0.1)
        self._train(run)
        same = all((run / name).read_bytes() == (self.straight / name).read_bytes() for name in SAME)
        self.counts["killed runs, same" if same else f"{WRONG}killed run differs"] += 1

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
        done = subprocess.run([*CEN, "eval", str(file), "--device", "cpu"], capture_output=True, text=True, check=False)
        refused = done.returncode in (1, 2) and done.stderr.startswith("error: ") and not done.stdout
        self.counts["damaged files, refused" if refused else f"{WRONG}damage at byte {place} not refused"] += 1

    @property
    def failures(self) -> list[str]:
        """What must not have happened."""
        return [name for name in self.counts if name.startswith(WRONG)]

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
        done = subprocess.run(self._command(run), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def _trainings_of(run: Path) -> Iterator[int]:
    """Processes that still train it: those that were started with its folder's name."""
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if f"\0{run}\0" in line.read_text():
                yield int(line.parent.name)


def main() -> int:
    """Alternate both until the time is up, and write down what came of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ranks", type=int, default=1)
    given = parser.parse_args()
    deadline = time.monotonic() + 60 * given.minutes
    with tempfile.TemporaryDirectory() as folder:
        harness = Harness(Path(folder), given.seed, given.ranks)
        while time.monotonic() < deadline:
            harness.kill()
            if given.ranks == 1:
                harness.damage()
    for name, count in sorted(harness.counts.items()):
        sys.stdout.write(f"{count:5} {name}\n")
    return bool(harness.failures)


if __name__ == "__main__":
    sys.exit(main())
