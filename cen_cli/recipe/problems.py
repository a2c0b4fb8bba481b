"""Finds everything that is wrong with a recipe's tables at once, and says it in words.

Three passes over plain tables: types, ranges and unknown keys (pydantic), keys that would do nothing, and rules between
keys (`rules`). A rule is skipped where one of the keys it reads is already known to be wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from cen_cli.recipe import kinds
from cen_cli.recipe.folder_rules import RULES
from cen_cli.recipe.paths import Path, dotted, holds, leaves, lookup
from cen_cli.recipe.schema import Recipe
from cen_cli.recipe.switches import READ_ONLY_WITH
from cen_cli.recipe.table import Table
from cen_cli.recipe.wording import Problem, one_of, perhaps, show_value
from cen_cli.wording import nearest

Kind = TypeVar("Kind", bound=Table)


def validate(table: Mapping[str, Any]) -> tuple[Recipe | None, list[Problem]]:
    """The recipe that the tables describe, or None and every problem found."""
    recipe, problems = check_types(table, Recipe)
    wrong = [problem.path for problem in problems]
    wrong += [path for unknown in wrong for path in _meant(unknown)]
    problems += [problem for problem in _without_effect(table) if not _touches(problem.path, wrong)]
    for keys, rule in RULES:
        if not any(_touches(key, wrong) for key in keys):
            for key, text in rule(*(value_of(table, key) for key in keys)):
                path = tuple(key.split(".")) if isinstance(key, str) else key
                problems.append(Problem.at(path, value_of(table, path), text))
    return (None if problems else recipe), problems


def value_of(table: Mapping[str, Any], path: Path) -> Any:
    """The value at the path, or the schema's default, as TOML holds it; None where there is neither."""
    if holds(table, path):
        return lookup(table, path)
    field = next((field for known, field in known_keys() if known == path), None)
    if field is None or field.is_required():
        return None
    return kinds.plain(field.get_default())


# ---- types, ranges, unknown keys ----


def check_types(table: Mapping[str, Any], kind: type[Kind]) -> tuple[Kind | None, list[Problem]]:
    """What the tables describe, of this kind of document, or None and all that is wrong with keys, types and ranges."""
    try:
        return kind.model_validate(_tuples(table)), []
    except ValidationError as error:
        problems: dict[Path, Problem] = {}
        for details in error.errors(include_url=False):
            problem = _from_pydantic(table, details, kind)
            problems.setdefault(problem.path, problem)
        return None, list(problems.values())


def _tuples(value: Any) -> Any:
    """TOML's lists as tuples, which is what the schema holds."""
    if isinstance(value, Mapping):
        return {key: _tuples(inner) for key, inner in value.items()}
    return tuple(_tuples(inner) for inner in value) if isinstance(value, list) else value


def _from_pydantic(table: Mapping[str, Any], details: Mapping[str, Any], kind: type[Table]) -> Problem:
    path, field, unknown_in = _locate(details["loc"], kind)
    value = lookup(table, path)
    if unknown_in is not None:
        what = "table" if isinstance(value, dict) else "key"
        return Problem.at(path, value, f"no such {what}{_nearest_key(path, unknown_in)}")
    assert field is not None
    if not holds(table, path):
        return _missing(path, field)
    wanted = str(details["ctx"]["error"]) if details["type"] == "value_error" else kinds.allowed(field)
    close = perhaps(value, kinds.choices(field)) if isinstance(value, str) else ""
    return Problem.at(path, value, f"{wanted}{close}")


def _locate(location: tuple[int | str, ...], kind: type[Table]) -> tuple[Path, FieldInfo | None, type[Table] | None]:
    """Walk pydantic's location down to a key of the schema, or to the first name that its table does not have."""
    table = kind
    path: list[str] = []
    field: FieldInfo | None = None
    parts = iter(location)
    for part in parts:
        path.append(str(part))
        field = table.model_fields.get(str(part))
        if field is None:
            return tuple(path), None, table
        inner = kinds.table_of(field.annotation)
        named = kinds.tables_by_name(field.annotation)
        if named and (name := next(parts, None)) is not None:
            path.append(str(name))
            inner = named
        if inner is None:
            break
        table = inner
    return tuple(path), field, None


def _missing(path: Path, field: FieldInfo) -> Problem:
    table = kinds.table_of(field.annotation)
    if table is None:
        return Problem.at(path, None, f"missing; {kinds.allowed(field)}")
    needed = [name for name, inner in table.model_fields.items() if inner.is_required()]
    return Problem.at(path, {}, "missing table" + (f"; it needs {', '.join(needed)}" if needed else ""))


def _meant(path: Path) -> list[Path]:
    """The key that an unknown one may stand for: its own value is then not what it should be."""
    table = _locate(path, Recipe)[-1]
    return [(*path[:-1], name) for name in nearest(path[-1], table.model_fields)[:1]] if table else []


def _nearest_key(path: Path, table: type[Table]) -> str:
    """The nearest key of the same table, or the same name in another table."""
    *above, name = path
    close = nearest(name, table.model_fields)
    if close:
        return f" (did you mean '{dotted([*above, close[0]])}'?)"
    elsewhere = keys_named(name)
    return f" (did you mean '{elsewhere[0]}'?)" if elsewhere else ""


def known_keys(table: type[Table] = Recipe, above: Path = ()) -> Iterator[tuple[Path, FieldInfo]]:
    """Every key of the schema with its path; tables come before their keys. `<name>` stands for a name of one's own."""
    for name, field in table.model_fields.items():
        path = (*above, name)
        yield path, field
        if inner := kinds.table_of(field.annotation):
            yield from known_keys(inner, path)
        elif inner := kinds.tables_by_name(field.annotation):
            yield from known_keys(inner, (*path, "<name>"))


def keys_named(name: str) -> list[str]:
    """Dotted keys of the schema whose last part is the name; where there is none, whose last part is close to it."""
    paths = [path for path, field in known_keys() if kinds.table_of(field.annotation) is None and "<name>" not in path]
    close = nearest(name, {path[-1] for path in paths})
    return [dotted(path) for path in paths if close and path[-1] == close[0]]


def _touches(path: Path, wrong: list[Path]) -> bool:
    """Whether the path, a table above it or a key below it is among the wrong ones."""
    return any(path[: len(other)] == other or other[: len(path)] == path for other in wrong)


# ---- keys that would do nothing ----


def _without_effect(table: Mapping[str, Any]) -> Iterator[Problem]:
    for dependent, switch, needed in READ_ONLY_WITH:
        path, switch_path = tuple(dependent.split(".")), tuple(switch.split("."))
        actual = value_of(table, switch_path)
        if actual in needed or not holds(table, path):
            continue
        held = lookup(table, path)
        for key, value in leaves(held, path).items() if isinstance(held, Mapping) else [(path, held)]:
            only = f"read only with {switch} = {one_of(needed)}"
            yield Problem.at(key, value, f"{only}, and it is {show_value(actual)}; remove one of them")
