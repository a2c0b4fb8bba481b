"""What every data set of view files shares: the protocol, reading and checking, choosing modalities, fingerprint."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypedDict, Unpack

import torch
from torch import Tensor

from cen_cli.data import tensors
from cen_cli.data.cache import ViewCache
from cen_cli.data.derived import surface_normals, texture_edges
from cen_cli.data.modality import SHORT_NAMES, ModalitySpec, Normalization
from cen_cli.data.reading import read_depth, read_encoded, read_image, read_labels
from cen_cli.data.sample import LABELS, TARGET, RawView, Sample
from cen_cli.data.sampler import mixed_seed
from cen_cli.data.stereo import read_disparity, read_stereo_depth
from cen_cli.data.tensors import DepthMap
from cen_cli.data.transforms import EvalTransform, resize_view
from cen_cli.data.transforms import resize as resize_map
from cen_cli.errors import DataError, UsageError
from cen_cli.results import VOID
from cen_cli.wording import did_you_mean

STRETCHED = 1.05
"""Ratio of height to width by which maps of one view may differ, where they are resized."""

Key = int | tuple[int, int]
"""A view's index (epoch 0), or (epoch, index)."""

Transform = Callable[[RawView, Sequence[ModalitySpec], torch.Generator, ModalitySpec | None], Sample]

ReadMap = Callable[[str | Path, ModalitySpec], Tensor]
"""Reads what is stored of a modality: an Image or a DepthMap."""

ReadLabels = Callable[[str | Path], tensors.Mask]
"""Reads a label map: uint8 [1, H, W], class indices and `VOID`."""


class ViewDataset(Protocol):
    """A set of views with their targets, all modalities aligned."""

    specs: tuple[ModalitySpec, ...]
    """The modalities, in the order of the network's streams."""
    target: ModalitySpec | None
    """What the views are translated to; None where their targets are labels."""
    class_names: tuple[str, ...]
    """Names of the classes, by label; none where views are translated."""
    names: tuple[str, ...]
    """Names of the views, in their order."""

    def __len__(self) -> int:
        """Number of views."""
        return len(self.names)

    def __getitem__(self, key: Key) -> Sample:
        """The sample of a view as the network takes it, normalised."""
        return self.sample(key).normalized()

    def sample(self, key: Key) -> Sample:
        """The same as stored: what a loader hands over, to be normalised on the network's device.

        Its augmentation depends on the data set's seed and (epoch, index) alone.
        """

    def view(self, index: int) -> RawView:
        """The view as stored (resized, where the data set resizes)."""

    def files(self, index: int) -> dict[str, str]:
        """Paths of a view's files by modality, and `LABELS` or `TARGET`."""

    def fingerprint(self) -> str:
        """Hex digest of the files' names and sizes and of what is read from them."""


def same_numbers(name: str) -> str:
    """A name with numbers, but not fractions, unpadded, and accents written as one sign, as not every system does."""
    return re.sub(r"(?<![0-9])(?<![0-9]\.)0+(?=[0-9])", "", unicodedata.normalize("NFC", name))


@dataclasses.dataclass(frozen=True)
class ViewFiles:
    """Where one view lies: `files` by modality, and `LABELS` or `TARGET`; relative to the data set's root.

    Other keys stand for files that are read beside those, such as a camera's. A map within a larger file is named as if
    that were a folder: nyu_depth_v2_labeled.mat/images/3.
    """

    name: str
    files: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Frame:
    """A border without content: views of `size` (height, width) are cut to `rows` and `columns`."""

    size: tuple[int, int]
    rows: slice
    columns: slice


@dataclasses.dataclass(frozen=True)
class Source:
    """Where the views of a split lie, and how they are read where that is not the usual way (as in `read_view`)."""

    root: Path
    views: Sequence[ViewFiles]
    read: ReadMap | None = None
    labels: ReadLabels | None = None
    crop_depth: bool = False
    frame: Frame | None = None


class Reading(TypedDict, total=False):
    """What every data set is told about its views."""

    resize: tuple[int, int] | None
    """(height, width) to which every image and label map is brought on reading."""
    transform: Transform | None
    """Makes samples of a view, the specs, a generator seeded by (seed, epoch, index), and the target."""
    cache: bool
    """Whether views are kept in memory."""
    seed: int
    normalize: Normalization | None
    """{modality: (mean, std)} in place of the data set's own; of measurements in their unit."""


