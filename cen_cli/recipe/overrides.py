"""Changes to a recipe, as text (`--set table.key=value`, the value in TOML) or as keys and values.

Both are then checked by the same schema as the file.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

from cen_cli.recipe.kinds import plain
from cen_cli.recipe.paths import leaves, merge
from cen_cli.recipe.wording import show_value

_PLAIN = "table.key=value, for example --set train.epochs=10"
_LIST = """texts in a list need quotes, and a shell takes them away: --set 'data.inputs=["rgb", "depth"]'"""

Change = str | tuple[str, Any]
"""`table.key=value`, or a dotted key and its value."""
Changes = str | Mapping[str, Any] | Iterable[Change]


def with_options(changes: Changes, **options: Any) -> list[Change]:
    """The changes, and on top of them the options that are not None; `eval__split` is the key eval.split."""
    set_options = [(key.replace("__", "."), value) for key, value in options.items() if value is not None]
    return [*_listed(changes), *set_options]


def as_text(change: Change) -> str:
    """The change as `table.key=value`."""
    return change if isinstance(change, str) else f"{change[0]}={show_value(change[1])}"


def parse_overrides(changes: Changes) -> tuple[dict[str, Any], list[str]]:
    """The tables that the changes set (a later one wins), and a message for each that cannot be read."""
    table: dict[str, Any] = {}
    problems: list[str] = []
    for change in _listed(changes):
        try:
            parsed = _parse_text(change) if isinstance(change, str) else _parse_pair(*change)
            if not leaves(parsed):
                problems.append(f"--set {change!r}: an empty table changes nothing; name its keys")
            table = merge(table, parsed)
        except ValueError:
            is_list = re.search(r"=\s*\[", str(change))
            problems.append(f"--set {change!r}: {_LIST if is_list else _PLAIN}")
    return table, problems


def _listed(changes: Changes) -> list[Change]:
    if isinstance(changes, Mapping):
        return [*changes.items()]
    return [changes] if isinstance(changes, str) else [*changes]


def _parse_pair(key: str, value: Any) -> dict[str, Any]:
    return _with_leaf(tomllib.loads(f"{key} = 0"), plain(value))


def _parse_text(text: str) -> dict[str, Any]:
    key, equals, value = text.partition("=")
    while equals and key.count('"') % 2:  # an equals sign inside a quoted part of the key
        more, equals, value = value.partition("=")
        key = f"{key}={more}"
    if not equals or "\n" in key:
        raise ValueError(text)
    return _parse_pair(key, _parse_value(value.strip()))


def _parse_value(text: str) -> Any:
    """The value as TOML reads it, or the text itself where TOML cannot (so that quotes may be left out).

    Raises ValueError for a list that is no TOML.
    """
    try:
        table = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        if text.startswith("["):
            raise
        return text
    return table["value"] if list(table) == ["value"] else text


def _with_leaf(table: dict[str, Any], value: Any) -> dict[str, Any]:
    (key, inner), *_ = table.items()
    return {key: _with_leaf(inner, value) if isinstance(inner, dict) else value}
