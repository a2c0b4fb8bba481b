"""Training a recipe, continuing a run, and what a run would cost."""

from __future__ import annotations

import dataclasses
import itertools
from contextlib import ExitStack
from pathlib import Path
from typing import cast

import numpy as np

from cen_cli import builders, ranks
from cen_cli.analysis.ending import ending_warnings
from cen_cli.builders import LoadedNetwork, Network, TrainingJob
from cen_cli.engine.profiling import profile_step, profile_training
from cen_cli.engine.signals import StopRequest
from cen_cli.errors import DataError, UsageError
from cen_cli.jobs.arguments import check_at_least
from cen_cli.jobs.expected import expected_of_validation
from cen_cli.jobs.pictures import picture_of_views
from cen_cli.models.device import resolve_device
from cen_cli.models.downloads import fetch, is_address
from cen_cli.models.segmenter import Segmenter
from cen_cli.models.stages import stages_without_exchange
from cen_cli.recipe import Recipe, dump_toml, load_recipe, parse_recipe
from cen_cli.recipe.load import RecipeSource, by_key, changed_from_defaults, differences
from cen_cli.recipe.overrides import Changes
from cen_cli.reporting import scores
from cen_cli.results import SILENT, Bench, DryRun, Listener, RunSummary
from cen_cli.runs.directory import RunDirectory, check_free, create_run, default_root, newest_run, open_run
from cen_cli.runs.environment import describe_environment
from cen_cli.runs.log import read_environment
from cen_cli.runs.trackers import check_trackers, tracked
from cen_cli.wording import command, listed

PANEL_VIEWS, PANEL_SIDE = 4, 256
"""Views that trackers are shown at each validation, and pixels to which larger ones are brought."""
UNDIVIDED_COMPILED = (
    "train.compile = true: the parts of a compiled step cannot be told apart; "
    "--set train.compile=false shows those of the step as written"
)
UNDIVIDED = {"mps": "on this device nothing tells how long the parts of a step take"}


def train(
    recipe: RecipeSource,
    *,
    changes: Changes = (),
    out: str | Path | None = None,
    data_root: str | None = None,
    inception_weights: Path | None = None,
    device: str = "auto",
    listener: Listener = SILENT,
) -> RunSummary:
    """Train a recipe in a new run directory, `out`; absent, runs/<recipe>-<yymmdd-hhmmss>.

    Returns:
        where the run lies, how long it took, the scores of its last and best validation, and what is replaced.

    Raises:
        UsageError: `out` exists, or the recipe cannot be used (RecipeError names all that is wrong with it).
        DivergedError: a loss term became NaN or infinite.
        Interrupted: SIGINT or SIGTERM came, and the run was saved; `resume` goes on.
        RankError: of the processes that torchrun started to train the run together, another has gone.
    """
    with ranks.joined(resolve_device(device)), ExitStack() as held:
        listener = listener if ranks.leads() else SILENT
        resolved = ranks.in_turn(lambda: load_recipe(recipe, changes, data_root))
        root = ranks.by_first(lambda: Path(out or default_root(resolved.name)))
        ranks.by_first(lambda: check_free(root))
        job = ranks.in_turn(lambda: _job(resolved, device, inception_weights, listener))

        def create() -> RunDirectory:
            environment = describe_environment(job.task.device, job.task.precision, job.fingerprint)
            environment["arrangement"] = job.arrangement
            if job.plan.bf16_over_fp32 is not None:
                environment["bf16_over_fp32"] = job.plan.bf16_over_fp32
            if job.class_counts is not None:
                environment["class_counts"] = job.class_counts
            if is_address(resolved.model.weights):
                environment["weights_sha256"] = fetch(resolved.model.weights).sha256
            run = create_run(root, recipe=dump_toml(resolved), environment=environment)
            held.enter_context(run.held())
            return run

        return _fit(job, ranks.by_first(create), listener, resumed=False)


