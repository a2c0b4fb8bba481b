"""Translation side by side with the plain implementation: one GAN training iteration.

    python -m benchmarks.translation --levels 8 --size 256 --batch 1 --rounds 7 --precision fp32

Both variants run in turn within each round; a row shows the median over rounds of (plain / ours) of the same round, so
that other load on the machine touches both. Plain is always float32 and NCHW, with torch's default Adam; ours is in
--precision, with fused Adam. One iteration of narrow networks without dropout, in float64 except for the losses, is
compared first; the program ends with exit code 1 where loss or gradients differ. The last line is JSON. For a quick
look: --levels 4 --filters 8 --size 64 --rounds 2.
"""

from __future__ import annotations

import argparse
import copy
import sys

import torch
from torch import Tensor

from benchmarks.plain_translation import PlainTranslator, plain_step, plain_translator_from
from benchmarks.timing import Row, Work, measure, show, show_shares
from cen_cli.data.sample import Batch
from cen_cli.engine.optimizers import build_optimizer
from cen_cli.engine.schedules import Schedule
from cen_cli.engine.translation import DISCRIMINATOR, GENERATOR, TranslationTask
from cen_cli.models.exchange import exchange_layers
from cen_cli.models.heads.patch_discriminator import PatchDiscriminator
from cen_cli.models.sparsity import sparsity_penalty
from cen_cli.models.translator import Translator, unet_translator

MODALITIES = ("shade", "texture", "depth", "normal")
PIXEL_WEIGHT = 100.0
LAMBDA = 1e-3
RATE = 2e-4
BETAS = (0.5, 0.999)
DROPOUT = 0.5
COMPARED_FILTERS = 8
RTOL = 1e-5


def main() -> int:
    """Check, measure, print."""
    options = parse()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    error = largest_difference(options)
    print(f"largest relative difference of an iteration's loss and gradients: {error:.1e} (allowed {RTOL:.0e})")
    if not error <= RTOL:
        return 1
    works = workloads(options)
    rows: list[Row] = [measure(name, plain, ours, options) for name, plain, ours in works]
    show_shares(rows, [ours for _, _, ours in works], options)
    show(rows, options)
    return 0


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modalities", type=int, choices=[2, 3, 4], default=2)
    parser.add_argument("--levels", type=int, default=8, help="of the U-Net; 2^levels divides --size")
    parser.add_argument("--filters", type=int, default=64, help="of generator and discriminator")
    parser.add_argument("--size", type=int, default=256, help="height and width of the images")
    parser.add_argument("--batch", type=int, default=1, help="samples per iteration")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="ours; bf16 is autocast")
    parser.add_argument("--channels-last", action="store_true", help="our networks' memory format")
    parser.add_argument("--compile", action="store_true", help="compile our generator")
    parser.add_argument("--replaced", type=float, default=0.3, help="share of the pressed gammas set to 0")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args(arguments)


def our_generator(options: argparse.Namespace, filters: int, dropout: float) -> Translator:
    """A share of its pressed gammas is 0; no norm where the last map may be a single pixel, which torch's refuse."""
    names = MODALITIES[: options.modalities]
    net = unet_translator(names, levels=options.levels, filters=filters, norm_layers="inner", dropout=dropout)
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for layer in exchange_layers(net).values():
            dead = (torch.rand(layer.gamma.shape, generator=random) < options.replaced) & layer.pressed
            layer.norm.weight.masked_fill_(dead, 0.0)
    return net.train()


def our_task(
    options: argparse.Namespace, net: Translator, critic: PatchDiscriminator, *, reuse_forward: bool
) -> TranslationTask:
    """The toolkit's training step, with copies of both networks."""
    layout = torch.channels_last if options.channels_last else torch.contiguous_format
    net, critic = (copy.deepcopy(model).to(memory_format=layout) for model in (net, critic))
    groups = {GENERATOR: net.parameter_groups(), DISCRIMINATOR: {DISCRIMINATOR: list(critic.parameters())}}
    optimizers = {
        name: build_optimizer(
            parameters, kind="adam", momentum=0.0, betas=BETAS, weight_decay=dict.fromkeys(parameters, 0.0)
        )
        for name, parameters in groups.items()
    }
    return TranslationTask(
        model=net,
        discriminator=critic,
        optimizers=optimizers,
        schedule=Schedule("constant", total_steps=10**9),
        rates=dict.fromkeys([*groups[GENERATOR], DISCRIMINATOR], RATE),
        pixel_weight=PIXEL_WEIGHT,
        adversarial_weight=1.0,
        reuse_forward=reuse_forward,
        penalties={"sparsity": lambda model: LAMBDA * sparsity_penalty(model)},
        clip_norm=None,
        device=torch.device(options.device),
        precision=options.precision,
        compiled=options.compile,
        validation=None,
        scorer=None,
    )


