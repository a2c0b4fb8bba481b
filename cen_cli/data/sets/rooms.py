"""The built-in rooms as files: `folder/split/domain/room_view.png`, stored as `cen_cli.data.rooms.encoding` says.

The names of inputs and targets are those of the folders or their short forms, but for two. `depth` is what a depth
camera would see (`depth_sensor`) where views have labels, and the true `depth_euclidean` where they are translated. The
target `rgb` is read from `rgb_clean`: the noise of the colour camera cannot be predicted from anything, so it would
only add a constant to every error. As an input `rgb` has its noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from cen_cli.data.modality import HALF, IMAGENET_MEAN, IMAGENET_STD, SHORT_NAMES, ModalitySpec, Normalization
from cen_cli.data.patterns import Pattern, ViewKey, complete
from cen_cli.data.rooms import CLASS_NAMES, DEPTH_INVALID, DEPTH_UNITS, EDGE_UNITS
from cen_cli.data.sample import LABELS, TARGET, check_split
from cen_cli.data.views import FileViews, Reading, Source, ViewFiles, choose_specs
from cen_cli.errors import UsageError

_DEPTH_CAMERA = "depth"
_TARGET_FOLDER = {"rgb": "rgb_clean"}


_STORED = (
    ModalitySpec("rgb", "image", mean=IMAGENET_MEAN, std=IMAGENET_STD, jitter=True),
    ModalitySpec(_DEPTH_CAMERA, "depth", scale=DEPTH_UNITS, invalid=DEPTH_INVALID),
    ModalitySpec("rgb_clean", "image", mean=IMAGENET_MEAN, std=IMAGENET_STD, jitter=True),
    ModalitySpec("depth_zbuffer", "depth", scale=DEPTH_UNITS, invalid=DEPTH_INVALID),
    ModalitySpec("depth_euclidean", "depth", scale=DEPTH_UNITS, invalid=DEPTH_INVALID),
    ModalitySpec("normal", "image", mean=HALF, std=HALF, mirror_sum=254, colour=True),
    ModalitySpec("reshading", "image", mean=HALF, std=HALF),
    *(ModalitySpec(name, "image", scale=scale, mean=HALF, std=HALF) for name, scale in EDGE_UNITS.items()),
    ModalitySpec("principal_curvature", "image", mean=HALF, std=HALF, colour=True),
)
SPECS = {spec.name: spec for spec in _STORED}
"""By full name; for translation without the depth camera."""
LOG_SCALE, MAX_DEPTH = 1.0, 10.0
"""Of depth in translation: its logarithm, up to 10 metres."""


def modality_specs(
    inputs: Sequence[str], normalize: Normalization | None = None, *, target: str | None = None
) -> tuple[tuple[ModalitySpec, ...], ModalitySpec | None]:
    """How `inputs` and `target` are encoded and normalised; a target makes everything fit for translation.

    Raises UsageError for unknown or repeated names, and for a target that is one of the inputs.
    """
    if target is None:
        return choose_specs(SPECS, inputs, normalize, names={**SHORT_NAMES, "depth": _DEPTH_CAMERA})
    ranged = {
        name: spec.for_translation(log_scale=LOG_SCALE, max_depth=MAX_DEPTH)
        for name, spec in SPECS.items()
        if name != _DEPTH_CAMERA
    }
    specs = choose_specs(ranged, inputs, normalize, target=target)
    *folders, truth = domains_of(inputs, target)
    if truth in folders:
        raise UsageError(
            f"the target {target!r} is read from {truth}, which is one of the inputs", hint="leave it out of the inputs"
        )
    return specs


def domains_of(inputs: Sequence[str], target: str | None = None) -> tuple[str, ...]:
    """The folders that hold `inputs` and the target, or the labels: what must have been rendered."""
    if target is None:
        folders = {**SHORT_NAMES, "depth": "depth_sensor"}
        return (*(folders.get(name, name) for name in inputs), LABELS)
    truth = SHORT_NAMES.get(target, target)
    return (*(SHORT_NAMES.get(name, name) for name in inputs), _TARGET_FOLDER.get(truth, truth))


class Rooms(FileViews):
    """The views of one split (`train`, `val`, `test`) below `folder`, sorted by room and view.

    `target`: the domain to translate to; without one, views have labels. `reading`: see `Reading`. Raises DataError
    where a folder, or one modality's file of a view, is not there.
    """

    def __init__(
        self,
        folder: str | Path,
        split: str,
        inputs: Sequence[str] = ("rgb", "depth"),
        target: str | None = None,
        **reading: Unpack[Reading],
    ) -> None:
        specs, target_spec = modality_specs(inputs, reading.get("normalize"), target=target)
        check_split(split)
        root, keys = Path(folder), (*inputs, LABELS if target is None else TARGET)
        domains = dict(zip(keys, domains_of(inputs, target), strict=True))
        hint = "`cen data rooms` renders the rooms into a folder"
        patterns = {key: Pattern(f"{split}/{domain}/{{stem}}.png") for key, domain in domains.items()}
        matched = {key: pattern.find(root, hint=hint) for key, pattern in patterns.items()}
        everything = sorted(set().union(*matched.values()), key=ViewKey.place)
        complete(root, split, everything, matched, hint="delete the folder to have it rendered again")
        views = [ViewFiles(key.stem, {name: files[key] for name, files in matched.items()}) for key in everything]
        super().__init__(Source(root, views), specs, CLASS_NAMES, target=target_spec, **reading)
