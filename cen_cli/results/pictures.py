"""What is said of one predicted picture."""

from __future__ import annotations

import dataclasses

Frame = tuple[float, float, float, float]
"""A region of a picture as (top, left, bottom, right), shares of its height and width."""


@dataclasses.dataclass(frozen=True)
class ClassShare:
    """How much of a predicted label map belongs to one class, in [0, 1]."""

    class_name: str
    share: float