class PlainLoop:
    """The plain training step, with copies of both networks."""

    def __init__(self, net: Translator, critic: PatchDiscriminator, dropout: float) -> None:
        self.generator: PlainTranslator = plain_translator_from(net, dropout)
        self.discriminator = copy.deepcopy(critic)
        self.optimizers = tuple(
            torch.optim.Adam(model.parameters(), lr=RATE, betas=BETAS) for model in (self.generator, self.discriminator)
        )

    def step(self, batch: Batch) -> Tensor:
        """One iteration; the generator's loss."""
        images = list(batch.inputs.values())
        weights = {"pixel_weight": PIXEL_WEIGHT, "sparsity": LAMBDA}
        return plain_step(self.generator, self.discriminator, self.optimizers, images, batch.target, **weights)


def random_batch(options: argparse.Namespace, dtype: torch.dtype) -> Batch:
    """Images and target of noise, all valid."""
    names, shape = MODALITIES[: options.modalities], (options.batch, 3, options.size, options.size)
    noise = torch.rand(len(names) + 1, *shape, dtype=dtype, device=options.device) * 2 - 1
    valid = torch.ones(options.batch, 1, options.size, options.size, dtype=torch.bool, device=options.device)
    inputs = dict(zip(names, noise[1:], strict=True))
    return Batch([], inputs, dict.fromkeys(names, valid), noise[0], valid, [])


def largest_difference(options: argparse.Namespace) -> float:
    """Largest |plain - ours| of the generator's loss and of each of its gradients, relative to plain's largest.

    In both ways of ours, which are the same mathematics where there is no dropout.
    """
    exact = argparse.Namespace(**{**vars(options), "precision": "fp32", "compile": False})
    net = our_generator(exact, COMPARED_FILTERS, 0.0).to(options.device, torch.float64)
    critic = PatchDiscriminator(COMPARED_FILTERS).to(options.device, torch.float64)
    batch = random_batch(exact, torch.float64)
    plain = PlainLoop(net, critic, 0.0)
    loss = plain.step(batch)
    errors = []
    for reuse_forward in (False, True):
        task = our_task(exact, net, critic, reuse_forward=reuse_forward)
        errors.append(relative(loss, task.step(batch, 0)["total"]))
        for first, second in zip(plain_gradients(plain.generator), our_gradients(task.model), strict=True):
            errors.append(relative(first, second))
    return max(errors)


def plain_gradients(net: PlainTranslator) -> list[Tensor]:
    """Of the convolutions, in network order, and of the ensemble's weights."""
    return [*(layer.conv.weight.grad for layer in [*net.down, *net.up]), net.alpha.grad]


def our_gradients(net: Translator) -> list[Tensor]:
    """The same of ours."""
    layers = [*(stage[-1] for stage in net.encoder.stages()), *net.decoder.children()]
    return [*(layer.conv.weight.grad for layer in layers), net.ensemble.alpha.grad]


def relative(plain: Tensor, ours: Tensor) -> float:
    """Largest difference relative to the largest value."""
    return float((plain - ours).abs().max() / plain.abs().max())


def workloads(options: argparse.Namespace) -> list[tuple[str, Work, Work]]:
    """One iteration in each of our two ways, beside the plain one."""
    net = our_generator(options, options.filters, DROPOUT).to(options.device)
    critic = PatchDiscriminator(options.filters).to(options.device)
    batch = random_batch(options, torch.float32)
    plain = PlainLoop(net, critic, DROPOUT)
    twice = our_task(options, net, critic, reuse_forward=False)
    once = our_task(options, net, critic, reuse_forward=True)
    return [
        ("iteration", lambda: plain.step(batch), lambda: twice.step(batch, 0)),
        ("iteration, one generator forward", lambda: plain.step(batch), lambda: once.step(batch, 0)),
    ]


if __name__ == "__main__":
    sys.exit(main())
