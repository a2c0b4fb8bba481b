"""`cen sweep`: trains the grid of a table or figure, in as many sittings as it takes; prints it beside the paper."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from cen_cli.cli import options
from cen_cli.cli.options import argument, flag, option
from cen_cli.errors import CenError, UsageError
from cen_cli.results import SweepReport


def sweep(
    name: Annotated[str, argument("SWEEP", "A sweep's path, or the name of a shipped one.")],
    recipe: Annotated[str | None, option("RECIPE", "Base recipe of its rows [default: the sweep's own].")] = None,
    budget: Annotated[
        str | None, option("TIME", "Train as many seeds as fit into this time, such as 2h or 90m.")
    ] = None,
    out: Annotated[Path | None, option("DIR", "Folder of the runs [default: sweeps/<name>].")] = None,
    time: Annotated[bool, flag("--time", "With --dry-run: also estimate times, from a few steps of each row.")] = False,
    show: Annotated[bool, flag("--show", "Train nothing; print what is there.")] = False,
    dry_run: Annotated[bool, flag("--dry-run", "Train nothing; list the members and their state.")] = False,
    shard: Annotated[str, option("I/N", "Train the I-th of N parts of the grid (1/1: all of it).")] = "1/1",
    only: Annotated[
        list[str] | None,
        option("PATTERN", "Train only members whose name matches, such as '*/seed-0'; may be given several times."),
    ] = None,
    jobs: Annotated[int, option("N", "Members to train at a time.", min=1)] = 1,
    form: Annotated[Literal["table", "markdown", "csv"], option(None, "How the table is printed.", "--as")] = "table",
    overrides: options.Overrides = None,
    data_root: options.DataRoot = None,
    inception_weights: options.InceptionWeights = None,
    device: options.Device = "auto",
    json: options.Json = False,
) -> None:
    """Train a grid of runs, and print its table.

    Trains every member of the sweep that is not done yet. A member is one row with one seed; it is an ordinary run
    directory. The same command continues where it stopped, and several may work on one folder. Scores are mean and
    spread over seeds beside the paper's numbers, with a paired test against the reference row and a verdict on each of
    the orderings it states.

    Examples:
        cen sweep table7-rooms --dry-run --time
        cen sweep table7-rooms --jobs 2 --only '*/seed-0'
        cen sweep table7-rooms --show --as markdown
        cen sweep fusions --recipe my.toml --budget 2h --jobs 2
        cen sweep recipes/sweeps/table7.toml --data-root /data/nyudv2 --shard 1/4 --out /shared/table7
    """
    from cen_cli.jobs import sweep as job
    from cen_cli.reporting import sweeps, tables
    from cen_cli.reporting.progress import Terminal
    from cen_cli.reporting.training import TrainingDisplay

    if show and dry_run:
        raise UsageError("--show prints results, --dry-run what is to be trained", hint="leave out one of them")
    if time and not dry_run:
        raise UsageError("--time estimates without training", hint="give it with --dry-run")
    if budget is not None and dry_run:
        raise UsageError("--budget is for training, and nothing is to be trained", hint="leave it out")
    common: dict[str, Any] = {"recipe": recipe, "out": out, "changes": overrides or (), "data_root": data_root}
    common["device"] = device
    shown = Terminal(partial(_print, form=form, json=json))
    common |= {"only": only or ["*"], "shard": _shard(shard), "listener": shown}
    if dry_run:
        planned = job.plan(name, time=time, **common)
        tables.print_result(planned, sweeps.render_members(planned), json=json)
        return
    common["budget"] = None if budget is None else _seconds(budget)
    report = job.sweep(
        name, show=show, jobs=jobs, inception_weights=inception_weights, member_listener=TrainingDisplay, **common
    )
    if report.failed:
        logs = ", ".join(report.failed)
        raise CenError(f"{len(report.failed)} members failed; see {logs}", hint="the same command tries them again")


def _seconds(text: str) -> float:
    """`2h`, `90m`, `30s`, or several of them, as seconds. Raises UsageError for anything else."""
    number = r"(\d+(?:\.\d+)?)"
    match = re.fullmatch(f"(?:{number}h)?(?:{number}m)?(?:{number}s)?", text)
    parts = zip(match.groups(), (3600, 60, 1), strict=True) if match else ()
    seconds = sum(float(part or 0) * size for part, size in parts)
    if not seconds:
        raise UsageError(f"--budget {text}: a time such as 2h, 90m or 1h30m")
    return seconds


def _shard(text: str) -> tuple[int, int]:
    """`I/N` as two numbers. Raises UsageError for anything else."""
    part, slash, parts = text.partition("/")
    if not (slash and part.isdecimal() and parts.isdecimal()):
        raise UsageError(f"--shard {text}: I/N with 1 <= I <= N, for example 2/4")
    return int(part), int(parts)


def _print(report: SweepReport, *, form: str, json: bool) -> None:
    from cen_cli.reporting import console, sweeps, tables

    if form == "markdown" and not json:
        console.print_text(sweeps.sweep_markdown(report))
    elif form == "csv" and not json:
        console.print_text(sweeps.sweep_csv(report))
    else:
        tables.print_result(report, sweeps.render_sweep(report), json=json)
