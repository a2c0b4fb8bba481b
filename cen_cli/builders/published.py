"""Published files -> our checkpoints: the recipe that says how such a network was trained and is to be used.

A converted network carries the shipped recipe of the paper's experiment, with what the file shows in its place, and
with what the authors' release does otherwise: a channel is replaced wherever |gamma| < theta. It expects no scores:
which file is at hand, nobody knows.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from cen_cli.builders.checkpoints import labels_of
from cen_cli.builders.networks import Network, network
from cen_cli.data.sets import nyudv2, taskonomy
from cen_cli.data.views import choose_specs
from cen_cli.errors import CheckpointError, RecipeError, UsageError
from cen_cli.models.backbones.resnet import RESNETS
from cen_cli.models.heads.patch_discriminator import PatchDiscriminator
from cen_cli.models.published import discriminator, generator, segmenter
from cen_cli.models.published.kinds import kind_of, resnet_name
from cen_cli.models.published.tensors import COUNTERS, Fitted, PublishedTensors, fit, published_tensors
from cen_cli.models.torch_files import read_torch_file
from cen_cli.recipe.load import load_recipe
from cen_cli.recipe.schema import Recipe
from cen_cli.results import Conversion
from cen_cli.wording import listed

PAIR = ("rgb", "depth")
"""What two streams of a segmentation network are called where nobody says it."""
SEGMENTATION_RECIPES = {"resnet152": "nyudv2-resnet152"}
"""The shipped recipe by backbone; `nyudv2` for all others."""
TRANSLATION_RECIPE = "taskonomy-shade-texture-rgb"
RELEASED_SPARSITY = 2e-4
"""Lambda of the release's segmentation, which adds its penalty once per output."""
SMALLEST_CROP = 32
"""Pixels: what a discriminator of three layers needs, in a power of two."""


@dataclasses.dataclass(frozen=True)
class Converted:
    """Tensors and metadata for a safetensors file, and a report."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]
    report: Conversion


@dataclasses.dataclass(frozen=True)
class _Read:
    """What a file holds, as ours."""

    words: str
    network: nn.Module
    fitted: Fitted
    metadata: dict[str, str]
    recipe: Recipe | None = None
    notes: tuple[str, ...] = ()


def convert(
    path: str | Path, *, kind: str | None = None, inputs: Sequence[str] = (), target: str | None = None
) -> Converted:
    """What a published torch file holds, as ours. Nothing in the file is executed.

    `kind` goes before what the file's names say. `inputs` and `target`: modalities, which no file names. Raises
    UsageError for a missing file and for names that are missing or do not fit, CheckpointError for what cannot be read
    or is not one of the `KINDS`.
    """
    file = Path(path)
    if not file.is_file():
        raise UsageError(f"{file}: {'a folder, not a torch file' if file.is_dir() else 'no such file'}")
    published = published_tensors(read_torch_file(file), str(file))
    kind = kind or kind_of(published)
    read = KINDS[kind](published, tuple(inputs), target)
    report = Conversion(
        kind=kind,
        network=read.words,
        inputs=() if read.recipe is None else read.recipe.data.inputs,
        target=None if read.recipe is None else read.recipe.data.target,
        parameters=sum(parameter.numel() for parameter in read.network.parameters()),
        tensors=len(published.tensors),
        unused=read.fitted.unused,
        remarks=dict(published.remarks),
        notes=read.notes,
    )
    return Converted(read.fitted.tensors, read.metadata, report)


# ---- networks of streams ----


def _segmenter(published: PublishedTensors, inputs: tuple[str, ...], target: str | None) -> _Read:
    if target is not None:
        raise UsageError(f"--target {target}: {published.source} holds a segmentation network, which makes labels")
    size = segmenter.segmenter_size(published)
    with _described(published):
        recipe = _segmentation_recipe(size, _named(inputs or PAIR, size.modalities))
    specs, _ = nyudv2.modality_specs(recipe.data.inputs)
    known = size.classes == len(nyudv2.CLASS_NAMES)
    class_names = nyudv2.CLASS_NAMES if known else tuple(f"class {label}" for label in range(size.classes))
    own = _on_paper(recipe, size.classes)
    fitted = fit(published, own.state_dict(), segmenter.published_name, modalities=size.modalities, unused=COUNTERS)
    note = f"names of {size.classes} classes are not known, so `cen eval` has no data set for them; `cen predict` works"
    words = f"RefineNet on {size.backbone}, {size.classes} classes, {size.modalities} modalities"
    labels = labels_of(recipe, class_names, specs, None)
    return _Read(words, own, fitted, labels, recipe, () if known else (note,))


def _segmentation_recipe(size: segmenter.SegmenterSize, inputs: tuple[str, ...]) -> Recipe:
    return _recipe(
        SEGMENTATION_RECIPES.get(size.backbone, "nyudv2"),
        "nyudv2-published",
        {
            "data.inputs": inputs,
            "model.backbone": size.backbone,
            "model.weights": "imagenet" if size.encoder_width == 64 else "none",
            "model.encoder_width": size.encoder_width,
            "model.width": size.width,
            "exchange.sparsity": RELEASED_SPARSITY * (size.modalities + 1),
        },
    )


def _generator(published: PublishedTensors, inputs: tuple[str, ...], target: str | None) -> _Read:
    size = generator.generator_size(published)
    if not inputs or target is None:
        option = "--inputs" if not inputs else "--target"
        raise UsageError(
            f"{published.source} holds a generator of {size.modalities} inputs, and no file says of which: {option} is "
            "missing",
            hint="for example --inputs shade texture --target rgb",
        )
    with _described(published):
        recipe = _translation_recipe(size, _named(inputs, size.modalities), target)
    specs, target_spec = choose_specs(taskonomy.SPECS, recipe.data.inputs, target=target)
    own = _on_paper(recipe, 0)
    unused = generator.unused(size)
    fitted = fit(published, own.state_dict(), generator.published_name, modalities=size.modalities, unused=unused)
    words = f"U-Net generator, {size.levels} levels, {size.filters} filters, {size.modalities} modalities"
    return _Read(words, own, fitted, labels_of(recipe, (), specs, target_spec), recipe)


def _translation_recipe(size: generator.GeneratorSize, inputs: tuple[str, ...], target: str) -> Recipe:
    side = max(2**size.levels, SMALLEST_CROP)
    return _recipe(
        TRANSLATION_RECIPE,
        "taskonomy-published",
        {
            "data.inputs": inputs,
            "data.target": target,
            "data.resize": (side * 286 // 256,) * 2,
            "data.crop": (side, side),
            "unet.levels": size.levels,
            "unet.filters": size.filters,
            "unet.norm_layers": "inner",
            "eval.size": (side, side),
        },
    )


def _recipe(base: str, name: str, keys: dict[str, object]) -> Recipe:
    """A shipped recipe with other values and another name, and without the scores that it expects."""
    own = {"name": name, "data.workers": 0, "exchange.replace": "anywhere"}  # the machine is not known
    return load_recipe(base, own | keys).model_copy(update={"expected": {}})


@contextmanager
def _described(published: PublishedTensors) -> Iterator[None]:
    """Inside, a recipe that cannot be is the file's fault: its sizes are none that a recipe may have."""
    try:
        yield
    except RecipeError as error:
        problems = listed((problem.removesuffix(" [from an option]") for problem in error.problems), separator="; ")
        raise CheckpointError(f"{published.source}: no recipe describes this network: {problems}") from error


