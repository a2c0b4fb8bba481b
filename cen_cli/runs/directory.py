"""The run directory: everything a training leaves behind, never overwritten.

<run>/
  recipe.toml          resolved; reading it back gives the same run
  environment.json     versions, device, command line, git commit, data fingerprint
  events.jsonl         one line per log interval and per validation
  gammas.safetensors   recorded gammas, [records, M, C] per layer, with their steps
  metrics.json         last and best validation
  checkpoints/{last,best}/{model.safetensors, training.safetensors, state.json}
  images/ plots/ report.html
  .lock                held by the process that trains it
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from cen_cli import files
from cen_cli.errors import CheckpointError, UsageError
from cen_cli.files import recover_directory, unwritable, whole_directory, write_bytes, write_json, write_new_directory
from cen_cli.models.downloads import fetch, is_address
from cen_cli.runs.checkpoint import MODEL_FILE, PUT_BACK
from cen_cli.wording import command

LOCK = ".lock"
OF_TRACKERS = ("tensorboard", "wandb", "mlruns")
"""Folders that trackers make in a run."""


class RunDirectory:
    """Paths of one run, and the few ways in which it is written."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.recipe = root / "recipe.toml"
        self.environment = root / "environment.json"
        self.events = root / "events.jsonl"
        self.gammas = root / "gammas.safetensors"
        self.metrics = root / "metrics.json"
        self.last, self.best = root / "checkpoints" / "last", root / "checkpoints" / "best"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from training this run. Raises UsageError where one does, SaveError if it cannot be."""
        with files.locked(self.root / LOCK) as free:
            if not free:
                hint = "wait for it, or stop it with Ctrl-C, upon which it saves"
                raise UsageError(f"{self.root}: another process is training this run", hint=hint)
            yield

    def read_recipe(self) -> str:
        """The text of recipe.toml. Raises CheckpointError where it cannot be read."""
        try:
            return self.recipe.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CheckpointError(f"{self.recipe}: not readable ({error})", hint=PUT_BACK) from error

    def append_event(self, event: Mapping[str, Any]) -> None:
        """Append one line to events.jsonl. Raises SaveError where it cannot be written."""
        try:
            with self.events.open("a") as file:
                file.write(json.dumps(event, allow_nan=False) + "\n")
        except OSError as error:
            raise unwritable(self.events, error) from error

    def events_size(self) -> int:
        """Bytes of events.jsonl; a checkpoint remembers them, so that a resumed run writes no line twice."""
        return self.events.stat().st_size if self.events.exists() else 0

    def truncate_events(self, size: int) -> None:
        """Drop the lines that were written after the checkpoint which a resumed run starts from.

        A log that has lost lines since is shorter than `size`, its bytes then: it keeps whole lines and never grows.
        """
        if self.events.exists():
            kept = self.events.read_bytes()[:size]
            os.truncate(self.events, kept.rfind(b"\n") + 1)


def create_run(root: Path, *, recipe: str, environment: Mapping[str, Any]) -> RunDirectory:
    """Make a new run directory, whole or not at all; one that was killed before it saved anything makes room.

    Raises UsageError where `root` holds anything else or is being trained, SaveError where it cannot be written.
    """
    check_free(root)
    place = root.resolve() if root.is_symlink() else root
    if place.exists():
        with RunDirectory(place).held():
            try:
                moved = place.rename(place.with_name(files.temporary_name()))  # what is half removed is nobody's run
                shutil.rmtree(moved)
            except OSError as error:
                raise unwritable(root, error) from error

    def fill(new: Path) -> None:
        run = RunDirectory(new)
        run.last.parent.mkdir()
        write_bytes(run.recipe, recipe.encode())
        write_json(run.environment, environment)

    write_new_directory(place, fill)
    return RunDirectory(root)


def check_free(root: Path) -> None:
    """Raises UsageError for a folder that holds anything but a run without any checkpoint: nothing is overwritten."""
    if not _never_saved(RunDirectory(root)):
        files.check_new_directory(
            root, f"continue it with: {command('train', '--resume', root)}, or choose another --out"
        )


def _never_saved(run: RunDirectory) -> bool:
    """Whether the folder is that of a run that ended before its first checkpoint, and holds nothing else."""
    if not run.last.parent.is_dir() or whole_directory(run.last) or whole_directory(run.best):
        return False
    bare = {LOCK, run.last.parent.name}
    made = {run.recipe.name, run.environment.name, run.last.parent.name}  # at once: a recipe by itself is the user's
    own = {*bare, *made, run.events.name, run.gammas.name, *OF_TRACKERS}  # with scores, checkpoints were moved away
    names, saved = (
        {path.name for path in folder.iterdir() if not files.is_temporary(path)}
        for folder in (run.root, run.last.parent)
    )
    return (names <= bare or made <= names <= own) and saved <= {"last.new", "best.new"}


def default_root(name: str, parent: Path = Path("runs")) -> Path:
    """`runs/<recipe>-<yymmdd-hhmmss>`, with a number behind it where that exists."""
    base = parent / f"{name}-{datetime.now():%y%m%d-%H%M%S}"
    candidates = [base, *(base.with_name(f"{base.name}-{number}") for number in range(2, 100))]
    return next(path for path in candidates if not path.exists())


@contextmanager
def open_run(path: Path) -> Iterator[RunDirectory]:
    """An existing run that can be resumed, held while it is trained.

    Raises UsageError for another folder and for a run that another process trains, CheckpointError without a save.
    """
    run = RunDirectory(path)
    if not path.exists():
        raise UsageError(f"{path}: no such run directory", hint="--resume takes the folder of a run")
    if not run.recipe.is_file() and (path / MODEL_FILE).is_file():
        raise UsageError(
            f"{path}: a checkpoint without its run: there is no state from which its training could go on",
            hint="--resume takes the folder of a run; a compact network cannot be trained further at all",
        )
    if not run.recipe.is_file():
        raise UsageError(f"{path}: not a run directory (no recipe.toml)", hint="--resume takes the folder of a run")
    with run.held():
        recover_directory(run.last)
        recover_directory(run.best)
        if not run.last.is_dir():
            raise CheckpointError(
                f"{path}: the run stopped before its first checkpoint, nothing to resume from", hint="start it again"
            )
        yield run


def newest_run(name: str, parent: Path = Path("runs")) -> Path:
    """The newest run of the recipe `name` that has a checkpoint. Raises UsageError where there is none."""
    folders = [path.parent for path in parent.glob("*/recipe.toml") if _recipe_name(path) == name]
    runs = {run: last for run in folders if (last := whole_directory(RunDirectory(run).last))}
    if not runs:
        raise UsageError(f"no run of {name!r} with a checkpoint in {parent}/", hint="name it: --resume DIR")
    return max(runs, key=lambda run: runs[run].stat().st_mtime)


def _recipe_name(path: Path) -> str | None:
    """The name that a run's recipe gives itself; the folder's may be another, and `rooms-` also begins others."""
    try:
        name = tomllib.loads(path.read_text(encoding="utf-8")).get("name")
    except (OSError, ValueError):
        return None
    return name if isinstance(name, str) else None


@dataclasses.dataclass(frozen=True)
class Located:
    """What a user's CKPT|RUN argument names."""

    run: Path | None
    model_file: Path


def locate(path: str | Path) -> Located:
    """Find the model file that a run directory, a checkpoint directory or a file stands for; best before last.

    A checkpoint that is just being replaced, or whose writer was killed while it was, is found all the same.
    Raises UsageError for a path that does not exist or holds no checkpoint, and what `fetch` raises for an address.
    """
    if is_address(str(path)):
        return Located(None, fetch(str(path)).file)
    start = Path(path)
    if start.is_file():
        return Located(_run_of(start.parent), start)
    if whole_directory(start) is None:
        raise UsageError(f"{start}: no such file or directory", hint="give a run directory or a model.safetensors")
    for place in (start, start / "checkpoints" / "best", start / "checkpoints" / "last"):
        folder = whole_directory(place)
        if folder is not None and (folder / MODEL_FILE).is_file():
            return Located(_run_of(folder), folder / MODEL_FILE)
    raise UsageError(f"{start}: no checkpoint in this folder (looked for {MODEL_FILE} and checkpoints/best, last)")


def _run_of(checkpoint: Path) -> Path | None:
    """The run directory that holds the checkpoint folder, if any."""
    run = checkpoint.resolve().parent.parent
    return run if (run / "recipe.toml").is_file() and checkpoint.resolve().parent.name == "checkpoints" else None
