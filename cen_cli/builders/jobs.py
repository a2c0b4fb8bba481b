"""A recipe -> a training run, ready to start: data, networks, optimisers, schedule, loss, scoring."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cen_cli import ranks
from cen_cli.builders.checkpoints import labels_of
from cen_cli.builders.data import dataset
from cen_cli.builders.networks import Network, discriminator, network, placed
from cen_cli.builders.precision import decide_precision, in_precision
from cen_cli.builders.scoring import DISTANCES, best_by, scorer
from cen_cli.data.loading import training_loader
from cen_cli.data.sample import Batch
from cen_cli.data.views import ViewDataset, count_classes
from cen_cli.engine.fit import Fit
from cen_cli.engine.losses import Penalty
from cen_cli.engine.optimizers import build_optimizer
from cen_cli.engine.pixel_loss import PixelLoss, class_weights
from cen_cli.engine.progress import FitSettings
from cen_cli.engine.schedules import Rate, Schedule, first_exchange_step
from cen_cli.engine.seeding import seed_everything
from cen_cli.engine.segmentation import MODEL, SegmentationTask
from cen_cli.engine.translation import DISCRIMINATOR, GENERATOR, TranslationTask
from cen_cli.errors import UsageError
from cen_cli.models.activations import checkpoint_activations
from cen_cli.models.backbones.staged import FAILED, StagedEncoder
from cen_cli.models.device import resolve_device
from cen_cli.models.exchange import exchange_layers, exchanging_layers
from cen_cli.models.fusion.align import alignment_penalty
from cen_cli.models.norms import ModalBatchNorm2d, set_frozen_statistics, set_synchronised
from cen_cli.models.sparsity import sparsity_penalty
from cen_cli.models.stages import freeze_first_stages
from cen_cli.recipe.load import changed_from_defaults
from cen_cli.recipe.schema import Recipe
from cen_cli.results import Advance, Listener, TrainingPlan, unheard
from cen_cli.runs.directory import RunDirectory
from cen_cli.runs.gammas import smallest_pressed_gamma

STAGE = "encoder.stage"
"""Begins the names of the encoder's groups, where each stage has a rate of its own."""
COARSEST_STRIDE = 32
"""Pixels of the input, in height and in width, for each position of the ResNets' last feature map."""

Task = SegmentationTask | TranslationTask


@dataclasses.dataclass(frozen=True)
class TrainingJob:
    """A recipe turned into everything that a training run needs, before a run directory exists."""

    recipe: Recipe
    task: Task
    train_data: ViewDataset
    plan: TrainingPlan
    settings: FitSettings
    fingerprint: dict[str, str]
    """By split: the fingerprint of the files that are learned from and validated on."""
    arrangement: dict[str, str]
    """By split: the digest of the order of its views, and of which files belong together."""
    class_counts: list[list[int]] | None = None
    """As `count_classes` returns them, where class weights are made from them."""

    def start(self, run: RunDirectory, listener: Listener) -> Fit:
        """The run, ready to train from its first step (or to `resume`)."""
        data = self.train_data
        labels = labels_of(self.recipe, data.class_names, data.specs, data.target)
        return Fit(self.task, data, run, self.settings, listener, labels)

    def batches(self, *, epochs: Iterable[int] = (0,), workers: int | None = None) -> Iterator[Batch]:
        """The batches of these epochs, loaded by `workers` processes (absent: the recipe's)."""
        batch, seed = self.settings.batch, self.settings.seed
        workers = self.settings.workers if workers is None else workers
        for epoch in epochs:
            yield from training_loader(self.train_data, batch=batch, workers=workers, seed=seed, epoch=epoch)