def resume(
    run: str | Path | None = None,
    *,
    recipe: RecipeSource | None = None,
    changes: Changes = (),
    data_root: str | None = None,
    workers: int | None = None,
    inception_weights: Path | None = None,
    device: str = "auto",
    listener: Listener = SILENT,
) -> RunSummary:
    """Continue a run as if it had not stopped, on a CPU bit for bit; without `run` the newest of the recipe's in runs/.

    `workers` load its data, absent as many as `recipe`, if there is one, says in `data.workers`, else as before.

    Returns what `train` returns, of the whole run.

    Raises:
        UsageError: there is no such run, or `recipe` with its `changes` is not the run's own.
        CheckpointError: the run has no whole checkpoint.
        DataError: the data are not those that the run was started on.
    """
    check_at_least(0, workers=workers)
    if recipe is None and list(changes):
        raise UsageError("a resumed run continues its own recipe: --set and --seed have no place here")
    if run is None and recipe is None:
        raise UsageError("--resume needs a run, or the recipe whose newest run is meant", hint="cen train --resume RUN")
    with ranks.joined(resolve_device(device)), ExitStack() as held:
        listener = listener if ranks.leads() else SILENT
        wanted = ranks.in_turn(lambda: None if recipe is None else load_recipe(recipe, changes, data_root))

        def find() -> RunDirectory:
            path = Path(run) if run is not None else newest_run(wanted.name if wanted else "")
            return held.enter_context(open_run(path))

        directory = ranks.by_first(find)

        def prepare() -> TrainingJob:
            own = parse_recipe(directory.read_recipe(), source=str(directory.recipe))
            if wanted is not None:
                _check_same(own, wanted, directory)
            root = data_root or (wanted.data.root if wanted is not None else "")
            if root:
                own = own.model_copy(update={"data": own.data.model_copy(update={"root": str(root)})})
            environment = read_environment(directory)
            trained = builders.in_recorded_precision(own, environment, resolve_device(device))
            asked = workers if workers is not None or wanted is None else wanted.data.workers
            if asked is not None:
                trained = trained.model_copy(update={"data": trained.data.model_copy(update={"workers": asked})})
            counts = environment.get("class_counts")
            job = _job(trained, device, inception_weights, listener, counts, "none")  # weights are in the checkpoint
            _check_data(job, directory)
            return dataclasses.replace(job, recipe=own)

        return _fit(ranks.in_turn(prepare), directory, listener, resumed=True)


def dry_run(
    recipe: RecipeSource,
    *,
    changes: Changes = (),
    data_root: str | None = None,
    inception_weights: Path | None = None,
    device: str = "auto",
    listener: Listener = SILENT,
) -> DryRun:
    """What a run of the recipe is about to do, and what its first step costs; no run is made, but missing rooms are."""
    if ranks.launched():
        raise ranks.common(UsageError("--dry-run measures one device", hint="start it without torchrun"))
    job = _job(load_recipe(recipe, changes, data_root), device, inception_weights, listener)
    return profile_step(job.task, next(job.batches(workers=0)), job.plan)


def bench(
    recipe: RecipeSource,
    *,
    rounds: int = 5,
    steps: int = 2,
    changes: Changes = (),
    data_root: str | None = None,
    device: str = "auto",
    listener: Listener = SILENT,
) -> Bench:
    """What training and inference of a recipe cost here, over `rounds` of `steps` steps each; no run is made."""
    resolved = builders.validated_without_distances(load_recipe(recipe, changes, data_root))
    job = _job(resolved, device, None, listener)
    note = UNDIVIDED_COMPILED if job.recipe.train.compile else UNDIVIDED.get(job.task.device.type)
    with listener.counting("measuring") as progress:
        measured = profile_training(
            job.task,
            job.batches(epochs=itertools.count()),
            job.plan,
            rounds=rounds,
            steps=steps,
            by_part=note is None,
            progress=progress,
        )
    return dataclasses.replace(measured, notes=(note,)) if note else measured


def _check_same(own: Recipe, wanted: Recipe, run: RunDirectory) -> None:
    """A run continues its own recipe. Where data lie and how they are loaded may differ. Raises UsageError."""
    if differing := differences(own, wanted):
        raise UsageError(
            f"{run.root} was trained by another recipe: {', '.join(differing)} differ",
            hint=f"continue it by its own recipe with: {command('train', '--resume', run.root)}",
        )


def _check_data(job: TrainingJob, run: RunDirectory) -> None:
    """A run continues on the data it started on. Raises DataError."""
    environment = read_environment(run)
    arranged = environment.get("arrangement", job.arrangement)  # runs of version 0.1 have none
    changed = [
        split
        for split, fingerprint in job.fingerprint.items()
        if environment["data"].get(split) != fingerprint or arranged.get(split) != job.arrangement[split]
    ]
    rendered = "; rooms differ from machine to machine: copy their folder" if job.recipe.data.kind == "rooms" else ""
    if changed:
        raise DataError(
            f"the data of split {', '.join(changed)} are not those that {run.root} was started on",
            hint="give the same files with --data-root, or start a new run" + rendered,
        )


