"""Words that many messages share: the first of a list, and the name that was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

CLOSE = 0.6
"""Similarity from which on a name counts as a typing error: two wrong letters of five, difflib's own measure."""
LISTED = 5
"""Entries that a message names of a list before it counts the others."""


def listed(entries: Iterable[object], most: int = LISTED, separator: str = ", ") -> str:
    """The first entries on one line, and how many more there are: `a, b, and 3 more`."""
    words = [str(entry) for entry in entries]
    more = [f"and {len(words) - most} more"] if len(words) > most else []
    return separator.join([*words[:most], *more])


def nearest(name: str, names: Iterable[str], most: int = 1) -> list[str]:
    """The names that are close enough to be what was meant, the closest first; none where none is."""
    return difflib.get_close_matches(name, list(names), n=most, cutoff=CLOSE)


def did_you_mean(name: str, names: Iterable[str], most: int = 1) -> str | None:
    """`did you mean 'x' or 'y'?` with the nearest of the names; None where none is close."""
    close = nearest(name, names, most)
    return f"did you mean {' or '.join(map(repr, close))}?" if close else None
