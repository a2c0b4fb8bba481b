"""`cen train`: trains a recipe, or continues a run."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

from cen_cli.cli import options
from cen_cli.cli.options import argument, flag, option
from cen_cli.errors import UsageError

_ONE_OF_THEM = "leave out one of them"


def train(
    recipe: Annotated[str | None, argument("RECIPE", "A recipe's path, or the name of a shipped one.")] = None,
    run: Annotated[
        str | None, argument("RUN", "With --resume: the run directory [default: the recipe's newest].")
    ] = None,
    out: Annotated[
        Path | None, option("DIR", "The new run directory [default: runs/<recipe>-<yymmdd-hhmmss>].")
    ] = None,
    resume: Annotated[bool, flag("--resume", "Continue a run, bit for bit as if it had not stopped.")] = False,
    dry_run: Annotated[
        bool, flag("--dry-run", "Show the resolved recipe, sizes and costs of one step; make no run.")
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
        torchrun --nproc-per-node 2 -m cen_cli train nyudv2 --data-root /data/nyudv2
    """
    if resume and dry_run:
        raise UsageError("--dry-run shows what a new run would do; --resume continues an old one", hint=_ONE_OF_THEM)
    if resume and out is not None:
        raise UsageError("--out names a new run; --resume continues an old one", hint=_ONE_OF_THEM)
    if resume and recipe is not None and run is None and _names_a_folder(recipe):
        recipe, run = None, recipe
    if not resume and (recipe is None or run is not None):
        raise UsageError(
            "cen train takes one recipe" + (f", and got also {run!r}" if run else ""),
            hint="see the shipped ones with: cen recipes ls",
        )
    from cen_cli import ranks
    from cen_cli.jobs import train as job
    from cen_cli.jobs.expected import check_expected
    from cen_cli.recipe.load import dump_toml, load_recipe
    from cen_cli.recipe.overrides import with_options
    from cen_cli.reporting import console, tables
    from cen_cli.reporting.progress import Terminal
    from cen_cli.reporting.training import TrainingDisplay
    from cen_cli.runs.directory import check_free

    changes = with_options(overrides or (), train__seed=seed)
    if dry_run and recipe:
        if out is not None:
            check_free(Path(out))
        resolved = load_recipe(recipe, changes, data_root)
        dry = job.dry_run(resolved, inception_weights=inception_weights, device=device, listener=Terminal())
        if not json:
            console.print_text(dump_toml(resolved))
        tables.print_result({"recipe": dump_toml(resolved), "dry_run": dry}, tables.render_dry_run(dry), json=json)
        return
    with nullcontext(Terminal()) if json else TrainingDisplay() as listener:
        common: dict[str, Any] = {"changes": changes, "data_root": data_root, "listener": listener}
        common |= {"inception_weights": inception_weights, "device": device}
        summary = job.resume(run, recipe=recipe, **common) if resume else job.train(str(recipe), out=out, **common)
    if not ranks.leads():
        return
    document = {"summary": summary, "expected": summary.expected}
    tables.print_result(document, tables.render_summary(summary), json=json)
    check_expected(summary.expected)


def _names_a_folder(text: str) -> bool:
    """Whether the one argument of --resume is a run directory and not a recipe; one with a slash may not exist."""
    from cen_cli.recipe import catalog

    path = Path(text)
    if path.is_dir():  # which `cen data rooms rooms` makes, too
        return (path / "recipe.toml").is_file() or text not in catalog.shipped()
    return len(path.parts) > 1 and path.suffix != ".toml" and not path.exists()
