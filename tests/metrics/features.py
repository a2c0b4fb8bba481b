"""Random features that look like those of two sets of images: correlated, not centred, and not alike."""

from __future__ import annotations

import numpy as np


def two_sets(real: int, fake: int, dimension: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    mix = random.normal(size=(dimension, dimension)) / np.sqrt(dimension)
    other = mix + 0.3 * random.normal(size=(dimension, dimension)) / np.sqrt(dimension)
    return random.normal(size=(real, dimension)) @ mix, 0.2 + random.normal(size=(fake, dimension)) @ other
