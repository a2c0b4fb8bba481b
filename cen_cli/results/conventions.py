"""Numbers and names that mean the same in every room."""

from __future__ import annotations

from typing import Any

VOID = 255
"""Label of pixels that have no class: they count in no loss and in no metric."""

SPLITS = ("train", "val", "test")
"""Parts of a data set."""

RESERVED = (
    *("ensemble", "labels", "target"),
    *("total", "sparsity", "alignment", "auxiliary", "adversarial", "discriminator"),
)
"""Names that mean something else beside those of modalities: the ensemble, tables of recipes, terms of losses."""

FULL_RANGE = {"uint8": (0.0, 255.0), "uint16": (0.0, 65535.0), "int16": (-32768.0, 32767.0), "float32": (0.0, 1.0)}
"""What a pixel of a stored type can hold, of floats the range of an image that states none."""

COLLAPSED = 0.95
"""Share of a modality's pressed gammas below the threshold from which on nothing is chosen any more."""


def below_threshold(gamma: Any, threshold: Any) -> Any:
    """Where |gamma| < threshold (P Eq. 6), of arrays or tensors: what is replaced, as far as it may be."""
    return abs(gamma) < threshold
