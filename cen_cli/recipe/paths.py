"""Dotted keys into nested tables: `model.fusion`, `expected."ensemble.mean_iou".value`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

Path = tuple[str, ...]


def dotted(path: Sequence[str]) -> str:
    """The key as TOML writes it; parts that are no bare keys are quoted."""
    return ".".join(part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else f'"{part}"' for part in path)


def lookup(table: Mapping[str, Any], path: Sequence[str], default: Any = None) -> Any:
    """The value at the path, or the default where any part of it is absent."""
    value: Any = table
    for part in path:
        if not isinstance(value, Mapping) or part not in value:
            return default
        value = value[part]
    return value


def holds(table: Mapping[str, Any], path: Sequence[str]) -> bool:
    """Whether the path is set, as a value or as a table."""
    missing = object()
    return lookup(table, path, missing) is not missing


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Both tables in one, the second winning; tables are merged at every depth, everything else is replaced."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        both_tables = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(below, value) if both_tables else value  # type: ignore[arg-type]  # checked one line above
    return merged


def without(table: Mapping[str, Any], path: Sequence[str]) -> dict[str, Any]:
    """A copy of the table in which the path is absent."""
    head, *rest = path
    if not rest:
        return {key: value for key, value in table.items() if key != head}
    inner = table.get(head)
    return {**table, head: without(inner, rest)} if isinstance(inner, Mapping) else dict(table)


def leaves(table: Mapping[str, Any], prefix: Path = ()) -> dict[Path, Any]:
    """Every value that is not a table, by its path."""
    values: dict[Path, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            values |= leaves(value, (*prefix, key))
        else:
            values[*prefix, key] = value
    return values
