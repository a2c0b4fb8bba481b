"""`cen report`: everything about a run on one HTML page."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from cen_cli.cli import options
from cen_cli.errors import CenError, UsageError

if TYPE_CHECKING:
    from cen_cli.builders import Network
    from cen_cli.cli.subject import Subject
    from cen_cli.recipe.schema import Recipe
    from cen_cli.reporting.run_page import RunReport
    from cen_cli.results import RunLog, RunProgress
    from cen_cli.runs.directory import RunDirectory

LONGEST = 224
"""Pixels of the longer side of each picture of a view."""


def report(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run directory, or a checkpoint in one.", show_default=False)
    ],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="The page [default: report.html in the run].")
    ] = None,
    images: Annotated[
        int, typer.Option("--images", min=0, help="Views of the split whose pictures are shown; 0 reads no data.")
    ] = 4,
    data_root: options.DataRoot = None,
    device: options.Device = "cpu",
    json: options.Json = False,
) -> None:
    """Write one HTML page about a run: verdict, scores, curves, exchange, gammas, pictures, recipe, environment.

    The page holds everything and loads nothing, so it can be mailed or opened anywhere. Scores are those of the run's
    validations; nothing is evaluated again. Where the data are not at hand, the page says so in the pictures' place.

    Examples:

        cen report runs/rooms-261123-101500

        cen report runs/rooms-261123-101500 --out report.html --images 8

        cen report runs/nyudv2-261123-101500 --data-root /data/nyudv2
    """
    from cen_cli.reporting import console, formats, tables
    from cen_cli.reporting.html import write_page
    from cen_cli.reporting.run_page import judged, run_page
    from cen_cli.runs.directory import RunDirectory, locate

    if out is not None and out.is_dir():
        raise UsageError(f"--out {out}: is a folder, and the page is one file", hint=f"--out {out / 'report.html'}")
    located = locate(run)
    if located.run is None:
        raise UsageError(
            f"{run}: this checkpoint belongs to no run, and a report is about a run",
            hint=f"give a run directory; cen analyze-gammas {run} takes a checkpoint alone",
        )
    directory = RunDirectory(Path(run) if Path(run, "recipe.toml").is_file() else located.run)
    gathered = _gather(directory, device, data_root, images)
    path = write_page(run_page(gathered), out or directory.root / "report.html")
    tone, headline = judged(gathered)
    if json:
        document = {"report": str(path), "verdict": tone, "headline": headline, "diagnosis": gathered.diagnosis}
        console.print_json({**document, "pictures": gathered.views is not None})
        return
    if gathered.views is None and images:
        console.note(f"note: {gathered.views_absent}")
    lines = [headline, f"report: {path} ({formats.size(path.stat().st_size)})"]
    tables.show(console.out(), [*lines, f"next: {gathered.commands[0][1]}"])


# --- gathering ------------------------------------------------------------------------------------------------------


def _gather(run: RunDirectory, device: str, data_root: str | None, images: int) -> RunReport:
    """Everything that stands on the page."""
    from cen_cli import builders
    from cen_cli.analysis.diagnosis import diagnose
    from cen_cli.analysis.exchange import replaced_at_steps, rows_of_states
    from cen_cli.analysis.gammas import recoveries, rows_of_layer
    from cen_cli.cli.subject import load_subject
    from cen_cli.recipe.load import changed_from_defaults, override, parse_recipe
    from cen_cli.reporting.run_page import RunReport
    from cen_cli.runs.log import read_environment, read_log, read_progress

    recipe = parse_recipe(run.read_recipe(), source=str(run.recipe))
    log, progress = read_log(run), read_progress(run, recipe.train.epochs)
    subject = load_subject(str(run.root), device)
    model, states, history = subject.model, subject.states, subject.history
    several = states if len(model.modalities) > 1 else ()
    best = log.best(builders.best_by(recipe))
    data_recipe = override(recipe, [], data_root=data_root, source=str(run.recipe))
    views, absent = _views(model, data_recipe, images)
    epoch = log.steps_per_epoch
    diagnosis = diagnose(states, model.modalities, recipe.exchange.sparsity)
    return RunReport(
        run=str(run.root),
        recipe=recipe.name,
        task=recipe.task,
        modalities=model.modalities,
        target=recipe.data.target,
        changed=changed_from_defaults(recipe),
        toml=run.read_recipe(),
        environment=read_environment(run),
        progress=progress,
        log=log,
        best=best,
        best_by=builders.best_by(recipe),
        expected=options.expected_of_validation(recipe, best.evaluation) if best else (),
        scored_split=recipe.eval.split,
        diagnosis=diagnosis,
        gammas=[row for state in several for row in rows_of_layer(state, model.modalities)],
        recoveries=recoveries(history, states) if history and several else (),
        stages=rows_of_states(states, model.modalities, "stage") if subject.exchanges else (),
        layers=rows_of_states(states, model.modalities, "layer") if subject.exchanges else (),
        records=replaced_at_steps(history, states, steps_per_epoch=epoch) if history and subject.exchanges else (),
        plots=_plots(log, subject),
        views=views,
        views_absent=absent,
        commands=_commands(str(run.root), recipe, progress, diagnosis.settings),
    )


def _plots(log: RunLog, subject: Subject) -> dict[str, bytes]:
    """All plots as PNG files, by name."""
    from cen_cli.cli.subject import default_layer, draw_replaced
    from cen_cli.reporting import gamma_plots
    from cen_cli.reporting.curves import draw_curves

    layer = default_layer([state.name for state in subject.states])
    with TemporaryDirectory() as name:
        folder = Path(name)
        drawn = draw_curves(log, subject.model.branches, folder)
        if layer is not None and len(subject.model.modalities) > 1:
            gammas = [subject.as_drawn()]
            drawn.append(gamma_plots.gamma_proportions(gammas, layer, folder / "gamma-proportions.png"))
            drawn.append(gamma_plots.all_proportions(gammas, folder / "gamma-proportions-all.png"))
            if subject.history is not None:
                drawn.append(gamma_plots.gamma_trajectories(gammas, layer, folder / "gamma-trajectories.png"))
        if subject.history is not None and subject.exchanges:
            drawn.append(draw_replaced(subject, folder, steps_per_epoch=log.steps_per_epoch))
        return {path.stem: path.read_bytes() for path in drawn}


def _views(model: Network, recipe: Recipe, count: int) -> tuple[bytes | None, str]:
    """A picture of some views, evenly spaced over the split; or None, and why in words."""
    import numpy as np

    from cen_cli import builders
    from cen_cli.cli.view_pictures import picture_of_views
    from cen_cli.reporting.html import image_content
    from cen_cli.reporting.progress import counting

    if not count:
        return None, "No pictures of views were asked for."
    try:
        with counting("rendering rooms") as progress:
            data = builders.dataset(recipe, recipe.eval.split, progress=progress)
        builders.check_fits(model, data, "the run")
        indices = np.unique(np.linspace(0, len(data) - 1, min(count, len(data))).round().astype(int)).tolist()
        return image_content(picture_of_views(model, data, recipe, indices, longest=LONGEST)), ""
    except CenError as error:
        hint = f" To show them: {error.hint}." if error.hint else ""
        return None, f"Pictures of views are left out, since the data could not be read: {error.message}.{hint}"


def _commands(run: str, recipe: Recipe, progress: RunProgress, settings: Mapping[str, float]) -> list[tuple[str, str]]:
    """What may be done next with the run, the most pressing first; `settings` are those that the diagnosis proposes."""
    name = shlex.quote(run)
    pressing = [] if progress.finished else [("Train it to the end", f"cen train --resume {name}")]
    if settings:
        changed = " ".join(f"--set {key}={value:g}" for key, value in settings.items())
        pressing.append(("Train again as the diagnosis proposes", f"cen train {name}/recipe.toml {changed}"))
    if recipe.task == "translation":
        use = (
            "Translate images of your own",
            f"cen translate {_files(recipe)} --ckpt {name} --inputs {_inputs(recipe)}",
        )
    else:
        inputs = " ".join(f"--input {modality}={modality}.png" for modality in recipe.data.inputs)
        use = ("Label images of your own", f"cen predict {name} {inputs}")
    return [
        *pressing,
        (f"Score it on the split {recipe.eval.split}", f"cen eval {name}"),
        ("Look into its gammas", f"cen analyze-gammas {name}"),
        use,
        ("Hold it against another run", f"cen compare {name} OTHER-RUN --images 4"),
    ]


def _files(recipe: Recipe) -> str:
    return " ".join(f"{modality}.png" for modality in recipe.data.inputs)


def _inputs(recipe: Recipe) -> str:
    return " ".join(recipe.data.inputs)
