"""The command line's `--set table.key=value`: parsed as TOML, then checked by the same schema as the file."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import Any

from cen_cli.recipe.paths import merge


def parse_overrides(overrides: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """The tables that the overrides set (a later one wins), and a message for each that cannot be read."""
    table: dict[str, Any] = {}
    problems: list[str] = []
    for text in overrides:
        try:
            table = merge(table, _parse_one(text))
        except ValueError:
            problems.append(f"--set {text!r}: table.key=value, for example --set train.epochs=10")
    return table, problems


def _parse_one(text: str) -> dict[str, Any]:
    key, equals, value = text.partition("=")
    while equals and key.count('"') % 2:  # an equals sign inside a quoted part of the key
        more, equals, value = value.partition("=")
        key = f"{key}={more}"
    if not equals or "\n" in key:
        raise ValueError(text)
    table = tomllib.loads(f"{key} = 0")
    return _with_leaf(table, _parse_value(value.strip()))


def _parse_value(text: str) -> Any:
    """The value as TOML reads it, or the text itself where TOML cannot (so that quotes may be left out)."""
    try:
        table = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return table["value"] if list(table) == ["value"] else text


def _with_leaf(table: dict[str, Any], value: Any) -> dict[str, Any]:
    (key, inner), *_ = table.items()
    return {key: _with_leaf(inner, value) if isinstance(inner, dict) else value}
