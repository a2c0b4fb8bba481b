"""Networks of streams made from flat settings."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from cen_cli.models.settings import StreamSettings

Network = TypeVar("Network")


def built(make: Callable[..., Network], *arguments: Any, **settings: Any) -> Network:
    """What `make` builds; of `settings`, the fields of `StreamSettings` change the ones that it has by default."""
    names = {field.name for field in dataclasses.fields(StreamSettings)} & set(settings)
    changes = {name: settings.pop(name) for name in names}
    default: StreamSettings = inspect.signature(make).parameters["streams"].default
    return make(*arguments, streams=dataclasses.replace(default, **changes), **settings)