def read_view(
    name: str,
    files: Mapping[str, str | Path],
    specs: Sequence[ModalitySpec],
    *,
    classes: int = 0,
    read: ReadMap | None = None,
    labels: ReadLabels | None = None,
    target: ModalitySpec | None = None,
    resize: tuple[int, int] | None = None,
    crop_depth: bool = False,
    frame: Frame | None = None,
    mixed: bool = False,
) -> RawView:
    """Read one view from `files` (paths by modality, `LABELS` or `TARGET` where there is one) and check that it fits.

    `target`: the encoding of the image under `TARGET`; without it, `LABELS` are read. `read` reads what is stored of a
    modality and `labels` the label map, where they are not image files with labels 0 .. `classes` - 1. `resize`: bring
    everything to (height, width). `crop_depth`: a depth image that is larger by a border is cut to its centre. `frame`
    is cut away. `mixed`: maps may differ in size, as they may with `resize`, and stay so. Raises DataError naming the
    files.
    """
    wanted = {spec.name: (files[spec.name], spec) for spec in specs}
    if target is not None and TARGET in files:
        wanted[TARGET] = files[TARGET], target
    stored: dict[str, Tensor] = {key: (read or read_map)(path, spec) for key, (path, spec) in wanted.items()}
    if target is None and LABELS in files:
        path = files[LABELS]
        stored[LABELS] = read_labels(path, classes=classes) if labels is None else labels(path)
    used = {key: str(files[key]) for key in stored}
    if crop_depth:
        stored = _crop_depth(stored)
    resizable = not crop_depth and frame is None
    if (mixed or resize is not None) and resizable:
        _check_shapes(stored, used)
        stored = stored if resize is None else _one_size(stored, resize)
    else:
        _check_sizes(stored, used, resizable=resizable)
    if frame is not None:
        stored = {key: _cut(image, frame) for key, image in stored.items()}
    maps: dict[str, Any] = {
        key: _derived(image, wanted[key][1]) if key in wanted else image for key, image in stored.items()
    }
    truth = maps.pop(LABELS, None) if target is None else maps.pop(TARGET, None)
    view = RawView(name, {spec.name: maps[spec.name] for spec in specs}, truth, used)
    return resize_view(view, resize)


def read_map(path: str | Path, spec: ModalitySpec) -> Tensor:
    """Read the image file of a modality, or that from which it is derived: an Image or a DepthMap. Raises DataError."""
    if spec.encoding is not None:
        return read_encoded(path, spec.encoding, measured=spec.kind == "depth")
    if spec.kind == "image" and spec.derived != "normal":
        return read_image(path, scale=spec.scale, colour=spec.colour)
    if spec.coding == "disparity":
        return read_disparity(path)
    if spec.coding == "stereo":
        return read_stereo_depth(path, clip=spec.clip)
    return read_depth(path, scale=spec.scale, invalid=spec.invalid, rotated=spec.coding == "rotated", clip=spec.clip)


def _derived(image: Tensor, spec: ModalitySpec) -> Tensor:
    if spec.derived == "edge_texture":
        return texture_edges(image)
    return surface_normals(image) if spec.derived == "normal" else image


