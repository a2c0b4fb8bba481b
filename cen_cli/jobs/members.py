"""The runs of a sweep: what state each is in, and training those that are not done, several at once if asked.

A member is trained in a process of its own, so that it starts from a clean slate and cannot take others down. It is
done when its folder holds `outcome.json`; until then it is resumed, exact to the bit, from its last checkpoint. A lock
beside the folder, which ends with the process that holds it, keeps two processes from training one member; so any
number of sweeps, on machines that share the folder, may work on one grid.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from cen_cli.engine.signals import StopRequest
from cen_cli.errors import CheckpointError, Interrupted, SaveError, UsageError
from cen_cli.files import locked, read_json, whole_directory, write_json
from cen_cli.processes import deaf_to_interrupts, fresh_processes
from cen_cli.recipe import parse_recipe
from cen_cli.recipe.load import differences
from cen_cli.recipe.sweeps import Member
from cen_cli.results import Evaluation, MemberOutcome, NetworkCost, ReplacedCount, as_json, from_json
from cen_cli.runs.checkpoint import read_state
from cen_cli.runs.directory import RunDirectory

OUTCOME, FAILURE = "outcome.json", "failure.txt"
STOPPED = (130, 143, -2, -15)
"""Exit codes of a member that was asked to stop, after or before it listened for that."""
BUSY = 75
"""Exit code of a child that found its member locked by another process (EX_TEMPFAIL)."""
LOOK = 1.0
"""Seconds for which a member's lock may be held by one that only looks whether somebody trains it."""


@dataclass(frozen=True)
class MemberRun:
    """One member of a sweep on disk."""

    member: Member
    folder: Path
    split: str
    """On which it is scored."""
    checkpoint: str
    """Which of its checkpoints is scored: `last` or `best`."""
    distances: tuple[str, ...] = ()
    """The FID and KID, as `branch.metric`, that it must have been scored with, to be done."""

    @property
    def data_root(self) -> str | None:
        """Where the sweep finds its data now, which its folder may have found elsewhere; None where nothing says it."""
        return self.member.recipe.data.root or None

    @property
    def row(self) -> tuple[str, str]:
        """Its group and variant."""
        return self.member.group, self.member.variant

    @property
    def log(self) -> Path:
        """What the training printed."""
        return self.folder.with_name(f"{self.folder.name}.log")

    @property
    def lock(self) -> Path:
        """Held while a process trains the member."""
        return self.folder.with_name(f"{self.folder.name}.lock")

    @property
    def failure(self) -> Path:
        """Why it failed, where it did."""
        return self.folder.with_name(f"{self.folder.name}.{FAILURE}")


def outcome_of(run: MemberRun) -> MemberOutcome:
    """The state of a member, with its scores where it is done: those of its split and checkpoint."""
    outcome = _read_outcome(run.folder / OUTCOME)
    place = (run.member.group, run.member.variant, run.member.seed, str(run.folder))
    if outcome is None or not _is_of(run, outcome.evaluation):
        return MemberOutcome(*place, state=_state(run))
    return MemberOutcome(*place, state="done", **vars(outcome))


def _is_of(run: MemberRun, evaluation: Evaluation) -> bool:
    """Whether these are the scores that the member should have; the sweep may have become another one since.

    Those of version 0.1 name no checkpoint.
    """
    lacking = [name for name in run.distances if _lacks(evaluation, name)]
    own = evaluation.split == run.split and Path(evaluation.checkpoint).parent.name in ("", run.checkpoint)
    return own and not lacking


def _lacks(evaluation: Evaluation, name: str) -> bool:
    """Whether a score was not computed of a branch that the network has."""
    try:
        return math.isnan(evaluation.metric(name))
    except KeyError:
        return False


def write_outcome(
    member_folder: Path,
    evaluation: Evaluation,
    replaced: Sequence[ReplacedCount],
    seconds: float,
    cost: NetworkCost,
    truths: str,
) -> None:
    """Mark a member as done. Raises SaveError where it cannot be written."""
    write_json(member_folder / OUTCOME, as_json(_Outcome(evaluation, tuple(replaced), seconds, cost, truths)))


