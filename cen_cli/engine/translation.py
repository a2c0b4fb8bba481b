"""The translation task: a GAN with a pixel loss, one optimiser step of each network at a time (P Eq. 4, S Section 2).

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
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cen_cli import ranks
from cen_cli.data.sample import Batch
from cen_cli.engine.task import NetworkTask
from cen_cli.models.device import autocast
from cen_cli.models.streams import ModalOutput, stack_modalities

GENERATOR, DISCRIMINATOR = "generator", "discriminator"


def pixel_loss(image: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Mean absolute difference over valid pixels: image and target [..., B, C, H, W], valid bool [B, 1, H, W]."""
    difference = (image.float() - target).abs() * valid
    counted = ranks.per_rank(valid.expand_as(difference).sum())
    return difference.sum() / counted.clamp_min(1)


def adversarial_loss(logits: Tensor, label: float) -> Tensor:
    """Binary cross entropy of the discriminator's patch logits with one label for all."""
    logits = logits.float()
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


@dataclass(kw_only=True, eq=False)
class TranslationTask(NetworkTask):
    """One step of discriminator and generator, and one validation.

    `optimizers` and `rates`: the generator's under `GENERATOR`; the discriminator's, where there is one, under
    `DISCRIMINATOR`.
    """

    discriminator: nn.Module | None
    pixel_weight: float
    adversarial_weight: float
    reuse_forward: bool

    @cached_property
    def _discriminate(self) -> Callable[..., Tensor]:
        """The discriminator as it is trained; as `_forward`."""
        assert self.discriminator is not None
        return ranks.replicated(self.discriminator)

    @property
    def auxiliaries(self) -> Mapping[str, nn.Module]:
        """The discriminator, where there is one."""
        return {} if self.discriminator is None else {DISCRIMINATOR: self.discriminator}

    def step(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Make optimiser step number `step` (0-based) of both networks.

        Returns the loss terms, detached and still on the device; `total` is what the generator minimised.
        """
        self.model.train()
        moved = batch.to(self.device)
        output = self.output(moved) if self.reuse_forward else None
        terms: dict[str, Tensor] = {}
        if self.discriminator is not None:
            terms[DISCRIMINATOR] = self._step_discriminator(self.discriminator, moved, output, step)
        terms |= self.losses(moved, output)
        self.update(GENERATOR, self.model, [terms["total"]], step, clip_norm=self.clip_norm)
        return {name: term.detach() for name, term in terms.items()}

    def losses(self, batch: Batch, output: ModalOutput | None = None) -> dict[str, Tensor]:
        """The generator's loss terms on a batch that is on the device; `total` is their sum.

        `output`: what it has made of the batch, where that is known.
        """
        output = output or self.output(batch)
        terms = {
            name: self.pixel_weight * pixel_loss(image, batch.target, batch.target_valid)
            for name, image in output.named(self.model.branches).items()
        }
        if self.discriminator is not None:
            condition, _, fake = self._shown(batch, output.branches)
            with _frozen(self.discriminator), autocast(self.device, self.precision):
                logits = self.discriminator(condition, fake)
            terms["adversarial"] = self.adversarial_weight * len(output.branches) * adversarial_loss(logits, 1.0)
        return self.with_total(terms)

    def discriminator_loss(self, discriminator: Callable[..., Tensor], batch: Batch, output: ModalOutput) -> Tensor:
        """What the discriminator minimises; no gradient reaches the generator."""
        condition, real, fake = self._shown(batch, output.branches.detach())
        with autocast(self.device, self.precision):
            on_real, on_fake = discriminator(condition, real), discriminator(condition, fake)
        halves = adversarial_loss(on_real, 1.0) + adversarial_loss(on_fake, 0.0)
        return len(output.branches) * halves / 2

    def _step_discriminator(
        self, discriminator: nn.Module, batch: Batch, output: ModalOutput | None, step: int
    ) -> Tensor:
        discriminator.train()
        if output is None:
            with torch.no_grad():
                output = self.output(batch)
        loss = self.discriminator_loss(self._discriminate, batch, output)
        self.update(DISCRIMINATOR, discriminator, [loss], step, clip_norm=None)
        return loss

    def _shown(self, batch: Batch, branches: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the discriminator sees: condition, real and generated image of every branch, [branches*B, ..., H, W]."""
        modalities = self.model.modalities
        if len(branches) == len(modalities):
            condition = stack_modalities(batch.inputs, modalities)
        else:  # one branch that was made from all inputs
            condition = torch.cat([batch.inputs[name] for name in modalities], dim=1)
        real = batch.target.expand_as(branches)
        fake = torch.where(batch.target_valid, branches.float(), real)
        return condition, real.flatten(0, 1), fake.flatten(0, 1)


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """No gradients for the network's own weights inside; they still flow through it."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)
