"""Measures what a data set's files hold: types, sizes, values, what is invalid, labels, and whether maps fit together.

Nothing is judged here; `problems` does. Every view is read as in training, and its files are also opened as they are,
so that what is stored can be held against what is expected.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from cen_cli.data.decoding import decode, describe_mode
from cen_cli.data.modality import ModalitySpec
from cen_cli.data.reading import decode_encoded, measured_pixels
from cen_cli.data.sample import LABELS, TARGET, RawView
from cen_cli.data.tensors import DepthMap
from cen_cli.data.views import ViewDataset
from cen_cli.errors import DataError
from cen_cli.results import VOID

Progress = Callable[[int, int], None]

RUN = 4
"""Views of a sample are taken in runs of so many neighbours, since neighbours are compared."""
_EDGES = (24, 32)
"""Rows and columns to which maps of edges are brought."""


@dataclasses.dataclass
class Stored:
    """What the files of one modality hold, as stored, over all that were looked at."""

    types: Counter[str] = dataclasses.field(default_factory=Counter)
    sizes: Counter[tuple[int, int]] = dataclasses.field(default_factory=Counter)
    bits: set[str] = dataclasses.field(default_factory=set)
    """NumPy's names of the types."""
    lows: list[float] = dataclasses.field(default_factory=list)
    """The lowest finite value of every file."""
    highs: list[float] = dataclasses.field(default_factory=list)
    levels: list[int] = dataclasses.field(default_factory=list)
    """Different values in every file of whole numbers and one channel."""
    pixels: int = 0
    zeros: int = 0
    full: int = 0
    """Pixels with the largest value that the type can hold."""
    measured: int = 0
    """Values that mean something, and so may lie outside the expected range."""
    outside: int = 0
    """Those of them that lie outside."""
    inside: bool = False
    """Whether these are no files but parts of one file, measured as they are read."""

    def add(self, kind: str, values: np.ndarray, spec: ModalitySpec | None) -> None:
        """Take in one file [H, W] or [H, W, C] of a `kind`; `spec` says what is expected of it, None for label maps."""
        self.types[kind] += 1
        self.sizes[values.shape[0], values.shape[1]] += 1
        self.bits.add(values.dtype.name)
        finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
        self.lows.append(float(finite.min()) if finite.size else float("nan"))
        self.highs.append(float(finite.max()) if finite.size else float("nan"))
        self.pixels += values.size
        self.zeros += int((values == 0).sum())
        if values.dtype.kind == "u":
            self.full += int((values == np.iinfo(values.dtype).max).sum())
            if values.ndim == 2:
                self.levels.append(int((np.bincount(values.ravel()) > 0).sum()))
        if spec is not None:
            measured, outside = _outside(values, spec)
            self.measured += measured
            self.outside += outside


def _outside(values: np.ndarray, spec: ModalitySpec) -> tuple[int, int]:
    """How many values count, and how many of those lie outside the range that is expected of a modality."""
    encoding = spec.encoding
    if encoding is None:
        beyond = spec.kind == "image" and spec.scale > VOID and not spec.derived
        return values.size, int((values > spec.scale).sum()) if beyond else 0
    measured = measured_pixels(values, encoding.invalid)
    low, high = encoding.low * encoding.scale, encoding.high * encoding.scale
    return int(measured.sum()), int((measured & ((values < low) | (values > high))).sum())


