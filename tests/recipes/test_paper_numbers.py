"""The paper's numbers in the sweeps of S-Tables 6 to 9: each as the supplement prints it, none missing, none more."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from cen_cli.recipe.sweeps import load_sweep, paper_numbers
from tests import supplement


@pytest.mark.parametrize(
    ("name", "numbers", "count"),
    [
        ("table6", supplement.table_6, 102),
        ("table7", supplement.table_7, 33),
        ("table8", supplement.table_8, 96),
        ("table9", supplement.table_9, 72),
    ],
)
def test_a_sweep_states_the_supplements_numbers(
    name: str, numbers: Callable[[], Iterator[supplement.Number]], count: int
) -> None:
    sweep = load_sweep(name)
    stated = {
        (group, variant, metric): value
        for group in sweep.groups or [""]
        for variant in sweep.variants
        for metric, value in paper_numbers(sweep, group, variant).items()
    }
    printed = {(group, variant, metric): value for group, variant, metric, value in numbers()}
    assert len(printed) == count
    assert stated == pytest.approx(printed, abs=1e-9)
