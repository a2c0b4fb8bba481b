"""Training a sweep within a stated time: seed by seed, and with fewer rows where not all can have another seed."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Sequence
from math import ceil

from cen_cli.analysis.sweeps import ranked
from cen_cli.errors import UsageError
from cen_cli.results import Listener, SweepRow

Row = tuple[str, str]
"""Group and variant."""
BESIDE = 15.0
"""Seconds that a member takes beside its training, as long as none has been seen: imports, reading, scoring."""


def train_within(
    seconds: float,
    rounds: Sequence[Sequence[Row]],
    seconds_of: Callable[[Row], float],
    trained: Callable[[Row, int], float],
    is_done: Callable[[Row, int], bool],
    train: Callable[[Sequence[Row], int], None],
    table: Callable[[], Sequence[SweepRow]],
    listener: Listener,
    jobs: int = 1,
) -> None:
    """Train the first seed of every row, then the next ones as far as `seconds` reach (successive halving).

    `rounds`: the rows that have an i-th seed. Where the next seed of all rows does not fit, the better half of them has
    it, and the best row of one modality alone; and so on, down to two rows, or one of each group. Rows that fell behind
    get no further seed. `seconds_of`: what a seed of a row takes to train, as estimated or, once one is done, as it
    took; `trained`: how much of that an i-th seed has behind it; `jobs` are trained at a time. Raises UsageError where
    not even one seed of each fits.
    """

    def cost(rows: Sequence[Row], index: int) -> float:
        left = (seconds_of(row) - trained(row, index) for row in rows if not is_done(row, index))
        return _elapsed([max(each, 0.0) + BESIDE for each in left], jobs)

    end = time.monotonic() + seconds
    pace = 1.0  # what the last round took, as a multiple of its trainings and what goes beside them
    ahead = {row for rows in rounds for row in rows}
    for index, rows in enumerate(rounds):
        left = (end - time.monotonic()) / pace
        chosen = [row for row in rows if row in ahead]
        if index == 0 and cost(rows, 0) > left:
            raise _too_short(seconds, cost(rows, 0))
        while index and chosen and cost(chosen, index) > left:
            fewer = _better_half(chosen, table())
            chosen = fewer if len(fewer) < len(chosen) else []
        ahead &= set(chosen)
        if index and len(chosen) < min(len(rows), 2):
            listener.on_note(f"budget: no time for seed {index + 1} of even two rows")
            return
        if len(chosen) < len(rows):
            kept = ", ".join("/".join(filter(None, row)) for row in chosen)
            listener.on_note(f"budget: seed {index + 1} for the better {len(chosen)} of {len(rows)} rows: {kept}")
        before = {row: trained(row, index) for row in chosen if not is_done(row, index)}
        began = time.monotonic()
        train(chosen, index)
        took = [trained(row, index) - so_far + BESIDE for row, so_far in before.items() if is_done(row, index)]
        if took:
            pace = (time.monotonic() - began) / _elapsed(took, jobs)


def _elapsed(trainings: Sequence[float], jobs: int) -> float:
    """Seconds until the last of so many trainings ends, where each begins as soon as one of the `jobs` is free."""
    ends = [0.0] * jobs
    for training in trainings:
        heapq.heapreplace(ends, ends[0] + training)
    return max(ends)


def _better_half(rows: Sequence[Row], table: Sequence[SweepRow]) -> list[Row]:
    """In each group the better half by the last metric that has numbers, and the best row of one modality alone."""
    kept: list[Row] = []
    for group in dict.fromkeys(group for group, _ in rows):
        _, best = ranked([row for row in table if row.group == group and (group, row.variant) in rows])
        alone = next((row for row in best if row.alone), None)
        half = best[: max(ceil(len(best) / 2), 1)]
        kept += [(group, row.variant) for row in best if row in half or (row is alone and len(best) > len(half) + 1)]
    return kept


def _too_short(budget: float, needed: float) -> UsageError:
    share = max(budget / needed, 0.01)
    return UsageError(
        f"--budget: one seed of every row takes about {needed / 60:.0f} minutes, and there are {budget / 60:.0f}",
        hint=f"more time, fewer rows (--only), or about {share:.0%} of the epochs (--set train.epochs=N)",
    )
