"""`cen train`: trains a recipe, or continues a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cen_cli.cli import options
from cen_cli.errors import UsageError

if TYPE_CHECKING:
    from cen_cli.builders import TrainingJob
    from cen_cli.recipe.schema import Recipe
    from cen_cli.runs.directory import RunDirectory

    _Build = Callable[[Recipe], TrainingJob]

_ONE_OF_THEM = "leave out one of them"


def train(
    recipe: Annotated[
        str | None, typer.Argument(help="A recipe: a path, or the name of a shipped one.", show_default=False)
    ] = None,
    run: Annotated[
        str | None,
        typer.Argument(help="With --resume: the run directory (default: the recipe's newest).", show_default=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The new run directory [default: runs/<recipe>-<yymmdd-hhmmss>].")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue a run, bit for bit as if it had not stopped.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the resolved recipe, sizes and costs of one step; write nothing.")
    ] = False,
    overrides: options.Overrides = None,
    data_root: options.DataRoot = None,
    inception_weights: options.InceptionWeights = None,
    device: options.Device = "auto",
    seed: options.Seed = None,
    json: options.Json = False,
) -> None:
    """Train a network by a recipe.

    Shows losses, replaced channels and validation scores while it runs, keeps the best and the last checkpoint, and
    ends with a table of scores per branch and ensemble. Ctrl-C saves before it stops.

    Examples:

        cen train recipes/rooms.toml

        cen train nyudv2 --data-root /data/nyudv2 --set model.weights=none --dry-run

        cen train rooms --set train.epochs=3 --seed 1 --out runs/quick

        cen train --resume runs/quick
    """
    if resume and dry_run:
        raise UsageError("--dry-run shows what a new run would do; --resume continues an old one", hint=_ONE_OF_THEM)
    job = partial(_job, device=device, inception_weights=inception_weights)
    if resume:
        _resume(recipe, run, job, out=out, overrides=overrides, data_root=data_root, seed=seed, json=json)
        return
    from cen_cli.recipe.load import load_recipe

    if recipe is None or run is not None:
        raise UsageError(
            "cen train takes one recipe" + (f", and got also {run!r}" if run else ""),
            hint="see the shipped ones with: cen recipes ls",
        )
    settings = load_recipe(recipe, options.with_seed(overrides, seed), data_root)
    if dry_run:
        _dry_run(settings, job, json=json)
    else:
        _start(settings, job, out=out, json=json)


def _start(recipe: Recipe, build: _Build, *, out: Path | None, json: bool) -> None:
    """Train `recipe` in a new run directory."""
    from cen_cli.recipe.load import dump_toml
    from cen_cli.runs.directory import check_free, create_run, default_root
    from cen_cli.runs.environment import describe_environment

    if out is not None:
        check_free(out)
    job = build(recipe)
    environment = describe_environment(job.task.device, job.task.precision, job.fingerprint)
    directory = create_run(out or default_root(recipe.name), recipe=dump_toml(recipe), environment=environment)
    with directory.held():
        _fit(job, directory, resume=False, json=json)


def _resume(
    recipe: str | None,
    run: str | None,
    build: _Build,
    *,
    out: Path | None,
    overrides: list[str] | None,
    data_root: str | None,
    seed: int | None,
    json: bool,
) -> None:
    """Continue a run: `cen train --resume DIR`, `cen train RECIPE --resume [DIR]`."""
    from cen_cli.recipe.load import load_recipe, parse_recipe
    from cen_cli.runs.directory import open_run

    if out is not None:
        raise UsageError("--out names a new run; --resume continues an old one", hint=_ONE_OF_THEM)
    if recipe is not None and run is None and _names_a_folder(recipe):
        recipe, run = None, recipe
    given = load_recipe(recipe, options.with_seed(overrides, seed), data_root) if recipe is not None else None
    if given is None and (overrides or seed is not None):
        raise UsageError("a resumed run continues its own recipe: --set and --seed have no place here")
    with open_run(_which_run(given, run)) as directory:
        own = parse_recipe(directory.read_recipe(), source=str(directory.recipe))
        if given is not None:
            _check_same(own, given, directory)
        if data_root is not None:
            own = own.model_copy(update={"data": own.data.model_copy(update={"root": data_root})})
        job = build(own)
        _check_data(job, directory)
        _fit(job, directory, resume=True, json=json)


def _names_a_folder(text: str) -> bool:
    """Whether the one argument of --resume is a run directory and not a recipe; one with a slash may not exist."""
    path = Path(text)
    return path.is_dir() or (len(path.parts) > 1 and path.suffix != ".toml" and not path.exists())


def _which_run(given: Recipe | None, run: str | None) -> Path:
    """The folder that was named, or the recipe's newest. Raises UsageError where there is neither."""
    from cen_cli.runs.directory import newest_run

    if run is not None:
        return Path(run)
    if given is not None:
        return newest_run(given.name)
    raise UsageError("which run is to be resumed?", hint="cen train --resume DIR")


