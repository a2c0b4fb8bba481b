"""Probabilities averaged over windows, pixel by pixel."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def starts(length: int, window: int, step: int) -> list[int]:
    """Where windows begin: every `step`, until one reaches the border; the last is moved back to end there."""
    begin, found = 0, []
    while True:
        if begin + window >= length:
            found.append(max(length - window, 0))
            return found
        found.append(begin)
        begin += step


def softmax(logits: np.ndarray) -> np.ndarray:
    """Over the first axis."""
    odds = np.exp(logits - logits.max(0))
    return odds / odds.sum(0)


def windowed(
    logits_of: Callable[[np.ndarray], np.ndarray], image: np.ndarray, window: tuple[int, int], step: tuple[int, int]
) -> np.ndarray:
    """For each pixel the mean of softmax(logits) over all windows that hold it; image [C, H, W] -> [K, H, W]."""
    _, height, width = image.shape
    corners = [(i, j) for i in starts(height, window[0], step[0]) for j in starts(width, window[1], step[1])]
    found = {
        (i, j): softmax(logits_of(image[:, i : min(i + window[0], height), j : min(j + window[1], width)]))
        for i, j in corners
    }
    classes = next(iter(found.values())).shape[0]
    mean = np.empty((classes, height, width))
    for y in range(height):
        for x in range(width):
            seen = [
                found[i, j][:, y - i, x - j]
                for i, j in corners
                if i <= y < min(i + window[0], height) and j <= x < min(j + window[1], width)
            ]
            mean[:, y, x] = sum(seen) / len(seen)
    return mean
