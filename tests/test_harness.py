import pytest

from tests.harness import Harness


@pytest.fixture(scope="module")
def harness(tmp_path_factory) -> Harness:
    return Harness(tmp_path_factory.mktemp("harness"), seed=0)


def test_a_run_that_is_killed_at_random_ends_as_one_that_is_not(harness):
    harness.kill(2)
    assert harness.counts["kills"] >= 2
    assert harness.counts["killed runs, same"] >= 1
    assert harness.failures == []


def test_a_checkpoint_that_is_damaged_at_random_is_refused(harness):
    harness.damage()
    assert harness.counts["damaged files, refused"] == 1
    assert harness.failures == []


def test_a_hostile_file_in_the_place_of_an_image_is_refused(harness):
    harness.feed()
    assert harness.counts["hostile images, refused"] == 1
    assert harness.failures == []


@pytest.mark.parametrize("kind", ["file size", "full output"])
def test_a_run_that_is_starved_says_so_and_goes_on_once_fed(harness, kind):
    before = harness.counts["starved runs, same"]
    harness.starve(kind)
    assert harness.counts["starved runs, same"] == before + 1
    assert harness.failures == []


def test_two_sweeps_on_one_folder_that_are_killed_end_with_the_same_table(harness):
    harness.sweep(kills=2)
    assert harness.counts["killed sweeps, same table"] == 1
