"""Words that many messages share: lists, the name that was meant, commands, and what a terminal may be sent."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable

CLOSE = 0.6
"""Similarity from which on a name counts as a typing error: two wrong letters of five, difflib's own measure."""
LISTED = 5
"""Entries that a message names of a list before it counts the others."""

_HIDDEN = (range(32), range(0x7F, 0xA0), (0x61C, 0x200E, 0x200F), range(0x202A, 0x202F), range(0x2066, 0x206A))
_SHOWN = {code: "\ufffd" for codes in (*_HIDDEN, range(0xD800, 0xE000)) for code in codes if chr(code) not in "\n\t"}


def printable(text: str) -> str:
    """The text with a mark in the place of what may not reach a terminal or a page.

    These are control characters, those that turn the direction of writing, and bytes of file names that are no text.
    """
    return text.translate(_SHOWN)


def one_line_each(names: Iterable[str]) -> bool:
    """Whether no name is empty or breaks the line, so that none can pass for output of its own."""
    return all(str.splitlines(name) == [name] for name in names)


def command(*words: object) -> str:
    """A command of cen that can be pasted into a shell: each word quoted where it needs that."""
    return shlex.join(["cen", *map(str, words)])


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
