"""The exchange of P Eq. 6 and its parts, one channel at a time."""

from __future__ import annotations

import numpy as np


def parts(channels: int, modalities: int) -> list[list[int]]:
    """Deal the channels out one by one: first how many each modality gets, then which."""
    sizes = [0] * modalities
    for channel in range(channels):
        sizes[channel % modalities] += 1
    cut, begin = [], 0
    for size in sizes:
        cut.append(list(range(begin, begin + size)))
        begin += size
    return cut


def exchange(
    x: np.ndarray, gamma: np.ndarray, threshold: float, replaceable: np.ndarray, donor: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """x [M*B, C, H, W] modality-major, gamma [M, C], replaceable bool [M, C] -> result and replaced bool [M, C].

    `donor`, int [M, C]: who gives; None: the mean of all others.
    """
    modalities, channels = gamma.shape
    batch = x.shape[0] // modalities
    result, replaced = x.copy(), np.zeros((modalities, channels), dtype=bool)
    for m in range(modalities):
        for c in range(channels):
            if modalities == 1 or not replaceable[m, c] or abs(gamma[m, c]) >= threshold:
                continue
            replaced[m, c] = True
            for b in range(batch):
                others = [other for other in range(modalities) if other != m] if donor is None else [donor[m, c]]
                donors = [x[other * batch + b, c] for other in others]
                result[m * batch + b, c] = sum(donors) / len(donors)
    return result, replaced


def replaceable(channels: int, modalities: int, region: str, replace: str) -> tuple[np.ndarray, np.ndarray]:
    """Where gammas are pressed and where channels may be replaced, bool [M, C] each."""
    pressed = np.zeros((modalities, channels), dtype=bool)
    for m, part in enumerate(parts(channels, modalities)):
        for c in range(channels):
            pressed[m, c] = region == "all" or c in part
    return pressed, (np.ones_like(pressed) if replace == "anywhere" else pressed)
