"""The translation task: a GAN with a pixel loss, one optimiser step of each network at a time (P Eq. 4, METHOD of S 2).

    discriminator   sum_m 1/2 [BCE(D(x_m, y), 1) + BCE(D(x_m, f_m), 0)]
    generator       sum_m { w_a BCE(D(x_m, f_m), 1)  +  w_p |f_m - y| }
                    + w_p |sum_m alpha_m stopgrad(f_m) - y|  +  lambda * sum |gamma over the pressed parts|

The discriminator D goes first and sees each stream's own input beside its image (a baseline's one image beside all
inputs); the ensemble is never shown to it and trains alpha alone. The last term is the exchange's penalty; a baseline
has its own or none. |.| is the mean over valid pixels; where the truth is not valid, D is shown the truth's filling
instead of the generator's.

The mathematics is that of the plain loop without the gradients that it throws away: the fakes are detached in D's
update, and D is frozen in the generator's. `reuse_forward` goes one step further and is not the plain loop: both
updates share one forward of the generator, hence one dropout mask and one update of the running statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cen_cli.data.sample import Batch
from cen_cli.data.views import ViewDataset
from cen_cli.engine.device import Precision, autocast
from cen_cli.engine.evaluate import AfterBatch, Scorer
from cen_cli.engine.losses import Penalty
from cen_cli.engine.optimizers import set_rates
from cen_cli.engine.schedules import Rate, Schedule
from cen_cli.models.streams import ModalOutput, stack_modalities
from cen_cli.results import Evaluation

GENERATOR, DISCRIMINATOR = "generator", "discriminator"


def pixel_loss(image: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Mean absolute difference over valid pixels: image and target [..., B, C, H, W], valid bool [B, 1, H, W]."""
    difference = (image.float() - target).abs() * valid
    counted = valid.expand_as(difference).sum()
    return difference.sum() / counted.clamp_min(1)


def adversarial_loss(logits: Tensor, label: float) -> Tensor:
    """Binary cross entropy of the discriminator's patch logits with one label for all."""
    logits = logits.float()
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