def _by_authority(maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The maps of a view, the one that the others must fit first: the labels, else an image, else a depth map."""
    return dict(sorted(maps.items(), key=lambda entry: (entry[0] != LABELS, isinstance(entry[1], DepthMap))))


def _crop_depth(maps: dict[str, Tensor]) -> dict[str, Tensor]:
    """Cut depth images to the centre where they are larger than the rest by at most a twentieth (a white frame)."""
    height, width = next(iter(_by_authority(maps).values())).shape[-2:]
    cropped = dict(maps)
    for name, image in maps.items():
        top, left = image.shape[-2] - height, image.shape[-1] - width
        if isinstance(image, DepthMap) and 0 <= top <= height // 20 and 0 <= left <= width // 20:
            rows, columns = slice(top // 2, top // 2 + height), slice(left // 2, left // 2 + width)
            cropped[name] = DepthMap(image.as_subclass(Tensor)[:, rows, columns])
    return cropped


def _cut(image: Tensor, frame: Frame) -> Tensor:
    if image.shape[-2:] != frame.size:
        return image
    return tensors.wrap(image.as_subclass(Tensor)[:, frame.rows, frame.columns], like=image)


def _check_sizes(maps: Mapping[str, Tensor], files: Mapping[str, str], *, resizable: bool) -> None:
    (first, reference), *others = _by_authority(maps).items()
    for name, image in others:
        if image.shape[-2:] != reference.shape[-2:]:
            raise DataError(
                f"sizes differ: {files[first]} is {_size(reference)}, {files[name]} is {_size(image)}",
                hint="all modalities and the target of a view must be aligned"
                + ("; data.resize brings them to one size" if resizable else ", and of this data set of one size"),
            )


def _one_size(maps: Mapping[str, Tensor], size: tuple[int, int]) -> dict[str, Tensor]:
    """Maps that differ in size each brought to `size`."""
    if len({image.shape[-2:] for image in maps.values()}) == 1:
        return dict(maps)
    return {name: resize_map(image, size) for name, image in maps.items()}


def _check_shapes(maps: Mapping[str, Tensor], files: Mapping[str, str]) -> None:
    """Raises DataError where maps differ in more than size."""
    first, reference = next(iter(_by_authority(maps).items()))
    for name, image in maps.items():
        stretched = image.shape[-2] / image.shape[-1] / (reference.shape[-2] / reference.shape[-1])
        if not 1 / STRETCHED <= stretched <= STRETCHED:
            raise DataError(
                f"shapes differ: {files[first]} is {_size(reference)}, {files[name]} is {_size(image)}",
                hint="they do not show the same scene pixel by pixel: cut them to what both show",
            )


def _size(image: Tensor) -> str:
    """Height x width."""
    return f"{image.shape[-2]} x {image.shape[-1]}"


def choose_specs(
    available: Mapping[str, ModalitySpec],
    inputs: Sequence[str],
    normalize: Normalization | None = None,
    *,
    target: str | None = None,
    names: Mapping[str, str] = SHORT_NAMES,
) -> tuple[tuple[ModalitySpec, ...], ModalitySpec | None]:
    """The specs of `inputs` and of what they are translated to, called as they are there.

    `available` is by full name, which `names` gives for short ones. Inputs are normalised by `normalize` where it names
    them; in a translation there is nothing to be, since images lie in [-1, 1] as the network's output does. Raises
    UsageError for unknown names, and where two inputs, or the target and an input, are one domain.
    """
    full = [_known(name, available, names, "input") for name in inputs]
    if not inputs or len(set(full)) != len(full):
        twice = [name for name, domain in zip(inputs, full, strict=True) if full.count(domain) > 1]
        reason = f": {' and '.join(twice)} are the same" if len(set(twice)) > 1 else ""
        raise UsageError(f"inputs must be one or more different modalities, not {list(inputs)}{reason}")
    chosen = {
        name: dataclasses.replace(available[domain], name=name) for name, domain in zip(inputs, full, strict=True)
    }
    if target is not None:
        domain = _known(target, available, names, "target")
        if domain in full:
            same = inputs[full.index(domain)]
            also = "" if same == target else f" ({same} and {target} are the same)"
            raise UsageError(f"the target {target!r} is one of the inputs{also}", hint="leave it out of the inputs")
        if normalize:
            raise UsageError(
                f"normalisation of {', '.join(normalize)}: in translation every image is brought to [-1, 1]",
                hint="leave data.normalize out",
            )
        return tuple(chosen.values()), dataclasses.replace(available[domain], name=target)
    for name, moments in (normalize or {}).items():
        domain = _known(name, available, names, "modality to normalise")
        if domain in full:
            known = inputs[full.index(domain)]
            chosen[known] = chosen[known].normalized_by(*moments)
    return tuple(chosen.values()), None


def _known(name: str, available: Iterable[str], names: Mapping[str, str], what: str) -> str:
    """The full name. Raises UsageError where it is not available."""
    full = names.get(name, name)
    if full in available:
        return full
    short = [short for short, long in names.items() if long in available and short not in available]
    hint = did_you_mean(name, [*available, *short])
    raise UsageError(f"unknown {what} {name!r}: this data set has {', '.join(available)}", hint=hint)


class FileViews(ViewDataset):
    """A `ViewDataset` over listed files; what a data set adds is how it finds them and how they are encoded.

    `target`: what the views are translated to; without it their targets are labels of `class_names`. Without a
    transform views are left as they are. No global random state is used.
    """

    def __init__(
        self,
        source: Source,
        specs: tuple[ModalitySpec, ...],
        class_names: tuple[str, ...],
        *,
        target: ModalitySpec | None = None,
        **reading: Unpack[Reading],
    ) -> None:
        self.source = source
        self.root = source.root
        self.views = tuple(source.views)
        self.names = tuple(view.name for view in self.views)
        self.specs = specs
        self.target = target
        self.class_names = () if target else class_names
        self.resize = reading.get("resize")
        self.transform: Transform = reading.get("transform") or EvalTransform()
        self.seed = reading.get("seed", 0)
        self._cache = ViewCache(len(self.views), self._read(0)) if reading.get("cache") else None

    def sample(self, key: Key) -> Sample:
        """The sample of a view as stored, its normalisation pending."""
        epoch, index = (0, key) if isinstance(key, int) else key
        generator = torch.Generator().manual_seed(mixed_seed(self.seed, epoch, index))
        return self.transform(self.view(index), self.specs, generator, self.target)

    def view(self, index: int) -> RawView:
        """The view at `index`, from the cache where it is kept. Its tensors are not to be written to."""
        if not 0 <= index < len(self):
            raise IndexError(f"view {index} of {len(self)}")
        if self._cache is None:
            return self._read(index)
        kept = self._cache.get(index, self.views[index].name, self.files(index))
        if kept is None:
            kept = self._read(index)
            self._cache.put(index, kept)
        return kept

    def files(self, index: int) -> dict[str, str]:
        """Paths of a view's files by modality, and `LABELS` or `TARGET`."""
        return {key: os.path.join(self.root, name) for key, name in self.views[index].files.items()}

    def fingerprint(self) -> str:
        """SHA-256 over the sorted names and sizes of the files, the encoding of modalities and target, and `resize`."""
        digest = hashlib.sha256()
        for name in sorted({name for view in self.views for name in view.files.values()}):
            digest.update(f"{name}\0{self._bytes(name)}\n".encode())
        target = None if self.target is None else _stated(self.target)
        settings = [[_stated(spec) for spec in self.specs], target, self.class_names, self.resize]
        digest.update(json.dumps(settings).encode())
        return digest.hexdigest()

    def arrangement(self) -> str:
        """SHA-256 over the views in their order, each with the files that belong together."""
        views = [[view.name, view.files] for view in self.views]
        return hashlib.sha256(json.dumps(views, sort_keys=True).encode()).hexdigest()

    def truths(self) -> str:
        """SHA-256 over what a network is scored on: names, numbers unpadded, and sizes of label maps or targets."""
        key = LABELS if self.target is None else TARGET
        scored = sorted((same_numbers(view.name), self._bytes(view.files[key])) for view in self.views)
        return hashlib.sha256(json.dumps(scored).encode()).hexdigest()

    def _read(self, index: int) -> RawView:
        return read_view(
            self.views[index].name,
            self.files(index),
            self.specs,
            classes=len(self.class_names),
            read=self.source.read,
            labels=self.source.labels,
            target=self.target,
            resize=self.resize,
            crop_depth=self.source.crop_depth,
            frame=self.source.frame,
        )

    def _bytes(self, name: str) -> int:
        """The size of a file, or of that which holds the map."""
        try:
            return (self.root / name).stat().st_size
        except NotADirectoryError:
            return next(parent.stat().st_size for parent in (self.root / name).parents if parent.is_file())
        except OSError as error:
            raise DataError(f"{self.root / name}: cannot be read ({error.strerror})") from None


def _stated(spec: ModalitySpec) -> dict[str, Any]:
    """What a spec states, for the fingerprint, which a field without value does not change."""
    return dataclasses.asdict(
        spec, dict_factory=lambda fields: {name: value for name, value in fields if value is not None}
    )


def count_classes(data: ViewDataset) -> Tensor:
    """int64 [2, K] over all views as they are stored: pixels of each class; known pixels of the views that show it."""
    counts = torch.zeros(2, len(data.class_names), dtype=torch.int64)
    for index in range(len(data)):
        target = data.view(index).target
        if target is not None:
            known = target.as_subclass(Tensor).flatten().long()
            pixels = torch.bincount(known[known != VOID], minlength=counts.shape[1])
            counts += torch.stack([pixels, (pixels > 0) * pixels.sum()])
    return counts
