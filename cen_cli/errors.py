"""The error family: what went wrong, what to do about it, and the exit code that follows.

Exit codes: 1, the work failed (bad data, diverged, expected score missed, disk full); 2, the request was wrong (recipe,
option, path, device); 128 + signal number, interrupted after saving.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class CenError(Exception):
    """An error that a user can act on: shown as a message and a hint, never as a traceback."""

    exit_code = 1
    said_elsewhere = False
    """Whether another process of the same training says it."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        """As one process tells it to another, whatever the arguments of its class are."""
        return Exception.__new__, (type(self), self.message), self.__dict__


class DataError(CenError):
    """A file of a data set is missing, unreadable or not what it should be; or a batch cannot be learned from."""


class IncompleteError(DataError):
    """Views lack some of their files. Carries all of them, by modality."""

    def __init__(
        self, message: str, lacking: Mapping[str, Sequence[str]], *, views: int, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.lacking = {name: tuple(names) for name, names in lacking.items() if names}
        """By modality (as the data set calls it): the names of the views that lack it."""
        self.views = views
        """How many views there would be."""


class NotFiniteError(DataError):
    """What a network makes of a view is NaN or infinite."""


class WorkerError(DataError):
    """A process that loads data ended, most often for lack of memory."""


class RankError(CenError):
    """Another process of a training on several devices ended."""


class CheckpointError(CenError):
    """A checkpoint is truncated, corrupted, not ours, or does not fit what it is asked to fit."""


class SaveError(CenError):
    """Something could not be written: disk full, folder read-only. What was there before is untouched."""


class DivergedError(CenError):
    """A loss term, or what the network makes of a view, became NaN or infinite."""


class UnavailableError(CenError):
    """Something that is fetched once and never by itself is not on this machine; the hint says how to get it."""


class ExpectationError(CenError):
    """A score lies outside the recipe's `[expected]` tolerance."""


class MismatchError(CenError):
    """Two networks that should be equal are not; neither of them can be trusted, and nothing is written."""


class UsageError(CenError):
    """The request itself was wrong: an option, a path or a name."""

    exit_code = 2


class DeviceError(UsageError):
    """A device was asked for that this machine does not have."""


class RecipeError(UsageError):
    """A recipe, or an override of it, is invalid. Carries every problem found, not only the first."""

    def __init__(self, source: str, problems: Sequence[str], *, hint: str | None = None) -> None:
        count = f"{len(problems)} problem{'s' if len(problems) != 1 else ''}"
        super().__init__("\n".join([f"{source}: {count}", *(f"  {problem}" for problem in problems)]), hint=hint)
        self.source = source
        self.problems = tuple(problems)


class Interrupted(CenError):  # noqa: N818 (an interruption is not an error of anybody's)
    """A signal asked the run to stop; it saved its state first."""

    def __init__(self, signal_number: int, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = 128 + signal_number
