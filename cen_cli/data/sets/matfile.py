"""A MATLAB v7.3 file, which is HDF5: opened by each process for itself, and read a map at a time.

HDF5 must not be used through a file that another process has opened, and loading workers are forked; so whoever reads
first in a process opens the file there. MATLAB stores arrays by column: h5py sees every order of axes reversed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cen_cli.errors import DataError


class MatFile:
    """The arrays of a file by name. Raises DataError where the file, an array or a part of it cannot be read."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._opened: tuple[int, h5py.File] | None = None
        """The process that opened the file, and the file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path,)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of an array; of MATLAB's, the reverse."""
        with self._reading(name) as (_, array):
            return array.shape

    def part(self, name: str, index: int | tuple[int, ...]) -> np.ndarray:
        """One part of an array, at an index of its first axes."""
        with self._reading(name) as (_, array):
            return np.asarray(array[index])

    def referred(self, name: str, index: int | tuple[int, ...]) -> np.ndarray:
        """What an array of references (a cell array) refers to at an index."""
        with self._reading(name) as (file, array):
            reference = array[index]
            if not isinstance(reference, h5py.Reference):
                raise DataError(f"{self.path}: {name} holds no references but {type(reference).__name__}")
            return np.asarray(file[reference][()])

    @contextmanager
    def _reading(self, name: str) -> Iterator[tuple[h5py.File, h5py.Dataset]]:
        """The file and one of its arrays, for as long as they are read."""
        file = self._file()
        try:
            array = file.get(name)
            if not isinstance(array, h5py.Dataset):
                raise DataError(f"{self.path}: no array {name!r} in this file; it holds {', '.join(sorted(file)[:12])}")
            yield file, array
        except (OSError, RuntimeError, ValueError, LookupError) as error:
            raise DataError(
                f"{self.path}: {name} cannot be read ({error})",
                hint="the file seems damaged: copy or download it again",
            ) from None

    def _file(self) -> h5py.File:
        """The file, opened by this process."""
        process = os.getpid()
        if self._opened is None or self._opened[0] != process:
            self._opened = process, _opened(self.path)
        return self._opened[1]


def _opened(path: Path) -> h5py.File:
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        size = path.stat().st_size
        raise DataError(
            f"{path}: not a MATLAB v7.3 file, which is HDF5, or a truncated one ({size} bytes; {error})",
            hint="copy or download the file again; files that MATLAB saved without -v7.3 are of another format",
        ) from None
