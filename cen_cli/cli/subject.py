"""A trained network as the commands about gammas and exchange look at it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cen_cli.analysis.gammas import GammaHistory
    from cen_cli.analysis.layers import LayerState
    from cen_cli.builders import Network
    from cen_cli.reporting.gamma_plots import NetworkGammas

EIGHTH = 7
"""Index of the layer that the paper's Figure 5 shows: the eighth 3x3 convolution."""


@dataclasses.dataclass(frozen=True)
class Subject:
    """A trained network, and the history of its gammas where there is one."""

    given: str
    file: Path
    run: Path | None
    model: Network
    states: tuple[LayerState, ...]
    history: GammaHistory | None

    @property
    def label(self) -> str:
        """The last parts of its run's path, or of its own, for plots."""
        return "/".join((self.run or Path(self.given)).parts[-2:])

    @property
    def exchanges(self) -> bool:
        """Whether any of its channels may be replaced."""
        return any(state.replaceable.any() for state in self.states)

    def folder(self) -> Path:
        """Where its plots go by default."""
        if self.run is not None:
            return self.run / "plots"
        given = Path(self.given).resolve()
        return given.with_name(f"{given.stem if given.is_file() else given.name}-plots")

    def as_drawn(self) -> NetworkGammas:
        """As the plots take it."""
        from cen_cli.reporting.gamma_plots import NetworkGammas

        return NetworkGammas(
            label=self.label,
            modalities=self.model.modalities,
            gammas={state.name: state.gammas for state in self.states},
            pressed={state.name: state.pressed for state in self.states},
            threshold=self.states[0].threshold,
            steps=self.history.steps if self.history else None,
            history=self.history.layers if self.history else None,
        )


def load_subject(checkpoint: str, device: str) -> Subject:
    """The network of a run or checkpoint. Raises UsageError or CheckpointError."""
    from cen_cli import builders
    from cen_cli.analysis.gammas import history_of_run
    from cen_cli.analysis.layers import layer_states
    from cen_cli.runs.directory import locate

    located = locate(checkpoint)
    model = builders.load(checkpoint, device)
    builders.check_trainable(model, checkpoint, "it has no gammas to look into, and its exchange is a fixed index")
    states = layer_states(model)
    return Subject(checkpoint, located.model_file, located.run, model, states, history_of_run(located.run, states))


def default_layer(names: Sequence[str]) -> str | None:
    """The layer of the single-layer plots where none is asked for: the eighth, or the last; None without layers."""
    return names[min(EIGHTH, len(names) - 1)] if names else None


def draw_replaced(subject: Subject, folder: Path, *, steps_per_epoch: int | None = None) -> Path:
    """Write the replaced share of every layer over the recorded steps, or epochs; the subject has a history."""
    from cen_cli.analysis.exchange import replaced_shares
    from cen_cli.reporting import plots

    assert subject.history is not None
    return plots.replaced_over_steps(
        subject.history.steps,
        replaced_shares(subject.history, subject.states),
        layers=[state.name for state in subject.states],
        modalities=subject.model.modalities,
        title="Replaced channels over training",
        out=folder / ("replaced-over-steps.png" if steps_per_epoch is None else "replaced-over-epochs.png"),
        steps_per_epoch=steps_per_epoch,
    )