def _named(inputs: tuple[str, ...], modalities: int) -> tuple[str, ...]:
    if len(inputs) != modalities:
        raise UsageError(
            f"the file holds {modalities} streams, and {len(inputs)} inputs are named: {', '.join(inputs)}",
            hint="name them in the order of the file's norms: --inputs NAME NAME ...",
        )
    return inputs


def _on_paper(recipe: Recipe, classes: int) -> Network:
    """The recipe's network without numbers in its tensors: names and shapes are what counts."""
    with torch.device("meta"):
        return network(recipe, classes, weights="none")


# ---- networks beside them ----


def _discriminator(published: PublishedTensors, inputs: tuple[str, ...], target: str | None) -> _Read:
    _without_modalities(published, inputs, target)
    size = discriminator.discriminator_size(published)
    with torch.device("meta"):
        own = PatchDiscriminator(size.filters, layers=size.layers)
    names = discriminator.published_names(own)
    fitted = fit(published, own.state_dict(), names.__getitem__, unused=discriminator.unused_names(size))
    words = f"PatchGAN discriminator, {size.filters} filters, {size.layers} normalised layers"
    metadata = {"discriminator": json.dumps({"filters": size.filters, "layers": size.layers})}
    note = "for use from Python, see docs/convert.md: no command starts from a discriminator"
    return _Read(words, own, fitted, metadata, notes=(note,))


def _resnet(published: PublishedTensors, inputs: tuple[str, ...], target: str | None) -> _Read:
    _without_modalities(published, inputs, target)
    name = resnet_name(published)
    with torch.device("meta"):
        own = RESNETS[name].network()
    wanted = {key: tensor for key, tensor in own.state_dict().items() if not re.fullmatch(COUNTERS, key)}
    fitted = fit(published, wanted, str, unused=rf"fc\..*|{COUNTERS}")
    return _Read(f"torchvision's {name}, without its classifier", own, fitted, {"backbone": name})


def _without_modalities(published: PublishedTensors, inputs: tuple[str, ...], target: str | None) -> None:
    if inputs or target:
        raise UsageError(f"--inputs and --target: {published.source} holds no network of several modalities")


KINDS: dict[str, Callable[[PublishedTensors, tuple[str, ...], str | None], _Read]] = {
    "refinenet": _segmenter,
    "unet": _generator,
    "discriminator": _discriminator,
    "resnet": _resnet,
}
