"""What a key of the schema takes, in words: for error messages and the reference page."""

from __future__ import annotations

import numbers
import os
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from pydantic.fields import FieldInfo

from cen_cli.recipe.table import Table

_BOUNDS = (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<"))


def table_of(annotation: Any) -> type[Table] | None:
    """The table class behind an annotation that is one, or None."""
    return annotation if isinstance(annotation, type) and issubclass(annotation, Table) else None


def tables_by_name(annotation: Any) -> type[Table] | None:
    """The table class of `dict[str, SomeTable]`, or None for any other annotation."""
    if typing.get_origin(annotation) is dict:
        return table_of(typing.get_args(annotation)[1])
    return None


def allowed(field: FieldInfo) -> str:
    """What a key takes, for example "a whole number >= 1"."""
    return _phrase(field.annotation, field.metadata)


def choices(field: FieldInfo) -> tuple[str, ...]:
    """The values of a key that takes one of a few names; empty for others."""
    kinds = _alternatives(field.annotation)
    named = [name for kind in kinds if typing.get_origin(kind) is Literal for name in typing.get_args(kind)]
    return tuple(name for name in named if isinstance(name, str))


def may_be_absent(field: FieldInfo) -> bool:
    """Whether a key says something by being absent, and takes no text, which "none" might be."""
    kinds = _alternatives(field.annotation)
    return type(None) in kinds and not any(_phrase(kind, []).startswith("text") for kind in kinds)


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    """The parts of `A | B`, or the annotation itself."""
    union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    return typing.get_args(annotation) if union else (annotation,)


def _phrase(annotation: Any, metadata: Iterable[Any]) -> str:
    metadata = list(_constraints(metadata))
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _phrase(arguments[0], [*arguments[1:], *metadata])
    if origin in (typing.Union, types.UnionType):
        return ", or ".join(_phrase(part, metadata) for part in arguments if part is not type(None))
    if origin is Literal:
        names = [f'"{name}"' if isinstance(name, str) else str(name) for name in arguments]
        return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
    if origin is tuple:
        return _list_phrase(arguments, metadata)
    if origin is dict or table_of(annotation):
        return "a table"
    return _scalar_phrase(annotation, metadata)


def _list_phrase(arguments: tuple[Any, ...], metadata: list[Any]) -> str:
    each = _phrase(arguments[0], [])
    if arguments[-1] is not Ellipsis:
        return f"a list of {len(arguments)}, each {each}"
    least = next((limit.min_length for limit in metadata if hasattr(limit, "min_length")), 0)
    return f"a list of {'at least one' if least else 'any length'}, each {each}"


def _scalar_phrase(kind: Any, metadata: list[Any]) -> str:
    if kind is bool:
        return "true or false"
    if kind is str:
        return "text" if not metadata else _text_phrase(metadata)
    noun = "a whole number" if kind is int else "a number"
    bounds = [f"{sign} {getattr(limit, name)}" for name, sign in _BOUNDS for limit in metadata if hasattr(limit, name)]
    return " ".join([noun, " and ".join(bounds)]).strip()


def _text_phrase(metadata: list[Any]) -> str:
    patterned = any(getattr(limit, "pattern", None) for limit in metadata)
    return "text of letters, digits, dots, dashes and underscores" if patterned else "text, not empty"


def _constraints(metadata: Iterable[Any]) -> Iterator[Any]:
    for item in metadata:
        if isinstance(item, FieldInfo):
            yield from _constraints(item.metadata)
        else:
            yield item


def plain(value: Any) -> Any:
    """A value of a recipe as TOML holds it: tables become dicts, tuples lists, paths texts, all numbers plain ones."""
    if isinstance(value, Table):
        return {name: plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        return int(value) if isinstance(value, numbers.Integral) else float(value)
    return [plain(inner) for inner in value] if isinstance(value, (tuple, list)) else value
