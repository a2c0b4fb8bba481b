"""A sweep's outcomes -> means and spreads over seeds, differences to a reference row, verdicts, advice.

Runs of one seed share initial weights where networks agree, order of views and augmentation, so rows are compared seed
by seed: a paired t-test, two-sided. With few seeds its p-value is coarse; the verdicts therefore count seeds too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

import numpy as np
from scipy import stats

from cen_cli.results import (
    Evaluation,
    MemberOutcome,
    NetworkCost,
    SweepCell,
    SweepRow,
    SweepVerdict,
    commonest_metric,
    is_better,
)
from cen_cli.wording import listed


@dataclass(frozen=True)
class RowPlan:
    """A row of the table before it has numbers."""

    group: str
    variant: str
    label: str
    paper: Mapping[str, float]
    """The paper's numbers by metric."""
    alone: bool = False
    """Whether it has one modality alone."""


@dataclass(frozen=True)
class Claim:
    """A row that should be better than another in one score."""

    words: str
    metric: str
    better: str
    worse: str


def sweep_rows(
    plans: Sequence[RowPlan], outcomes: Iterable[MemberOutcome], metrics: Sequence[str], reference: str
) -> tuple[SweepRow, ...]:
    """The table's rows, in order; each is held against the variant `reference` of its own group."""
    by_row = _by_row(outcomes)
    rows = []
    for plan in plans:
        own = by_row.get((plan.group, plan.variant), [])
        against = by_row.get((plan.group, reference), [])
        cells = [_cell(metric, own, against, plan.paper.get(metric)) for metric in metrics]
        done = [outcome for outcome in own if outcome.evaluation is not None]
        failed = sum(outcome.state == "failed" for outcome in own)
        counts = (len(own), len(done), failed)
        cost = next((outcome.cost for outcome in done if outcome.cost is not None), None)
        place = (plan.group, plan.variant, plan.label)
        rows.append(SweepRow(*place, *counts, tuple(cells), *_replaced(done), cost, plan.alone))
    return tuple(rows)


def sweep_verdicts(
    claims: Sequence[Claim], outcomes: Iterable[MemberOutcome], groups: Sequence[str]
) -> tuple[SweepVerdict, ...]:
    """Whether each claim holds in each group."""
    by_row = _by_row(outcomes)
    return tuple(
        _verdict(claim, group, by_row.get((group, claim.better), []), by_row.get((group, claim.worse), []))
        for group in groups
        for claim in claims
    )


def score(evaluation: Evaluation, metric: str) -> float:
    """A score by `branch.metric`; NaN where the network has no such branch, as baselines have but one."""
    try:
        return evaluation.metric(metric)
    except KeyError:
        return math.nan


def paired_test(one: Mapping[int, float], other: Mapping[int, float]) -> tuple[float, float]:
    """Mean difference one - other over their common seeds, and its two-sided p-value; NaN where there are too few."""
    common = sorted(one.keys() & other.keys())
    differences = np.array([one[seed] - other[seed] for seed in common])
    if not len(differences):
        return math.nan, math.nan
    mean = float(differences.mean())
    if len(differences) < 2:
        return mean, math.nan
    if np.ptp(differences) <= 1e-9 * abs(mean):  # the same everywhere, but for rounding
        return mean, 1.0 if mean == 0 else 0.0
    return mean, float(stats.ttest_1samp(differences, 0.0).pvalue)


def _by_row(outcomes: Iterable[MemberOutcome]) -> dict[tuple[str, str], list[MemberOutcome]]:
    rows: dict[tuple[str, str], list[MemberOutcome]] = {}
    for outcome in outcomes:
        rows.setdefault((outcome.group, outcome.variant), []).append(outcome)
    return rows


def _values(outcomes: Iterable[MemberOutcome], metric: str) -> dict[int, float]:
    """The score by seed, where it was computed."""
    values = {each.seed: score(each.evaluation, metric) for each in outcomes if each.evaluation is not None}
    return {seed: value for seed, value in values.items() if not math.isnan(value)}


