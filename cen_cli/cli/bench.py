"""`cen bench`: what a recipe's training and inference cost on this machine."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from cen_cli.cli import options

if TYPE_CHECKING:
    from cen_cli.builders import TrainingJob
    from cen_cli.data.sample import Batch

COMPILED = (
    "train.compile = true: the parts of a compiled step cannot be told apart; "
    "--set train.compile=false shows those of the step as written"
)


def bench(
    recipe: options.RecipeName,
    batch: Annotated[
        int | None,
        typer.Option("--batch", metavar="N", min=1, help="Views in a step [default: the recipe's train.batch]."),
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Rounds, over which medians and ranges are.")] = 5,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Steps in each round, whose times are averaged.")] = 2,
    overrides: options.Overrides = None,
    data_root: options.DataRoot = None,
    device: options.Device = "auto",
    json: options.Json = False,
) -> None:
    """Measure a recipe on this machine: training step, inference, memory, and which part takes how much of the time.

    Trains a new network for a few steps and throws it away; writes nothing. Every time is the median over the rounds,
    with the range beside it.

    Examples:

        cen bench rooms

        cen bench nyudv2 --data-root /data/nyudv2 --batch 2 --rounds 3 --steps 1

        cen bench rooms-translate --set train.precision=bf16 --json
    """
    from cen_cli.builders import training_job
    from cen_cli.engine.bench import bench as measure
    from cen_cli.recipe.load import load_recipe
    from cen_cli.reporting import console, tables
    from cen_cli.reporting.bench import bench_parts
    from cen_cli.reporting.progress import counting

    given = [*(overrides or []), *([] if batch is None else [f"train.batch={batch}"])]
    settings = load_recipe(recipe, given, data_root)
    with counting("rendering rooms") as progress:
        job = training_job(settings, device_name=device, progress=progress)
    compiled = settings.train.compile
    with counting("measuring", rounds) as progress:
        found = measure(
            job.task, _endless(job), job.plan, rounds=rounds, steps=steps, parts=not compiled, progress=progress
        )
    if json:
        console.print_json(found)
        return
    tables.show(console.out(), [*bench_parts(found), *([f"note: {COMPILED}"] if compiled else [])])


def _endless(job: TrainingJob) -> Iterator[Batch]:
    """The training batches, epoch after epoch."""
    from cen_cli.data.loading import training_loader

    settings = job.settings
    for epoch in itertools.count():
        yield from training_loader(
            job.train_data, batch=settings.batch, workers=settings.workers, seed=settings.seed, epoch=epoch
        )
