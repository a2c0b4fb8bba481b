"""Loss terms between log intervals: kept on the device, fetched once, checked for NaN and infinity before saving."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cen_cli.errors import DivergedError

Penalty = Callable[[nn.Module], Tensor]
"""What a way of fusing adds to the loss, weighted, from the network as its last forward left it: a scalar."""


class LossWindow:
    """Collects loss terms without waiting for the device; `flush` fetches them together and names the first bad one.

    `sums` and `steps` of the unfinished interval are what is saved, and what it is continued from.
    """

    def __init__(self, sums: Mapping[str, float] | None = None, steps: int = 0) -> None:
        self._pending: list[tuple[int, int, Sequence[Mapping[str, str]], Mapping[str, Tensor]]] = []
        self.sums, self.steps = dict(sums or {}), steps

    def add(self, terms: Mapping[str, Tensor], *, epoch: int, step: int, files: Sequence[Mapping[str, str]]) -> None:
        """Remember the terms of one step and where they came from; on a CPU there is no wait, so check them at once."""
        self._pending.append((epoch, step, files, terms))
        if terms["total"].device.type == "cpu":
            self.flush()

    def flush(self) -> None:
        """Fetch what is pending. Raises DivergedError naming epoch, step, term and files of the first bad loss."""
        if not self._pending:
            return
        values = torch.stack([torch.stack(list(terms.values())) for *_, terms in self._pending]).cpu().double().tolist()
        for (epoch, step, files, terms), row in zip(self._pending, values, strict=True):
            named = dict(zip(terms, row, strict=True))
            bad = [name for name, value in named.items() if not math.isfinite(value) and name != "total"]
            if bad or not math.isfinite(named["total"]):
                raise _diverged(epoch, step, {name: named[name] for name in bad or ["total"]}, files)
            self.sums = {name: self.sums.get(name, 0.0) + value for name, value in named.items()}
            self.steps += 1
        self._pending.clear()

    def close(self) -> dict[str, float]:
        """Averages over the interval that ends here; the next one starts empty."""
        self.flush()
        averages = {name: total / max(self.steps, 1) for name, total in self.sums.items()}
        self.sums, self.steps = {}, 0
        return averages


def _diverged(epoch: int, step: int, terms: Mapping[str, float], files: Sequence[Mapping[str, Any]]) -> DivergedError:
    named = ", ".join(f"{name} = {value}" for name, value in terms.items())
    paths = "\n".join(f"  {path}" for sample in files for path in sample.values())
    return DivergedError(
        f"the loss is not finite in epoch {epoch}, step {step}: {named}\nfiles of this batch:\n{paths}",
        hint="what was saved before is untouched; try lower learning rates, optimizer.clip_norm, or precision fp32",
    )
