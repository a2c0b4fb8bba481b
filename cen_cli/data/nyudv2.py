"""NYU Depth v2 (Silberman et al., ECCV 2012) with 40 classes, in the processed layout that RGB-D segmentation uses.

    root/train.txt, root/val.txt     one view a line: rgb <TAB> masks <TAB> depth, paths relative to root
    rgb      8-bit RGB, PNG or JPEG
    masks    8-bit grey or palette PNG: labels 0 .. 39, 255 = void
    depth    16-bit grey PNG, 5000 units per metre, 0 = invalid; may be larger than the masks by the white frame around
             them (480 x 640 against 468 x 625), which is then cut away

795 views to train, 654 to validate and test (there is one list for both).

Two more modalities are computed on reading, from a view's own files (`cen_cli.data.derived`): `edge_texture` (in short
`texture` or `edge`: edges of depth would give away the depth) from rgb, and `normal` from depth. For translation, whole
frames of 480 x 640 are cut to their inside, 468 x 625: the white frame is no picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from cen_cli.data.derived import CORNER, INNER, WHOLE
from cen_cli.data.domains import SHORT_NAMES
from cen_cli.data.sample import HALF, IMAGENET_MEAN, IMAGENET_STD, LABELS, TARGET, ModalitySpec, Normalization
from cen_cli.data.views import FileViews, Frame, Transform, ViewFiles, choose_specs, choose_target, describe_folder
from cen_cli.errors import DataError

CLASS_NAMES = (
    *("wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf"),
    *("picture", "counter", "blinds", "desk", "shelves", "curtain", "dresser", "pillow", "mirror", "floor mat"),
    *("clothes", "ceiling", "books", "refridgerator", "television", "paper", "towel", "shower curtain", "box"),
    *("whiteboard", "person", "night stand", "toilet", "sink", "lamp", "bathtub", "bag", "otherstructure"),
    *("otherfurniture", "otherprop"),
)
"""The 40 classes by label, spelled as the data set spells them."""

SPECS = {
    "rgb": ModalitySpec("rgb", "image", mean=IMAGENET_MEAN, std=IMAGENET_STD, jitter=True),
    "depth": ModalitySpec("depth", "depth", scale=5000.0),
    "edge_texture": ModalitySpec("edge_texture", "image", mean=HALF, std=HALF, derived="edge_texture"),
    "normal": ModalitySpec("normal", "image", scale=5000.0, mean=HALF, std=HALF, mirror_sum=254, derived="normal"),
}
NAMES = {**SHORT_NAMES, "depth": "depth", "edge": "edge_texture"}
"""Short name -> modality, as this data set understands it."""
LOG_SCALE, MAX_DEPTH = 1.0, 10.0
"""Of depth in translation: its logarithm, up to 10 metres."""
FRAME = Frame(WHOLE, *(slice(first, first + length) for first, length in zip(CORNER, INNER, strict=True)))
"""The white frame of whole frames, cut away for translation."""

SOURCE = (
    "expected rgb/, masks/, depth/, train.txt and val.txt; this processed copy is linked from "
    "https://github.com/yikaiw/CEN, the original is at https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html"
)

_LISTS = {"train": "train.txt", "val": "val.txt", "test": "val.txt"}
_COLUMNS = ("rgb", LABELS, "depth")
_DERIVED_FROM = {"edge_texture": "rgb", "normal": "depth"}


def modality_specs(
    inputs: Sequence[str], normalize: Normalization | None = None, *, target: str | None = None
) -> tuple[tuple[ModalitySpec, ...], ModalitySpec | None]:
    """How `inputs` and `target` are encoded and normalised; a target makes everything fit for translation.

    Raises UsageError for unknown or repeated names.
    """
    if target is None:
        return choose_specs(SPECS, inputs, normalize, names=NAMES), None
    ranged = {key: spec.for_translation(log_scale=LOG_SCALE, max_depth=MAX_DEPTH) for key, spec in SPECS.items()}
    chosen = choose_target(ranged, inputs, target, normalize, names=NAMES)
    return choose_specs(ranged, inputs, names=NAMES), chosen


class NYUDv2(FileViews):
    """The views of one split: `train`, `val` or `test` (the same as `val`).

    `target`: the modality to translate to; without one, views have labels. `list_file` (relative to `root`) takes the
    place of the split's own list. `resize`: (height, width) to which every image and label map is brought on reading.
    `normalize`: {modality: (mean, std)} in place of ImageNet's statistics (rgb), of 0 and 1 (depth, metres) and of 0.5
    and 0.5 (the others). Raises DataError where the folder, the list or a listed file is not there.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        inputs: Sequence[str] = ("rgb", "depth"),
        target: str | None = None,
        *,
        resize: tuple[int, int] | None = None,
        transform: Transform | None = None,
        cache: bool = False,
        list_file: str = "",
        normalize: Normalization | None = None,
        seed: int = 0,
    ) -> None:
        specs, target_spec = modality_specs(inputs, normalize, target=target)
        path = _find_list(root, split, list_file)
        columns = {name: _column(name) for name in inputs}
        columns |= {LABELS: LABELS} if target is None else {TARGET: _column(target)}
        views = _read_list(path, columns)
        _check_files(Path(root), path, views)
        super().__init__(
            Path(root),
            views,
            specs,
            CLASS_NAMES,
            target=target_spec,
            resize=resize,
            transform=transform,
            cache=cache,
            seed=seed,
            crop_depth=True,
            frame=None if target is None else FRAME,
        )


def _column(name: str) -> str:
    """The column of the list with the file that a modality is read from."""
    modality = NAMES.get(name, name)
    return _DERIVED_FROM.get(modality, modality)


def _find_list(root: str | Path, split: str, list_file: str) -> Path:
    if split not in _LISTS:
        raise DataError(f"unknown split {split!r}: NYUDv2 has {', '.join(_LISTS)}")
    if str(root) == "":
        raise DataError("no folder given for NYUDv2: set data.root", hint=SOURCE)
    folder = Path(root)
    if not folder.is_dir():
        raise DataError(f"NYUDv2: no folder {folder} ({describe_folder(folder)})", hint=SOURCE)
    path = folder / (list_file or _LISTS[split])
    if not path.is_file():
        raise DataError(f"NYUDv2: no list {path} in {folder} ({describe_folder(folder)})", hint=SOURCE)
    return path


def _read_list(path: Path, columns: Mapping[str, str]) -> list[ViewFiles]:
    """Parse a list; of each line keep the files that `columns` names, by its keys."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error})") from None
    views = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        fields = [field.strip() for field in line.split("\t")]
        if len(fields) != len(_COLUMNS) or not all(fields):
            raise DataError(
                f"{path}, line {number}: expected rgb <TAB> masks <TAB> depth, found {len(fields)} field(s): {line!r}"
            )
        files = dict(zip(_COLUMNS, fields, strict=True))
        views.append(ViewFiles(Path(files["rgb"]).stem, {key: files[column] for key, column in columns.items()}))
    if not views:
        raise DataError(f"{path}: the list is empty")
    return views


def _check_files(root: Path, path: Path, views: Sequence[ViewFiles]) -> None:
    names = [name for view in views for name in dict.fromkeys(view.files.values())]
    missing = [name for name in names if not (root / name).exists()]
    if missing:
        raise DataError(
            f"{path}: {len(missing)} of {len(names)} listed files are not there, the first: {root / missing[0]}",
            hint=SOURCE,
        )
