"""How time and memory of a training step grow with modalities and with pixels, beside the plain implementation's.

    python -m benchmarks.growth --backbone resnet18 --size 128 --rounds 5

Every network is timed once in each round, one after the other; plain is always float32. Memory is what the forward
keeps for its backward, each storage counted once, weights apart: most of what a step holds. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.plain import plain_from
from cen_cli.models.activations import checkpoint_activations
from cen_cli.models.cost import Work, kept_bytes, seconds
from cen_cli.models.device import autocast
from cen_cli.models.segmenter import refinenet_segmenter
from cen_cli.models.settings import StreamSettings
from cen_cli.models.sparsity import sparsity_penalty

CLASSES = 40
LAMBDA = 2e-4
GROWTH = (1, 2, 4)


@dataclass
class Step:
    """A training step of both networks, and what was measured of it."""

    modalities: int
    height: int
    width: int
    ours: Work
    plain: Work
    our_bytes: int
    plain_bytes: int
    our_seconds: float = 0.0
    plain_seconds: float = 0.0


def main() -> None:
    """Measure, print."""
    options = parse()
    torch.set_num_threads(options.threads)
    side = options.size
    subjects = {(m, side, side) for m in GROWTH} | {(2, side, side), (2, side, 2 * side), (2, 2 * side, 2 * side)}
    steps = [made(options, *subject) for subject in sorted(subjects)]
    cpu = torch.device("cpu")
    times: list[list[tuple[float, float]]] = []
    for number in range(options.rounds + 1):  # the first warms up
        measured = [(seconds(step.ours, cpu), seconds(step.plain, cpu)) for step in steps]
        times += [measured] if number else []
    for step, pairs in zip(steps, zip(*times, strict=True), strict=True):
        step.our_seconds, step.plain_seconds = (statistics.median(each) for each in zip(*pairs, strict=True))
    show(steps, options)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="resnet18", help="resnet18, 34, 50, 101 or 152")
    parser.add_argument("--size", type=int, default=128, help="height and width of the smallest images")
    parser.add_argument("--batch", type=int, default=2, help="samples per step")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="ours; bf16 is autocast")
    parser.add_argument("--checkpoint-activations", action="store_true", help="ours: as train.checkpoint_activations")
    return parser.parse_args()


def made(options: argparse.Namespace, modalities: int, height: int, width: int) -> Step:
    """Both networks with the same weights, and a step of each on random images."""
    torch.manual_seed(0)
    names = [f"input{m}" for m in range(modalities)]
    ours = refinenet_segmenter(names, CLASSES, backbone=options.backbone, streams=StreamSettings(2e-2))
    plain = plain_from(ours.train())
    ours = ours.to(memory_format=torch.channels_last)
    if options.checkpoint_activations:
        checkpoint_activations(ours.encoder)
    images = [torch.randn(options.batch, 3, height, width) for _ in names]
    stack = torch.cat(images).contiguous(memory_format=torch.channels_last)
    target = torch.randint(CLASSES, (options.batch, -(-height // 4), -(-width // 4)))

    def our_loss() -> Tensor:
        with autocast(torch.device("cpu"), options.precision):
            output = ours(stack)
            return total([*output.branches, output.ensemble], target) + LAMBDA * sparsity_penalty(ours)

    def plain_loss() -> Tensor:
        branches, ensemble = plain(images)
        return total([*branches, ensemble], target) + LAMBDA * plain.penalty()

    return Step(
        modalities,
        height,
        width,
        step_of(ours, our_loss),
        step_of(plain, plain_loss),
        kept_bytes(our_loss, ours.parameters()),
        kept_bytes(plain_loss, plain.parameters()),
    )


def total(outputs: list[Tensor], target: Tensor) -> Tensor:
    """The sum of their cross entropies."""
    return torch.stack([F.cross_entropy(logits, target) for logits in outputs]).sum()


def step_of(network: nn.Module, loss: Callable[[], Tensor]) -> Work:
    """Forward, backward and update."""
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-6, momentum=0.9, fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss().backward()
        optimizer.step()

    return step


def show(steps: list[Step], options: argparse.Namespace) -> None:
    """The table, each row with its growth over one modality or over the smallest image of two, and JSON."""
    heads = f"{'inputs':>6} {'pixels':>11} {'ours ms':>9} {'growth':>6} {'MiB':>7} {'growth':>6}"
    print(f"{heads} {'plain/ours':>11} {'MiB':>6}")
    base = {(step.modalities, step.height, step.width): step for step in steps}
    side = options.size
    for step in steps:
        over = base[(1, side, side)] if (step.height, step.width) == (side, side) else base[(2, side, side)]
        print(
            f"{step.modalities:6} {f'{step.height} x {step.width}':>11} {1e3 * step.our_seconds:9.1f}"
            f" {step.our_seconds / over.our_seconds:6.2f} {step.our_bytes / 2**20:7.1f}"
            f" {step.our_bytes / over.our_bytes:6.2f} {step.plain_seconds / step.our_seconds:11.2f}"
            f" {step.plain_bytes / step.our_bytes:6.2f}"
        )
    rows = [{name: value for name, value in vars(step).items() if name not in ("ours", "plain")} for step in steps]
    print(json.dumps({"torch": torch.__version__, "options": vars(options), "rows": rows}))


if __name__ == "__main__":
    main()
