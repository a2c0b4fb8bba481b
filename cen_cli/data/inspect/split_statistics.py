"""Statistics of a data set's files: types, sizes, values, what is invalid, labels, and whether maps fit together.

Nothing is judged here; `problems` does. Every view is read as in training, and its files are also opened as they are,
so that what is stored can be held against what is expected.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterable
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
from cen_cli.results import VOID, Advance, unheard

RUN = 4
"""Views of a sample are taken in runs of so many neighbours, since neighbours are compared."""
_EDGES = (24, 32)
"""Rows and columns to which maps of edges are brought."""


@dataclasses.dataclass
class ModalityStatistics:
    """Of one modality, of the target or of the label maps, over all views of a split that were opened."""

    name: str
    """As findings call it."""
    spec: ModalitySpec | None
    """What is expected of it; None for label maps."""
    one_file: bool
    """Whether its maps are parts of one file, which count as they are read."""
    types: Counter[str] = dataclasses.field(default_factory=Counter)
    """Types of the files, in words."""
    sizes: Counter[tuple[int, int]] = dataclasses.field(default_factory=Counter)
    dtypes: set[str] = dataclasses.field(default_factory=set)
    lows: list[float] = dataclasses.field(default_factory=list)
    """The lowest finite stored value of every file; NaN without one."""
    highs: list[float] = dataclasses.field(default_factory=list)
    levels: list[int] = dataclasses.field(default_factory=list)
    """`_levels` of every file of whole numbers and one channel."""
    pixels: int = 0
    zeros: int = 0
    full: int = 0
    """Pixels with the largest value that the type can hold."""
    valid: int = 0
    """Values that mean something, and so may lie outside the expected range."""
    outside: int = 0
    """Those of them that lie outside."""
    invalid: dict[int, float] = dataclasses.field(default_factory=dict)
    """Share of pixels in which nothing was measured, or that are void, by view."""
    medians: list[float] = dataclasses.field(default_factory=list)
    """Of what was measured in every view, in its unit."""
    constant: list[int] = dataclasses.field(default_factory=list)
    """Views in which it has one value everywhere."""
    turned: list[int] = dataclasses.field(default_factory=list)
    """Views of which its file says that it is to be turned or mirrored, which reading does."""
    sums: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((3, 1)))
    """Of every channel: values that count, their sum, and the sum of their squares, [3, C]. Values are in [0, 1] for
    images, in their unit for measurements."""
    fits: list[tuple[float, float, float]] = dataclasses.field(default_factory=list)
    """How well its edges agree with those of the reference, as correlations: in the same view, with its own next view,
    with its own previous one. For every two neighbours."""

    @property
    def moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation by channel, as `data.normalize` takes them; none of labels."""
        if not self.sums[0].all():
            return (), ()
        count, total, squares = self.sums
        mean = total / count
        return tuple(mean.tolist()), tuple(np.sqrt(np.maximum(squares / count - mean**2, 0)).tolist())

    def add_stored(self, kind: str, values: np.ndarray) -> None:
        """Take in one file [H, W] or [H, W, C] of a `kind`."""
        self.types[kind] += 1
        self.sizes[values.shape[0], values.shape[1]] += 1
        self.dtypes.add(values.dtype.name)
        finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
        self.lows.append(float(finite.min()) if finite.size else float("nan"))
        self.highs.append(float(finite.max()) if finite.size else float("nan"))
        self.pixels += values.size
        self.zeros += int((values == 0).sum())
        if values.dtype.kind == "u":
            self.full += int((values == np.iinfo(values.dtype).max).sum())
            if values.ndim == 2:
                self.levels.append(_levels(values))
        if self.spec is not None:
            self._add_outside(values, self.spec)

    def _add_outside(self, values: np.ndarray, spec: ModalitySpec) -> None:
        encoding = spec.encoding
        if encoding is None:
            self.valid += values.size
            beyond = spec.kind == "image" and spec.scale > VOID and not spec.derived
            self.outside += int((values > spec.scale).sum()) if beyond else 0
            return
        valid = measured_pixels(values, encoding.invalid)
        low, high = encoding.low * encoding.scale, encoding.high * encoding.scale
        self.valid += int(valid.sum())
        self.outside += int((valid & ((values < low) | (values > high))).sum())

    def add_read(self, index: int, image: Tensor) -> None:
        """Take in the map of a view as it was read, [C, H, W]."""
        plain = image.as_subclass(Tensor)
        if self.one_file:
            values = plain.movedim(0, -1).squeeze(-1).numpy()
            self.add_stored(f"{values.dtype.name}, in the data set's file", values)
        if self.spec is None:
            self.invalid[index] = float((plain == VOID).float().mean())
            return
        counted = plain.flatten(1).double()
        if isinstance(image, DepthMap):
            counted = counted[:, counted[0] > 0] + self.spec.floor
            self.invalid[index] = 1 - counted.numel() / image.numel()
            if counted.numel():
                self.medians.append(float(counted.median()))
        elif image.dtype == torch.uint8:
            counted = counted / 255
        rows = torch.stack([torch.ones_like(counted).sum(1), counted.sum(1), counted.square().sum(1)])
        self.sums = self.sums + rows.numpy()


