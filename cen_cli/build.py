"""From names to objects: the only file that sees both a recipe and the constructors.

Every choice a recipe offers is a literal table here, so a name can be found by searching for it. What is built takes
plain arguments; only `load` hangs the recipe on a model, as a label for people.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypedDict

import torch

from cen_cli.data.nyudv2 import NYUDv2
from cen_cli.data.rooms import PALETTE, RoomsSettings, default_folder, prepare
from cen_cli.data.roomset import Rooms, domains_of
from cen_cli.data.sample import ModalitySpec, Normalization
from cen_cli.data.transforms import ColorJitter, EvalTransform, TrainTransform
from cen_cli.data.views import ViewDataset
from cen_cli.engine.checkpoint import load_weights, read_tensors
from cen_cli.engine.device import resolve_device, resolve_precision
from cen_cli.engine.fit import Fit, FitSettings, Listener
from cen_cli.engine.gammas import smallest_pressed_gamma
from cen_cli.engine.optimizers import build_optimizer
from cen_cli.engine.rundir import RunDirectory, locate
from cen_cli.engine.schedules import Rate, Schedule, first_exchange_step
from cen_cli.engine.seeding import seed_everything
from cen_cli.engine.segmentation import SegmentationTask
from cen_cli.errors import CheckpointError, RecipeError, UsageError
from cen_cli.models.exchange import exchange_layers
from cen_cli.models.norms import set_frozen_statistics
from cen_cli.models.segmenter import Segmenter, refinenet_segmenter
from cen_cli.recipe.load import changed_from_defaults, dump_toml, parse_recipe
from cen_cli.recipe.schema import Recipe
from cen_cli.results import TrainingPlan

Progress = Callable[[int, int], None]

ARCHITECTURES = {"refinenet": refinenet_segmenter}
COARSEST_STRIDE = 32
"""Pixels of the input, in height and in width, for each position of the encoders' last feature map."""


def dataset(recipe: Recipe, split: str, *, training: bool = False, progress: Progress | None = None) -> ViewDataset:
    """The recipe's data set: `split` is train, val or test; `training` turns augmentation on.

    `progress` is told (views done, views in all) while the built-in rooms are rendered. Raises DataError, or UsageError
    where no root is given.
    """
    return DATASETS[recipe.data.kind](recipe, split, training, progress)


def _rooms(recipe: Recipe, split: str, training: bool, progress: Progress | None) -> ViewDataset:
    data = recipe.data
    settings = RoomsSettings(**data.rooms.model_dump())
    domains = domains_of(data.inputs)
    root = Path(data.root) if data.root else default_folder()
    written = (root / "manifest.json").exists()  # by `cen data rooms`: these rooms, not a cache of several sets
    folder = prepare(settings, root, domains=domains, progress=progress, keyed=not written)
    return Rooms(
        folder,
        split,
        data.inputs,
        **_reading(recipe, training),
    )


def _nyudv2(recipe: Recipe, split: str, training: bool, progress: Progress | None) -> ViewDataset:  # noqa: ARG001
    data = recipe.data
    if not data.root:
        raise UsageError(
            f"recipe {recipe.name}: data.root is not set, and NYUDv2 is not built in",
            hint="give the folder that holds rgb/, depth/, masks/ and the lists: --data-root DIR (or CEN_DATA)",
        )
    return NYUDv2(
        Path(data.root),
        split,
        data.inputs,
        **_reading(recipe, training),
        list_file=data.train_list if split == "train" else data.val_list,
    )


DATASETS = {"rooms": _rooms, "nyudv2": _nyudv2}


class _Reading(TypedDict):
    transform: TrainTransform | EvalTransform
    seed: int
    resize: tuple[int, int] | None
    cache: bool
    normalize: Normalization


def _reading(recipe: Recipe, training: bool) -> _Reading:
    """How views are read and transformed, whatever the data set."""
    return {
        "transform": _transform(recipe, training),
        "seed": recipe.train.seed,
        "resize": recipe.data.resize,
        "cache": recipe.data.cache,
        "normalize": {name: (entry.mean, entry.std) for name, entry in recipe.data.normalize.items()},
    }


def _transform(recipe: Recipe, training: bool) -> TrainTransform | EvalTransform:
    if not training:
        return EvalTransform()
    augment = recipe.data.augment
    jitter = augment.color_jitter
    return TrainTransform(
        crop=recipe.data.crop,
        scale=augment.scale,
        min_short_side=augment.min_short_side,
        mirror=augment.mirror,
        jitter=ColorJitter(jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue),
    )


