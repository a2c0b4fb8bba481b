"""Numbers and names that mean the same in every room."""

from __future__ import annotations

from typing import Any

VOID = 255
"""Label of pixels that have no class: they count in no loss and in no metric."""

SPLITS = ("train", "val", "test")
"""Parts of a data set."""

COLLAPSED = 0.95
"""Share of a modality's pressed gammas below the threshold from which on nothing is chosen any more."""


def below_threshold(gamma: Any, threshold: Any) -> Any:
    """Where |gamma| < threshold (P Eq. 6), of arrays or tensors: what is replaced, as far as it may be."""
    return abs(gamma) < threshold
