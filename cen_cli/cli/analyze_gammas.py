"""`cen analyze-gammas`: what a trained network's scaling factors say about exchange."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cen_cli.cli import options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cen_cli.analysis.gammas import GammaHistory
    from cen_cli.analysis.layers import LayerState
    from cen_cli.engine.rundir import Located
    from cen_cli.results import GammaDiagnosis, GammaRecovery, GammaRow

EIGHTH = 7
"""Index of the layer that the paper's Figure 5 shows: the eighth 3x3 convolution."""


def analyze_gammas(
    checkpoint: options.Checkpoint,
    layer: Annotated[
        str | None,
        typer.Option(
            "--layer", help="Layer of the single-layer plots [default: the eighth exchanging layer, or the last]."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder of the plots [default: plots/ of the run, else CKPT-plots beside it]."),
    ] = None,
    device: options.Device = "cpu",
    json: options.Json = False,
) -> None:
    """Show how |gamma| is distributed per layer and modality, say what that means, and draw it.

    A run directory also gives the gammas' history: how many came back after they fell below the threshold, and plots of
    gammas and of replaced channels against the step.

    Examples:
        cen analyze-gammas runs/rooms-261123-101500
        cen analyze-gammas runs/rooms-261123-101500 --layer layer3.0.bn1 --out figures
        cen analyze-gammas checkpoints/best/model.safetensors --json
    """
    from cen_cli import build
    from cen_cli.analysis.gammas import diagnose, history_of_run, recoveries, rows_of_layer
    from cen_cli.analysis.layers import layer_states
    from cen_cli.engine.rundir import locate
    from cen_cli.reporting import console

    located = locate(checkpoint)
    model = build.load(checkpoint, device)
    states = layer_states(model)
    shown = _choose(layer, [state.name for state in states])
    history = history_of_run(located.run, states)
    rows = [row for state in states for row in rows_of_layer(state, model.modalities)]
    diagnosis = diagnose(states, model.modalities)
    fates = recoveries(history, states) if history else ()
    plots = _draw(states, history, model.modalities, shown, out or _folder(checkpoint, located)) if states else []
    if json:
        document = {"checkpoint": str(located.model_file), "rows": rows, "diagnosis": diagnosis}
        console.print_json({**document, "recoveries": fates or None, "plots": [str(path) for path in plots]})
    else:
        _report(checkpoint, located, rows, fates, diagnosis, plots)


def _report(
    checkpoint: str,
    located: Located,
    rows: Sequence[GammaRow],
    fates: Sequence[GammaRecovery],
    diagnosis: GammaDiagnosis,
    plots: Sequence[Path],
) -> None:
    """Print the table, what became of the gammas over the run, the diagnosis, and the files written."""
    from cen_cli.reporting import console, exchange_tables, tables

    parts = [f"checkpoint: {located.model_file}", *(exchange_tables.gamma_parts(rows) if rows else [])]
    if fates:
        parts += exchange_tables.recovery_parts(fates)
    elif rows:
        parts += ["No recorded gammas beside this checkpoint: no recovery counts, no plots over steps."]
    parts += [*exchange_tables.diagnosis_parts(diagnosis), *(f"plot: {path}" for path in plots)]
    tables.show(console.out(), [*parts, f"next: cen exchange-stats {checkpoint}"])


def _choose(layer: str | None, names: Sequence[str]) -> str | None:
    """The layer of the single-layer plots, named in full or by its end. Raises UsageError for one that is not there."""
    import difflib

    from cen_cli.errors import UsageError

    endings = [name for name in names if layer is not None and f".{name}".endswith(f".{layer}")]
    if layer is not None and layer not in names and len(endings) == 1:
        return endings[0]
    if layer is not None and layer not in names:
        near = difflib.get_close_matches(layer, names, n=3, cutoff=0.3) or list(names[:3])
        hint = f"did you mean {', '.join(near)}?" if near else "the network exchanges nothing"
        raise UsageError(f"--layer {layer}: the network has no such exchanging layer", hint=hint)
    return layer or (names[min(EIGHTH, len(names) - 1)] if names else None)


def _folder(checkpoint: str, located: Located) -> Path:
    """Where the plots go by default."""
    if located.run is not None:
        return located.run / "plots"
    given = Path(checkpoint).resolve()
    return given.with_name(f"{given.stem if given.is_file() else given.name}-plots")


def _draw(
    states: Sequence[LayerState],
    history: GammaHistory | None,
    modalities: Sequence[str],
    shown: str | None,
    folder: Path,
) -> list[Path]:
    """Write the plots and return their paths; those over steps only where there is a history."""
    from cen_cli.analysis.exchange import replaced_shares
    from cen_cli.reporting import plots

    state = next(item for item in states if item.name == shown)
    gammas = {item.name: item.gammas for item in states}
    pressed = {item.name: item.pressed for item in states}
    written = [
        plots.gamma_proportions(
            state.gammas, state.pressed, modalities=modalities, title=state.name, out=folder / "gamma-proportions.png"
        ),
        plots.all_proportions(
            gammas,
            pressed,
            modalities=modalities,
            title="Each modality's share of |gamma| per channel, all exchanging layers",
            out=folder / "gamma-proportions-all.png",
        ),
    ]
    if history is None:
        return written
    trajectories = plots.gamma_trajectories(
        history.steps,
        history.layers[state.name],
        state.pressed,
        modalities=modalities,
        threshold=state.threshold,
        title=f"{state.name}: pressed gammas over training",
        out=folder / "gamma-trajectories.png",
    )
    replaced = plots.replaced_over_steps(
        history.steps,
        replaced_shares(history, states),
        layers=list(gammas),
        modalities=modalities,
        title="Replaced channels over training",
        out=folder / "replaced-over-steps.png",
    )
    return [*written, trajectories, replaced]
