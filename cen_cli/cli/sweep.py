"""`cen sweep`: trains the grid of a table or figure, in as many sittings as it takes; prints it beside the paper."""

from __future__ import annotations

import enum
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cen_cli.cli import options
from cen_cli.errors import CenError, UsageError

if TYPE_CHECKING:
    from cen_cli.engine.sweep import MemberRun
    from cen_cli.recipe.schema import Recipe
    from cen_cli.recipe.sweeps import Member, Sweep
    from cen_cli.results import MemberOutcome, SweepReport

STOPPED = (130, 143, -2, -15)
"""Exit codes of a member that was asked to stop, after or before it listened for that."""
TIMED_STEPS = 4
"""Steps that an estimate of a member's time makes."""


class Form(enum.StrEnum):
    """How the table is printed."""

    table = "table"
    markdown = "markdown"
    csv = "csv"


def sweep(
    name: Annotated[str, typer.Argument(metavar="SWEEP", help="A sweep's path, or the name of a shipped one.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder of the runs [default: sweeps/<name>].")
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Train nothing; print what is there.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Train nothing; list the members, their state and estimated time.")
    ] = False,
    shard: Annotated[
        str, typer.Option("--shard", metavar="I/N", help="Train the I-th of N parts of the grid (1/1: all of it).")
    ] = "1/1",
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="PATTERN",
            help="Train only members whose name matches, such as '*/seed-0'; may be given several times.",
            show_default=False,
        ),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Members to train at a time.")] = 1,
    form: Annotated[Form, typer.Option("--as", help="How the table is printed.")] = Form.table,
    overrides: options.Overrides = None,
    data_root: options.DataRoot = None,
    inception_weights: options.InceptionWeights = None,
    device: options.Device = "auto",
    json: options.Json = False,
) -> None:
    """Train every member of a sweep that is not done yet, then print the table.

    A member is one row with one seed; it is an ordinary run directory. The same command continues where it stopped, and
    several may work on one folder. Scores are mean and spread over seeds beside the paper's numbers, with a paired test
    against the reference row and a verdict on each of the paper's orderings.

    Examples:

        cen sweep table7-rooms --dry-run

        cen sweep table7-rooms --jobs 2 --only '*/seed-0'

        cen sweep table7-rooms --show --as markdown

        cen sweep recipes/sweeps/table7.toml --data-root /data/nyudv2 --shard 1/4 --out /shared/table7
    """
    from cen_cli.engine.sweep import outcome_of
    from cen_cli.recipe import catalog
    from cen_cli.recipe.sweeps import load_sweep, members
    from cen_cli.reporting import console

    if show and dry_run:
        raise UsageError("--show prints results, --dry-run what is to be trained", hint="leave out one of them")
    source = catalog.find_sweep(name)
    grid = load_sweep(name)
    folder = out or Path("sweeps") / source.stem
    found = members(grid, source, overrides or (), data_root)
    runs = [_run_of(member, folder) for member in found]
    _check_unchanged(runs)
    chosen = _shard(_only(runs, only or ["*"], folder), shard)
    if dry_run:
        wanted = [member for member, run in zip(found, runs, strict=True) if run in chosen]
        _list(wanted, chosen, device=device, json=json)
        return
    failed: list[MemberOutcome] = []
    if show and not folder.is_dir():
        console.note(f"{folder}: no such folder; nothing has been trained there")
    if not show:
        failed = _train(chosen, grid, jobs=jobs, device=device, inception_weights=inception_weights)
    report = _report(grid, [outcome_of(run) for run in runs], found)
    _print(report, form, json=json)
    _draw(grid, report, found, folder)
    if failed:
        names = ", ".join(f"{outcome.run}.log" for outcome in failed)
        raise CenError(f"{len(failed)} members failed; see {names}", hint="the same command tries them again")


def _run_of(member: Member, folder: Path) -> MemberRun:
    from cen_cli.engine.sweep import MemberRun
    from cen_cli.recipe.load import dump_toml

    return MemberRun(member.group, member.variant, member.seed, dump_toml(member.recipe), folder / member.name)


def _check_unchanged(runs: Sequence[MemberRun]) -> None:
    """Raises UsageError where a run in the folder was trained by another recipe than the sweep has now."""
    from cen_cli.engine.sweep import check_unchanged
    from cen_cli.recipe.load import differences, parse_recipe

    def differing(own: str, wanted: str) -> list[str]:
        keys = differences(parse_recipe(own, "the run"), parse_recipe(wanted, "the sweep"))
        free = ("name", "data.root", "data.workers")
        return [key for key in keys if key not in free and not key.startswith("expected")]

    for run in runs:
        check_unchanged(run, differing)