class TranslationTask:
    """One step of discriminator and generator, and one validation, with everything they need at hand.

    `optimizers` and `rates`: the generator's under `GENERATOR`; the discriminator's, where there is one, under
    `DISCRIMINATOR`.
    """

    def __init__(
        self,
        model: nn.Module,
        discriminator: nn.Module | None,
        optimizers: Mapping[str, torch.optim.Optimizer],
        *,
        schedule: Schedule,
        rates: Mapping[str, Rate],
        pixel_weight: float,
        adversarial_weight: float,
        reuse_forward: bool,
        penalties: Mapping[str, Penalty],
        clip_norm: float | None,
        device: torch.device,
        precision: Precision,
        compiled: bool,
        validation: ViewDataset,
        scorer: Scorer,
    ) -> None:
        self.model = model
        self.discriminator = discriminator
        self.auxiliaries = {} if discriminator is None else {DISCRIMINATOR: discriminator}
        self.optimizers = dict(optimizers)
        self.schedule = schedule
        self.rates = rates
        self.pixel_weight = pixel_weight
        self.adversarial_weight = adversarial_weight
        self.reuse_forward = reuse_forward
        self.penalties = penalties
        self.clip_norm = clip_norm
        self.device = device
        self.precision = precision
        self.validation = validation
        self.scorer = scorer
        self._forward: Callable[[Any], ModalOutput] = torch.compile(model) if compiled else model

    def step(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Make optimiser step number `step` (0-based) of both networks.

        Returns the loss terms, detached and still on the device; `total` is what the generator minimised.
        """
        self.model.train()
        moved = batch.to(self.device)
        output = self._generate(moved) if self.reuse_forward else None
        terms: dict[str, Tensor] = {}
        if self.discriminator is not None:
            terms[DISCRIMINATOR] = self._step_discriminator(self.discriminator, moved, output, step)
        terms |= self._step_generator(moved, output, step)
        return {name: term.detach() for name, term in terms.items()}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The generator's loss terms on a batch that is on the device; `total` is their sum."""
        return self._generator_losses(batch, self._generate(batch))

    def learning_rates(self, step: int) -> dict[str, float]:
        """Learning rate of every parameter group in optimiser step `step`."""
        return {name: self.schedule.rate(base, step) for name, base in self.rates.items()}

    def validate(self, after_batch: AfterBatch | None = None, limit: int | None = None) -> Evaluation:
        """Score the generator on the validation split, or on its first `limit` batches."""
        return self.scorer(self.model, self.validation, split="val", limit=limit, after_batch=after_batch)

    def discriminator_loss(self, discriminator: nn.Module, batch: Batch, output: ModalOutput) -> Tensor:
        """What the discriminator minimises; no gradient reaches the generator."""
        condition, real, fake = self._shown(batch, output.branches.detach())
        with autocast(self.device, self.precision):
            on_real, on_fake = discriminator(condition, real), discriminator(condition, fake)
        halves = adversarial_loss(on_real, 1.0) + adversarial_loss(on_fake, 0.0)
        return len(output.branches) * halves / 2

    def _generate(self, batch: Batch) -> ModalOutput:
        with autocast(self.device, self.precision):
            return self._forward(batch.inputs)

    def _step_discriminator(
        self, discriminator: nn.Module, batch: Batch, output: ModalOutput | None, step: int
    ) -> Tensor:
        discriminator.train()
        if output is None:
            with torch.no_grad():
                output = self._generate(batch)
        loss = self.discriminator_loss(discriminator, batch, output)
        self._update(self.optimizers[DISCRIMINATOR], discriminator, loss, step, clip_norm=None)
        return loss

    def _step_generator(self, batch: Batch, output: ModalOutput | None, step: int) -> dict[str, Tensor]:
        terms = self._generator_losses(batch, output or self._generate(batch))
        self._update(self.optimizers[GENERATOR], self.model, terms["total"], step, clip_norm=self.clip_norm)
        return terms

    def _generator_losses(self, batch: Batch, output: ModalOutput) -> dict[str, Tensor]:
        branches: tuple[str, ...] = self.model.branches  # type: ignore[assignment]  # nn.Module attribute
        terms = {
            name: self.pixel_weight * pixel_loss(image, batch.target, batch.target_valid)
            for name, image in output.named(branches).items()
        }
        if self.discriminator is not None:
            condition, _, fake = self._shown(batch, output.branches)
            with _frozen(self.discriminator), autocast(self.device, self.precision):
                logits = self.discriminator(condition, fake)
            terms["adversarial"] = self.adversarial_weight * len(branches) * adversarial_loss(logits, 1.0)
        terms |= {name: penalty(self.model) for name, penalty in self.penalties.items()}
        return {**terms, "total": torch.stack(list(terms.values())).sum()}

    def _shown(self, batch: Batch, branches: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the discriminator sees: condition, real and generated image of every branch, [branches*B, ..., H, W]."""
        modalities: tuple[str, ...] = self.model.modalities  # type: ignore[assignment]  # nn.Module attribute
        if len(branches) == len(modalities):
            condition = stack_modalities(batch.inputs, modalities)
        else:  # one branch that was made from all inputs
            condition = torch.cat([batch.inputs[name] for name in modalities], dim=1)
        real = batch.target.expand_as(branches)
        fake = torch.where(batch.target_valid, branches.float(), real)
        return condition, real.flatten(0, 1), fake.flatten(0, 1)

    def _update(
        self, optimizer: torch.optim.Optimizer, network: nn.Module, loss: Tensor, step: int, clip_norm: float | None
    ) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(network.parameters(), clip_norm)
        set_rates(optimizer, self.schedule, self.rates, step)
        optimizer.step()


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """No gradients for the network's own weights inside; they still flow through it."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)
