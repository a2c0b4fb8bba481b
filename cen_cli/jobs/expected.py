"""A recipe's `[expected]` scores beside what was obtained."""

from __future__ import annotations

from collections.abc import Sequence

from cen_cli import builders
from cen_cli.errors import ExpectationError
from cen_cli.recipe import Recipe
from cen_cli.results import Evaluation, ExpectedScore


def expected_scores(recipe: Recipe, evaluation: Evaluation, elsewhere: str = "") -> tuple[ExpectedScore, ...]:
    """The recipe's `[expected]` scores beside those of the evaluation; None was obtained where it has no such score."""
    return tuple(
        ExpectedScore(name, line.value, line.tolerance, line.source, _metric(evaluation, name), elsewhere)
        for name, line in recipe.expected.items()
    )


def expected_of_validation(recipe: Recipe, evaluation: Evaluation) -> tuple[ExpectedScore, ...]:
    """As `expected_scores`; nothing is judged where `cen eval` takes another split or test-time augmentation."""
    alike = builders.multi_scale_flip(recipe) == builders.multi_scale_flip(recipe, training=True)
    elsewhere = "" if alike and evaluation.split == recipe.eval.split else f"cen eval on the split {recipe.eval.split}"
    return expected_scores(recipe, evaluation, elsewhere)


def check_expected(expected: Sequence[ExpectedScore]) -> None:
    """Raises ExpectationError, exit code 1, where an expected score is missed."""
    missed = [line.metric for line in expected if line.met is False]
    if missed:
        raise ExpectationError(f"below what the recipe expects: {', '.join(missed)}")


def _metric(evaluation: Evaluation, name: str) -> float | None:
    try:
        return evaluation.metric(name)
    except KeyError:
        return None