def _check_same(own: Recipe, given: Recipe, directory: RunDirectory) -> None:
    """A run continues its own recipe. Where data lie and how they are loaded may differ. Raises UsageError."""
    from cen_cli.recipe.load import differences

    differing = [key for key in differences(own, given) if key not in ("data.root", "data.workers")]
    if differing:
        raise UsageError(
            f"{directory.root} was trained by another recipe: {', '.join(differing)} differ",
            hint=f"continue it by its own recipe with: cen train --resume {directory.root}",
        )


def _check_data(job: TrainingJob, directory: RunDirectory) -> None:
    """A run continues on the data it started on. Raises DataError."""
    from cen_cli.errors import DataError
    from cen_cli.runs.log import read_environment

    before = read_environment(directory)["data"]
    changed = [split for split, fingerprint in job.fingerprint.items() if before.get(split) != fingerprint]
    if changed:
        raise DataError(
            f"the data of split {', '.join(changed)} are not those that {directory.root} was started on",
            hint="give the same files with --data-root, or start a new run",
        )


def _job(recipe: Recipe, *, device: str, inception_weights: Path | None) -> TrainingJob:
    from cen_cli.builders import training_job
    from cen_cli.reporting.console import note
    from cen_cli.reporting.progress import counting

    if recipe.train.freeze_bn and recipe.model.weights == "none":
        note(
            "train.freeze_bn = true without pretrained weights freezes statistics that nothing has measured; "
            "losses start huge and may diverge: --set train.freeze_bn=false"
        )
    with counting("rendering rooms") as progress:
        return training_job(recipe, device_name=device, progress=progress, inception_weights=inception_weights)


def _fit(job: TrainingJob, directory: RunDirectory, *, resume: bool, json: bool) -> None:
    """Run the loop under a display, then print the summary."""
    from cen_cli.engine.signals import StopRequest
    from cen_cli.reporting import console, tables
    from cen_cli.reporting.training import SilentDisplay, TrainingDisplay
    from cen_cli.results import as_json

    with SilentDisplay() if json else TrainingDisplay() as display:
        fit = job.start(directory, display)
        if resume:
            fit.resume()
        display.on_start(dataclasses.replace(job.plan, run=str(directory.root)))
        if resume:
            display.on_note(f"continuing after step {fit.progress.step} of {fit.total_steps}")
        summary = fit.run(StopRequest())
        display.on_end(summary)
    expected = options.expected_of_validation(job.recipe, summary.best)
    if json:
        console.print_json({"summary": as_json(summary), "expected": as_json(expected)})
    else:
        tables.show(console.out(), tables.summary_parts(summary, expected))
    options.check_expected(expected)


def _dry_run(recipe: Recipe, build: _Build, *, json: bool) -> None:
    """Make one step on the first batch and show what it cost."""
    from cen_cli.data.loading import training_loader
    from cen_cli.engine.dryrun import measure_step
    from cen_cli.recipe.load import dump_toml
    from cen_cli.reporting import console, tables
    from cen_cli.results import as_json

    job = build(recipe)
    settings = job.settings
    loader = training_loader(job.train_data, batch=settings.batch, workers=0, seed=settings.seed, epoch=0)
    dry = measure_step(job.task, next(iter(loader)), job.plan)
    if json:
        console.print_json({"recipe": dump_toml(recipe), "dry_run": as_json(dry)})
    else:
        console.out().print(dump_toml(recipe), markup=False, highlight=False)
        tables.show(console.out(), tables.dry_run_parts(dry))
