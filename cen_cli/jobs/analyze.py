"""What a trained network's scaling factors and its exchange say: tables, plots, a diagnosis in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from torch import nn

from cen_cli import builders
from cen_cli.analysis.attraction import attraction, attraction_probability, gamma_gradients
from cen_cli.analysis.diagnosis import diagnose, with_health, with_thresholds
from cen_cli.analysis.exchange import replaced_at_steps, rows_of_states
from cen_cli.analysis.gain import estimate_gains, gain_rows
from cen_cli.analysis.gammas import recoveries, rows_of_layers
from cen_cli.analysis.thresholds import score_thresholds, usual_thresholds
from cen_cli.data.sample import Batch
from cen_cli.errors import UsageError
from cen_cli.jobs.evaluate import counted_evaluations, dataset
from cen_cli.jobs.exchanging import (
    ExchangingNetwork,
    default_layer,
    draw_gammas,
    draw_replaced,
    load_exchanging,
    note_of_step,
)
from cen_cli.models.device import resolve_device
from cen_cli.models.network import StreamNetwork
from cen_cli.recipe import Recipe
from cen_cli.recipe.load import override
from cen_cli.recipe.overrides import Changes, with_options
from cen_cli.reporting import gamma_plots, scores
from cen_cli.reporting.files import unless_unwritable
from cen_cli.results import (
    SILENT,
    Attraction,
    Evaluation,
    ExchangeStatistics,
    GainRow,
    GammaAnalysis,
    Listener,
    ThresholdRow,
)
from cen_cli.runs.directory import RunDirectory
from cen_cli.runs.log import read_log
from cen_cli.wording import nearest

Result = TypeVar("Result")


def analyze(
    checkpoint: str | Path,
    *,
    layer: str | None = None,
    against: Sequence[str | Path] = (),
    gradients: int = 0,
    gains: int = 0,
    thresholds: Sequence[float] | None = None,
    split: str | None = None,
    out: str | Path | None = None,
    changes: Changes = (),
    data_root: str | None = None,
    device: str = "cpu",
    listener: Listener = SILENT,
) -> GammaAnalysis:
    """How |gamma| is distributed per layer and modality, what that means, and plots of it.

    Args:
        layer: that of the single-layer plots, by its name or the name's end; absent, the eighth, or the last of fewer.
        against: other networks of the same layers, for the same plots.
        gradients: so many training batches on which Theorem 1 is compared with gradients.
        gains: so many training batches on which the first-order gains of replacing are compared with gammas.
        thresholds: at which the network is scored on `split` without training it again; an empty list takes those
            around its own; absent, this is not done.
        split: "train", "val" or "test"; absent, what `changes` say of `eval.split`, or "val".
        out: folder of the plots; absent, plots/ of the run.

    Returns:
        quantiles of |gamma| and shares below the threshold in [0, 1], the diagnosis, and the files of the plots.

    Raises:
        UsageError: no such layer, networks of other layers, `thresholds` of a network that none decides for, a
            `split` without thresholds, or `changes` where nothing reads the data.
    """
    if split is not None and thresholds is None:
        raise UsageError("--split is where other thresholds are scored", hint="give it with --what-if")
    if changes and not (gradients or gains or thresholds is not None):
        raise UsageError("--set is of the data, which none but --gradients, --gains and --what-if read")
    network = load_exchanging(checkpoint, device)
    for note in note_of_step(network):
        listener.on_note(note)
    compared = [network, *(load_exchanging(path, device) for path in against)]
    shown = _choose(layer, compared)
    scored_at = None if thresholds is None else _thresholds(network, thresholds)
    options = [("eval.split", "val"), *with_options(changes, eval__split=split)]
    recipe = override(network.loaded.recipe, options, data_root=data_root, source=network.source)
    measured = _attraction(network, recipe, gradients, device, listener) if gradients else None
    scored = _score_thresholds(network, recipe, scored_at, device, listener) if scored_at else []
    diagnosis = diagnose(network.states, network.modalities, recipe.penalty)
    if scored:
        diagnosis = with_thresholds(diagnosis, scored, network.states[0].threshold, _metric(recipe), scores.written)
    draw = partial(_draw, compared, shown or "", measured, Path(out or network.plots()))
    diagnosis = with_health(diagnosis, network.states, network.health)
    plots = [] if not shown else draw() if out else unless_unwritable(draw, listener.on_note) or []
    return GammaAnalysis(
        checkpoint=str(network.file),
        run=None if network.run is None else str(network.run),
        exchanges=network.exchanges,
        threshold=network.states[0].threshold if network.states else None,
        metric=_metric(recipe),
        rows=tuple(rows_of_layers(network.states, network.modalities)),
        diagnosis=diagnosis,
        attraction=measured,
        what_if=tuple(scored) or None,
        recoveries=tuple(recoveries(network.history, network.states)) or None if network.history else None,
        plots=tuple(map(str, plots)),
        gains=_gains(network, recipe, gains, device, listener) if gains else None,
    )


def exchange_statistics(
    checkpoint: str | Path,
    *,
    by: Literal["layer", "stage"] = "layer",
    out: str | Path | None = None,
    device: str = "cpu",
    listener: Listener = SILENT,
) -> ExchangeStatistics:
    """Replaced channels by `layer` or `stage` and modality; of a run over its recorded steps too, with a plot."""
    network = load_exchanging(checkpoint, device)
    for note in note_of_step(network):
        listener.on_note(note)
    epoch = read_log(RunDirectory(network.run)).steps_per_epoch if network.run else None
    history, plot = network.exchange_history, None
    if history is not None and network.exchanges:
        draw = partial(draw_replaced, network, Path(out or network.plots()), steps_per_epoch=epoch)
        plot = draw() if out else unless_unwritable(draw, listener.on_note)
    return ExchangeStatistics(
        checkpoint=str(network.file),
        by=by,
        exchanges=network.exchanges,
        rows=tuple(rows_of_states(network.states, network.modalities, by)),
        steps=(tuple(replaced_at_steps(history, network.states, steps_per_epoch=epoch)) or None) if history else None,
        plot=None if plot is None else str(plot),
    )


def _choose(layer: str | None, compared: Sequence[ExchangingNetwork]) -> str | None:
    """The layer of the single-layer plots, named in full or by its end.

    Raises UsageError for one that is not there, and for networks that cannot stand in one plot.
    """
    network, *others = compared
    layers = [(state.name, state.gammas.shape) for state in network.states]
    for other in others:
        if [(state.name, state.gammas.shape) for state in other.states] != layers:
            raise UsageError(f"--against {other.source}: its exchanging layers are not those of {network.source}")
        if other.modalities != network.modalities:
            theirs, own = (", ".join(each.modalities) for each in (other, network))
            raise UsageError(f"--against {other.source}: its modalities are {theirs}, not {own}, in that order")
    names = [name for name, _ in layers]
    endings = [name for name in names if layer is not None and f".{name}".endswith(f".{layer}")]
    if layer is not None and layer not in names and len(endings) == 1:
        return endings[0]
    if layer is not None and layer not in names:
        near = nearest(layer, names, most=3) or names[:3]
        hint = f"did you mean {', '.join(near)}?" if near else "the network exchanges nothing"
        raise UsageError(f"--layer {layer}: the network has no such exchanging layer", hint=hint)
    return layer or default_layer(names)


# ---- gradients ----


def _attraction(
    network: ExchangingNetwork, recipe: Recipe, batches: int, device: str, listener: Listener
) -> Attraction:
    """Raises UsageError where there is nothing to measure."""
    if not network.states or recipe.penalty <= 0:
        raise UsageError(
            f"--gradients: {network.source} was trained without a penalty on its gammas",
            hint="Theorem 1 speaks of networks with exchange.sparsity above 0",
        )
    if batches < 2:
        raise UsageError("--gradients 1: half of the batches predict, the others are observed", hint="2 or more")
    gradients = _over_batches(gamma_gradients, network, recipe, batches, device, listener)
    return attraction(gradients, network.states, network.modalities, recipe.penalty, network.history)


def _gains(
    network: ExchangingNetwork, recipe: Recipe, batches: int, device: str, listener: Listener
) -> tuple[GainRow, ...]:
    """Raises UsageError where there is nothing to measure."""
    if not network.exchanges:
        raise UsageError(
            f"--gains: {network.source} exchanges nothing", hint="a network whose channels may be replaced"
        )
    estimates = _over_batches(estimate_gains, network, recipe, batches, device, listener)
    return gain_rows(estimates, network.states, network.modalities)


def _over_batches(
    measure: Callable[..., Result],
    network: ExchangingNetwork,
    recipe: Recipe,
    batches: int,
    device: str,
    listener: Listener,
) -> Result:
    """What is measured of the network's loss on some training batches."""
    with listener.counting("rendering rooms") as progress:
        task = builders.task_loss_of(network.source, recipe, batches, device_name=device, progress=progress)
    with listener.counting("gradients") as advance:
        return measure(task.model, task.loss, _counted(task.batches, batches, advance))


