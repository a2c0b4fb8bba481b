"""`cen analyze-gammas`: what a trained network's scaling factors say about exchange."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cen_cli.cli import options

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cen_cli.cli.subject import Subject
    from cen_cli.recipe.schema import Recipe
    from cen_cli.results import Attraction, Evaluation, WhatIfRow


def analyze_gammas(
    checkpoint: options.Checkpoint,
    layer: Annotated[
        str | None,
        typer.Option(
            "--layer", help="Layer of the single-layer plots [default: the eighth exchanging layer, or the last]."
        ),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against",
            metavar="CKPT|RUN",
            help="Draw another network of the same layers beside this one; may be given several times.",
            show_default=False,
        ),
    ] = None,
    gradients: Annotated[
        int,
        typer.Option(
            "--gradients", metavar="N", min=0, help="Hold Theorem 1 against gradients on N training batches (0: don't)."
        ),
    ] = 0,
    what_if: Annotated[
        bool, typer.Option("--what-if", help="Also score the network at other thresholds, without training it again.")
    ] = False,
    thresholds: Annotated[
        str | None,
        typer.Option(
            "--thresholds", metavar="T,T,...", help="Those of --what-if [default: decades around the network's own]."
        ),
    ] = None,
    split: Annotated[str, typer.Option("--split", help="Split that --what-if scores: train, val or test.")] = "val",
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder of the plots [default: plots/ of the run, else CKPT-plots beside it]."),
    ] = None,
    overrides: options.Overrides = None,
    data_root: options.DataRoot = None,
    device: options.Device = "cpu",
    json: options.Json = False,
) -> None:
    """Show how |gamma| is distributed per layer and modality, say what that means, and draw it.

    A run directory also gives the gammas' history: how many came back after they fell below the threshold, and plots of
    gammas and of replaced channels against the step. --gradients and --what-if read the recipe's data set.

    Examples:

        cen analyze-gammas runs/rooms-261123-101500

        cen analyze-gammas runs/rooms-261123-101500 --against runs/rooms-none-261123-111500

        cen analyze-gammas runs/rooms-261123-101500 --gradients 40 --what-if

        cen analyze-gammas checkpoints/best/model.safetensors --layer layer3.0.bn1 --out figures --json
    """
    from cen_cli.analysis.diagnosis import diagnose, with_what_if
    from cen_cli.analysis.gammas import recoveries, rows_of_layer
    from cen_cli.cli.subject import load_subject
    from cen_cli.recipe.load import override
    from cen_cli.reporting import console, exchange_tables, tables

    subject = load_subject(checkpoint, device)
    compared = [subject, *(load_subject(path, device) for path in against or [])]
    shown = _choose(layer, compared)
    wanted = _thresholds(subject, what_if=what_if, thresholds=thresholds)
    given = [*(overrides or []), f"eval.split={split}"]
    recipe = override(subject.model.recipe, given, data_root=data_root, source=checkpoint)
    modalities = subject.model.modalities
    rows = [row for state in subject.states for row in rows_of_layer(state, modalities)]
    fates = recoveries(subject.history, subject.states) if subject.history else ()
    measured = _attraction(subject, recipe, gradients, device) if gradients else None
    scored = _what_if(subject, recipe, wanted, device) if wanted else []
    diagnosis = diagnose(subject.states, modalities, recipe.exchange.sparsity)
    if scored:
        diagnosis = with_what_if(diagnosis, scored, subject.states[0].threshold, _metric(recipe))
    plots = _draw(compared, shown, measured, out or subject.folder()) if shown else []
    command = _next_command(subject, diagnosis.settings)
    if json:
        document: dict[str, Any] = {"checkpoint": str(subject.file), "rows": rows, "diagnosis": diagnosis}
        document |= {"attraction": measured, "what_if": scored or None, "recoveries": fates or None}
        console.print_json({**document, "next": command, "plots": [str(path) for path in plots]})
        return
    parts = [f"checkpoint: {subject.file}", *(exchange_tables.gamma_parts(rows) if rows else [])]
    if fates:
        parts += exchange_tables.recovery_parts(fates)
    elif rows:
        parts += ["No recorded gammas beside this checkpoint: no recovery counts, no plots over steps."]
    parts += exchange_tables.attraction_parts(measured) if measured else []
    parts += exchange_tables.what_if_parts(scored, _metric(recipe), subject.states[0].threshold) if scored else []
    parts += [*exchange_tables.diagnosis_parts(diagnosis), *(f"plot: {path}" for path in plots)]
    tables.show(console.out(), [*parts, f"next: {command}"])


def _choose(layer: str | None, compared: Sequence[Subject]) -> str | None:
    """The layer of the single-layer plots, named in full or by its end.

    Raises UsageError for one that is not there, and for networks that cannot stand in one plot.
    """
    import difflib

    from cen_cli.cli.subject import default_layer
    from cen_cli.errors import UsageError

    subject, *others = compared
    names = [state.name for state in subject.states]
    for other in others:
        if [(state.name, state.gammas.shape) for state in other.states] != [
            (state.name, state.gammas.shape) for state in subject.states
        ]:
            raise UsageError(f"--against {other.given}: its exchanging layers are not those of {subject.given}")
    endings = [name for name in names if layer is not None and f".{name}".endswith(f".{layer}")]
    if layer is not None and layer not in names and len(endings) == 1:
        return endings[0]
    if layer is not None and layer not in names:
        near = difflib.get_close_matches(layer, names, n=3, cutoff=0.3) or list(names[:3])
        hint = f"did you mean {', '.join(near)}?" if near else "the network exchanges nothing"
        raise UsageError(f"--layer {layer}: the network has no such exchanging layer", hint=hint)
    return layer or default_layer(names)


def _next_command(subject: Subject, settings: dict[str, float]) -> str:
    """Train again with what the diagnosis proposes; else look on."""
    if not settings:
        return f"cen exchange-stats {subject.given}"
    recipe = subject.run / "recipe.toml" if subject.run else "RECIPE"
    return f"cen train {recipe} " + " ".join(f"--set {key}={value:g}" for key, value in settings.items())


# --- Theorem 1 ----------------------------------------------------------------------------------------------------


def _attraction(subject: Subject, recipe: Recipe, batches: int, device: str) -> Attraction:
    """Raises UsageError where there is nothing to measure."""
    from cen_cli import builders
    from cen_cli.analysis.attraction import attraction, gamma_gradients
    from cen_cli.errors import UsageError
    from cen_cli.reporting.progress import counting

    if not subject.states or recipe.exchange.sparsity <= 0:
        raise UsageError(
            f"--gradients: {subject.given} was trained without a penalty on its gammas",
            hint="Theorem 1 speaks of networks with exchange.sparsity above 0",
        )
    if batches < 2:
        raise UsageError("--gradients 1: half of the batches predict, the others are observed", hint="2 or more")
    with counting("rendering rooms") as progress:
        task = builders.task_loss_of(subject.given, recipe, batches, device_name=device, progress=progress)
    with counting("gradients") as progress:
        found = gamma_gradients(task.model, task.loss, _counted(task.batches, batches, progress))
    return attraction(found, subject.states, subject.model.modalities, recipe.exchange.sparsity, subject.history)


def _counted(batches: Any, total: int, progress: Callable[[int, int], None]) -> Any:
    for done, batch in enumerate(batches, start=1):
        yield batch
        progress(done, total)


# --- what if ------------------------------------------------------------------------------------------------------


def _thresholds(subject: Subject, *, what_if: bool, thresholds: str | None) -> list[float]:
    """The thresholds to be scored, the network's own among them; none where that was not asked for."""
    from cen_cli.analysis.what_if import usual_thresholds
    from cen_cli.errors import UsageError

    if not what_if and thresholds is None:
        return []
    if not any(state.replaceable.any() and state.fixed is None for state in subject.states):
        raise UsageError(
            f"--what-if: no threshold decides what {subject.given} replaces",
            hint="it was built without exchange, or is a control: see exchange.choose and model.fusion in its recipe",
        )
    if thresholds is None:
        return usual_thresholds(subject.model)
    try:
        given = [float(word) for word in thresholds.split(",")]
    except ValueError:
        given = [-1.0]
    if not all(0 <= value < float("inf") for value in given):
        raise UsageError(f"--thresholds {thresholds}: numbers of 0 or more, separated by commas", hint="1e-3,1e-2,1e-1")
    return [*given, subject.states[0].threshold]


