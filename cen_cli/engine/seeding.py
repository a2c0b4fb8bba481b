"""Random state: seeding a run, and capturing and restoring every generator so that a resumed run continues bit for bit.

Sampling and augmentation do not depend on this state (they are seeded by seed, epoch and index); dropout does.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cen_cli import ranks
from cen_cli.data.sampler import mixed_seed


def seed_everything(seed: int, rank: int = 0) -> None:
    """Seed the generators of Python, NumPy, torch and every CUDA device; each rank but the first has its own seed."""
    seed = mixed_seed(seed, rank) if rank else seed
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def capture_rng() -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state of all generators: tensors by name, and a JSON document for the rest."""
    _, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    tensors = {"rng.torch": torch.get_rng_state(), "rng.numpy": torch.from_numpy(np.asarray(keys, dtype=np.int64))}
    if torch.cuda.is_available():
        devices = range(torch.cuda.device_count()) if ranks.count() == 1 else [torch.cuda.current_device()]
        tensors |= {f"rng.cuda.{index}": torch.cuda.get_rng_state(index) for index in devices}
    version, words, python_gauss = random.getstate()
    document = {
        "python": [version, list(words), python_gauss],
        "numpy": [int(position), int(has_gauss), float(gauss)],
    }
    return tensors, document


def restore_rng(tensors: dict[str, Tensor], document: dict[str, Any]) -> None:
    """Put every generator back into the state that `capture_rng` returned.

    CUDA states are restored where this machine has the devices; a run moved to a machine with fewer continues with the
    others freshly seeded.
    """
    version, words, python_gauss = document["python"]
    random.setstate((version, tuple(words), python_gauss))
    position, has_gauss, gauss = document["numpy"]
    np.random.set_state(("MT19937", tensors["rng.numpy"].numpy().astype(np.uint32), position, has_gauss, gauss))
    torch.set_rng_state(tensors["rng.torch"])
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        if f"rng.cuda.{index}" in tensors:
            torch.cuda.set_rng_state(tensors[f"rng.cuda.{index}"], index)
