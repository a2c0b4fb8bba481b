"""The grid of a table or figure: training what is not done, in as many sittings as it takes, and reporting on it."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from cen_cli import builders
from cen_cli.analysis.sweeps import Claim, RowPlan, fusion_advice, sweep_rows, sweep_verdicts
from cen_cli.data.views import same_numbers
from cen_cli.engine.profiling import seconds_per_step
from cen_cli.errors import CenError, UsageError
from cen_cli.files import locked, write_bytes
from cen_cli.jobs.arguments import check_at_least, several
from cen_cli.jobs.budget import Row, train_within
from cen_cli.jobs.evaluate import dataset, evaluated_recipe, replaced_channels, scoring
from cen_cli.jobs.members import (
    BUSY,
    LOOK,
    STOPPED,
    MemberRun,
    can_be_resumed,
    check_unchanged,
    last_words,
    outcome_of,
    run_members,
    seconds_trained,
    write_outcome,
)
from cen_cli.jobs.sweep_pictures import draw
from cen_cli.jobs.train import resume, train
from cen_cli.models.cost import macs
from cen_cli.processes import end_with_parent
from cen_cli.recipe import Recipe, catalog
from cen_cli.recipe.load import RecipeSource
from cen_cli.recipe.overrides import Changes
from cen_cli.recipe.sweeps import Member, Sweep, load_sweep, members, on_recipe, paper_numbers
from cen_cli.reporting import scores
from cen_cli.results import SILENT, Listener, MemberOutcome, NetworkCost, PlannedMember, SweepReport, SweepRow
from cen_cli.runs.checkpoint import read_state
from cen_cli.runs.directory import RunDirectory
from cen_cli.wording import listed

TIMED_STEPS = 4
"""Steps that an estimate of a member's time makes."""


def sweep(
    name: str | Path,
    *,
    recipe: RecipeSource | None = None,
    out: str | Path | None = None,
    changes: Changes = (),
    show: bool = False,
    budget: float | None = None,
    shard: tuple[int, int] = (1, 1),
    only: str | Sequence[str] = ("*",),
    jobs: int = 1,
    data_root: str | None = None,
    inception_weights: Path | None = None,
    device: str = "auto",
    listener: Listener = SILENT,
    member_listener: type[Listener] = Listener,
) -> SweepReport:
    """Train every member of a sweep that is not done, and report on the whole grid.

    A member is one row with one seed, an ordinary run directory below `out`; those that fail stand in the report's
    `failed`, and the others go on.

    Args:
        name: the path of a sweep, or the name of a shipped one.
        recipe: the base recipe of its rows, in place of the sweep's own.
        out: the folder of the runs; absent, sweeps/<name>, or sweeps/<name>-<the recipe's name>.
        show: train nothing, only report.
        budget: seconds of training, in which rows get as many seeds as fit; absent, all of them.
        shard: (i, n) takes the i-th of n parts of the grid, counted from 1.
        only: patterns; the members whose name matches one of them are trained.
        jobs: how many are trained at a time.
        member_listener: made in each member's process, whose output goes into its log.

    Raises:
        UsageError: there is no such sweep, a recipe of it cannot be used, or a run in `out` had another recipe.
        Interrupted: SIGINT or SIGTERM came, and every member was saved.
    """
    check_at_least(1, jobs=jobs)
    if show and ([*several(only)] != ["*"] or shard != (1, 1)):
        raise UsageError("--only and --shard say what is trained, and --show reports on all", hint="leave them out")
    if show and budget is not None:
        raise UsageError("--budget is for training, and nothing is to be trained", hint="leave it out")
    if budget is not None and shard != (1, 1):
        raise UsageError(
            "--budget gives the rows their seeds itself; --shard would part them",
            hint="leave out --shard: several processes may share --out",
        )
    grid = _grid(name, out, changes, data_root, listener, recipe)
    chosen = grid.chosen(several(only), shard)
    if distances := _distances(grid.sweep, inception_weights):
        chosen = [dataclasses.replace(run, distances=distances) for run in chosen]
    if show and not grid.folder.is_dir():
        listener.on_note(f"{grid.folder}: no such folder; nothing has been trained there")
    failed: list[str] = []
    if not show:
        _check_data(grid, [run.member for run in chosen if outcome_of(run).state != "done"])
        ways = partial(
            _train_member,
            device=device,
            inception_weights=inception_weights,
            sweep=grid.sweep,
            jobs=jobs,
            listener=member_listener,
        )
        train = partial(_train_all, train_member=ways, metric=grid.sweep.metrics[-1], jobs=jobs, listener=listener)
        if budget is None:
            failed = train(chosen)
        else:
            failed = _train_within(budget, grid, chosen, train, jobs, device, listener)
    report = dataclasses.replace(_report(grid), failed=tuple(failed))
    listener.on_report(report)
    draw(grid.sweep, report, [run.member for run in grid.members], grid.folder, device, listener)
    return report