@dataclasses.dataclass
class SplitStatistics:
    """Of one split."""

    split: str
    data: ViewDataset
    indices: list[int]
    """The views that were opened."""
    names: dict[int, str] = dataclasses.field(default_factory=dict)
    modalities: dict[str, ModalityStatistics] = dataclasses.field(default_factory=dict)
    """By modality, or `LABELS` or `TARGET`."""
    refused: list[tuple[int, DataError]] = dataclasses.field(default_factory=list)
    """Views that cannot be read, and why."""
    labels: Counter[int] = dataclasses.field(default_factory=Counter)
    """Pixels of every class."""
    digests: dict[int, dict[str, str]] = dataclasses.field(default_factory=dict)
    """Of the contents of every file: by view, then modality."""
    sizes: Counter[tuple[int, int]] = dataclasses.field(default_factory=Counter)
    """Height and width of the views as they are read."""
    last_edges: tuple[int, dict[str, Tensor]] = (-1, {})
    """The view that was read last and its small maps of edges, of mean 0 and length 1."""

    @property
    def reference(self) -> str:
        """The modality that the others are compared with: the label maps, else the first input."""
        return LABELS if self.data.target is None else self.data.specs[0].name

    def modality(self, key: str, path: str) -> ModalityStatistics | None:
        """The statistics to which a file belongs; None for one that is read beside those of a modality."""
        spec = self.data.target if key == TARGET else next((s for s in self.data.specs if s.name == key), None)
        if spec is None and key != LABELS:
            return None
        if key not in self.modalities:
            one_file = any(parent.is_file() for parent in Path(path).parents)
            self.modalities[key] = ModalityStatistics(key if spec is None else spec.name, spec, one_file)
        return self.modalities[key]

    def views(self, indices: Iterable[int]) -> tuple[str, ...]:
        """Names of views."""
        return tuple(self.names.get(index, str(index)) for index in indices)


def sample(views: int, wanted: int | None) -> list[int]:
    """Which of so many views are opened: all, or about `wanted` in runs of neighbours, evenly spread."""
    if wanted is None or wanted >= views:
        return list(range(views))
    runs = -(-wanted // RUN)
    starts = [round(number * (views - RUN) / max(runs - 1, 1)) for number in range(runs)]
    chosen = sorted({index for start in starts for index in range(max(start, 0), min(start + RUN, views))})
    return chosen[:wanted]


def split_statistics(
    data: ViewDataset, split: str, *, wanted: int | None = None, progress: Advance = unheard
) -> SplitStatistics:
    """Read the views of a split, all or a sample of `wanted`; those that cannot be read are noted.

    `progress` is told (views done, views in all).
    """
    statistics = SplitStatistics(split, data, sample(len(data), wanted))
    for done, index in enumerate(statistics.indices, start=1):
        files = data.files(index)
        _add_files(statistics, index, files)
        try:
            view = data.view(index)
        except DataError as error:
            statistics.names[index] = next(iter(files.values()))
            statistics.refused.append((index, error))
        else:
            _add_view(statistics, index, view)
        progress(done, len(statistics.indices))
    return statistics


def _levels(values: np.ndarray) -> int:
    """How many steps, of the smallest that there is, lie from the smallest value above 0 to the largest; at least 1.

    Of 8 bits that were stretched at most 256. A sensor's own steps grow with the distance: few values are many levels.
    """
    present = np.flatnonzero(np.bincount(values.ravel()))
    present = present[present > 0]
    return 1 if len(present) < 2 else int((present[-1] - present[0]) // np.diff(present).min()) + 1


def _add_files(statistics: SplitStatistics, index: int, files: dict[str, str]) -> None:
    """Open every file of a view as it is; those that are no images are passed over, reading says what is wrong."""
    statistics.digests[index] = {}
    for key, path in files.items():
        modality = statistics.modality(key, path)
        if modality is None or modality.one_file:
            continue
        encoding = modality.spec.encoding if modality.spec is not None else None
        try:
            decoded = decode(path) if encoding is None else decode_encoded(path, encoding)
        except DataError:
            continue
        modality.add_stored(describe_mode(decoded.mode), decoded.values)
        if decoded.turned:
            modality.turned.append(index)
        if modality.lows[-1] == modality.highs[-1] and key != LABELS:
            modality.constant.append(index)
        statistics.digests[index][key] = hashlib.blake2b(Path(path).read_bytes(), digest_size=16).hexdigest()


def _add_view(statistics: SplitStatistics, index: int, view: RawView) -> None:
    statistics.names[index] = view.name
    statistics.sizes[view.size] += 1
    maps: dict[str, Tensor] = dict(view.inputs)
    if view.target is not None:
        maps[LABELS if statistics.data.target is None else TARGET] = view.target
    for key, image in maps.items():
        statistics.modalities[key].add_read(index, image)
    if LABELS in maps:
        counts = torch.bincount(maps[LABELS].as_subclass(Tensor).flatten().long(), minlength=VOID + 1)
        statistics.labels.update({label: int(count) for label, count in enumerate(counts.tolist()) if count})
    _compare_neighbours(statistics, index, {key: _edges(image, labels=key == LABELS) for key, image in maps.items()})


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


def _compare_neighbours(statistics: SplitStatistics, index: int, edges: dict[str, Tensor]) -> None:
    """Note how well the edges of this view fit those of the view before, if that was read."""
    before, earlier = statistics.last_edges
    reference = statistics.reference
    if before == index - 1 and reference in earlier and reference in edges:
        for key in (key for key in edges if key in earlier and key != reference):
            own = float(earlier[reference] @ earlier[key] + edges[reference] @ edges[key]) / 2
            following, previous = float(earlier[reference] @ edges[key]), float(edges[reference] @ earlier[key])
            statistics.modalities[key].fits.append((own, following, previous))
    statistics.last_edges = index, edges