@dataclasses.dataclass
class Measured:
    """Everything that was measured of one split."""

    split: str
    data: ViewDataset
    indices: list[int]
    """The views that were looked at."""
    names: dict[int, str] = dataclasses.field(default_factory=dict)
    stored: dict[str, Stored] = dataclasses.field(default_factory=dict)
    """By modality, or `LABELS` or `TARGET`."""
    refused: list[tuple[int, DataError]] = dataclasses.field(default_factory=list)
    """Views that cannot be read, and why."""
    invalid: dict[str, dict[int, float]] = dataclasses.field(default_factory=dict)
    """Share of pixels in which nothing was measured: by modality, then view. Labels: that are void."""
    medians: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    """Of what was measured in every view, by modality, in its unit."""
    constant: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    """Views in which a modality has one value everywhere."""
    turned: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    """Views of which a modality's file says that it is to be turned or mirrored, which reading does."""
    sums: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    """By modality, for every channel: values that count, their sum, and the sum of their squares, [3, C]. Values are in
    [0, 1] for images, in their unit for measurements."""
    labels: Counter[int] = dataclasses.field(default_factory=Counter)
    """Pixels of every class."""
    digests: dict[int, dict[str, str]] = dataclasses.field(default_factory=dict)
    """Of the contents of every file: by view, then modality."""
    sizes: Counter[tuple[int, int]] = dataclasses.field(default_factory=Counter)
    """Height and width of the views as they are read."""
    fits: dict[str, list[tuple[float, float, float]]] = dataclasses.field(default_factory=dict)
    """How well the edges of a modality agree with those of `reference`, as correlations: in the same view, with its own
    next view, with its own previous one. By modality, for every two neighbours."""
    last_edges: tuple[int, dict[str, Tensor]] = (-1, {})
    """The view that was looked at last and its small maps of edges, of mean 0 and length 1."""

    @property
    def reference(self) -> str:
        """The modality that the others are compared with: the label maps, else the first input."""
        return LABELS if self.data.target is None else self.data.specs[0].name

    def spec(self, key: str) -> ModalitySpec | None:
        """The encoding of a modality; None for labels."""
        return self.data.target if key == TARGET else next((s for s in self.data.specs if s.name == key), None)

    def shown(self, key: str) -> str:
        """What a modality is called in findings."""
        return self.data.target.name if key == TARGET and self.data.target is not None else key

    def moments(self, key: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of a modality, by channel, as `data.normalize` takes them; none of labels."""
        if key not in self.sums or not self.sums[key][0].all():
            return (), ()
        count, total, squares = self.sums[key]
        mean = total / count
        return tuple(mean.tolist()), tuple(np.sqrt(np.maximum(squares / count - mean**2, 0)).tolist())

    def views(self, indices: Iterable[int]) -> tuple[str, ...]:
        """Names of views."""
        return tuple(self.names.get(index, str(index)) for index in indices)


def sample(views: int, wanted: int | None) -> list[int]:
    """Which of so many views are looked at: all, or about `wanted` in runs of neighbours, evenly spread."""
    if wanted is None or wanted >= views:
        return list(range(views))
    runs = -(-wanted // RUN)
    starts = [round(number * (views - RUN) / max(runs - 1, 1)) for number in range(runs)]
    chosen = sorted({index for start in starts for index in range(max(start, 0), min(start + RUN, views))})
    return chosen[:wanted]


def measure(data: ViewDataset, split: str, *, wanted: int | None = None, progress: Progress | None = None) -> Measured:
    """Read the views of a split, all or a sample of `wanted`, and measure what they hold.

    Views that cannot be read are noted. `progress` is told (views done, views in all).
    """
    measured = Measured(split, data, sample(len(data), wanted))
    for done, index in enumerate(measured.indices, start=1):
        files = data.files(index)
        _measure_files(measured, index, files)
        try:
            view = data.view(index)
        except DataError as error:
            measured.names[index] = next(iter(files.values()))
            measured.refused.append((index, error))
        else:
            _measure_view(measured, index, view)
        if progress is not None:
            progress(done, len(measured.indices))
    return measured


def _measure_files(measured: Measured, index: int, files: dict[str, str]) -> None:
    """Open every file of a view as it is; those that are no images are passed over, reading says what is wrong."""
    measured.digests[index] = {}
    for key, path in files.items():
        if key != LABELS and measured.spec(key) is None:
            continue  # a file that is read beside those of a modality
        encoding = getattr(measured.spec(key), "encoding", None)
        stored = measured.stored.setdefault(key, Stored(inside=Path(path).parent.parent.is_file()))
        if stored.inside:
            continue
        try:
            decoded = decode(path) if encoding is None else decode_encoded(path, encoding)
        except DataError:
            continue
        stored.add(describe_mode(decoded.mode), decoded.values, measured.spec(key))
        if decoded.turned:
            measured.turned.setdefault(key, []).append(index)
        low, high = stored.lows[-1], stored.highs[-1]
        if low == high and key != LABELS:
            measured.constant.setdefault(key, []).append(index)
        measured.digests[index][key] = hashlib.blake2b(Path(path).read_bytes(), digest_size=16).hexdigest()


def _measure_view(measured: Measured, index: int, view: RawView) -> None:
    measured.names[index] = view.name
    measured.sizes[view.size] += 1
    maps: dict[str, Tensor] = dict(view.inputs)
    if view.target is not None:
        maps[LABELS if measured.data.target is None else TARGET] = view.target
    for key, image in maps.items():
        if measured.stored[key].inside:
            _measure_part(measured.stored[key], image, measured.spec(key))
        if key != LABELS:
            _add_moments(measured, key, image)
        if isinstance(image, DepthMap):
            _measure_depth(measured, key, index, image)
        elif key == LABELS:
            counts = torch.bincount(image.as_subclass(Tensor).flatten().long(), minlength=VOID + 1)
            measured.labels.update({label: int(count) for label, count in enumerate(counts.tolist()) if count})
            measured.invalid.setdefault(key, {})[index] = float(counts[VOID] / counts.sum())
    edges = {key: _edges(image, labels=key == LABELS) for key, image in maps.items()}
    _compare_neighbours(measured, index, edges)


def _add_moments(measured: Measured, key: str, image: Tensor) -> None:
    spec, values = measured.spec(key), image.as_subclass(Tensor).flatten(1).double()
    if isinstance(image, DepthMap):
        values = values[:, values[0] > 0] + (spec.floor if spec else 0.0)
    elif image.dtype == torch.uint8:
        values = values / 255
    sums = torch.stack([torch.ones_like(values).sum(1), values.sum(1), values.square().sum(1)]).numpy()
    measured.sums[key] = measured.sums.get(key, 0.0) + sums


def _measure_part(stored: Stored, image: Tensor, spec: ModalitySpec | None) -> None:
    """A map that is part of a file: as it was read."""
    values = image.as_subclass(Tensor).movedim(0, -1).squeeze(-1).numpy()
    stored.add(f"{values.dtype.name}, in the data set's file", values, spec)


def _measure_depth(measured: Measured, key: str, index: int, image: DepthMap) -> None:
    known = image.as_subclass(Tensor)[image.as_subclass(Tensor) > 0]
    measured.invalid.setdefault(key, {})[index] = 1 - known.numel() / image.numel()
    if known.numel():
        spec = measured.spec(key)
        measured.medians.setdefault(key, []).append(float(known.median()) + (spec.floor if spec else 0.0))


def _edges(image: Tensor, *, labels: bool) -> Tensor:
    """Where a map changes, as a small map flattened, of mean 0 and length 1 (0 where it nowhere changes)."""
    values = image.as_subclass(Tensor).float()
    if isinstance(image, DepthMap):
        values = torch.where(values > 0, values, values.mean())
    down, across = values.diff(dim=-2).abs()[..., :, :-1], values.diff(dim=-1).abs()[..., :-1, :]
    change = (down + across).mean(0, keepdim=True)
    if labels:
        change = (change > 0).float()
    elif change.numel():
        change = change.clamp(max=float(change.mean()) * 4)  # a few strong edges must not drown the others
    if 0 in change.shape:
        return torch.zeros(_EDGES[0] * _EDGES[1])
    small = adaptive_avg_pool2d(change, _EDGES).flatten()
    small = small - small.mean()
    return small / small.norm().clamp(min=1e-12)


def _compare_neighbours(measured: Measured, index: int, edges: dict[str, Tensor]) -> None:
    """Note how well the edges of this view fit those of the view before, if that was looked at."""
    before, earlier = measured.last_edges
    reference = measured.reference
    if before == index - 1 and reference in earlier and reference in edges:
        for key in (key for key in edges if key in earlier and key != reference):
            own = float(earlier[reference] @ earlier[key] + edges[reference] @ edges[key]) / 2
            following, previous = float(earlier[reference] @ edges[key]), float(edges[reference] @ earlier[key])
            measured.fits.setdefault(key, []).append((own, following, previous))
    measured.last_edges = index, edges