def plan(
    name: str | Path,
    *,
    recipe: RecipeSource | None = None,
    out: str | Path | None = None,
    changes: Changes = (),
    shard: tuple[int, int] = (1, 1),
    only: Sequence[str] = ("*",),
    time: bool = False,
    data_root: str | None = None,
    device: str = "auto",
    listener: Listener = SILENT,
) -> tuple[PlannedMember, ...]:
    """The members that `sweep` would train with these arguments, and their state.

    Their time is a measured one of their row, or with `time` estimated from a few steps of it.
    """
    seconds: dict[tuple[str, str], float | str] = {}
    outcomes = []
    for run in _grid(name, out, changes, data_root, listener, recipe).chosen(only, shard):
        outcome, row = outcome_of(run), run.row
        if outcome.seconds is not None:
            seconds[row] = outcome.seconds
        elif row not in seconds and time:
            seconds[row] = _estimate(run.member.recipe, device, listener)
        outcomes.append(outcome)
    return tuple(PlannedMember(each, each.seconds or seconds.get((each.group, each.variant))) for each in outcomes)


# ---- the grid ----


@dataclasses.dataclass(frozen=True)
class _Grid:
    """A sweep, and where each of its members lies."""

    sweep: Sweep
    folder: Path
    members: tuple[MemberRun, ...]

    def chosen(self, only: Sequence[str], shard: tuple[int, int]) -> list[MemberRun]:
        """Members whose name matches a pattern, of them the shard. Raises UsageError where there can be none."""
        for pattern in only:
            if not any(fnmatchcase(run.member.name, pattern) for run in self.members):
                hint = f"the first is {self.members[0].member.name!r}"
                raise UsageError(f"--only {pattern!r} matches none of {len(self.members)} members", hint=hint)
        part, parts = shard
        if not 1 <= part <= parts:
            raise UsageError(f"--shard {part}/{parts}: I/N with 1 <= I <= N, for example 2/4")
        matching = [run for run in self.members if any(fnmatchcase(run.member.name, pattern) for pattern in only)]
        return matching[part - 1 :: parts]


def _grid(
    name: str | Path,
    out: str | Path | None,
    changes: Changes,
    data_root: str | None,
    listener: Listener,
    recipe: RecipeSource | None = None,
) -> _Grid:
    """The grid with these changes; tells of those that some of its rows do not read."""
    source = catalog.find_sweep(str(name))
    sweep, base = on_recipe(load_sweep(str(name)), source, recipe)
    own = f"-{base['name']}" if base is not None and recipe is not None else ""
    folder = Path(out or Path("sweeps") / f"{source.stem}{own}")
    all_members = members(sweep, source, changes, data_root, base)
    runs = tuple(MemberRun(each, folder / each.name, sweep.split, sweep.checkpoint) for each in all_members)
    unread: dict[str, dict[str, None]] = {}
    for member in all_members:
        for change in member.unread:
            unread.setdefault(change, {})[member.variant] = None
    for change, rows in unread.items():
        listener.on_note(f"--set {change}: not read by {', '.join(rows)}, which are as without it")
    for run in runs:
        check_unchanged(run)
    return _Grid(sweep, folder, runs)


# ---- training ----


def _distances(sweep: Sweep, inception_weights: Path | None) -> tuple[str, ...]:
    """The FID and KID that the sweep shows, where there are weights to compute them with."""
    wanted = tuple(name for name in sweep.metrics if name.endswith(builders.DISTANCES))
    return wanted if wanted and builders.can_score_distances(inception_weights) else ()


def _check_data(grid: _Grid, left: Sequence[Member]) -> None:
    """Open the data of members that are to be trained: what is not there stops all of them before the first one.

    So do rows of a group that would be scored on different views, or on others than rows that are done. Raises
    UsageError.
    """
    sweep = grid.sweep
    done = {each.group: each for each in map(outcome_of, grid.members) if each.truths}
    different = {
        (member.group, repr(member.recipe.data)): member for member in left if member.recipe.data.kind != "rooms"
    }
    scored: dict[str, tuple[str, set[str]]] = {}
    for (group, _), member in different.items():
        data = {split: builders.dataset(member.recipe, split) for split in ("train", "val", sweep.split)}
        views = {same_numbers(name) for name in data[sweep.split].names}  # each row calls them as its first input does
        row, first = scored.setdefault(group, (member.variant, views))
        if views != first:
            raise UsageError(
                f"rows {row} and {member.variant} would be scored on different views: "
                f"{len(first)} and {len(views)}, {len(first & views)} of them the same",
                hint="files of some inputs are missing or called otherwise; name the views that have all of them in "
                "data.train_list, val_list and test_list",
            )
        before = done.get(group)
        if before is not None and data[sweep.split].truths() != before.truths:
            raise UsageError(
                f"row {member.variant} would be scored on other views, or other truths, than {before.run} was",
                hint="give the same files with --data-root, or the sweep another --out",
            )


