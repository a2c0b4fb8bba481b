"""A sweep's outcomes -> means and spreads over seeds, differences to a reference row, verdicts on what the paper says.

Runs of one seed share initial weights where networks agree, order of views and augmentation, so rows are compared seed
by seed: a paired t-test, two-sided. With few seeds its p-value is coarse; the verdicts therefore count seeds too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from cen_cli.results import Evaluation, MemberOutcome, SweepCell, SweepRow, SweepVerdict, is_better


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
    if np.ptp(differences) == 0:
        return mean, 1.0 if mean == 0 else 0.0
    return mean, float(stats.ttest_1samp(differences, 0.0).pvalue)


def _by_row(outcomes: Iterable[MemberOutcome]) -> dict[tuple[str, str], list[MemberOutcome]]:
    rows: dict[tuple[str, str], list[MemberOutcome]] = {}
    for outcome in outcomes:
        rows.setdefault((outcome.group, outcome.variant), []).append(outcome)
    return rows


def _values(outcomes: Iterable[MemberOutcome], metric: str) -> dict[int, float]:
    """The score by seed, where it was computed."""
    found = {each.seed: score(each.evaluation, metric) for each in outcomes if each.evaluation is not None}
    return {seed: value for seed, value in found.items() if not math.isnan(value)}


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