def _metric(recipe: Recipe) -> str:
    """The score that thresholds are compared by."""
    from cen_cli import builders

    metric = builders.best_by(recipe)
    return "ensemble.mae" if metric.endswith(("fid", "kid")) else metric


def _what_if(subject: Subject, recipe: Recipe, thresholds: list[float], device: str) -> list[WhatIfRow]:
    from cen_cli import builders
    from cen_cli.analysis.what_if import what_if
    from cen_cli.models.device import resolve_device
    from cen_cli.reporting.progress import counting

    compared = recipe.train.model_copy(update={"best_by": _metric(recipe)})
    score = builders.scorer(recipe.model_copy(update={"train": compared}), resolve_device(device), training=True)
    with counting("rendering rooms") as progress:
        data = builders.dataset(recipe, recipe.eval.split, progress=progress)
    builders.check_fits(subject.model, data, subject.given)
    total, done = len(data) * len(set(thresholds)), 0
    with counting("evaluating") as progress:

        def evaluate(model: Any) -> Evaluation:
            nonlocal done
            found = score(model, data, split=recipe.eval.split, after_batch=lambda views: progress(done + views, total))
            done += len(data)
            return found

        return what_if(subject.model, subject.model.modalities, thresholds, evaluate)


# --- plots --------------------------------------------------------------------------------------------------------


def _draw(compared: Sequence[Subject], layer: str, measured: Attraction | None, folder: Path) -> list[Path]:
    """Write the plots and return their paths; those over steps only where there is a history."""
    import numpy as np

    from cen_cli.analysis.attraction import attraction_probability
    from cen_cli.cli.subject import draw_replaced
    from cen_cli.reporting import gamma_plots

    subject = compared[0]
    drawn = [network.as_drawn() for network in compared]
    ratios = np.linspace(0, 4, 200)
    written = [
        gamma_plots.gamma_proportions(drawn, layer, folder / "gamma-proportions.png"),
        gamma_plots.all_proportions(drawn, folder / "gamma-proportions-all.png"),
        gamma_plots.theorem_1(ratios, attraction_probability(ratios), measured, folder / "theorem-1.png"),
    ]
    if any(network.history for network in compared):
        written += [gamma_plots.gamma_trajectories(drawn, layer, folder / "gamma-trajectories.png")]
    if subject.history is not None:
        written.append(draw_replaced(subject, folder))
    return written
