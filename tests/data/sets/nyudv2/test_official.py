"""The facts that come with the package, against the data set's own files where they are at hand."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from cen_cli.data.sets.nyudv2.official import CLASS_NAMES, CLASS_OF, FRAMES_OF, TEST_FRAMES, TRAIN_FRAMES


def test_the_split_has_the_official_sizes_and_shares_nothing():
    assert (len(TRAIN_FRAMES), len(TEST_FRAMES)) == (795, 654)
    assert sorted({*TRAIN_FRAMES, *TEST_FRAMES}) == list(range(1, 1450))
    assert (TRAIN_FRAMES[:3], TRAIN_FRAMES[-1], TEST_FRAMES[:3], TEST_FRAMES[-1]) == ((3, 4, 5), 1440, (1, 2, 9), 1449)
    assert FRAMES_OF == {"train": TRAIN_FRAMES, "val": TEST_FRAMES, "test": TEST_FRAMES}


def test_every_label_has_a_class():
    assert len(CLASS_NAMES) == len(set(CLASS_NAMES)) == 40
    assert sorted(CLASS_OF) == list(range(895))
    assert CLASS_OF[0] == 255
    assert {label for number, label in CLASS_OF.items() if number} == set(range(40))


@pytest.fixture(scope="module")
def meta() -> Path:
    """The folder of splits.mat and classMapping40.mat: CEN_NYUDV2_META, or nyudv2_meta beside the images."""
    folder = Path(os.environ.get("CEN_NYUDV2_META") or Path(os.environ["CEN_NYUDV2"]).with_name("nyudv2_meta"))
    if not folder.is_dir():
        pytest.skip("needs splits.mat and classMapping40.mat: set CEN_NYUDV2_META to their folder")
    return folder


@pytest.mark.nyudv2
def test_the_split_is_that_of_splits_mat(meta):
    split = scipy.io.loadmat(meta / "splits.mat")
    np.testing.assert_array_equal(np.sort(split["trainNdxs"].ravel()), TRAIN_FRAMES)
    np.testing.assert_array_equal(np.sort(split["testNdxs"].ravel()), TEST_FRAMES)


@pytest.mark.nyudv2
def test_the_classes_are_those_of_class_mapping_40_mat(meta):
    mapping = scipy.io.loadmat(meta / "classMapping40.mat", squeeze_me=True)
    assert tuple(mapping["className"]) == CLASS_NAMES
    assert {number: label - 1 for number, label in enumerate(mapping["mapClass"].tolist(), start=1)} == {
        number: label for number, label in CLASS_OF.items() if number
    }