def _counted(batches: Iterator[Batch], total: int, advance: Callable[[int, int], None]) -> Iterator[Batch]:
    for done, batch in enumerate(batches, start=1):
        yield batch
        advance(done, total)


# ---- other thresholds ----


def _thresholds(network: ExchangingNetwork, asked: Sequence[float]) -> list[float]:
    """The thresholds to be scored, the network's own among them."""
    if not any(state.replaceable.any() and state.fixed is None for state in network.states):
        raise UsageError(
            f"--what-if: no threshold decides what {network.source} replaces",
            hint="it was built without exchange, or chooses otherwise: see model.fusion and exchange in its recipe",
        )
    if not asked:
        return usual_thresholds(network.loaded.network)
    if not all(0 <= value < math.inf for value in asked):
        listed = ",".join(f"{value:g}" for value in asked)
        raise UsageError(f"--thresholds {listed}: numbers of 0 or more, separated by commas", hint="1e-3,1e-2,1e-1")
    return [*asked, network.states[0].threshold]


def _metric(recipe: Recipe) -> str:
    """The score that thresholds are compared by."""
    return builders.best_by(builders.validated_without_distances(recipe))


def _score_thresholds(
    network: ExchangingNetwork, recipe: Recipe, thresholds: list[float], device: str, listener: Listener
) -> list[ThresholdRow]:
    quick = recipe.model_copy(update={"eval": recipe.eval.model_copy(update={"distances": False})})
    score = builders.checkpoint_scorer(quick, resolve_device(device), network.file)
    data = dataset(recipe, listener)
    builders.check_fits(network.loaded, data, network.source)
    with listener.counting("evaluating") as advance:
        counts = counted_evaluations(advance, len(data), len(set(thresholds)))

        def evaluate(model: nn.Module) -> Evaluation:
            assert isinstance(model, StreamNetwork), "the network itself"
            return score(model, data, split=recipe.eval.split, after_batch=next(counts))

        return score_thresholds(network.loaded.network, network.modalities, thresholds, evaluate)


# ---- plots ----


def _draw(compared: Sequence[ExchangingNetwork], layer: str, measured: Attraction | None, folder: Path) -> list[Path]:
    """Write the plots and return their paths; those over steps only where there is a history."""
    network = compared[0]
    written = [*draw_gammas(compared, layer, folder), draw_theorem_1(folder, measured)]
    if network.exchange_history is not None:
        written.append(draw_replaced(network, folder))
    return written


def draw_theorem_1(folder: Path, measured: Attraction | None = None) -> Path:
    """The curve of Theorem 1 (S-Fig 4), beside it what was measured of a network; returns the file in `folder`."""
    ratios = np.linspace(0, 4, 200)
    return gamma_plots.theorem_1(ratios, attraction_probability(ratios), measured, folder / "theorem-1.png")
