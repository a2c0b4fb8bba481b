"""Robustness: scores with modalities missing or corrupted, and which inputs each branch relies on.

Nothing here knows a network: a data set is altered (`cen_cli.data.altered`) and handed to the scorer that `cen eval`
uses. First everything is planned, so that the work can be counted; then it is scored.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

from cen_cli.data.altered.corruptions import CORRUPTIONS, LEVELS, Corrupted, meaningless
from cen_cli.data.altered.dataset import AlteredViews
from cen_cli.data.altered.missing import Missing, stand_ins
from cen_cli.data.modality import ModalitySpec
from cen_cli.data.views import ViewDataset
from cen_cli.results import CorruptedScores, Evaluation, Fill, MissingScores, Reliance, Robustness, lower_is_better

Score = Callable[[ViewDataset], Evaluation]
"""Scores the network on a data set."""
Drop = dict[str, float]
"""By branch: how much worse a metric has become."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be scored beside the whole inputs."""

    missing: tuple[Missing, ...]
    """Every non-empty proper subset of the modalities with every fill; the fewest missing first."""
    corrupted: tuple[Corrupted, ...]
    swapped: tuple[Missing, ...]
    """Each modality alone, in its place another view's image."""
    notes: tuple[str, ...]
    seed: int

    @property
    def alterations(self) -> tuple[Missing | Corrupted, ...]:
        """All of them, none twice."""
        return tuple(dict.fromkeys([*self.missing, *self.swapped, *self.corrupted]))

    @property
    def evaluations(self) -> int:
        """How often the split is scored, with whole inputs too."""
        return 1 + len(self.alterations)


def plan_robustness(data: ViewDataset, fills: Sequence[Fill], *, seed: int) -> Plan:
    """All that is measured of a network with the data set's modalities. Raises DataError for a split of one view."""
    names = [spec.name for spec in data.specs]
    stand = stand_ins(data, (*fills, Fill.OTHER), seed=seed)
    subsets = [subset for size in range(1, len(names)) for subset in itertools.combinations(names, size)]
    alone = (f"{names[0]} is the only modality: nothing can be left out",) if len(names) == 1 else ()
    return Plan(
        missing=tuple(Missing(subset, fill, stand) for subset in subsets for fill in fills),
        corrupted=tuple(
            Corrupted(spec.name, name, level, seed)
            for spec, name, level in itertools.product(data.specs, CORRUPTIONS, LEVELS)
            if meaningless(name, spec) is None
        ),
        swapped=tuple(Missing((name,), Fill.OTHER, stand) for name in names),
        notes=(*alone, *_left_out(data.specs)),
        seed=seed,
    )


def _left_out(specs: Sequence[ModalitySpec]) -> Iterator[str]:
    for spec in specs:
        reasons = [f"no {name} ({reason})" for name in CORRUPTIONS if (reason := meaningless(name, spec)) is not None]
        if reasons:
            yield f"{spec.name}: {', '.join(reasons)}"


def score_robustness(data: ViewDataset, plan: Plan, score: Score, *, metric: str) -> Robustness:
    """Score whole inputs, then all that is planned; drops are those of `metric`, named without a branch."""
    full = score(data)
    evaluations = {alteration: score_altered(data, alteration, score) for alteration in plan.alterations}
    drops = {alteration: score_drop(full, evaluation, metric) for alteration, evaluation in evaluations.items()}
    return Robustness(
        metric=metric,
        seed=plan.seed,
        full=full,
        missing=tuple(
            MissingScores(
                evaluations[item],
                drops[item],
                present=tuple(spec.name for spec in data.specs if spec.name not in item.modalities),
                missing=item.modalities,
                fill=item.fill,
            )
            for item in plan.missing
        ),
        corrupted=tuple(
            CorruptedScores(evaluations[item], drops[item], item.modality, item.corruption, item.level, item.strength)
            for item in plan.corrupted
        ),
        reliance=_reliance(full, {item.modalities[0]: drops[item] for item in plan.swapped}, metric),
        notes=plan.notes,
    )


def score_altered(data: ViewDataset, alteration: Missing | Corrupted, score: Score) -> Evaluation:
    """Scores of altered views; what is missing is told in them."""
    evaluation = score(AlteredViews(data, alteration))
    return dataclasses.replace(evaluation, missing=alteration.fills if isinstance(alteration, Missing) else {})


def score_drop(full: Evaluation, altered: Evaluation, metric: str) -> Drop:
    """By branch: positive where the altered inputs are the worse ones, whichever way the metric counts."""
    sign = -1 if lower_is_better(metric) else 1
    return {
        branch: sign * (getattr(scores, metric) - getattr(altered.scores[branch], metric))
        for branch, scores in full.scores.items()
    }


def _reliance(full: Evaluation, swaps: Mapping[str, Drop], metric: str) -> tuple[Reliance, ...]:
    return tuple(
        Reliance(
            branch=branch,
            weight=full.weights.get(branch),
            score=getattr(scores, metric),
            swapped={modality: drop[branch] for modality, drop in swaps.items()},
        )
        for branch, scores in full.scores.items()
    )