def _cell(
    metric: str, own: Sequence[MemberOutcome], reference: Sequence[MemberOutcome], paper: float | None
) -> SweepCell:
    values = _values(own, metric)
    numbers = np.array(list(values.values()))
    difference, p_value = paired_test(values, _values(reference, metric))
    return SweepCell(
        metric=metric,
        values=values,
        mean=float(numbers.mean()) if len(numbers) else math.nan,
        std=float(numbers.std(ddof=1)) if len(numbers) > 1 else math.nan,
        paper=paper,
        difference=difference,
        p_value=p_value,
    )


def _verdict(claim: Claim, group: str, better: Sequence[MemberOutcome], worse: Sequence[MemberOutcome]) -> SweepVerdict:
    one, other = _values(better, claim.metric), _values(worse, claim.metric)
    common = one.keys() & other.keys()
    holds = sum(is_better(claim.metric, one[seed], than=other[seed]) for seed in common)
    difference, p_value = paired_test(one, other)
    if not is_better(claim.metric, 1.0, than=0.0):
        difference = -difference
    return SweepVerdict(claim.words, group, claim.metric, holds, len(common), difference, p_value)


def _replaced(done: Sequence[MemberOutcome]) -> tuple[float, float]:
    """Replaced channels as a share of the pressed part, all modalities together: mean over the seeds, and spread."""
    shares = []
    for outcome in done:
        pressed = sum(count.pressed for count in outcome.replaced)
        if pressed:
            shares.append(sum(count.replaced for count in outcome.replaced) / pressed)
    mean = float(np.mean(shares)) if shares else math.nan
    return mean, float(np.std(shares, ddof=1)) if len(shares) > 1 else math.nan


Written = Callable[[str, float], str]
"""(metric, value) -> the value as people read it."""


def fusion_advice(rows: Sequence[SweepRow], written: Written) -> tuple[str, ...]:
    """Which row of a sweep over ways of fusing to take, in words: what it brings, what it costs, how sure that is.

    Sentences on rows of one group, by the metric of `ranked`; those that are `alone` have one modality. Taken is
    the cheapest row whose paired difference to the best one is within one standard error of that difference (the rule
    of Breiman et al. 1984); with one common seed, the best, as a guess. `ranked` says which row is the best.
    """
    metric, done = ranked(rows)
    alone, fused = (_best_first([row for row in done if row.alone is single], metric) for single in (True, False))
    fused.sort(key=lambda row: row is not done[0])  # the best row of all is the best fusion, if it is one
    if not fused:
        return ("Nothing to advise yet: no row that fuses has been trained.",)

    def score(row: SweepRow) -> str:
        return f"{row.label} ({written(metric, row.cell(metric).mean)})"

    def compared(one: SweepRow, other: SweepRow) -> str:
        mean, p_value, seeds = _compared(one, other, metric)
        better = is_better(metric, mean, than=0.0)
        all_common = seeds == len(one.cell(metric).values) == len(other.cell(metric).values)
        over = f"over {seeds} {'' if all_common else 'common '}seeds"
        sure = f"p = {p_value:.2g} {over}" if not math.isnan(p_value) else f"{seeds} common seed"
        if mean == 0:
            return f"no better than {score(other)} and no worse, {sure}"
        return f"{written(metric, abs(mean))} {'better' if better else 'worse'} than {score(other)}, {sure}"

    pairs = [("Of the modalities, {} is {}.", *pair) for pair in list(pairwise(alone))[:1]]
    pairs += [("The best fusion, {}, is {}.", fused[0], one) for one in alone[:1]]
    said = [
        words.format(score(one), compared(one, other))
        for words, one, other in pairs
        if _compared(one, other, metric)[2]
    ]
    best = done[0]
    alike = [row for row in done if _as_good(row, best, metric)] if best.cost else [best]
    taken = min(alike, key=lambda row: _spending(row, done.index(row)))
    why = "the best row" if taken is best else f"within a standard error of the best, {score(best)}, and cheaper"
    cost = f"; {_spent(taken.cost)}" if taken.cost else ""
    instead = f", where {best.label} takes {_spent(best.cost)}" if cost and taken is not best and best.cost else ""
    said.append(f"Take {score(taken)}: {why}{cost}{instead}.")
    said += _caution([row.cell(metric).values.keys() for row in done], done.index(taken))
    silent = [row.label for row in rows if row.done and row not in done]
    said += [f"{label} has no {metric}: nothing is said of it." for label in silent]
    untrained = [row.label for row in rows if not row.done]
    said += [f"Not trained yet, so nothing is said of them: {listed(untrained)}."] if untrained else []
    idle = [row.label for row in fused if row.replaced == 0]
    said += [f"{label} replaced no channel in these runs: its row says nothing of exchanging." for label in idle]
    return tuple(said)


