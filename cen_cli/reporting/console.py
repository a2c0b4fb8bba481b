"""The two consoles: results on stdout, everything else on stderr.

Square brackets are shown as they are: names of classes and of tables of a recipe have them, and are no markup of rich.
On a terminal both show colours (unless NO_COLOR is set); piped they write plain text whose lines are never cut to a
terminal's width. Names come from files, so what is shown goes through `printable`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from cen_cli.results import as_json
from cen_cli.wording import printable

_PIPED_WIDTH = 500


def out() -> Console:
    """The console of results, on stdout as it is now."""
    return _console(sys.stdout)


def err() -> Console:
    """The console of progress, notes, warnings and errors, on stderr as it is now."""
    return _console(sys.stderr)


def print_json(obj: Any) -> None:
    """Write one JSON document on stdout; records of `cen_cli.results` and their lists become objects."""
    text = json.dumps(as_json(obj), indent=2, ensure_ascii=False, allow_nan=False)
    sys.stdout.write(re.sub(r"[^\n -~]", _escaped, text) + "\n")
    sys.stdout.flush()


def print_error(message: str, hint: str | None = None, *, kind: str = "error") -> None:
    """Write `error: message` and, on a line of its own, `hint: ...` on stderr; markup in either is shown as it is."""
    console = err()
    _labelled(console, f"{kind}: ", "bold red", message)
    if hint:
        _labelled(console, "hint: ", "bold cyan", hint)


def note(text: str) -> None:
    """Write one remark on stderr, without markup and without wrapping."""
    err().print(Text(text), soft_wrap=True)


def print_text(text: str) -> None:
    """Write text on stdout, ending in a newline."""
    text = printable(text)
    sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
    sys.stdout.flush()


class _Printable(Console):
    """A console that sends no control characters but its own."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What rich makes of it, without the control characters of its text."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))


def _escaped(character: re.Match[str]) -> str:
    """A character of a JSON document as it may be sent to a terminal."""
    return character[0] if printable(character[0]) == character[0] else f"\\u{ord(character[0]):04x}"


def _labelled(console: Console, label: str, style: str, text: str) -> None:
    console.print(Text.assemble((label, style), text), soft_wrap=True)


def _console(stream: TextIO) -> Console:
    width = None if stream.isatty() else _PIPED_WIDTH
    return _Printable(file=stream, width=width, highlight=False, markup=False, emoji=False)
