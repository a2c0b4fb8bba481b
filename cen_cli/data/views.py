"""What every data set of view files shares: the protocol, reading and checking, seeding, fingerprint."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from torchvision import tv_tensors

from cen_cli.data.cache import ViewCache
from cen_cli.data.reading import read_depth, read_image, read_labels
from cen_cli.data.sample import LABELS, DepthMap, ModalitySpec, Normalization, RawView, Sample
from cen_cli.data.sampler import mixed_seed
from cen_cli.data.transforms import EvalTransform, resize_view
from cen_cli.errors import DataError, UsageError

Key = int | tuple[int, int]
"""A view's index (epoch 0), or (epoch, index)."""

Transform = Callable[[RawView, Sequence[ModalitySpec], torch.Generator], Sample]


class ViewDataset(Protocol):
    """A set of views with labels, all modalities aligned."""

    @property
    def specs(self) -> tuple[ModalitySpec, ...]:
        """The modalities, in the order of the network's streams."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, by label."""

    def __len__(self) -> int:
        """Number of views."""

    def __getitem__(self, key: Key) -> Sample:
        """The sample of a view; its augmentation depends on the data set's seed and (epoch, index) alone."""

    def view(self, index: int) -> RawView:
        """The view as stored (resized, where the data set resizes)."""

    def fingerprint(self) -> str:
        """Hex digest of the files' names and sizes and of what is read from them."""


@dataclasses.dataclass(frozen=True)
class ViewFiles:
    """Where one view lies: `files` by modality, and `LABELS`; relative to the data set's root."""

    name: str
    files: dict[str, str]


def read_view(
    name: str,
    files: Mapping[str, str | Path],
    specs: Sequence[ModalitySpec],
    *,
    classes: int,
    resize: tuple[int, int] | None = None,
    crop_depth: bool = False,
) -> RawView:
    """Read one view from `files` (paths by modality, and `labels` where there are any) and check that its parts fit.

    `resize`: bring everything to (height, width). `crop_depth`: a depth image that is larger by a border is cut to its
    centre. Raises DataError naming the files.
    """
    inputs = {spec.name: _read_modality(files[spec.name], spec) for spec in specs}
    labels = read_labels(files[LABELS], classes=classes) if LABELS in files else None
    used = {key: str(files[key]) for key in (*inputs, LABELS) if key in files}
    view = RawView(name, inputs, labels, used)
    if crop_depth:
        view = _crop_depth(view)
    _check_sizes(view)
    return view if resize is None else resize_view(view, resize)


def _read_modality(path: str | Path, spec: ModalitySpec) -> tv_tensors.Image | DepthMap:
    if spec.kind == "depth":
        return read_depth(path, scale=spec.scale, invalid=spec.invalid)
    return read_image(path, scale=spec.scale)


def _parts(view: RawView) -> dict[str, Tensor]:
    """All maps of a view, the one that the others must fit first: the labels, else an image, else a depth map."""
    images = {name: image for name, image in view.inputs.items() if not isinstance(image, DepthMap)}
    labels = {} if view.labels is None else {LABELS: view.labels}
    return {**labels, **images, **view.inputs}


