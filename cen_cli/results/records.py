"""Records as JSON, and back."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")


def as_json(record: Any) -> Any:
    """Turn a record into what `json.dumps` takes: dataclasses to objects, tuples to lists, NaN and infinity to None.

    Properties that a record's class lists in `DERIVED` stand beside its fields.
    """
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        names = [*(field.name for field in dataclasses.fields(record)), *getattr(record, "DERIVED", ())]
        return {name: as_json(getattr(record, name)) for name in names}
    if isinstance(record, dict):
        return {str(key): as_json(value) for key, value in record.items()}
    if isinstance(record, (list, tuple)):
        return [as_json(value) for value in record]
    if isinstance(record, float) and not math.isfinite(record):
        return None
    return record


def from_json(kind: type[T], document: Any, *, absent: float | None = math.nan) -> T:
    """A record of this class from what `as_json` made of it; `absent` is what None stands for.

    Raises ValueError, naming the first place, where something is missing or of another type.
    """
    from pydantic import ValidationError

    known = document if absent is None else _with_numbers(document)
    try:
        record: T = _reader(cast(Any, kind)).validate_python(known)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{place}: {first['msg']}" if place else first["msg"]) from None
    return record


@functools.cache
def _reader(kind: type[Any]) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _with_numbers(value: Any) -> Any:
    """A document with NaN in the place of None."""
    if isinstance(value, dict):
        return {name: _with_numbers(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_with_numbers(each) for each in value]
    return math.nan if value is None else value
