"""What every task has: a network, how it is trained (optimisers, rates, penalties) and how it is validated."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from cen_cli import ranks
from cen_cli.data.sample import Batch
from cen_cli.data.views import ViewDataset
from cen_cli.engine.losses import Penalty
from cen_cli.engine.optimizers import set_rates
from cen_cli.engine.schedules import Rate, Schedule
from cen_cli.errors import DivergedError
from cen_cli.models.choices import asks_for_gain, revise_choices, watch_gains
from cen_cli.models.device import Precision, autocast
from cen_cli.models.exchange import exchange_layers
from cen_cli.models.network import StreamNetwork
from cen_cli.models.sparsity import follow_gradients
from cen_cli.models.streams import ModalOutput
from cen_cli.results import Evaluation
from cen_cli.scoring.segmentation import AfterBatch, Scorer


@dataclass(kw_only=True, eq=False)
class NetworkTask(ABC):
    """One network and everything that its training steps and validations need; what a step is, the tasks say."""

    model: StreamNetwork
    optimizers: Mapping[str, torch.optim.Optimizer]
    """By the name of what each trains, the model's first."""
    schedule: Schedule
    rates: Mapping[str, Rate]
    """Base learning rates by parameter group."""
    penalties: Mapping[str, Penalty]
    clip_norm: float | None
    device: torch.device
    precision: Precision
    compiled: bool
    validation: ViewDataset
    scorer: Scorer
    sparsity: float = 0.0
    """Lambda of the penalty on the exchanging gammas."""
    accumulate: int = 1
    """Parts of a batch that are computed one after the other."""
    ema: float | None = None
    """Decay of the average of the weights over the steps; None: no average."""

    def __post_init__(self) -> None:
        self.scalers = {
            name: GradScaler(self.device.type, enabled=self.precision == "fp16") for name in self.optimizers
        }
        self.skipped = False
        """Whether the last step left a network as it was, since its gradients were not finite or it had none."""
        self.average = self.ema and AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(self.ema))
        if asks_for_gain(self.model):
            watch_gains(self.model)

    @cached_property
    def _forward(self) -> Callable[[Any], ModalOutput]:
        """The network as it is trained; made in the first step, since ranks make it together."""
        return ranks.replicated(torch.compile(self.model) if self.compiled else self.model)

    @abstractmethod
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The terms that the network's own update minimises and their sum, `total`; `batch` is on the device."""

    @abstractmethod
    def step(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Make optimiser step number `step` (0-based); returns the loss terms, detached and still on the device."""

    def pass_over(self, step: int) -> dict[str, Tensor]:
        """Count optimiser step number `step` (0-based), whose batch has no valid pixel: no loss terms, no update."""
        self.skipped = True
        revise_choices(self.model, step, self.schedule.total_steps, None)
        self._choose_alike()
        return {}

    @property
    def kept(self) -> StreamNetwork:
        """The network that is scored and saved: the average of the one that is trained, where there is one."""
        return cast("StreamNetwork", self.average.module) if self.average else self.model

    def continue_average(self, steps: int) -> None:
        """Take what was loaded into `kept` for the average over so many steps, where it is one."""
        if self.average:
            self.average.n_averaged.fill_(steps)

    def scaler_states(self) -> dict[str, dict[str, Any]]:
        """By the optimiser's name, what a resumed run needs of the loss scalers; none but in fp16."""
        return {name: scaler.state_dict() for name, scaler in self.scalers.items() if scaler.is_enabled()}

    @property
    def auxiliaries(self) -> Mapping[str, nn.Module]:
        """Networks that are trained beside the model and only for its sake, by name."""
        return {}

    def learning_rates(self, step: int) -> dict[str, float]:
        """Learning rate of every parameter group in optimiser step `step`."""
        return {name: self.schedule.rate(base, step) for name, base in self.rates.items()}

    def validate(self, after_batch: AfterBatch | None = None, limit: int | None = None) -> Evaluation:
        """Score the network on the validation split, or on its first `limit` batches."""
        return self.scorer(self.kept, self.validation, split="val", limit=limit, after_batch=after_batch)

    def output(self, batch: Batch) -> ModalOutput:
        """What the network makes of a batch that is on the device, in the precision of training."""
        watched = len(self.model._forward_pre_hooks) > 0  # a compiled network runs no hooks that came after it
        eagerly = torch.compiler.set_stance("force_eager") if watched else nullcontext()
        with autocast(self.device, self.precision), eagerly:
            return self._forward(batch.inputs)

    def with_total(self, terms: Mapping[str, Tensor], share: float = 1.0) -> dict[str, Tensor]:
        """Loss terms, this share of the penalties, and their sum as `total`."""
        all_terms = {**terms, **{name: share * penalty(self.model) for name, penalty in self.penalties.items()}}
        return {**all_terms, "total": torch.stack(list(all_terms.values())).sum()}

    def update(
        self, name: str, network: nn.Module, losses: Iterable[Tensor], step: int, *, clip_norm: float | None
    ) -> None:
        """Optimiser step number `step` (0-based) of one network, by the sum of losses, each gone before the next.

        In fp16 the losses are scaled, so that small gradients do not vanish. Where some then are not finite, the step
        is skipped: weights, their average and what follows gradients stay as they are, and the scale is halved. Raises
        DivergedError where no scale helps.
        """
        optimizer, scaler = self.optimizers[name], self.scalers[name]
        optimizer.zero_grad(set_to_none=True)
        scale = scaler.get_scale()
        for loss in losses:
            scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        scaler.update()
        self.skipped = scaler.get_scale() < scale
        if self.skipped:
            optimizer.zero_grad(set_to_none=True)
        follow_gradients(network, self.sparsity)
        revise_choices(network, step, self.schedule.total_steps, None if self.skipped else scale)
        set_rates(optimizer, self.schedule, self.rates, step)
        if self.skipped:
            if network is self.model:
                self._choose_alike()
            if scaler.get_scale() >= 1:
                return
            raise ranks.common(
                DivergedError(
                    f"{name}: gradients are not finite in fp16, however small the loss is scaled",
                    hint='train.precision = "fp32", or "bf16" where the device has it; what was saved before is '
                    "untouched",
                )
            )
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(network.parameters(), clip_norm)
        optimizer.step()
        if self.average and network is self.model:
            self.average.update_parameters(network)
            self._replace_alike()

    def _choose_alike(self) -> None:
        """After a step without an update, in which channels may be chosen anew, let the average replace the same."""
        if self.average:
            for own, kept in zip(self.model.buffers(), self.average.module.buffers(), strict=True):
                kept.copy_(own)
            self._replace_alike()

    def _replace_alike(self) -> None:
        """Let the average have the gates, and the gammas where a threshold decides by them: the same is replaced."""
        for own, kept in zip(*(exchange_layers(net).values() for net in (self.model, self.kept)), strict=True):
            if own.gate is not None and kept.gate is not None:
                kept.gate.data.copy_(own.gate)
            elif own.active and own.fixed is None:
                kept.norm.weight.data.copy_(own.norm.weight)
