"""Two ranks do what one process does: tests/ranked.py says what, and runs once for all of these."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.ranked import WORK, Tensors

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}

STEPS = ["synchronised", "frozen", "chosen", "aligned", "translated", "translated, one forward"]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Tensors]]:
    """What rank 0 and rank 1 found."""
    folder = tmp_path_factory.mktemp("ranks")
    command = [*TORCHRUN, "-m", "tests.ranked", str(folder)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.parametrize(
    "name", ["synchronised", "frozen", "chosen", "checkpointed", "aligned", "translated", "translated, one forward"]
)
def test_steps_of_two_equal_those_of_one(both: list[dict[str, Tensors]], name: str) -> None:
    """In float64 but for the losses, which are computed in float32; the ranks have unequal numbers of void pixels."""
    one = WORK[name]()
    assert one.keys() == both[0][name].keys()
    for found in both:
        for key, expected in one.items():
            rough = {"rtol": 1e-5, "atol": 1e-6} if key == "health" else {"rtol": 2e-6, "atol": 1e-7}
            torch.testing.assert_close(
                found[name][key], expected, check_dtype=False, **rough, msg=lambda m, k=key: f"{k}: {m}"
            )


def test_an_overflow_on_one_rank_skips_the_step_on_all(both: list[dict[str, Tensors]]) -> None:
    first, second = (found["overflowing"] for found in both)
    assert [float(first[f"scale {step}"]) for step in range(3)] == [256, 128, 128]
    assert all(torch.equal(first[key], second[key]) for key in first)
    moved = {key for key in first if key.startswith("1") and not torch.equal(first[key], first["0" + key[1:]])}
    assert not moved
    assert any(not torch.equal(first[key], first["1" + key[1:]]) for key in first if key.startswith("2"))


def test_norms_that_are_not_synchronised_stay_alike(both: list[dict[str, Tensors]]) -> None:
    """Each normalises its own part; running statistics follow the mean, so that both ranks go on with one network."""
    one = WORK["apart"]()
    first, second = (found["apart"] for found in both)
    assert all(torch.equal(first[key], second[key]) for key in one)
    assert not torch.allclose(first["step 0 total"].double(), one["step 0 total"].double(), rtol=1e-4)


@pytest.mark.parametrize("name", ["confusion", "errors"])
def test_a_split_that_is_shared_is_scored_as_a_whole(both: list[dict[str, Tensors]], name: str) -> None:
    one = WORK[name]()
    assert one["samples"] == 5
    for found in both:
        for key, expected in one.items():
            assert torch.equal(found[name][key].nan_to_num(-1), expected.nan_to_num(-1)), key


def test_what_one_rank_knows_all_get_to_know(both: list[dict[str, Tensors]]) -> None:
    leading, other = (found["agreements"]["found"].tolist() for found in both)
    assert leading == [1, 7, 0, 1, -1, -1, -4]  # the error of the other, which says it itself
    assert other == [1, 7, 0, 1, -1, -1, -2]
    assert WORK["agreements"]()["found"].tolist() == [0, 7, 0, -1, -2]
