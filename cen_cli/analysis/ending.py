"""What is wrong with a training that has ended, judged by the checkpoint that it keeps as its best."""

from __future__ import annotations

import math
from collections.abc import Iterator

from cen_cli.analysis.sweeps import Written
from cen_cli.results import ENSEMBLE, Evaluation, RunSummary, SegmentationScores, is_better
from cen_cli.wording import listed

Warned = Iterator[tuple[str, str]]
"""(what is wrong, what to do about it)."""
NOTICEABLE = 0.01
"""Of a score: smaller differences between a branch and the ensemble turn round with another seed."""


def ending_warnings(summary: RunSummary, *, written: Written, weighted: bool = False) -> Warned:
    """Nothing exchanged, classes never found, an ensemble below its best branch.

    `written`: a score as people read it; `weighted`: whether the loss has class weights.
    """
    pressed = sum(count.pressed for count in summary.replaced)
    if pressed and not any(count.replaced for count in summary.replaced):
        yield (
            f"nothing was exchanged: none of {pressed} channels was replaced in the best checkpoint, of step "
            f"{summary.best_step}",
            "exchange.budget = 0.3 replaces a share of every layer from the first step on, whatever the gammas do",
        )
    yield from _never_found(summary.best, weighted=weighted)
    yield from _below_a_branch(summary, written)


def _never_found(best: Evaluation, *, weighted: bool) -> Warned:
    scores = list(best.scores.values())[-1]
    if not isinstance(scores, SegmentationScores):
        return
    missed = [name for name, accuracy in zip(best.class_names, scores.class_accuracy, strict=False) if accuracy == 0]
    if missed:
        yield (
            f"never found on {best.split}: {listed(missed)}",
            "cen data check says how rare they are; train longer, or "
            + ("change loss.class_weights (0 leaves a class out)" if weighted else 'set loss.class_weights = "median"'),
        )


def _below_a_branch(summary: RunSummary, written: Written) -> Warned:
    metric, best = summary.best_by.rpartition(".")[2], summary.best
    values = {branch: best.metric(f"{branch}.{metric}") for branch in best.scores}
    ensemble = values.pop(ENSEMBLE, math.nan)
    above = [
        branch
        for branch, value in values.items()
        if is_better(metric, value, than=ensemble) and abs(value - ensemble) > NOTICEABLE * abs(ensemble)
    ]
    if above and not math.isnan(ensemble):
        yield (
            f"the ensemble ({metric} {written(metric, ensemble)}) is worse than "
            f"{listed(f'{b} ({written(metric, values[b])})' for b in above)}",
            "take that branch by itself; with longer training the ensemble's weights may follow",
        )
