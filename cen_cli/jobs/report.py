"""Everything about a run on one HTML page."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from cen_cli import builders
from cen_cli.analysis.diagnosis import diagnose, with_health
from cen_cli.analysis.exchange import replaced_at_steps, rows_of_states
from cen_cli.analysis.gammas import recoveries, rows_of_layers
from cen_cli.builders import LoadedNetwork
from cen_cli.errors import CenError, UsageError
from cen_cli.jobs.arguments import check_at_least
from cen_cli.jobs.evaluate import dataset
from cen_cli.jobs.exchanging import ExchangingNetwork, default_layer, draw_gammas, draw_replaced, load_exchanging
from cen_cli.jobs.expected import expected_of_validation
from cen_cli.jobs.pictures import picture_of_views
from cen_cli.recipe import Recipe, changed_from_defaults, parse_recipe
from cen_cli.recipe.load import override
from cen_cli.recipe.overrides import as_text
from cen_cli.reporting.curves import draw_curves
from cen_cli.reporting.html import image_content, write_page
from cen_cli.reporting.plots import draw_confusion
from cen_cli.reporting.run_page import RunReport, judged, run_page
from cen_cli.results import SILENT, Evaluation, Listener, RunLog, RunProgress, WrittenReport
from cen_cli.runs.directory import RunDirectory, locate
from cen_cli.runs.log import read_environment, read_log, read_progress
from cen_cli.wording import command

LONGEST = 224
"""Pixels of the longer side of each picture of a view."""


def report(
    run: str | Path,
    *,
    out: str | Path | None = None,
    images: int = 4,
    data_root: str | None = None,
    device: str = "cpu",
    listener: Listener = SILENT,
) -> WrittenReport:
    """Write all about a run on one HTML page; its scores are those of the run's validations.

    Args:
        run: a run directory, or a checkpoint in one.
        out: the file; absent, report.html in the run.
        images: views of the recipe's `eval.split` that are shown.

    Raises:
        UsageError: the checkpoint belongs to no run, or `out` is a folder.
    """
    check_at_least(0, images=images)
    if out is not None and Path(out).is_dir():
        raise UsageError(
            f"--out {out}: is a folder, and the page is one file", hint=f"--out {Path(out) / 'report.html'}"
        )
    located = locate(run)
    if located.run is None:
        raise UsageError(
            f"{run}: this checkpoint belongs to no run, and a report is about a run",
            hint=f"give a run directory; {command('analyze-gammas', run)} takes a checkpoint alone",
        )
    directory = RunDirectory(Path(run) if Path(run, "recipe.toml").is_file() else located.run)
    gathered = _gather(directory, device, data_root, images, listener)
    path = write_page(run_page(gathered), Path(out or directory.root / "report.html"))
    if gathered.views is None and images:
        listener.on_note(f"note: {gathered.views_absent}")
    verdict, headline = judged(gathered)
    return WrittenReport(
        report=str(path),
        verdict=verdict,
        headline=headline,
        diagnosis=gathered.diagnosis,
        pictures=gathered.views is not None,
        next=gathered.commands[0][1],
    )


def _gather(run: RunDirectory, device: str, data_root: str | None, images: int, listener: Listener) -> RunReport:
    """Everything that stands on the page."""
    recipe = parse_recipe(run.read_recipe(), source=str(run.recipe))
    log, progress = read_log(run), read_progress(run, recipe.train.epochs, recipe.train.patience)
    network = load_exchanging(run.root, device)
    states, history, modalities = network.states, network.history, network.modalities
    known = network.exchange_history
    several = states if len(modalities) > 1 else ()
    best = log.validation_at(progress.best_step)
    data_recipe = override(recipe, [], data_root=data_root, source=str(run.recipe))
    views, absent = _views(network.loaded, data_recipe, images, listener)
    epoch = log.steps_per_epoch
    diagnosis = with_health(diagnose(states, modalities, recipe.penalty), states, log.health)
    return RunReport(
        run=str(run.root),
        recipe=recipe.name,
        task=recipe.task,
        modalities=modalities,
        target=recipe.data.target,
        changed=changed_from_defaults(recipe),
        toml=run.read_recipe(),
        environment=read_environment(run),
        progress=progress,
        log=log,
        best=best,
        of_best=network.of_best,
        best_by=builders.best_by(recipe),
        expected=expected_of_validation(recipe, best.evaluation) if best else (),
        scored_split=recipe.eval.split,
        diagnosis=diagnosis,
        gammas=rows_of_layers(several, modalities),
        recoveries=recoveries(history, states) if history and several else (),
        stages=rows_of_states(states, modalities, "stage") if network.exchanges else (),
        layers=rows_of_states(states, modalities, "layer") if network.exchanges else (),
        records=replaced_at_steps(known, states, steps_per_epoch=epoch) if known and network.exchanges else (),
        plots=_plots(log, network, best.evaluation if best else None),
        views=views,
        views_absent=absent,
        commands=_commands(str(run.root), recipe, progress, diagnosis.settings),
    )


def _plots(log: RunLog, network: ExchangingNetwork, best: Evaluation | None) -> dict[str, bytes]:
    """All plots as PNG files, by name."""
    layer = default_layer([state.name for state in network.states])
    with TemporaryDirectory() as name:
        folder = Path(name)
        drawn = draw_curves(log, network.loaded.network.branches, folder)
        if layer is not None and len(network.modalities) > 1:
            drawn += draw_gammas([network], layer, folder)
        if best is not None and best.confusion:
            drawn.append(draw_confusion(best, folder / "confusion.png"))
        if network.exchange_history is not None and network.exchanges:
            drawn.append(draw_replaced(network, folder, steps_per_epoch=log.steps_per_epoch))
        return {path.stem: path.read_bytes() for path in drawn}


def _views(loaded: LoadedNetwork, recipe: Recipe, count: int, listener: Listener) -> tuple[bytes | None, str]:
    """A picture of some views, evenly spaced over the split; or None, and why in words."""
    if not count:
        return None, "No pictures of views were asked for."
    try:
        data = dataset(recipe, listener)
        builders.check_fits(loaded, data, "the run")
        indices = np.unique(np.linspace(0, len(data) - 1, min(count, len(data))).round().astype(int)).tolist()
        return image_content(picture_of_views(loaded, data, recipe, indices, longest=LONGEST)), ""
    except CenError as error:
        hint = f" To show them: {error.hint}." if error.hint else ""
        return None, f"Pictures of views are left out, since the data could not be read: {error.message}.{hint}"


def _commands(
    run: str, recipe: Recipe, progress: RunProgress, settings: Mapping[str, float | str]
) -> list[tuple[str, str]]:
    """What may be done next with the run, the most pressing first; `settings` are those that the diagnosis proposes."""
    name = shlex.quote(run)
    pressing = [] if progress.finished else [("Train it to the end", f"cen train --resume {name}")]
    if settings:
        changed = " ".join(f"--set {as_text(setting)}" for setting in settings.items())
        pressing.append(("Train again as the diagnosis proposes", f"cen train {name}/recipe.toml {changed}"))
    if recipe.task == "translation":
        files = " ".join(f"{modality}.png" for modality in recipe.data.inputs)
        inputs = " ".join(recipe.data.inputs)
        use = ("Translate images of your own", f"cen translate {files} --ckpt {name} --inputs {inputs}")
    else:
        inputs = " ".join(f"--input {modality}={modality}.png" for modality in recipe.data.inputs)
        use = ("Label images of your own", f"cen predict {name} {inputs}")
    return [
        *pressing,
        (f"Score it on the split {recipe.eval.split}", f"cen eval {name}"),
        ("Analyse its gammas", f"cen analyze-gammas {name}"),
        use,
        ("Compare it with another run", f"cen compare {name} OTHER-RUN --images 4"),
    ]
