"""Rows of a sweep over ways of fusing -> which one to take, in words: what it brings, what it costs, how sure that is.

Taken is the cheapest row whose paired difference to the best one is within one standard error of that difference (the
rule of Breiman et al. 1984); with one seed, the best, as a guess.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from cen_cli.analysis.sweeps import paired_test
from cen_cli.results import NetworkCost, SweepCell, SweepRow, is_better

Written = Callable[[str, float], str]
"""(metric, value) -> the value as people read it."""


def fusion_advice(rows: Sequence[SweepRow], written: Written) -> tuple[str, ...]:
    """Sentences on rows of one group, by the last metric with numbers; those that are `alone` have one modality."""
    metric = next((cell.metric for row in rows for cell in reversed(row.cells) if cell.values), "")
    done = [row for row in rows if metric and _cell(row, metric).values]
    done.sort(key=lambda row: _cell(row, metric).mean, reverse=bool(metric) and is_better(metric, 1.0, than=0.0))
    alone, fused = ([row for row in done if row.alone is single] for single in (True, False))
    if not fused:
        return ("Nothing to advise yet: no row that fuses has been trained.",)

    def score(row: SweepRow) -> str:
        return f"{row.label} ({written(metric, _cell(row, metric).mean)})"

    def compared(one: SweepRow, other: SweepRow) -> str:
        mean, p_value, seeds = _compared(one, other, metric)
        better = is_better(metric, mean, than=0.0)
        sure = f"p = {p_value:.2g} over {seeds} seeds" if not math.isnan(p_value) else f"{seeds} common seed"
        return f"{written(metric, abs(mean))} {'better' if better else 'worse'} than {score(other)}, {sure}"

    pairs = list(pairwise(alone))[:1]
    said = [f"Of the modalities, {score(one)} is {compared(one, other)}." for one, other in pairs]
    said += [f"The best fusion, {score(fused[0])}, is {compared(fused[0], one)}." for one in alone[:1]]
    best = done[0]
    taken = min((row for row in done if _as_good(row, best, metric)), key=lambda row: _spending(row, done.index(row)))
    why = "the best row" if taken is best else f"within a standard error of the best, {score(best)}, and cheaper"
    cost = f"; {_spent(taken.cost)}" if taken.cost else ""
    instead = f", where {best.label} takes {_spent(best.cost)}" if cost and taken is not best and best.cost else ""
    said.append(f"Take {score(taken)}: {why}{cost}{instead}.")
    seeds = [len(_cell(row, metric).values) for row in done]
    if seeds[0] < 2:
        said.append("One seed: this is a guess. Differences of a point or two often turn round with another seed.")
    elif min(seeds) < seeds[0]:
        said.append(f"Rows that fell behind have {min(seeds)} of {seeds[0]} seeds.")
    return tuple(said)


def _cell(row: SweepRow, metric: str) -> SweepCell:
    return next(cell for cell in row.cells if cell.metric == metric)


def _compared(one: SweepRow, other: SweepRow, metric: str) -> tuple[float, float, int]:
    """Mean difference over common seeds, its p-value, and how many they are."""
    first, second = _cell(one, metric).values, _cell(other, metric).values
    return *paired_test(first, second), len(first.keys() & second.keys())


def _as_good(row: SweepRow, best: SweepRow, metric: str) -> bool:
    """Whether the row is within a standard error of the best one; with one seed nothing else is."""
    first, second = _cell(row, metric).values, _cell(best, metric).values
    differences = np.array([first[seed] - second[seed] for seed in first.keys() & second.keys()])
    if row is best or len(differences) < 2:
        return row is best
    return bool(abs(differences.mean()) <= differences.std(ddof=1) / math.sqrt(len(differences)))


def _spending(row: SweepRow, place: int) -> tuple[float, float, int]:
    return (row.cost.macs, row.cost.parameters, place) if row.cost else (math.inf, math.inf, place)


def _spent(cost: NetworkCost) -> str:
    return f"{cost.macs / 1e9:.3g} G MACs a view and {cost.parameters / 1e6:.3g} M parameters"