def check_unchanged(run: MemberRun) -> None:
    """Raise UsageError where the folder holds a run of another recipe; names, and where data lie, may be others."""
    stored = RunDirectory(run.folder)
    if not stored.recipe.is_file():
        return
    keys = differences(parse_recipe(stored.read_recipe(), "the run"), run.member.recipe)
    differing = [key for key in keys if key != "name" and not key.startswith("expected")]
    if differing:
        raise UsageError(
            f"{run.folder} was trained by another recipe than the sweep has now: {', '.join(differing)} differ",
            hint="move that folder away, or give the sweep another --out",
        )


def last_words(run: MemberRun) -> str:
    """Why a member failed, or else what its training said last; its log may be long, and hold anything."""
    said = run.failure if run.failure.is_file() else run.log
    try:
        with said.open("rb") as file:
            file.seek(0 if said == run.failure else max(file.seek(0, os.SEEK_END) - 2000, 0))
            lines = [line for line in file.read().decode(errors="replace").split("\n") if line.strip()]
    except OSError as error:
        return f"{said.name}: {error.strerror}"
    return (lines or ["it said nothing"])[0 if said == run.failure else -1]


def can_be_resumed(run: MemberRun) -> bool:
    """Whether the member's run can be resumed; one that stopped before its first checkpoint is started again."""
    return whole_directory(RunDirectory(run.folder).last) is not None


def seconds_trained(run: MemberRun) -> float:
    """Seconds of training that the member has behind it: all, part or nothing of it."""
    with suppress(CheckpointError, KeyError):  # one that is damaged fails when it is trained
        last = whole_directory(RunDirectory(run.folder).last)
        return 0.0 if last is None else float(read_state(last)["progress"]["seconds"])
    return 0.0


def run_members(
    members: Sequence[MemberRun],
    train: Callable[[MemberRun], None],
    *,
    jobs: int,
    on_start: Callable[[MemberRun], None],
    on_end: Callable[[MemberRun, int], None],
) -> None:
    """Call `train` of every member in a process of its own, `jobs` at a time.

    `train` must be a function of a module, and ends by `sys.exit`; `on_end` gets its exit code. Raises Interrupted,
    after every child has saved, where a signal asks for it.
    """
    waiting = list(members)
    running: dict[BaseProcess, MemberRun] = {}
    with StopRequest() as stop:
        try:
            while (waiting or running) and not stop:
                while waiting and len(running) < jobs:
                    member = waiting.pop(0)
                    on_start(member)
                    with fresh_processes() as context, deaf_to_interrupts():
                        process: BaseProcess = context.Process(target=train, args=(member,))
                        process.start()
                    running[process] = member
                for process in _ended(running):
                    member = running.pop(process)
                    on_end(member, process.exitcode or 0)
        finally:
            for process in running:
                process.terminate()
            for process in running:
                process.join()
        if stop:
            assert stop.signal is not None
            raise Interrupted(stop.signal, "stopped; every run is saved", hint="the same command continues the sweep")


def _ended(running: dict[BaseProcess, MemberRun]) -> list[BaseProcess]:
    """The processes that have ended, after half a second of waiting at most."""
    wait([process.sentinel for process in running], timeout=0.5)
    ended = [process for process in running if not process.is_alive()]
    for process in ended:
        process.join()
    return ended


def _state(run: MemberRun) -> str:
    if run.failure.is_file():
        return "failed"
    if run.lock.exists():
        with suppress(SaveError), locked(run.lock) as free:  # where nothing can be written, nobody trains
            if not free:
                return "running"
    return "stopped" if whole_directory(RunDirectory(run.folder).last) else "new"


@dataclass(frozen=True)
class _Outcome:
    """What a member that is done leaves behind."""

    evaluation: Evaluation
    replaced: tuple[ReplacedCount, ...]
    seconds: float
    cost: NetworkCost | None = None
    truths: str = ""


def _read_outcome(path: Path) -> _Outcome | None:
    try:
        return from_json(_Outcome, read_json(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read ({error})", hint="remove it; the member is scored again") from error