def segmenter(recipe: Recipe, classes: int, *, weights: str | None = None) -> Segmenter:
    """The recipe's network with `classes` outputs; `weights` goes before the recipe's own."""
    model, exchange = recipe.model, recipe.exchange
    fused = model.fusion == "exchange"
    return ARCHITECTURES[model.arch](
        recipe.data.inputs,
        classes,
        backbone=model.backbone,
        width=model.width,
        encoder_width=model.encoder_width,
        dropout=model.dropout,
        weights=None if (weights or model.weights) == "none" else (weights or model.weights),
        conv=recipe.sharing.conv,
        norm=recipe.sharing.norm,
        threshold=exchange.threshold,
        region=exchange.region,
        replace=exchange.replace,
        exchange=fused and exchange.choose == "gamma",
        gamma_init=exchange.gamma_init if fused else None,
    )


@dataclasses.dataclass(frozen=True)
class TrainingJob:
    """A recipe turned into everything that a training run needs, before a run directory exists."""

    recipe: Recipe
    task: SegmentationTask
    train_data: ViewDataset
    plan: TrainingPlan
    settings: FitSettings
    fingerprint: dict[str, str]
    """By split: the fingerprint of the files that are learned from and validated on."""

    def start(self, run: RunDirectory, listener: Listener) -> Fit:
        """The run, ready to train from its first step (or to `resume`)."""
        return Fit(self.task, self.train_data, run, self.settings, listener, self.metadata())

    def metadata(self) -> dict[str, str]:
        """What `model.safetensors` carries beside the weights."""
        specs = [dataclasses.asdict(spec) for spec in self.train_data.specs]
        return {
            "recipe": dump_toml(self.recipe),
            "task": self.recipe.task,
            "modalities": json.dumps(list(self.recipe.data.inputs)),
            "classes": json.dumps(list(self.train_data.class_names)),
            "specs": json.dumps(specs),
        }


def training_job(recipe: Recipe, *, device_name: str = "auto", progress: Progress | None = None) -> TrainingJob:
    """Build data, network, optimiser and schedule of a recipe; seeds every generator first.

    Raises DeviceError, DataError, CheckpointError (initial weights) or UsageError.
    """
    device = resolve_device(device_name)
    precision = resolve_precision(recipe.train.precision, device)
    train_data = dataset(recipe, "train", training=True, progress=progress)
    validation = dataset(recipe, "val", progress=progress)
    _check_batch_norm(recipe, views=len(train_data))
    settings = _fit_settings(recipe)
    seed_everything(recipe.train.seed)
    model = segmenter(recipe, len(train_data.class_names))
    set_frozen_statistics(model, recipe.train.freeze_bn)
    model = _placed(model, device, channels_last=recipe.train.channels_last)
    groups = model.parameter_groups()
    steps_per_epoch = max(len(train_data) // recipe.train.batch, 1)
    schedule = _schedule(recipe, steps_per_epoch)
    rates = _rates(recipe)
    task = SegmentationTask(
        model,
        build_optimizer(
            groups,
            kind=recipe.optimizer.kind,
            momentum=recipe.optimizer.momentum,
            betas=recipe.optimizer.betas,
            weight_decay=_weight_decay(recipe),
        ),
        schedule=schedule,
        rates={name: rates[name] for name, parameters in groups.items() if parameters},
        sparsity=recipe.exchange.sparsity if recipe.model.fusion == "exchange" else 0.0,
        clip_norm=recipe.optimizer.clip_norm,
        device=device,
        precision=precision,
        compiled=recipe.train.compile,
        validation=validation,
        validation_batch=recipe.eval.batch,
        workers=recipe.data.workers,
    )
    plan = TrainingPlan(
        name=recipe.name,
        task=recipe.task,
        device=str(device),
        precision=precision,
        modalities=recipe.data.inputs,
        train_samples=len(train_data),
        validation_samples=len(validation),
        epochs=recipe.train.epochs,
        steps_per_epoch=steps_per_epoch,
        parameters={name: sum(p.numel() for p in parameters) for name, parameters in groups.items()},
        first_exchange_step=_first_exchange(recipe, model, schedule, rates["gamma"]),
        changed=changed_from_defaults(recipe),
        run=None,
    )
    fingerprint = {"train": train_data.fingerprint(), "val": validation.fingerprint()}
    return TrainingJob(recipe, task, train_data, plan, settings, fingerprint)


def _placed(model: Segmenter, device: torch.device, *, channels_last: bool) -> Segmenter:
    """The network on its device; private kernels [M, out, in, k, k], which have no such layout, keep theirs."""
    model = model.to(device)
    for parameter in model.parameters():
        if channels_last and parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return model


def _check_batch_norm(recipe: Recipe, views: int) -> None:
    """Raises UsageError where batch norm would see one value per channel, which has no variance."""
    height, width = (-(-side // COARSEST_STRIDE) for side in recipe.data.crop)
    batch = min(recipe.train.batch, views)
    if batch * height * width == 1 and not recipe.train.freeze_bn:
        raise UsageError(
            f"train.batch = {batch} and data.crop = {list(recipe.data.crop)} leave batch norm one value per channel",
            hint=f"a larger batch, a crop of more than {COARSEST_STRIDE} pixels, or train.freeze_bn = true",
        )


def _fit_settings(recipe: Recipe) -> FitSettings:
    train = recipe.train
    return FitSettings(
        epochs=train.epochs,
        batch=train.batch,
        workers=recipe.data.workers,
        seed=train.seed,
        validate_every=train.validate_every,
        record_gammas_every=train.record_gammas_every,
        log_every=train.log_every,
        checkpoint_every=train.checkpoint_every,
        best_by=train.best_by,
    )


def _schedule(recipe: Recipe, steps_per_epoch: int) -> Schedule:
    return Schedule(
        kind=recipe.schedule.kind,
        total_steps=recipe.train.epochs * steps_per_epoch,
        stage_steps=tuple(epochs * steps_per_epoch for epochs in recipe.schedule.stage_epochs),
        power=recipe.schedule.power,
        warmup_steps=recipe.schedule.warmup_steps,
    )


def _rates(recipe: Recipe) -> dict[str, Rate]:
    optimizer = recipe.optimizer
    return {
        "encoder": optimizer.encoder_lr,
        "decoder": optimizer.decoder_lr,
        "gamma": optimizer.encoder_lr if optimizer.gamma_lr is None else optimizer.gamma_lr,
        "ensemble": optimizer.decoder_lr,
    }


def _weight_decay(recipe: Recipe) -> dict[str, float]:
    decay, gamma = recipe.optimizer.weight_decay, recipe.optimizer.gamma_weight_decay
    return {"encoder": decay, "decoder": decay, "gamma": decay if gamma is None else gamma, "ensemble": 0.0}


def _first_exchange(recipe: Recipe, model: Segmenter, schedule: Schedule, rate: Rate) -> int | None:
    layers = {name: layer for name, layer in exchange_layers(model).items() if layer.active}
    smallest = smallest_pressed_gamma(layers)
    if smallest is None:
        return None
    return first_exchange_step(
        schedule,
        rate,
        sparsity=recipe.exchange.sparsity,
        gap=smallest - recipe.exchange.threshold,
        optimizer=recipe.optimizer.kind,
        momentum=recipe.optimizer.momentum,
    )


def load(path: str | Path, device: str = "cpu") -> Segmenter:
    """A trained network in eval mode, from a run directory, a checkpoint directory or a `model.safetensors`.

    Beside `.modalities` and `.task` it carries `.recipe`, `.class_names` and `.specs`. Raises UsageError for a path
    that does not exist, CheckpointError for a file that is damaged or does not fit its recipe.
    """
    file = locate(path).model_file
    tensors, metadata = read_tensors(file)
    recipe, class_names, specs = _labels(metadata, file)
    model = segmenter(recipe, len(class_names), weights="none")
    load_weights(model, tensors, file)
    model.recipe, model.class_names, model.specs = recipe, class_names, specs
    return model.to(resolve_device(device)).eval()


def _labels(metadata: Mapping[str, str], file: Path) -> tuple[Recipe, tuple[str, ...], tuple[ModalitySpec, ...]]:
    """Recipe, class names and encoding of the modalities, as stored beside the weights. Raises CheckpointError."""
    try:
        recipe = parse_recipe(metadata["recipe"], source=f"{file}: its recipe")
        return recipe, tuple(json.loads(metadata["classes"])), _specs(metadata)
    except KeyError as error:
        raise CheckpointError(
            f"{file}: holds no network (no {error} in its metadata)",
            hint="give a run directory, or the model.safetensors of one of its checkpoints",
        ) from error
    except RecipeError as error:
        raise CheckpointError(error.message, hint="the file is damaged, or of another version of cen") from error
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{file}: its metadata are damaged ({error})", hint="copy the file again") from error


def _specs(metadata: Mapping[str, str]) -> tuple[ModalitySpec, ...]:
    documents = json.loads(metadata["specs"])
    return tuple(
        ModalitySpec(**document | {key: tuple(document[key]) for key in ("mean", "std")}) for document in documents
    )


def check_classes(model: Segmenter, data: ViewDataset, source: str) -> None:
    """Raises UsageError where a network was trained on other classes or modalities than a data set has."""
    if tuple(model.class_names) != tuple(data.class_names):
        raise UsageError(f"{source}: trained on {len(model.class_names)} other classes than this data set has")


def palette(recipe: Recipe) -> tuple[tuple[int, int, int], ...] | None:
    """The class colours of the recipe's data set; None where it has none of its own."""
    return PALETTE if recipe.data.kind == "rooms" else None