def _caution(seeds: Sequence[Collection[int]], taken: int) -> list[str]:
    """How little rows with these seeds, the best of them first, say of the one that is taken."""
    others = [set(seeds[taken]) & set(each) for place, each in enumerate(seeds) if place != taken]
    common = max(map(len, others), default=len(seeds[taken]))
    if common < 2:
        one = "One seed" if len(seeds[taken]) < 2 else f"{'One' if common else 'No'} seed in common with other rows"
        return [f"{one}: this is a guess. Differences of a point or two often turn round with another seed."]
    counts = [len(each) for each in seeds]
    if min(counts) < max(counts):
        return [f"Some rows have {min(counts)} of {max(counts)} seeds."]
    everywhere = len(set.intersection(*map(set, seeds)))
    return [f"Rows have different seeds, {everywhere} of them in common."] if everywhere < counts[0] else []


def ranked(rows: Sequence[SweepRow]) -> tuple[str, list[SweepRow]]:
    """The metric of which most rows have numbers, the last of such, and the rows that have some, the best first."""
    metric = commonest_metric(rows)
    return metric, _best_first([row for row in rows if metric and row.cell(metric).values], metric)


def _best_first(done: Sequence[SweepRow], metric: str) -> list[SweepRow]:
    """Rows with numbers, the best over their common seeds first.

    A row's own seeds count where no seed is common to all. Of those that have more seeds in common than all rows have,
    as a budget leaves them, the first is the best over theirs.
    """
    common = set.intersection(*(set(row.cell(metric).values) for row in done)) if done else set()

    def level(row: SweepRow) -> float:
        values = row.cell(metric).values
        return fmean(values[seed] for seed in common or values)

    ordered = sorted(done, key=level, reverse=bool(metric) and is_better(metric, 1.0, than=0.0))
    for row in ordered[1:]:
        own, best = row.cell(metric).values, ordered[0].cell(metric).values
        shared = own.keys() & best.keys()
        if len(shared) > len(common) and is_better(metric, fmean(own[each] - best[each] for each in shared), than=0.0):
            ordered = [row, *(each for each in ordered if each is not row)]
    return ordered


def _compared(one: SweepRow, other: SweepRow, metric: str) -> tuple[float, float, int]:
    """Mean difference over common seeds, its p-value, and how many they are."""
    first, second = one.cell(metric).values, other.cell(metric).values
    return *paired_test(first, second), len(first.keys() & second.keys())


def _as_good(row: SweepRow, best: SweepRow, metric: str) -> bool:
    """Whether the row is within a standard error of the best one; with one seed nothing else is."""
    first, second = row.cell(metric).values, best.cell(metric).values
    differences = np.array([first[seed] - second[seed] for seed in first.keys() & second.keys()])
    if row is best or len(differences) < 2:
        return row is best
    return bool(abs(differences.mean()) <= differences.std(ddof=1) / math.sqrt(len(differences)))


def _spending(row: SweepRow, place: int) -> tuple[float, float, int]:
    """To be sorted by; costs that are the same to three digits are the same, and the better row comes first."""
    cost = (row.cost.macs, row.cost.parameters) if row.cost else (math.inf, math.inf)
    return float(f"{cost[0]:.3g}"), float(f"{cost[1]:.3g}"), place


def _spent(cost: NetworkCost) -> str:
    return f"{cost.macs / 1e9:.3g} G MACs a view and {cost.parameters / 1e6:.3g} M parameters"