def training_job(
    recipe: Recipe,
    *,
    device_name: str = "auto",
    progress: Advance = unheard,
    inception_weights: Path | None = None,
    initial_weights: str | None = None,
    class_counts: list[list[int]] | None = None,
) -> TrainingJob:
    """Build data, networks, optimisers and schedule of a recipe; seeds every generator first.

    `initial_weights` goes before the recipe's model.weights. `class_counts`: of the training split, where they are
    known already.

    Raises DeviceError, DataError, CheckpointError (initial weights), UnavailableError (weights that a score needs) or
    UsageError.
    """
    device = resolve_device(device_name)
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True  # crops are of one size
    if device.type == "mps" and recipe.train.precision == "fp16":
        raise UsageError(
            'train.precision = "fp16" trains on CUDA devices and the CPU, not on mps', hint='"bf16" or "fp32"'
        )
    asked, (precision, ratio) = recipe, decide_precision(recipe, device)
    recipe = in_precision(recipe, precision)
    score = scorer(recipe, device, training=True, inception_weights=inception_weights)
    train_data = dataset(recipe, "train", training=True, progress=progress)
    validation = dataset(recipe, "val", progress=progress)
    _check_batch_norm(recipe, views=len(train_data))
    if len(validation) < 2 and best_by(recipe).endswith(DISTANCES):
        raise UsageError(
            f"train.best_by = {best_by(recipe)}: of one validation view there is none", hint="a score of pixels"
        )
    seed_everything(recipe.train.seed)  # the same everywhere: all ranks draw the same weights
    model = network(recipe, len(train_data.class_names), weights=initial_weights)
    set_frozen_statistics(model.encoder, recipe.train.freeze_bn)
    freeze_first_stages(model.encoder, recipe.model.frozen_stages)
    set_frozen_statistics(model.get_submodule("encoder.junctions"), False)  # a baseline's blocks have nothing loaded
    _check_crop(recipe, model.encoder, views=len(train_data))
    set_synchronised(model, recipe.train.sync_bn)
    if recipe.train.checkpoint_activations:
        checkpoint_activations(model.encoder)
    model = placed(model, device, recipe)
    if class_counts is None and recipe.loss.class_weights in ("inverse", "median"):
        class_counts = count_classes(train_data).tolist()
    own: dict[str, Any] = {}
    if recipe.task == "segmentation":
        own["accumulate"] = recipe.train.accumulate
        own["loss"] = _pixel_loss(recipe, train_data.class_names, class_counts, device)
    steps_per_epoch = max(len(train_data) // recipe.train.batch, 1)
    schedule = _schedule(recipe, steps_per_epoch)
    task = TASKS[recipe.task](
        recipe,
        model,
        schedule=schedule,
        penalties=_penalties(recipe),
        sparsity=recipe.penalty,
        clip_norm=recipe.optimizer.clip_norm,
        device=device,
        precision=precision,
        compiled=recipe.train.compile,
        validation=validation,
        scorer=score,
        ema=recipe.train.ema,
        **own,
    )
    if not ranks.leads():
        seed_everything(recipe.train.seed, ranks.number())
    plan = TrainingPlan(
        name=recipe.name,
        task=recipe.task,
        device=str(device) if ranks.count() == 1 else f"{ranks.count()} x {device.type}",
        precision=precision,
        bf16_over_fp32=ratio,
        modalities=recipe.data.inputs,
        train_samples=len(train_data),
        validation_samples=len(validation),
        epochs=recipe.train.epochs,
        steps_per_epoch=steps_per_epoch,
        parameters=_parameters(task, model),
        first_exchange_step=_first_exchange(recipe, model, schedule, _rates(recipe)["gamma"]),
        changed=changed_from_defaults(asked),
        run=None,
        target=recipe.data.target,
        exchanges=tuple(exchanging_layers(model)),
        start=model.start,
    )
    fingerprint = {"train": train_data.fingerprint(), "val": validation.fingerprint()}
    arrangement = {"train": train_data.arrangement(), "val": validation.arrangement()}
    return TrainingJob(asked, task, train_data, plan, _fit_settings(recipe), fingerprint, arrangement, class_counts)


def _pixel_loss(
    recipe: Recipe, class_names: Sequence[str], counts: list[list[int]] | None, device: torch.device
) -> PixelLoss:
    """Raises UsageError where a list of weights is not one for each class, or all of them are 0."""
    asked, weights = recipe.loss.class_weights, None
    if isinstance(asked, tuple):
        if len(asked) != len(class_names) or not any(asked):
            what = f"{len(asked)} numbers, and there are {len(class_names)} classes" if any(asked) else "nothing but 0"
            raise UsageError(
                f"loss.class_weights holds {what}", hint='one number for each class, not all of them 0; or "median"'
            )
        weights = torch.tensor(asked, device=device)
    elif counts is not None:
        pixels, shown = torch.tensor(counts, dtype=torch.float64)
        weights = class_weights(pixels, shown, asked).to(device)
    return PixelLoss(weights, recipe.loss.label_smoothing, recipe.loss.focal_gamma, recipe.loss.dice)


def _segmentation(recipe: Recipe, model: Network, **common: Any) -> SegmentationTask:
    groups = _by_stage(recipe, model)
    optimizer, stages = recipe.optimizer, [name for name in groups if name.startswith(STAGE)]
    own = {
        name: _scaled(optimizer.encoder_lr, optimizer.layer_decay**below) for below, name in enumerate(reversed(stages))
    }
    return SegmentationTask(
        model=model,
        optimizers={MODEL: _optimizer(recipe, groups)},
        rates=_rates_of(recipe, groups) | own,
        auxiliary_weight=recipe.model.auxiliary_weight,
        **common,
    )


def _by_stage(recipe: Recipe, model: Network) -> dict[str, list[nn.Parameter]]:
    """The network's groups; with `optimizer.layer_decay` the encoder's is cut into one for each stage, finest first."""
    groups = model.parameter_groups()
    if recipe.optimizer.layer_decay == 1:
        return groups
    encoder = {id(parameter) for parameter in groups.pop("encoder")}
    stages = {
        f"{STAGE}{number}": [p for module in stage for p in module.parameters() if id(p) in encoder]
        for number, stage in enumerate(model.encoder.stages(), start=1)
    }
    assert sum(map(len, stages.values())) == len(encoder), "a parameter of the encoder is in no stage"
    return {**stages, **groups}


def _scaled(rate: Rate, factor: float) -> Rate:
    return tuple(each * factor for each in rate) if isinstance(rate, tuple) else rate * factor


def _translation(recipe: Recipe, model: Network, **common: Any) -> TranslationTask:
    groups = model.parameter_groups()
    optimizers = {GENERATOR: _optimizer(recipe, groups)}
    critic = discriminator(recipe)
    if critic is not None:
        critic = placed(critic, common["device"], recipe)
        groups = {**groups, DISCRIMINATOR: list(critic.parameters())}
        optimizers[DISCRIMINATOR] = _optimizer(recipe, {DISCRIMINATOR: groups[DISCRIMINATOR]})
    return TranslationTask(
        model=model,
        discriminator=critic,
        optimizers=optimizers,
        rates=_rates_of(recipe, groups),
        pixel_weight=recipe.gan.pixel_weight,
        adversarial_weight=recipe.gan.adversarial_weight,
        reuse_forward=recipe.gan.reuse_forward,
        **common,
    )


TASKS: dict[str, Callable[..., Task]] = {"segmentation": _segmentation, "translation": _translation}


def _parameters(task: Task, model: Network) -> dict[str, int]:
    """Parameters by group, those of networks beside the model last."""
    groups = {**model.parameter_groups(), **{name: [*net.parameters()] for name, net in task.auxiliaries.items()}}
    return {name: sum(parameter.numel() for parameter in parameters) for name, parameters in groups.items()}


def _check_batch_norm(recipe: Recipe, views: int) -> None:
    """Raises UsageError where devices cannot share a batch, or batch norm would see one value per channel."""
    batch, accumulate = min(recipe.train.batch, views), recipe.train.accumulate
    if batch % (ranks.count() * accumulate):
        takers = [f"{ranks.count()} devices"] * (ranks.count() > 1)
        takers += [f"train.accumulate = {accumulate} turns"] * (accumulate > 1)
        raise UsageError(
            f"train.batch = {recipe.train.batch} with {views} training views: {' in '.join(takers)} take equal parts "
            f"of a batch, and {batch} views make none",
            hint=f"a multiple of {ranks.count() * accumulate}",
        )
    batch = _views_of_a_norm(recipe, views)
    if recipe.model.arch == "pspnet" and batch == 1:
        raise UsageError(
            f"train.batch = {recipe.train.batch} with {views} training views: PSPNet pools every image to 1 x 1, which "
            "leaves batch norm one value per channel",
            hint="a batch of 2 or more; train.freeze_bn holds the encoder's norms only",
        )
    if recipe.model.arch == "refinenet":
        _check_coarsest_map(recipe, batch)


def _views_of_a_norm(recipe: Recipe, views: int) -> int:
    """How many views of a batch a batch norm sees at a time."""
    devices = 1 if recipe.train.sync_bn else ranks.count()
    return min(recipe.train.batch, views) // (recipe.train.accumulate * devices)


def _check_crop(recipe: Recipe, encoder: nn.Module, views: int) -> None:
    """Raises UsageError where an encoder of timm does not take the crop, or pools it to one value for a batch norm."""
    if not isinstance(encoder, StagedEncoder):
        return
    backbone, crop = recipe.model.backbone, list(recipe.data.crop)
    pooled: list[nn.Module] = []

    def note(norm: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if inputs[0].shape[-2:] == (1, 1):
            pooled.append(norm)

    with ExitStack() as hooks:
        for layer in encoder.modules():
            if isinstance(layer, ModalBatchNorm2d) and not layer.frozen:
                hooks.callback(layer.register_forward_pre_hook(note).remove)
        try:
            encoder.probe(torch.zeros(len(recipe.data.inputs), 3, *crop))
        except FAILED as error:
            why = f" ({error})" if str(error) else ""
            raise UsageError(
                f'data.crop = {crop}: model.backbone = "{backbone}" takes no images of this size{why}',
                hint="another size, such as multiples of 32, or another encoder",
            ) from error
    if pooled and _views_of_a_norm(recipe, views) == 1:
        raise UsageError(
            f"train.batch = {recipe.train.batch}, of which a norm sees 1 at a time: {backbone} pools every image to "
            "1 x 1, which leaves batch norm one value per channel",
            hint="a larger batch, or train.freeze_bn = true",
        )


def _check_coarsest_map(recipe: Recipe, batch: int) -> None:
    height, width = (-(-side // COARSEST_STRIDE) for side in recipe.data.crop)
    fused_there = recipe.model.fusion == "self-attention" and recipe.model.fusion_stage in ("late", "all")
    never_frozen = recipe.model.decoder_norm == "batch" or fused_there
    learns_statistics = not recipe.train.freeze_bn or never_frozen
    if batch * height * width == 1 and learns_statistics:
        frozen = "" if never_frozen else ", or train.freeze_bn = true"
        seen = "" if batch == recipe.train.batch else f", of which a norm sees {batch} at a time,"
        raise UsageError(
            f"train.batch = {recipe.train.batch}{seen} and data.crop = {list(recipe.data.crop)} leave batch norm one "
            "value per channel",
            hint=f"a larger batch, or a crop of more than {COARSEST_STRIDE} pixels{frozen}",
        )


def _fit_settings(recipe: Recipe) -> FitSettings:
    """The keys of `[train]` that are the loop's own, and what it needs of other tables."""
    own = recipe.train.model_dump(include={field.name for field in dataclasses.fields(FitSettings)})
    return FitSettings(**{**own, "workers": recipe.data.workers, "best_by": best_by(recipe)})


def _schedule(recipe: Recipe, steps_per_epoch: int) -> Schedule:
    return Schedule(
        kind=recipe.schedule.kind,
        total_steps=recipe.train.epochs * steps_per_epoch,
        stage_steps=tuple(epochs * steps_per_epoch for epochs in recipe.schedule.stage_epochs),
        power=recipe.schedule.power,
        constant_steps=recipe.schedule.constant_epochs * steps_per_epoch,
        warmup_steps=recipe.schedule.warmup_steps,
    )


def _rates(recipe: Recipe) -> dict[str, Rate]:
    optimizer = recipe.optimizer
    return {
        "encoder": optimizer.encoder_lr,
        "decoder": optimizer.decoder_lr,
        "gamma": optimizer.encoder_lr if optimizer.gamma_lr is None else optimizer.gamma_lr,
        "ensemble": optimizer.decoder_lr,
        "gate": optimizer.decoder_lr,
        DISCRIMINATOR: optimizer.encoder_lr if optimizer.discriminator_lr is None else optimizer.discriminator_lr,
    }


def _rates_of(recipe: Recipe, groups: Mapping[str, Sequence[nn.Parameter]]) -> dict[str, Rate]:
    """The rates of those groups that hold parameters."""
    rates = _rates(recipe)
    return {name: rates[name] for name, parameters in groups.items() if parameters and name in rates}


def _optimizer(recipe: Recipe, groups: Mapping[str, Sequence[nn.Parameter]]) -> torch.optim.Optimizer:
    optimizer = recipe.optimizer
    decay, gamma = optimizer.weight_decay, optimizer.gamma_weight_decay
    decays = dict.fromkeys(groups, decay) | {"gamma": decay if gamma is None else gamma, "ensemble": 0.0, "gate": 0.0}
    return build_optimizer(
        groups, kind=optimizer.kind, momentum=optimizer.momentum, betas=optimizer.betas, weight_decay=decays
    )


def _penalties(recipe: Recipe) -> dict[str, Penalty]:
    """What the recipe's way of fusing adds to the loss, by the name of the term."""
    weighted = {
        "exchange": ("sparsity", recipe.penalty, sparsity_penalty),
        "align": ("alignment", recipe.model.alignment, alignment_penalty),
    }
    if recipe.model.fusion not in weighted:
        return {}
    name, weight, penalty = weighted[recipe.model.fusion]
    return {name: lambda model: weight * penalty(model)} if weight > 0 else {}


def _first_exchange(recipe: Recipe, model: Network, schedule: Schedule, rate: Rate) -> int | None:
    layers = {name: layer for name, layer in exchange_layers(model).items() if layer.active}
    smallest = smallest_pressed_gamma(layers)
    if smallest is None:
        return None
    if any(layer.choice is not None or layer.replaced().any() for layer in layers.values()):
        return 0
    return first_exchange_step(
        schedule,
        rate,
        sparsity=recipe.penalty,
        gap=smallest - recipe.exchange.threshold,
        optimizer=recipe.optimizer.kind,
        momentum=recipe.optimizer.momentum,
    )
