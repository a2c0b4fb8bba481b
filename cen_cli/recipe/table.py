"""What every table of a recipe is, and the types that several of their keys have."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from cen_cli.recipe.wording import perhaps

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
NonNegative = Annotated[float, Field(ge=0)]
AboveZero = Annotated[float, Field(gt=0)]
Text = Annotated[str, Field(min_length=1)]
Names = Annotated[tuple[str, ...], Field(min_length=1)]
Size = tuple[Positive, Positive]
Rate = AboveZero | Annotated[tuple[AboveZero, ...], Field(min_length=1)]
Channels = tuple[float, float, float]
Deviations = tuple[AboveZero, AboveZero, AboveZero]
RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
BACKBONES = ", ".join(f'"{name}"' for name in RESNETS) + ' or "timm/NAME"'


def unique(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names, none empty and none twice. Raises ValueError."""
    if len(set(names)) != len(names) or "" in names:
        raise ValueError("a list of names, each named once")
    return names


def ascending(bounds: tuple[float, float]) -> tuple[float, float]:
    """The two numbers, the lower one first. Raises ValueError."""
    if bounds[0] > bounds[1]:
        raise ValueError("two numbers [lowest, highest], the lowest first")
    return bounds


def distinct(numbers: tuple[float, ...]) -> tuple[float, ...]:
    """The numbers, none twice. Raises ValueError."""
    if len(set(numbers)) != len(numbers):
        raise ValueError("a list of numbers, each named once")
    return numbers


def backbone_name(name: str) -> str:
    """The name, of a ResNet or beginning with timm/. Raises ValueError."""
    if name not in RESNETS and not re.fullmatch(r"timm/[A-Za-z0-9_.]+", name):
        raise ValueError(BACKBONES + perhaps(name, RESNETS))
    return name


class Table(BaseModel):
    """A table of a recipe: strictly typed, immutable, without unknown keys, NaN or infinity.

    What a key means stands in its Field or, where that is no line, in a docstring below the key.
    """

    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )
