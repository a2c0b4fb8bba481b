"""What the files of a group hold, over a few of them or all, where nobody described them."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from cen_cli.data.decoding import LOSSY, Decoded, decode, describe_mode, take_bands
from cen_cli.data.reading import whole_numbers, without_alpha
from cen_cli.errors import DataError

MOST_COLOURS = 4096
"""A picture of more colours is not looked at further: it is no label map."""
VALUES = 4096
"""Values kept of every file of floats."""


@dataclasses.dataclass
class FileStatistics:
    """Of files of one group."""

    by_mode: dict[str, list[Path]] = dataclasses.field(default_factory=dict)
    """The files of each of Pillow's modes."""
    sizes: Counter[tuple[int, int]] = dataclasses.field(default_factory=Counter)
    types: Counter[str] = dataclasses.field(default_factory=Counter)
    """NumPy's names."""
    channels: Counter[int] = dataclasses.field(default_factory=Counter)
    lossy: bool = False
    counts: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(65536, dtype=np.int64))
    """Pixels of every value, where files hold whole numbers of one channel."""
    colours: Counter[int] = dataclasses.field(default_factory=Counter)
    """Pixels of every colour (65536 red + 256 green + blue), as long as there are few."""
    whole: int = 0
    """Files of floats that are whole numbers, as labels are; they are counted among `counts`, too."""
    floats: list[np.ndarray] = dataclasses.field(default_factory=list)
    """Some values of every file of floats, NaN included, or of whole numbers with a sign."""
    low: float = float("inf")
    high: float = float("-inf")
    flat: list[float] = dataclasses.field(default_factory=list)
    """Share of pixels that equal their right neighbour, by file."""
    lengths: list[float] = dataclasses.field(default_factory=list)
    """Distance of vectors in three channels from length 1, the median of every file.

    Whole numbers fill their type (of 8 bits 127.5 is 0 and 255 is 1), floats [0, 1] or, with negative ones, [-1, 1]."""
    refused: list[str] = dataclasses.field(default_factory=list)
    """Why files could not be read."""

    @property
    def modes(self) -> Counter[str]:
        """How many files have each mode."""
        return Counter({mode: len(paths) for mode, paths in self.by_mode.items()})

    @property
    def files(self) -> int:
        """Files that could be read."""
        return self.modes.total()

    def add(self, path: Path, decoded: Decoded) -> None:
        """Take in one more file. Transparency that is the same everywhere is passed over."""
        values = without_alpha(decoded).values
        self.by_mode.setdefault(decoded.mode, []).append(path)
        self.sizes[values.shape[0], values.shape[1]] += 1
        self.channels[1 if values.ndim == 2 else values.shape[-1]] += 1
        self.types[values.dtype.name] += 1
        self.lossy |= decoded.format in LOSSY
        same = values[:, 1:] == values[:, :-1]
        self.flat.append(float((same if same.ndim == 2 else same.all(-1)).mean()) if same.size else 1.0)
        self._add_values(values)

    def _add_values(self, values: np.ndarray) -> None:
        finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
        if finite.size:
            self.low, self.high = min(self.low, float(finite.min())), max(self.high, float(finite.max()))
        if values.dtype.kind in "fi":
            if values.ndim == 2 and whole_numbers(values):
                self.whole += 1
                self._count(values)
            self.floats.append(values.ravel()[:: max(1, values.size // VALUES)].astype(np.float64))
        elif values.ndim == 2 and (not values.size or (values.min() >= 0 and values.max() < len(self.counts))):
            self._count(values)
        elif values.ndim == 3 and values.shape[-1] == 3 and values.dtype == np.uint8:
            self._add_colours(values)
        if values.ndim == 3 and values.shape[-1] == 3 and finite.size:
            self._add_vectors(values)

    def _count(self, values: np.ndarray) -> None:
        self.counts += np.bincount(values.astype(np.int64).ravel(), minlength=len(self.counts))

    def _add_colours(self, values: np.ndarray) -> None:
        if len(self.colours) <= MOST_COLOURS:
            colours, counts = np.unique(values.astype(np.int64) @ np.array([65536, 256, 1]), return_counts=True)
            self.colours.update(dict(zip(colours[: MOST_COLOURS + 1].tolist(), counts.tolist(), strict=False)))

    def _add_vectors(self, values: np.ndarray) -> None:
        vectors = values.reshape(-1, 3)[:: max(1, values.size // (3 * VALUES))].astype(np.float64)
        vectors = vectors[np.isfinite(vectors).all(axis=1)]
        if values.dtype.kind == "u":
            vectors = vectors / (np.iinfo(values.dtype).max / 2) - 1
        elif vectors.size and vectors.min() >= 0:
            vectors = 2 * vectors - 1
        if len(vectors):
            self.lengths.append(float(np.median(np.abs(np.linalg.norm(vectors, axis=1) - 1))))

    @property
    def mode_names(self) -> tuple[str, ...]:
        """The types of the files in words, the most frequent first."""
        return tuple(describe_mode(mode) for mode, _ in self.modes.most_common())

    @property
    def sizes_by_frequency(self) -> tuple[tuple[int, int], ...]:
        """Height and width of the files, the most frequent first."""
        return tuple(size for size, _ in self.sizes.most_common())

    @property
    def levels(self) -> np.ndarray:
        """The whole numbers that occur, ascending."""
        return np.flatnonzero(self.counts)


def file_statistics(
    paths: Iterable[Path], *, bands: Sequence[int] = (), convert: Literal["L", "RGB"] | None = None
) -> FileStatistics:
    """Open files, some of their bands or as converted, and note what they hold, or that they cannot be read."""
    statistics = FileStatistics()
    for path in paths:
        try:
            decoded = decode(path, convert=convert)
            statistics.add(path, take_bands(path, decoded, bands) if bands else decoded)
        except DataError as error:
            statistics.refused.append(error.message)
    return statistics
