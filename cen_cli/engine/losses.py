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
    """Collects loss terms without waiting for the device; `flush` fetches them together and names the first bad one."""

    def __init__(self) -> None:
        self._pending: list[tuple[int, int, Sequence[Mapping[str, str]], Mapping[str, Tensor]]] = []
        self._sums: dict[str, float] = {}
        self._steps = 0

    def add(self, terms: Mapping[str, Tensor], *, epoch: int, step: int, files: Sequence[Mapping[str, str]]) -> None:
        """Remember the terms of one step and where they came from; on a CPU there is no wait, so check them at once."""
        self._pending.append((epoch, step, files, terms))
        if terms["total"].device.type == "cpu":
            self.flush()

    def flush(self) -> None:
        """Fetch what is pending. Raises DivergedError naming epoch, step, term and files of the first bad loss."""
        if not self._pending:
            return
        values = torch.stack([torch.stack(list(terms.values())) for *_, terms in self._pending]).double().cpu().tolist()
        for (epoch, step, files, terms), row in zip(self._pending, values, strict=True):
            named = dict(zip(terms, row, strict=True))
            bad = [name for name, value in named.items() if not math.isfinite(value) and name != "total"]
            if bad or not math.isfinite(named["total"]):
                raise _diverged(epoch, step, {name: named[name] for name in bad or ["total"]}, files)
            self._sums = {name: self._sums.get(name, 0.0) + value for name, value in named.items()}
            self._steps += 1
        self._pending.clear()

    def close(self) -> tuple[dict[str, float], int]:
        """Averages over the interval that ends here and its number of steps; the next interval starts empty."""
        self.flush()
        steps = max(self._steps, 1)
        averages = {name: total / steps for name, total in self._sums.items()}
        self._sums, self._steps = {}, 0
        return averages, steps

    def state(self) -> tuple[dict[str, float], int]:
        """The unfinished interval's sums and steps, to be saved."""
        return dict(self._sums), self._steps

    def restore(self, sums: Mapping[str, float], steps: int) -> None:
        """Continue an interval that `state` described."""
        self._sums, self._steps = dict(sums), steps


def _diverged(epoch: int, step: int, terms: Mapping[str, float], files: Sequence[Mapping[str, Any]]) -> DivergedError:
    named = ", ".join(f"{name} = {value}" for name, value in terms.items())
    paths = "\n".join(f"  {path}" for sample in files for path in sample.values())
    return DivergedError(
        f"the loss is not finite in epoch {epoch}, step {step}: {named}\nfiles of this batch:\n{paths}",
        hint="what was saved before is untouched; try lower learning rates, optimizer.clip_norm, or precision fp32",
    )