def _crop_depth(view: RawView) -> RawView:
    """Cut depth images to the centre where they are larger than the rest by at most a quarter (a white frame)."""
    height, width = next(iter(_parts(view).values())).shape[-2:]
    inputs = dict(view.inputs)
    for name, image in view.inputs.items():
        top, left = image.shape[-2] - height, image.shape[-1] - width
        if isinstance(image, DepthMap) and 0 <= top <= height // 4 and 0 <= left <= width // 4:
            rows, columns = slice(top // 2, top // 2 + height), slice(left // 2, left // 2 + width)
            inputs[name] = DepthMap(image.as_subclass(Tensor)[:, rows, columns])
    return dataclasses.replace(view, inputs=inputs)


def _check_sizes(view: RawView) -> None:
    (first, reference), *others = _parts(view).items()
    for name, image in others:
        if image.shape[-2:] != reference.shape[-2:]:
            raise DataError(
                f"sizes differ: {view.files[first]} is {_size(reference)}, {view.files[name]} is {_size(image)}",
                hint="all modalities and the labels of a view must be aligned and of one size",
            )


def _size(image: Tensor) -> str:
    """Height x width."""
    return f"{image.shape[-2]} x {image.shape[-1]}"


def choose_specs(
    available: Mapping[str, ModalitySpec], inputs: Sequence[str], normalize: Normalization | None = None
) -> tuple[ModalitySpec, ...]:
    """The specs of `inputs`, normalised by `normalize` where it names them. Raises UsageError for unknown names."""
    if not inputs or len(set(inputs)) != len(inputs):
        raise DataError(f"inputs must be one or more different modalities, not {list(inputs)}")
    specs = [available[_known(name, available, "input")] for name in inputs]
    overrides = {_known(name, available, "modality to normalise"): value for name, value in (normalize or {}).items()}
    return tuple(spec.normalized_by(*overrides[spec.name]) if spec.name in overrides else spec for spec in specs)


def _known(name: str, available: Iterable[str], what: str) -> str:
    if name in available:
        return name
    nearest = difflib.get_close_matches(name, list(available), n=1)
    hint = f"did you mean {nearest[0]!r}?" if nearest else None
    raise UsageError(f"unknown {what} {name!r}: this data set has {', '.join(available)}", hint=hint)


class FileViews:
    """A `ViewDataset` over listed files; what a data set adds is how it finds them and how they are encoded.

    `transform` is handed the view, the specs and a generator seeded by (seed, epoch, index); no global random state is
    used. `settings` enter the fingerprint beside the files.
    """

    def __init__(
        self,
        root: Path,
        views: Sequence[ViewFiles],
        specs: tuple[ModalitySpec, ...],
        class_names: tuple[str, ...],
        *,
        resize: tuple[int, int] | None = None,
        transform: Transform | None = None,
        cache: bool = False,
        seed: int = 0,
        crop_depth: bool = False,
    ) -> None:
        if resize is not None and min(resize) < 1:
            raise DataError(f"resize must be at least 1 x 1, not {resize[0]} x {resize[1]}")
        self.root = root
        self.views = tuple(views)
        self.specs = specs
        self.class_names = class_names
        self.resize = None if resize is None else (resize[0], resize[1])
        self.transform: Transform = EvalTransform() if transform is None else transform
        self.seed = seed
        self._crop_depth = crop_depth
        self._cache = ViewCache(len(self.views), self._read(0)) if cache else None

    def __len__(self) -> int:
        return len(self.views)

    def __getitem__(self, key: Key) -> Sample:
        epoch, index = (0, key) if isinstance(key, int) else key
        generator = torch.Generator().manual_seed(mixed_seed(self.seed, epoch, index))
        return self.transform(self.view(index), self.specs, generator)

    def view(self, index: int) -> RawView:
        """The view at `index`, from the cache where it is kept. Its tensors are not to be written to."""
        if not 0 <= index < len(self):
            raise IndexError(f"view {index} of {len(self)}")
        if self._cache is None:
            return self._read(index)
        kept = self._cache.get(index, self.views[index].name, self._paths(index))
        if kept is None:
            kept = self._read(index)
            self._cache.put(index, kept)
        return kept

    def fingerprint(self) -> str:
        """SHA-256 over the sorted names and sizes of the files, the modalities' encoding and `resize`."""
        digest = hashlib.sha256()
        for name in sorted({name for view in self.views for name in view.files.values()}):
            digest.update(f"{name}\0{self._bytes(name)}\n".encode())
        settings = [[dataclasses.asdict(spec) for spec in self.specs], self.class_names, self.resize]
        digest.update(json.dumps(settings).encode())
        return digest.hexdigest()

    def _read(self, index: int) -> RawView:
        return read_view(
            self.views[index].name,
            self._paths(index),
            self.specs,
            classes=len(self.class_names),
            resize=self.resize,
            crop_depth=self._crop_depth,
        )

    def _paths(self, index: int) -> dict[str, str]:
        return {key: str(self.root / name) for key, name in self.views[index].files.items()}

    def _bytes(self, name: str) -> int:
        try:
            return (self.root / name).stat().st_size
        except OSError as error:
            raise DataError(f"{self.root / name}: cannot be read ({error.strerror})") from None


def describe_folder(folder: Path) -> str:
    """What a folder holds, in a few words, for messages about what was not found in it."""
    if not folder.is_dir():
        return "it is a file" if folder.exists() else "it does not exist"
    names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in folder.iterdir())
    if not names:
        return "it is empty"
    return "it holds " + ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
