"""A progress bar for work that can be counted: rich on a terminal, now and then a plain line when piped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cen_cli.reporting.console import err, note
from cen_cli.reporting.formats import duration

Advance = Callable[[int, int], None]
"""Called with (done, total)."""

_SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def counting(description: str, total: int | None = None) -> Iterator[Advance]:
    """Show progress on stderr while the block runs; call what it yields with (done, total) after each piece of work.

    `total` is what is known beforehand; the calls may correct it.
    """
    console = err()
    if console.is_terminal:
        with _bar(console) as progress:
            task = progress.add_task(description, total=total)
            yield lambda done, of: progress.update(task, completed=done, total=of)
    else:
        yield PlainCounter(description)


def _bar(console: Console) -> Progress:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console)


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
        if done < total and now - self._spoke < _SECONDS_BETWEEN_LINES:
            return
        self._spoke = now
        elapsed = now - self._start
        left = f", {duration(elapsed / done * (total - done))} left" if 0 < done < total else ""
        note(f"{self._description}: {done}/{total}{left}")