def _only(runs: Sequence[MemberRun], patterns: Sequence[str], folder: Path) -> list[MemberRun]:
    """The members whose name, the path of their folder in that of the sweep, matches one of the patterns.

    Raises UsageError for a pattern that matches none.
    """
    names = [run.folder.relative_to(folder).as_posix() for run in runs]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            hint = f"the first is {names[0]!r}"
            raise UsageError(f"--only {pattern!r} matches none of {len(runs)} members", hint=hint)
    return [
        run for run, name in zip(runs, names, strict=True) if any(fnmatchcase(name, pattern) for pattern in patterns)
    ]


def _shard(runs: Sequence[MemberRun], shard: str) -> list[MemberRun]:
    """The part of the grid that `I/N` names. Raises UsageError for anything else."""
    part, slash, parts = shard.partition("/")
    if not (slash and part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise UsageError(f"--shard {shard}: I/N with 1 <= I <= N, for example 2/4")
    return list(runs)[int(part) - 1 :: int(parts)]


# ---- training ----


def _train(
    runs: Sequence[MemberRun], grid: Sweep, *, jobs: int, device: str, inception_weights: Path | None
) -> list[MemberOutcome]:
    """Train what is not done; returns the members that failed."""
    from cen_cli.engine.sweep import BUSY, outcome_of, run_members
    from cen_cli.reporting import console, sweeps

    left = [run for run in runs if outcome_of(run).state != "done"]
    failed: list[MemberOutcome] = []
    metric, ended = grid.metrics[-1], 0

    def on_end(run: MemberRun, code: int) -> None:
        nonlocal ended
        ended += 1
        outcome = outcome_of(run)
        if outcome.state != "done" and code not in (BUSY, *STOPPED):
            failed.append(outcome)
        words = f"{run.folder}: another process trains it" if code == BUSY else sweeps.outcome_line(outcome, metric)
        console.note(f"{ended}/{len(left)} {words}")

    if left:
        console.note(f"training {len(left)} of {len(runs)} members, {jobs} at a time")
    train = partial(
        train_member,
        device=device,
        inception_weights=inception_weights,
        split=grid.split,
        checkpoint=grid.checkpoint,
        jobs=jobs,
    )
    run_members(left, train, jobs=jobs, on_start=lambda run: console.note(f"start {run.folder}"), on_end=on_end)
    return failed


def train_member(
    member: MemberRun, *, device: str, inception_weights: Path | None, split: str, checkpoint: str, jobs: int
) -> None:
    """In a process of its own: train or resume a member, score it, mark it as done; exits with `cen train`'s code."""
    import os

    import torch

    from cen_cli.engine.sweep import BUSY, end_with_parent, locked

    end_with_parent()
    torch.set_num_threads(max(torch.get_num_threads() // jobs, 1))
    with locked(member) as free:
        if not free:
            sys.exit(BUSY)
        with member.log.open("a", encoding="utf-8") as log:
            os.dup2(log.fileno(), sys.stdout.fileno())
            os.dup2(log.fileno(), sys.stderr.fileno())
        sys.exit(_train_and_score(member, device, inception_weights, split, checkpoint))


def _train_and_score(
    member: MemberRun, device: str, inception_weights: Path | None, split: str, checkpoint: str
) -> int:
    from cen_cli.cli.app import main
    from cen_cli.engine.sweep import clear_unfinished
    from cen_cli.runs.files import write_bytes

    member.failure.unlink(missing_ok=True)
    write_bytes(member.recipe_file, member.recipe.encode())
    shared = ["--device", device, *(["--inception-weights", str(inception_weights)] if inception_weights else [])]
    if clear_unfinished(member):
        code = main(["train", "--resume", str(member.folder), *shared])
    else:
        code = main(["train", str(member.recipe_file), "--out", str(member.folder), *shared])
    if code == 0:
        code = _score(member, device, inception_weights, split, checkpoint)
    if code not in (0, *STOPPED):
        member.failure.write_text(f"exit code {code}; see {member.log.name}\n", encoding="utf-8")
    return code


def _score(member: MemberRun, device: str, inception_weights: Path | None, split: str, checkpoint: str) -> int:
    """Score the member's checkpoint and write down what came of it; returns an exit code."""
    from cen_cli import builders
    from cen_cli.engine.sweep import write_outcome
    from cen_cli.models.device import resolve_device
    from cen_cli.models.exchange import count_replaced, exchanging_layers
    from cen_cli.recipe.load import override
    from cen_cli.reporting.console import print_error
    from cen_cli.runs.checkpoint import read_state
    from cen_cli.runs.directory import RunDirectory

    run = RunDirectory(member.folder)
    folder = run.last if checkpoint == "last" else run.best
    try:
        model = builders.load(folder, device)
        recipe = override(model.recipe, [f"eval.split={split}"], source=str(folder))
        score = builders.scorer(recipe, resolve_device(device), inception_weights=inception_weights)
        evaluation = score(model, builders.dataset(recipe, split), split=split)
        replaced = count_replaced(exchanging_layers(model), model.modalities)
        write_outcome(member.folder, evaluation, replaced, read_state(run.last)["progress"]["seconds"])
    except CenError as error:
        print_error(error.message, error.hint)
        return error.exit_code
    return 0


# ---- what is shown ----


def _list(found: Sequence[Member], runs: Sequence[MemberRun], *, device: str, json: bool) -> None:
    """Every member with its state and its time: measured, or estimated from a few steps of each row."""
    from cen_cli.engine.sweep import outcome_of
    from cen_cli.reporting import console, sweeps, tables

    outcomes = [outcome_of(run) for run in runs]
    seconds: dict[tuple[str, str], float | str] = {}
    for member, outcome in zip(found, outcomes, strict=True):
        row = (member.group, member.variant)
        if outcome.seconds is not None:
            seconds[row] = outcome.seconds
        elif row not in seconds:
            seconds[row] = _estimate(member.recipe, device)
    if json:
        listed = [
            {"member": outcome, "expected_seconds": seconds[outcome.group, outcome.variant]} for outcome in outcomes
        ]
        console.print_json(listed)
    else:
        tables.show(console.out(), sweeps.members_parts(outcomes, seconds))


def _estimate(recipe: Recipe, device: str) -> float | str:
    """Seconds that a member may take to train, from a few of its steps; or why they could not be made."""
    from itertools import islice

    from cen_cli import builders
    from cen_cli.data.loading import training_loader
    from cen_cli.engine.dryrun import seconds_per_step
    from cen_cli.reporting.progress import counting

    try:
        with counting("rendering rooms") as progress:
            job = builders.training_job(recipe, device_name=device, progress=progress)
        settings = job.settings
        loader = training_loader(job.train_data, batch=settings.batch, workers=0, seed=settings.seed, epoch=0)
        return seconds_per_step(job.task, islice(loader, TIMED_STEPS)) * job.plan.total_steps
    except CenError as error:
        return error.message


def _report(grid: Sweep, outcomes: Sequence[MemberOutcome], found: Sequence[Member]) -> SweepReport:
    from cen_cli.analysis.sweeps import Claim, RowPlan, sweep_rows, sweep_verdicts
    from cen_cli.recipe.sweeps import paper_numbers
    from cen_cli.results import SweepReport

    groups = {name: group.label or name for name, group in grid.groups.items()}
    rows = dict.fromkeys((member.group, member.variant) for member in found)
    ordered = sorted(rows, key=lambda row: ["", *groups].index(row[0]))  # stable: variants stay in the file's order
    plans = [
        RowPlan(group, variant, grid.variants[variant].label or variant, paper_numbers(grid, group, variant))
        for group, variant in ordered
    ]
    claims = [Claim(words, each.metric, each.better, each.worse) for words, each in grid.orderings.items()]
    notes = dict.fromkeys(note for each in outcomes if each.evaluation is not None for note in each.evaluation.notes)
    return SweepReport(
        title=grid.title,
        source=grid.source,
        reference=grid.variants[grid.reference].label or grid.reference,
        split=grid.split,
        task=found[0].recipe.task,
        rows=sweep_rows(plans, outcomes, grid.metrics, grid.reference),
        verdicts=sweep_verdicts(claims, outcomes, list(groups) or [""]),
        groups=groups,
        notes=tuple(notes),
    )


def _print(report: SweepReport, form: Form, *, json: bool) -> None:
    from cen_cli.reporting import console, sweeps, tables

    if json:
        console.print_json(report)
    elif form is Form.markdown:
        console.print_text(sweeps.sweep_markdown(report))
    elif form is Form.csv:
        console.print_text(sweeps.sweep_csv(report))
    else:
        tables.show(console.out(), sweeps.sweep_parts(report))


def _draw(grid: Sweep, report: SweepReport, found: Sequence[Member], folder: Path) -> None:
    """The sweep's figure, where it has one and any member is done."""
    from cen_cli.recipe.sweeps import value_in
    from cen_cli.reporting import console, sweeps

    if grid.figure is None or not any(row.done for row in report.rows):
        return
    key, metric = grid.figure.key, grid.figure.metric
    places = {(member.group, member.variant): value_in(member.recipe, key) for member in found}
    path = sweeps.write_sweep_figure(folder / "figure.png", report, places, key=key, metric=metric)
    console.note(f"figure: {path}")