def _train_all(
    runs: Sequence[MemberRun], train_member: partial[None], metric: str, jobs: int, listener: Listener
) -> list[str]:
    """Train what is not done; returns the logs of the members that failed."""
    left = [run for run in runs if outcome_of(run).state != "done"]
    failed: list[str] = []
    ended = 0

    def on_end(run: MemberRun, code: int) -> None:
        nonlocal ended
        ended += 1
        outcome = outcome_of(run)
        if code == BUSY:
            listener.on_note(f"{ended}/{len(left)} {run.folder}: another process trains it")
            return
        if outcome.state != "done" and code not in STOPPED:
            failed.append(str(run.log))
            listener.on_note(f"{run.log}, exit code {code}: {last_words(run)}")
        listener.on_member(outcome, metric=metric, ended=ended, total=len(left))

    if left:
        listener.on_note(f"training {len(left)} of {len(runs)} members, {jobs} at a time")
    start = "start {0.folder}".format
    run_members(left, train_member, jobs=jobs, on_start=lambda run: listener.on_note(start(run)), on_end=on_end)
    return failed


def _train_within(
    budget: float,
    grid: _Grid,
    chosen: Sequence[MemberRun],
    train: Callable[[Sequence[MemberRun]], list[str]],
    jobs: int,
    device: str,
    listener: Listener,
) -> list[str]:
    """Train as many seeds of the chosen members' rows as the budget has room for; returns the failed ones' logs."""
    rows: dict[Row, list[MemberRun]] = {}
    for run in chosen:
        rows.setdefault(run.row, []).append(run)
    seconds: dict[Row, float] = {}
    failed: list[str] = []

    def seconds_of(row: Row) -> float:
        took = next((known for run in rows[row] if (known := outcome_of(run).seconds) is not None), None)
        if took is None and row not in seconds:
            estimated = _estimate(rows[row][0].member.recipe, device, listener)
            if isinstance(estimated, str):
                raise UsageError(f"{'/'.join(row)}: {estimated}")
            seconds[row] = estimated
        return seconds[row] if took is None else took

    def trained(row: Row, index: int) -> float:
        return seconds_trained(rows[row][index])

    def is_done(row: Row, index: int) -> bool:
        return outcome_of(rows[row][index]).state == "done"

    def train_rows(taken: Sequence[Row], index: int) -> None:
        failed.extend(train([rows[row][index] for row in taken]))

    longest = max(map(len, rows.values()))
    rounds = [[row for row, runs in rows.items() if len(runs) > index] for index in range(longest)]
    train_within(budget, rounds, seconds_of, trained, is_done, train_rows, lambda: _report(grid).rows, listener, jobs)
    return failed


