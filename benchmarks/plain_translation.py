"""A plain implementation of translation, network and training step: what one writes first from the paper.

The network is written as in `plain`: a list of M tensors, one convolution call per modality, boolean-mask exchange. The
step is the usual GAN loop: the discriminator's loss is backpropagated through the generator too, and the generator's
collects gradients in the discriminator, both thrown away; the generator runs once for each of the two updates.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.plain import PlainNorm, Streams, each, plain_penalty
from cen_cli.models.heads.patch_discriminator import PatchDiscriminator
from cen_cli.models.translator import Translator


class PlainLayer(nn.Module):
    """A convolution, shared, and the norms of the modalities, if any."""

    def __init__(self, source: nn.Module) -> None:
        super().__init__()
        self.conv = source.conv
        self.norm = nn.Identity() if isinstance(source.norm, nn.Identity) else PlainNorm(source.norm)

    def forward(self, x: Streams) -> Streams:
        """M x [B, C, H, W] -> M x [B, C', H / 2 or 2 H, ...]."""
        return self.norm(each(self.conv, x))


class PlainTranslator(nn.Module):
    """The network of `Translator`, with its convolutions, on a list of streams; for training mode."""

    def __init__(self, source: Translator, dropout: float) -> None:
        super().__init__()
        self.down = nn.ModuleList(PlainLayer(stage[-1]) for stage in source.encoder.stages())
        self.up = nn.ModuleList(PlainLayer(layer) for layer in source.decoder.children())
        self.dropout = dropout
        self.alpha = source.ensemble.alpha

    def forward(self, x: Streams) -> tuple[Streams, Tensor]:
        """M x [B, 3, H, W] -> images of the branches, M x [B, 3, H, W], and of the ensemble."""
        skips = []
        for place, layer in enumerate(self.down):
            x = layer([F.leaky_relu(stream, 0.2) for stream in x] if place else x)
            skips.append(x)
        for place, layer in enumerate(self.up):
            if place:
                skip = skips[-1 - place]
                x = [torch.cat([stream, skip[m]], 1) for m, stream in enumerate(x)]
            x = layer([F.relu(stream) for stream in x])
            if place < 3 and place < len(self.up) - 1:
                x = [F.dropout(stream, self.dropout, self.training) for stream in x]
        branches = [torch.tanh(stream) for stream in x]
        weights = self.alpha.softmax(0)
        return branches, sum(weights[m] * branch.detach() for m, branch in enumerate(branches))


def plain_translator_from(model: Translator, dropout: float) -> PlainTranslator:
    """The plain network with a copy of `model`'s parameters, NCHW, on its device and in its dtype, training."""
    plain = PlainTranslator(copy.deepcopy(model), dropout).to(model.ensemble.alpha)
    return plain.to(memory_format=torch.contiguous_format).train()


def plain_step(
    generator: PlainTranslator,
    discriminator: PatchDiscriminator,
    optimizers: tuple[torch.optim.Optimizer, torch.optim.Optimizer],
    images: Streams,
    target: Tensor,
    *,
    pixel_weight: float,
    sparsity: float,
) -> Tensor:
    """One iteration, discriminator first; `optimizers` are the generator's and the discriminator's.

    `images`: M x [B, 3, H, W]; `target` [B, 3, H, W]. Returns the generator's loss.
    """
    for_generator, for_discriminator = optimizers
    fakes, _ = generator(images)
    loss = sum(
        (judged(discriminator(image, target), 1.0) + judged(discriminator(image, fake), 0.0)) / 2
        for image, fake in zip(images, fakes, strict=True)
    )
    for_discriminator.zero_grad()
    loss.backward()
    for_discriminator.step()

    fakes, ensemble = generator(images)
    loss = pixel_weight * F.l1_loss(ensemble, target) + sparsity * plain_penalty(generator)
    for image, fake in zip(images, fakes, strict=True):
        loss = loss + judged(discriminator(image, fake), 1.0) + pixel_weight * F.l1_loss(fake, target)
    for_generator.zero_grad()
    loss.backward()
    for_generator.step()
    return loss.detach()


def judged(logits: Tensor, label: float) -> Tensor:
    """Binary cross entropy of the discriminator's logits."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))
