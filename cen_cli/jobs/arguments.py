"""What callers from Python may give in several ways, brought to one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from cen_cli.errors import UsageError
from cen_cli.results import Fill

Name = TypeVar("Name", bound=str | Path)


def several(one_or_more: Name | Iterable[Name]) -> tuple[Name, ...]:
    """One name or path, or several, as several: a text alone is not its letters."""
    return (one_or_more,) if isinstance(one_or_more, str | Path) else tuple(one_or_more)


def check_at_least(low: int, **counts: int | None) -> None:
    """Raises UsageError for a count that is no whole number, or below `low`; absent ones are none."""
    for name, count in counts.items():
        if count is not None and (not isinstance(count, int) or count < low):
            raise UsageError(f"{name} = {count!r}: a whole number, at least {low}")


def fill_of(word: str) -> Fill:
    """What stands in for a missing modality, by its word. Raises UsageError for another one."""
    try:
        return Fill(word)
    except ValueError:
        raise UsageError(f"--fill {word}: one of {', '.join(Fill)}") from None
