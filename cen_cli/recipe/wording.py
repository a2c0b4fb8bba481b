"""How what is wrong with a recipe is put into words."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cen_cli.recipe.paths import Path
from cen_cli.wording import did_you_mean


@dataclass(frozen=True)
class Problem:
    """One thing wrong, at one key."""

    path: Path
    text: str
    """`table.key = value: what is allowed`."""


def show_value(value: Any) -> str:
    """A value on one line, much as TOML writes it, cut after 60 characters."""
    shown = value.isoformat() if isinstance(value, (datetime.date, datetime.time)) else json.dumps(value, default=str)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def one_of(values: Sequence[str]) -> str:
    """Text values as alternatives: "a" or "b"."""
    return " or ".join(show_value(value) for value in values)


def perhaps(name: str, names: Iterable[str]) -> str:
    """ " (did you mean 'x'?)" with the closest of the names, or nothing where none is close."""
    question = did_you_mean(name, names)
    return f" ({question})" if question else ""