def _job(
    recipe: Recipe,
    device: str,
    inception_weights: Path | None,
    listener: Listener,
    class_counts: list[list[int]] | None = None,
    initial_weights: str | None = None,
) -> TrainingJob:
    if recipe.train.freeze_bn and recipe.model.weights == "none":
        listener.on_note(
            "train.freeze_bn = true without pretrained weights freezes statistics that nothing has measured; "
            "losses start huge and may diverge: --set train.freeze_bn=false"
        )
    if recipe.model.frozen_stages and recipe.model.weights == "none":
        listener.on_note(
            f"model.frozen_stages = {recipe.model.frozen_stages} without pretrained weights keeps what was drawn at "
            "random: --set model.frozen_stages=0"
        )
    exchange = recipe.exchange
    if exchange.choose == "gamma" and exchange.budget is not None and recipe.penalty > 0:
        listener.on_note(
            f"exchange.budget = {exchange.budget:g} replaces that share of the smallest gammas at every step, and "
            "exchange.threshold decides nothing: --set exchange.budget=none lets it"
        )
    of_no_use = _without_discriminator(recipe)
    if of_no_use:
        listener.on_note(f"gan.adversarial_weight = 0 makes no discriminator, to which {listed(of_no_use)} would apply")
    check_trackers(recipe.train.trackers)
    with listener.counting("rendering rooms") as progress:
        job = builders.training_job(
            recipe,
            device_name=device,
            progress=progress,
            inception_weights=inception_weights,
            initial_weights=initial_weights,
            class_counts=class_counts,
        )
    if initial_weights is None and (said := builders.normalized_otherwise(recipe, job.task.validation.specs)):
        listener.on_note(said)
    if recipe.train.batch > job.plan.train_samples:
        listener.on_note(
            f"train.batch = {recipe.train.batch}: a step takes the {job.plan.train_samples} training views"
        )
    if recipe.schedule.warmup_steps >= job.plan.total_steps:
        listener.on_note(
            f"schedule.warmup_steps = {recipe.schedule.warmup_steps} of {job.plan.total_steps} steps in all: learning "
            "rates rise to the end and never reach the recipe's; a few per cent of the steps are usual"
        )
    if recipe.train.freeze_bn and not any(getattr(each, "frozen", False) for each in job.task.kept.modules()):
        listener.on_note("train.freeze_bn = true freezes nothing: the encoder has no batch norms")
    silent = _silent_stages(job)
    if silent:
        listener.on_note(
            f"stages {listed(map(str, silent))} of the encoder exchange nothing: no norm there follows a convolution "
            "larger than 1x1"
        )
    if recipe.train.accumulate > 1:
        seen = min(recipe.train.batch, job.plan.train_samples) // recipe.train.accumulate
        listener.on_note(
            f"train.accumulate = {recipe.train.accumulate}: batch norms that are not frozen see {seen} views at a time"
        )
    return job


def _without_discriminator(recipe: Recipe) -> list[str]:
    """Keys of a discriminator that are set, where there is none."""
    if recipe.task != "translation" or recipe.gan.adversarial_weight > 0:
        return []
    keys = ("gan.filters", "gan.layers", "gan.reuse_forward", "optimizer.discriminator_lr")
    return [key for key in keys if key in changed_from_defaults(recipe)]


def _silent_stages(job: TrainingJob) -> list[int]:
    """Stages of a segmentation's encoder that could exchange by the recipe, and cannot by what they are."""
    recipe, model = job.recipe, job.task.kept
    asked = recipe.model.fusion == "exchange" and recipe.exchange.choose != "none" and recipe.exchange.stages is None
    if not asked or not isinstance(model, Segmenter):
        return []
    return [stage for stage in stages_without_exchange(model.encoder) if stage > recipe.model.frozen_stages]


def _panel(job: TrainingJob) -> np.ndarray:
    """The first views of the validation split and what the network makes of them, uint8 [H, W, 3]."""
    data = job.task.validation
    recipe = builders.in_precision(job.recipe, job.task.precision)
    network = LoadedNetwork(cast(Network, job.task.kept), recipe, data.class_names, data.specs, data.target)
    first = range(min(PANEL_VIEWS, len(data)))
    return np.asarray(picture_of_views(network, data, recipe, first, longest=PANEL_SIDE, training=True))


def _fit(job: TrainingJob, run: RunDirectory, listener: Listener, *, resumed: bool) -> RunSummary:
    fit = job.start(run, listener)
    if resumed:
        fit.resume()
    trackers = job.recipe.train.trackers if ranks.leads() else ()
    told = tracked(listener, trackers, run.root, by_key(job.recipe), fit.progress.step, lambda: _panel(job))
    with told as fit.listener:
        fit.listener.on_start(dataclasses.replace(job.plan, run=str(run.root), resumed=resumed))
        if resumed:
            listener.on_note(f"continuing after step {fit.progress.step} of {fit.total_steps}")
        summary = fit.run(StopRequest())
    listener.on_end(summary)
    weighted = job.recipe.loss.class_weights != "none"
    for text, hint in ending_warnings(summary, written=scores.written, weighted=weighted):
        listener.on_warning(text, hint)
    return dataclasses.replace(summary, expected=expected_of_validation(job.recipe, summary.best))
