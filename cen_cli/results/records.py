"""Records as JSON."""

from __future__ import annotations

import dataclasses
import math
from typing import Any


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
