"""Theorem 1 held against gradients: how often the penalty outweighs them, predicted and observed."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class AttractionRow:
    """Pressed gammas of one modality. Shares and probabilities lie in [0, 1]; NaN where there is nothing to average."""

    modality: str
    gammas: int
    """Pressed gammas of all layers that have a gradient: those whose channel is not replaced."""
    predicted: float
    """Mean predicted probability of being attracted to 0."""
    observed: float
    """Share of (gamma, batch) in which the task's gradient was smaller than lambda, on batches not predicted from."""
    brier: float
    """Mean squared difference between that event, 1 or 0, and its predicted probability."""
    brier_constant: float
    """The same of the observed share as everybody's prediction: what a useful prediction has to be below."""
    replaced: int
    """Pressed gammas without a gradient, as their channel is replaced: attracted with certainty."""
    fell: int = 0
    """Pressed gammas that were once recorded below the threshold, replaced ones among them."""
    stayed: int = 0
    """Of these, those that were below it in every later record."""
    predicted_of_fallen: float = float("nan")
    """Mean predicted probability of the fallen ones; that of replaced ones is 1."""
    brier_of_fallen: float = float("nan")
    """Mean squared difference between their prediction and whether they stayed."""


@dataclasses.dataclass(frozen=True)
class CalibrationBin:
    """Gammas whose predicted probability lies in [low, high)."""

    low: float
    high: float
    gammas: int
    predicted: float
    """Mean prediction."""
    observed: float
    """Share of (gamma, batch) in which the gradient was smaller than lambda."""
    below: float
    """Share of these gammas that are below the threshold now."""


@dataclasses.dataclass(frozen=True)
class Attraction:
    """Theorem 1 measured on one network."""

    sparsity: float
    """lambda."""
    batches: int
    """Batches that the predictions rest on; as many others were observed."""
    rows: tuple[AttractionRow, ...]
    bins: tuple[CalibrationBin, ...]
    """Over all modalities, ten of equal width; empty ones are left out."""
