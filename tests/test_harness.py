import pytest

from tests.harness import Harness


@pytest.fixture(scope="module")
def harness(tmp_path_factory) -> Harness:
    return Harness(tmp_path_factory.mktemp("harness"), seed=0)


def test_a_run_that_is_killed_at_random_ends_as_one_that_is_not(harness):
    harness.kill()
    assert harness.counts["killed runs, same"] == 1


def test_a_checkpoint_that_is_damaged_at_random_is_refused(harness):
    harness.damage()
    assert harness.counts["damaged files, refused"] == 1
    assert harness.failures == []
