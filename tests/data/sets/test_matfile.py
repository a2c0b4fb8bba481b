"""MATLAB v7.3 files: read a part at a time, by each process through a file of its own."""

from __future__ import annotations

import multiprocessing
import pickle

import h5py
import numpy as np
import pytest

from cen_cli.data.sets.matfile import MatFile
from cen_cli.errors import DataError


@pytest.fixture
def path(tmp_path):
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        file["numbers"] = np.arange(24).reshape(4, 3, 2)
        file["group/deep"] = np.arange(3)
        file["#refs#/a"] = np.full((2, 2), 7)
        cells = file.create_dataset("cells", (2, 1), dtype=h5py.ref_dtype)
        cells[1, 0] = file["#refs#/a"].ref
    return tmp_path / "a.mat"


def test_parts_and_references(path):
    file = MatFile(path)
    assert file.shape("numbers") == (4, 3, 2)
    assert file.part("numbers", 2).tolist() == [[12, 13], [14, 15], [16, 17]]
    assert file.part("numbers", (2, 1)).tolist() == [14, 15]
    assert file.part("group/deep", 1) == 1
    assert file.referred("cells", (1, 0)).tolist() == [[7, 7], [7, 7]]


def test_a_forked_process_opens_the_file_anew(path):
    file = MatFile(path)
    file.shape("numbers")
    opened = file._opened
    context = multiprocessing.get_context("fork")
    answers = context.Queue()

    def child() -> None:
        answers.put((file.part("numbers", 3).tolist(), file._opened[1] is not opened[1]))

    process = context.Process(target=child)
    process.start()
    assert answers.get(timeout=20) == ([[18, 19], [20, 21], [22, 23]], True)
    process.join()
    assert file._opened is opened
    assert file.part("numbers", 3).tolist() == [[18, 19], [20, 21], [22, 23]]


def test_a_copy_carries_no_open_file(path):
    file = MatFile(path)
    file.shape("numbers")
    assert pickle.loads(pickle.dumps(file)).part("numbers", 0).tolist() == [[0, 1], [2, 3], [4, 5]]


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda file: file.shape("labels"), r"a\.mat: no array 'labels' in this file; it holds #refs#, cells, group"),
        (lambda file: file.part("group", 0), "no array 'group' in this file"),
        (lambda file: file.part("numbers", 4), r"a\.mat: numbers cannot be read"),
        (lambda file: file.referred("numbers", 0), "numbers holds no references but ndarray"),
        (lambda file: file.referred("cells", (0, 0)), r"a\.mat: cells cannot be read"),
    ],
)
def test_what_is_not_there(path, read, message):
    with pytest.raises(DataError, match=message):
        read(MatFile(path))


def test_files_that_cannot_be_opened(tmp_path):
    with pytest.raises(DataError, match=r"none\.mat: no such file"):
        MatFile(tmp_path / "none.mat").shape("a")
    (tmp_path / "text.mat").write_text("no")
    with pytest.raises(
        DataError, match=r"text\.mat: not a MATLAB v7\.3 file, which is HDF5, or a truncated one \(2 bytes"
    ):
        MatFile(tmp_path / "text.mat").shape("a")
