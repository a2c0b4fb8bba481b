"""How what is wrong with a recipe is put into words."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cen_cli.recipe.paths import Path, dotted
from cen_cli.wording import did_you_mean


@dataclass(frozen=True)
class Problem:
    """One thing wrong, at one key."""

    path: Path
    text: str
    """`table.key = value: what is allowed`."""

    @classmethod
    def at(cls, path: Path, value: Any, text: str) -> Problem:
        """What is wrong with the value at a path; of tables, and of what is missing, only the key is named."""
        if isinstance(value, Mapping):
            return cls(path, f"[{dotted(path)}]: {text}")
        shown = "" if text.startswith("missing") else f" = {show_value(value)}"
        return cls(path, f"{dotted(path)}{shown}: {text}")


def show_value(value: Any) -> str:
    """A value on one line, much as TOML writes it, cut after 60 characters."""
    dated = isinstance(value, (datetime.date, datetime.time))
    shown = value.isoformat() if dated else json.dumps(value, default=repr, ensure_ascii=False)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def one_of(values: Sequence[str]) -> str:
    """Text values as alternatives: "a" or "b"."""
    return " or ".join(show_value(value) for value in values)


def perhaps(name: str, names: Iterable[str]) -> str:
    """ " (did you mean 'x'?)" with the closest of the names, or nothing where none is close."""
    question = did_you_mean(name, names)
    return f" ({question})" if question else ""
