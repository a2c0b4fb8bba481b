"""Work as it goes, on stderr: notes, and a progress bar for what can be counted (when piped, now and then a line)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cen_cli.reporting.console import err, note, print_error
from cen_cli.reporting.formats import duration
from cen_cli.reporting.sweeps import outcome_line
from cen_cli.results import Advance, Listener, MemberOutcome, SweepReport

SECONDS_BETWEEN_LINES = 10.0


class Terminal(Listener):
    """Shows notes, counted work and the ends of a sweep's members; `report` prints what came of the sweep."""

    def __init__(self, report: Callable[[SweepReport], None] | None = None) -> None:
        self._report = report

    def on_note(self, text: str) -> None:
        """Show something that the user should know."""
        note(text)

    def on_warning(self, text: str, hint: str | None = None) -> None:
        """Show what was left out."""
        print_error(text, hint, kind="warning")

    @contextmanager
    def counting(self, description: str) -> Iterator[Advance]:
        """Show how far the work inside the block is: call what it yields with (done, total) after each piece."""
        console = err()
        if not console.is_terminal:
            yield PlainCounter(description)
            return
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
            task = progress.add_task(description, total=None)
            yield lambda done, of: progress.update(task, completed=done, total=of)

    def on_member(self, outcome: MemberOutcome, *, metric: str, ended: int, total: int) -> None:
        """Show one member that has ended, on one line."""
        note(f"{ended}/{total} {outcome_line(outcome, metric)}")

    def on_report(self, report: SweepReport) -> None:
        """Print a sweep's report, before its pictures are drawn."""
        if self._report is not None:
            self._report(report)


class PlainCounter:
    """Writes `description: done/total` at most every ten seconds, and at the end; nothing where nothing was to do."""

    def __init__(self, description: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._description = description
        self._clock = clock
        self._start = self._spoke = clock()
        self._begun = False

    def __call__(self, done: int, total: int) -> None:
        """Report that `done` of `total` pieces are finished."""
        now = self._clock()
        if done >= total and not self._begun:
            return
        self._begun = done < total
        if done < total and now - self._spoke < SECONDS_BETWEEN_LINES:
            return
        self._spoke = now
        elapsed = now - self._start
        left = f", {duration(elapsed / done * (total - done))} left" if 0 < done < total else ""
        note(f"{self._description}: {done}/{total}{left}")
