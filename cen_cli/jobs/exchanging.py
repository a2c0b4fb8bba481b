"""A trained network as the analyses of its gammas and its exchange take it."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from cen_cli import builders
from cen_cli.analysis.exchange import replaced_shares
from cen_cli.analysis.gammas import GammaHistory, history_of_run
from cen_cli.analysis.layers import LayerState, layer_states
from cen_cli.builders import LoadedNetwork
from cen_cli.errors import CheckpointError
from cen_cli.reporting import gamma_plots, plots
from cen_cli.reporting.gamma_plots import NetworkGammas
from cen_cli.results import LoggedHealth
from cen_cli.runs.directory import RunDirectory, locate
from cen_cli.runs.log import read_log, read_progress

EIGHTH = 7
"""Index of the layer that the paper's Figure 5 shows: the eighth 3x3 convolution."""


@dataclasses.dataclass(frozen=True)
class ExchangingNetwork:
    """A trained network, its exchanging layers, and the history of its gammas where there is one."""

    source: str
    """As it was named."""
    file: Path
    run: Path | None
    loaded: LoadedNetwork
    states: tuple[LayerState, ...]
    history: GammaHistory | None
    health: tuple[LoggedHealth, ...] = ()
    """What the run saw of the network's health while it trained."""

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the streams."""
        return self.loaded.modalities

    @property
    def exchanges(self) -> bool:
        """Whether any of its channels may be replaced."""
        return any(state.replaceable.any() for state in self.states)

    @property
    def of_best(self) -> bool:
        """Whether it is the best checkpoint of its run."""
        return self.run is not None and self.file.parent.resolve() == RunDirectory(self.run).best.resolve()

    @property
    def exchange_history(self) -> GammaHistory | None:
        """The history, where it says what was replaced: what gates mixed in is not recorded."""
        return None if any(state.mixing is not None for state in self.states) else self.history

    def plots(self) -> Path:
        """Where its plots go by default."""
        if self.run is not None:
            return self.run / "plots"
        source = Path(self.source).resolve()
        return source.with_name(f"{source.stem if source.is_file() else source.name}-plots")

    def as_drawn(self) -> NetworkGammas:
        """As the plots take it, labelled with the last parts of its run's path and what is not the best there."""
        label = "/".join((self.run or Path(self.source)).parts[-2:])
        return NetworkGammas(
            label=label if self.run is None or self.of_best else f"{label}, {self.file.parent.name}",
            modalities=self.modalities,
            gammas={state.name: state.gammas for state in self.states},
            pressed={state.name: state.pressed for state in self.states},
            threshold=self.states[0].threshold,
            penalised=self.loaded.recipe.penalty > 0,
            steps=self.history.steps if self.history else None,
            history=self.history.layers if self.history else None,
        )


def load_exchanging(checkpoint: str | Path, device: str) -> ExchangingNetwork:
    """The network of a run or checkpoint. Raises UsageError or CheckpointError."""
    source, located = str(checkpoint), locate(checkpoint)
    loaded = builders.load(checkpoint, device)
    builders.check_trainable(loaded, source, "it has no gammas to analyse, and its exchange is a fixed index")
    states = layer_states(loaded.network)
    history = history_of_run(located.run, states)
    health = read_log(RunDirectory(located.run)).health if located.run else ()
    return ExchangingNetwork(source, located.model_file, located.run, loaded, states, history, health)


def note_of_step(network: ExchangingNetwork) -> Iterator[str]:
    """A remark where the best checkpoint of a run is taken and the run went on from there."""
    if network.run is None or not network.of_best:
        return
    with suppress(CheckpointError):  # without the last one
        progress = read_progress(RunDirectory(network.run), network.loaded.recipe.train.epochs)
        if progress.best_step < progress.steps:
            yield (
                f"the best checkpoint, of step {progress.best_step}, is analysed; the run went on to step "
                f"{progress.steps}: name {shlex.quote(str(RunDirectory(network.run).last))} for that one"
            )


def default_layer(names: Sequence[str]) -> str | None:
    """The layer of the single-layer plots where none is asked for: the eighth, or the last; None without layers."""
    return names[min(EIGHTH, len(names) - 1)] if names else None


def draw_gammas(networks: Sequence[ExchangingNetwork], layer: str, folder: Path) -> list[Path]:
    """Write the plots of gammas, one layer's and all, and over the steps where there is a history."""
    drawn = [network.as_drawn() for network in networks]
    written = [
        gamma_plots.gamma_proportions(drawn, layer, folder / "gamma-proportions.png"),
        gamma_plots.all_proportions(drawn, folder / "gamma-proportions-all.png"),
    ]
    if any(network.history for network in networks):
        written.append(gamma_plots.gamma_trajectories(drawn, layer, folder / "gamma-trajectories.png"))
    return written


def draw_replaced(network: ExchangingNetwork, folder: Path, *, steps_per_epoch: int | None = None) -> Path:
    """Write the replaced share of every layer over the recorded steps, or epochs, of an `exchange_history`."""
    history = network.exchange_history
    assert history is not None
    return plots.replaced_over_steps(
        history.steps,
        replaced_shares(history, network.states),
        layers=[state.name for state in network.states],
        modalities=network.modalities,
        out=folder / ("replaced-over-steps.png" if steps_per_epoch is None else "replaced-over-epochs.png"),
        steps_per_epoch=steps_per_epoch,
    )
