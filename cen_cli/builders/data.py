"""A recipe's `[data]` table -> a data set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cen_cli.data.inspect.check import check_data
from cen_cli.data.modality import LabelEncoding
from cen_cli.data.rooms import PALETTE, RoomsSettings, default_folder, prepare
from cen_cli.data.sets import cityscapes
from cen_cli.data.sets.folders import Division, FolderLabels, FolderModality, Folders
from cen_cli.data.sets.nyudv2 import NYUDv2
from cen_cli.data.sets.rooms import Rooms, domains_of
from cen_cli.data.sets.sunrgbd import SUNRGBD
from cen_cli.data.sets.taskonomy import Taskonomy
from cen_cli.data.transforms import ColorJitter, EvalTransform, TrainTransform
from cen_cli.data.views import FileViews, Reading
from cen_cli.errors import CenError, UnavailableError, UsageError
from cen_cli.recipe import folders
from cen_cli.recipe.schema import Recipe
from cen_cli.results import VOID, Advance, unheard
from cen_cli.results.datasets import DataCheck

ROOTS = {
    "nyudv2": ("NYUDv2", "nyu_depth_v2_labeled.mat, or the folder that holds rgb/, depth/, masks/ and the lists"),
    "sunrgbd": ("SUN RGB-D", "the folder that holds SUNRGBD/ and SUNRGBDtoolbox/"),
    "cityscapes": ("Cityscapes", "the folder that holds leftImg8bit/, disparity/ and gtFine/"),
    "taskonomy": ("Taskonomy", "the folder that holds rgb/, reshading/, normal/ and the other domains"),
    "folders": ("a data set of your own", "the folder in which the patterns begin"),
}
"""By `data.kind`: what a data set that is not built in is called, and what its root is."""


def dataset(recipe: Recipe, split: str, *, training: bool = False, progress: Advance = unheard) -> FileViews:
    """The recipe's data set: `split` is train, val or test; `training` turns augmentation on.

    `progress` is told (views done, views in all) while the built-in rooms are rendered. Raises DataError, or UsageError
    where no root is given.
    """
    data, reading = recipe.data, _reading(recipe, training)
    if data.kind == "rooms":
        return _rooms(recipe, split, reading, progress)
    if not data.root:
        name, what = ROOTS[data.kind]
        raise UsageError(
            f"recipe {recipe.name}: data.root is not set, and {name} is not built in",
            hint=f"give {what}: --data-root DIR (or CEN_DATA)",
        )
    where = (Path(data.root), split, data.inputs)
    match data.kind:
        case "nyudv2":
            listed = data.train_list if split == "train" else data.val_list
            return NYUDv2(
                *where, data.target, list_file=listed, depth=data.depth, label_start=data.label_start, **reading
            )
        case "sunrgbd":
            return SUNRGBD(*where, depth=data.depth, **reading)
        case "cityscapes":
            return cityscapes.Cityscapes(*where, **reading)
        case "taskonomy":
            assert data.target is not None, "a checked recipe names one"
            return Taskonomy(
                *where,
                data.target,
                train_list=data.train_list,
                val_list=data.val_list,
                skip_incomplete=data.skip_incomplete,
                **reading,
            )
        case "folders":
            return _folders(recipe, split, reading)


def at_hand(recipe: Recipe, split: str) -> FileViews | None:
    """The recipe's data set where its files are on this machine and need not be rendered first; else None."""
    try:
        return dataset(recipe, split, progress=_refuse_rendering)
    except CenError:
        return None


def _refuse_rendering(done: int, total: int) -> None:
    if done < total:
        raise UnavailableError(f"{total - done} views have not been rendered yet")


def _rooms(recipe: Recipe, split: str, reading: Reading, progress: Advance) -> FileViews:
    data = recipe.data
    settings = RoomsSettings(**data.rooms.model_dump())
    domains = domains_of(data.inputs, data.target)
    root = Path(data.root) if data.root else default_folder()
    written = (root / "manifest.json").exists()  # by `cen data rooms`: these rooms, not a cache of several sets
    folder = prepare(settings, root, domains=domains, progress=progress, keyed=not written)
    return Rooms(folder, split, data.inputs, data.target, **reading)


def _folders(recipe: Recipe, split: str, reading: Reading) -> FileViews:
    data, keys = recipe.data, recipe.data.folders
    return Folders(
        Path(data.root),
        split,
        data.inputs,
        data.target,
        modalities={name: FolderModality(**modality.model_dump()) for name, modality in keys.modalities.items()},
        labels=_labels(keys.labels) if recipe.task == "segmentation" else None,
        division=Division(data.train_list, data.val_list, data.test_list, keys.shares, keys.split_seed),
        skip_incomplete=data.skip_incomplete,
        **reading,
    )


def _labels(labels: folders.FolderLabels) -> FolderLabels:
    """Stored values as the recipe means them: counted from the first, void where nothing else is said."""
    if labels.stored == "color":
        values = tuple(_number(color) for color in labels.colors)
        void = tuple(_number(color) for color in ((0, 0, 0),) if color not in labels.colors)
        void = void if labels.void_colors is None else tuple(_number(color) for color in labels.void_colors)
    else:
        first = labels.first or 0
        values = labels.values or tuple(range(first, first + len(labels.classes)))
        none = VOID in values or labels.tolerance > 0  # near values are a class's, far ones an error
        void = labels.void if labels.void is not None else () if none else (VOID,)
    return FolderLabels(
        labels.pattern, labels.classes, LabelEncoding(values, void, labels.stored == "color", labels.tolerance)
    )


def _number(color: tuple[int, int, int]) -> int:
    red, green, blue = color
    return red << 16 | green << 8 | blue


def _reading(recipe: Recipe, training: bool) -> Reading:
    """How views are read and transformed, whatever the data set."""
    transform: TrainTransform | EvalTransform = EvalTransform()
    if training:
        augment = recipe.data.augment
        transform = TrainTransform(
            recipe.data.crop,
            jitter=ColorJitter(**augment.color_jitter.model_dump()),
            modality_dropout=recipe.train.modality_dropout,
            **augment.model_dump(exclude={"color_jitter"}),
        )
    return {
        "transform": transform,
        "seed": recipe.train.seed,
        "resize": recipe.data.resize if training else recipe.evaluation_size,
        "cache": recipe.data.cache,
        "normalize": {name: (entry.mean, entry.std) for name, entry in recipe.data.normalize.items()},
    }


def check(
    recipe: Recipe, *, wanted: int | None = None, progress: Callable[[str], Advance] = lambda _: unheard
) -> DataCheck:
    """Look at the recipe's data as `check_data` does. Raises UsageError where no root is given."""
    uncached = recipe.model_copy(update={"data": recipe.data.model_copy(update={"cache": False})})
    return check_data(
        recipe.name,
        lambda split: dataset(uncached, split, training=split == "train"),
        multiple=2**recipe.unet.levels if recipe.model.arch == "unet" else 1,
        wanted=wanted,
        progress=progress,
    )


def palette(recipe: Recipe) -> tuple[tuple[int, int, int], ...] | None:
    """The class colours of the recipe's data set; None where it has none of its own."""
    if recipe.data.kind == "folders":
        return recipe.data.folders.labels.colors or None
    return {"rooms": PALETTE, "cityscapes": cityscapes.PALETTE}.get(recipe.data.kind)