def _train_member(
    run: MemberRun,
    *,
    device: str,
    inception_weights: Path | None,
    sweep: Sweep,
    jobs: int,
    listener: type[Listener],
) -> None:
    """In a process of its own: train or resume a member, score it, mark it as done; ends by an exit code."""
    end_with_parent()
    torch.set_num_threads(max(torch.get_num_threads() // jobs, 1))
    with locked(run.lock, patience=LOOK) as free:
        if not free:
            sys.exit(BUSY)
        if outcome_of(run).state == "done":
            return  # by another process, since this one's turn was planned
        with run.log.open("a", encoding="utf-8") as log:
            os.dup2(log.fileno(), sys.stdout.fileno())
            os.dup2(log.fileno(), sys.stderr.fileno())
        run.failure.unlink(missing_ok=True)
        shown = listener()
        try:
            common: dict[str, Any] = {"inception_weights": inception_weights, "device": device, "listener": shown}
            if can_be_resumed(run):
                resume(run.folder, data_root=run.data_root, workers=run.member.recipe.data.workers, **common)
            else:
                train(run.member.recipe, out=run.folder, **common)
            _score(run, device, inception_weights, sweep, shown)
        except CenError as error:
            sys.stderr.write(f"error: {error.message}\n")
            if error.exit_code not in STOPPED:
                write_bytes(run.failure, f"{error.message}\n".encode())
            sys.exit(error.exit_code)


def _score(run: MemberRun, device: str, inception_weights: Path | None, sweep: Sweep, listener: Listener) -> None:
    """Score the member's checkpoint and write down what came of it; FID and KID only where the sweep shows them."""
    directory = RunDirectory(run.folder)
    folder = directory.last if sweep.checkpoint == "last" else directory.best
    model = builders.load(folder, device)
    changes: dict[str, Any] = {"eval.split": sweep.split}
    if model.task == "translation" and not any(name.endswith(builders.DISTANCES) for name in sweep.metrics):
        changes["eval.distances"] = False
    recipe = evaluated_recipe(model, changes, run.data_root, str(folder))
    data = dataset(recipe, listener)
    evaluation = scoring(model, data, recipe, str(folder), inception_weights, listener)(data)
    seconds = read_state(directory.last)["progress"]["seconds"]
    cost = _cost(model, recipe, data.view(0).size)
    truths = "" if recipe.data.kind == "rooms" else data.truths()  # rooms differ from machine to machine
    write_outcome(run.folder, evaluation, replaced_channels(model), seconds, cost, truths)


@torch.no_grad()
def _cost(model: builders.LoadedNetwork, recipe: Recipe, size: tuple[int, int]) -> NetworkCost:
    """What one view of this size costs, in all its windows, at one scale and not mirrored."""
    parameters = [*model.network.parameters()]
    windows = [*builders.multi_scale_flip(recipe).windows(size)]  # all of one size
    rows, columns = windows[0]
    view = torch.zeros(len(model.modalities), 3, rows.stop, columns.stop, device=parameters[0].device)
    each = macs(lambda: model.network(view))
    return NetworkCost(sum(parameter.numel() for parameter in parameters), len(windows) * each)


def _estimate(recipe: Recipe, device: str, listener: Listener) -> float | str:
    """Seconds that a member may take to train, from a few of its steps; or why they could not be made."""
    try:
        with listener.counting("rendering rooms") as progress:
            quick = builders.validated_without_distances(recipe)
            job = builders.training_job(quick, device_name=device, progress=progress)
        return seconds_per_step(job.task, islice(job.batches(workers=0), TIMED_STEPS)) * job.plan.total_steps
    except CenError as error:
        return error.message


# ---- what came of it ----


def _report(grid: _Grid) -> SweepReport:
    sweep, outcomes = grid.sweep, [outcome_of(run) for run in grid.members]
    groups = {name: group.label or name for name, group in sweep.groups.items()}
    rows = dict.fromkeys(run.row for run in grid.members)
    ordered = sorted(rows, key=lambda row: ["", *groups].index(row[0]))  # stable: variants stay in the file's order
    plans = [
        RowPlan(group, name, sweep.label_of(name), paper_numbers(sweep, group, name), sweep.variants[name].alone)
        for group, name in ordered
    ]
    claims = [
        Claim(words, metric, each.better, each.worse)
        for words, each in sweep.orderings.items()
        for metric in each.metrics
    ]
    table = sweep_rows(plans, outcomes, sweep.metrics, sweep.reference)
    return SweepReport(
        title=sweep.title,
        source=sweep.source,
        reference=sweep.label_of(sweep.reference),
        split=sweep.split,
        checkpoint=sweep.checkpoint,
        task=grid.members[0].member.recipe.task,
        rows=table,
        verdicts=sweep_verdicts(claims, outcomes, list(groups) or [""]),
        groups=groups,
        notes=_notes(sweep, outcomes),
        advice=_advice(table) if sweep.advice else (),
    )


def _notes(sweep: Sweep, outcomes: Sequence[MemberOutcome]) -> tuple[str, ...]:
    """What is to be noted of how members were scored; with its rows, where it is not so of all."""
    ways = {(each.group, each.variant, each.seed): each.evaluation.notes for each in outcomes if each.evaluation}
    notes = []
    for note in dict.fromkeys(note for way in ways.values() for note in way):
        noted = [place for place, way in ways.items() if note in way]
        rows = dict.fromkeys("/".join(filter(None, (group, sweep.label_of(row)))) for group, row, _ in noted)
        notes.append(note if len(noted) == len(ways) else f"{', '.join(rows)}: {note}")
    for group in dict.fromkeys(each.group for each in outcomes):
        of_group = [each for each in outcomes if each.group == group and each.truths]
        others = dict.fromkeys(each.run for each in of_group if each.truths != of_group[0].truths)
        if others:
            notes.append(f"{listed(others)}: scored on other views, or other truths, than {of_group[0].run}")
    return tuple(notes)


def _advice(table: Sequence[SweepRow]) -> tuple[str, ...]:
    """In every group."""
    groups = dict.fromkeys(row.group for row in table)
    advice = {group: fusion_advice([row for row in table if row.group == group], scores.written) for group in groups}
    return tuple(f"{group}: {said}" if group else said for group, sentences in advice.items() for said in sentences)
