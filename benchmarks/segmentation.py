"""Segmentation side by side with the plain implementation: exchange alone, network forward, training step.

    python -m benchmarks.segmentation --backbone resnet101 --size 256 --batch 1 --rounds 7 --precision fp32

Both variants run in turn within each round; a row shows the median over rounds of (plain / ours) of the same round, so
that other load on the machine touches both. Plain is always float32 and NCHW; ours is channels_last, in --precision.
Outputs are compared first, in float32; the program ends with exit code 1 where they differ. The last line is JSON.
"""

from __future__ import annotations

import argparse
import copy
import sys
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.plain import PlainSegmenter, exchange, plain_from
from benchmarks.timing import Row, Work, measure, show, show_shares
from cen_cli.analysis.export import graph_session, onnx_file, run_graph
from cen_cli.models.exchange import exchange_channels, exchange_layers
from cen_cli.models.segmenter import Segmenter, refinenet_segmenter
from cen_cli.models.settings import StreamSettings
from cen_cli.models.sparsity import sparsity_penalty
from cen_cli.scoring.segmentation import round_weights

MODALITIES = ("rgb", "depth")
CLASSES = 40
LAMBDA = 2e-4
THRESHOLD = 2e-2
RTOL = 1e-4


def main() -> int:
    """Check, measure, print."""
    options = parse()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    ours = network(options)
    plain = plain_from(ours)
    error = largest_difference(plain, ours, images(options))
    print(f"largest relative difference of eval outputs and penalty, float32: {error:.1e} (allowed {RTOL:.0e})")
    if error > RTOL:
        return 1
    workloads = exchange_workloads(options) + network_workloads(plain, ours, options)
    rows: list[Row] = [measure(name, first, second, options) for name, first, second in workloads]
    show_shares(rows, [ours for _, _, ours in workloads], options)
    show(rows, options)
    return 0


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="resnet101", help="resnet18, 34, 50, 101 or 152")
    parser.add_argument("--size", type=int, default=256, help="height and width of the images")
    parser.add_argument("--batch", type=int, default=1, help="samples per step")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="ours; bf16 is autocast")
    parser.add_argument("--replaced", type=float, default=0.3, help="share of the pressed gammas set to 0")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="compile our evaluation, with frozen weights")
    parser.add_argument("--onnx", action="store_true", help="also evaluate by ONNX Runtime, on a CPU in fp32")
    parser.add_argument("--convolutions", action="store_true", help="also a step's convolutions alone: its lower bound")
    return parser.parse_args()


def network(options: argparse.Namespace) -> Segmenter:
    """Our network, channels_last, with a share of its pressed gammas at 0."""
    net = refinenet_segmenter(MODALITIES, CLASSES, backbone=options.backbone, streams=StreamSettings(THRESHOLD))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for layer in exchange_layers(net).values():
            dead = (torch.rand(layer.gamma.shape, generator=generator) < options.replaced) & layer.pressed
            layer.norm.weight.masked_fill_(dead, 0.0)
    return net.to(options.device).to(memory_format=torch.channels_last)


def images(options: argparse.Namespace) -> list[Tensor]:
    """One NCHW batch per modality."""
    shape = (options.batch, 3, options.size, options.size)
    return [torch.randn(shape, device=options.device) for _ in MODALITIES]


def largest_difference(plain: PlainSegmenter, ours: Segmenter, x: list[Tensor]) -> float:
    """Largest |plain - ours| over branches, ensemble and penalty, each relative to plain's largest value."""
    with torch.inference_mode():
        branches, ensemble = plain.eval()(x)
        out = ours.eval()(torch.cat(x).contiguous(memory_format=torch.channels_last))
        pairs = [*zip(branches, out.branches, strict=True), (ensemble, out.ensemble)]
        pairs.append((plain.penalty(), sparsity_penalty(ours)))
        return max(float((a - b).abs().max() / a.abs().max()) for a, b in pairs)


def exchange_workloads(options: argparse.Namespace) -> list[tuple[str, Work, Work]]:
    """The exchange alone, on maps of stage 1."""
    side, channels, count = options.size // 4, 64, len(MODALITIES)
    streams = [torch.randn(options.batch, channels, side, side, device=options.device) for _ in MODALITIES]
    dtype = torch.bfloat16 if options.precision == "bf16" else torch.float32
    stack = torch.cat(streams).to(dtype).contiguous(memory_format=torch.channels_last)
    replaceable = torch.ones(count, channels, dtype=torch.bool, device=options.device)
    norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in MODALITIES).to(options.device)
    with torch.no_grad():
        for norm in norms:
            norm.weight[torch.rand(channels, device=options.device) < options.replaced] = 0.0
    gamma = torch.stack([norm.weight.detach() for norm in norms])

    def plain_forward(x: list[Tensor] = streams) -> list[Tensor]:
        return exchange(x, norms, THRESHOLD, replaceable)

    def our_forward(x: Tensor = stack) -> Tensor:
        return exchange_channels(x, gamma, THRESHOLD, replaceable)[0]

    def plain_both() -> None:
        leaves = [stream.detach().requires_grad_() for stream in streams]
        torch.autograd.backward(plain_forward(leaves), streams)

    def our_both() -> None:
        our_forward(stack.detach().requires_grad_()).backward(stack)

    return [
        ("exchange, forward", without_gradient(plain_forward), without_gradient(our_forward)),
        ("exchange, forward + backward", plain_both, our_both),
    ]


def network_workloads(
    plain: PlainSegmenter, ours: Segmenter, options: argparse.Namespace
) -> list[tuple[str, Work, Work]]:
    """Evaluation forward and training step."""
    x = images(options)
    stack = torch.cat(x).contiguous(memory_format=torch.channels_last)
    side = -(-options.size // 4)
    target = torch.randint(CLASSES, (options.batch, side, side), device=options.device)
    plain_sgd = torch.optim.SGD(plain.parameters(), lr=1e-6, momentum=0.9)
    our_sgd = torch.optim.SGD(ours.parameters(), lr=1e-6, momentum=0.9, fused=True)
    evaluated: nn.Module = copy.deepcopy(ours).eval()
    round_weights(evaluated, options.precision)
    if options.compile:
        evaluated = torch.compile(evaluated, options={"freezing": True})

    def plain_eval() -> None:
        with torch.inference_mode():
            plain.eval()(x)

    def our_eval() -> None:
        with torch.inference_mode(), autocast(options):
            evaluated(stack)

    def plain_step() -> None:
        branches, ensemble = plain.train()(x)
        losses = [F.cross_entropy(logits, target) for logits in [*branches, ensemble]]
        update(sum(losses) + LAMBDA * plain.penalty(), plain_sgd)

    def our_step() -> None:
        ours.train()
        with autocast(options):
            out = ours(stack)
            losses = [F.cross_entropy(logits, target) for logits in [*out.branches, out.ensemble]]
        update(sum(losses) + LAMBDA * sparsity_penalty(ours), our_sgd)

    rows: list[tuple[str, Work, Work]] = [("network, evaluation forward", plain_eval, our_eval)]
    if options.onnx:
        rows.append(("network, evaluation, ONNX Runtime", plain_eval, by_onnx(ours, stack)))
    rows.append(("network, training step", plain_step, our_step))
    if options.convolutions:
        rows.append(("a step's convolutions alone", plain_step, convolutions(ours, stack, options)))
    return rows


def convolutions(ours: Segmenter, stack: Tensor, options: argparse.Namespace) -> Work:
    """Every convolution of a step, forward and backward, and nothing else: no rounding, norm, loss or update."""
    network = copy.deepcopy(ours).train()
    calls: list[tuple[nn.Module, Tensor]] = []
    convs = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    hooks = [conv.register_forward_pre_hook(lambda conv, x: calls.append((conv, x[0].detach()))) for conv in convs]
    with torch.no_grad(), autocast(options):
        network(stack)
    for hook in hooks:
        hook.remove()
    round_weights(network, options.precision)
    calls = [(conv, x.to(conv.weight.dtype).requires_grad_(x.shape[1] > 3)) for conv, x in calls]

    def work() -> None:
        for conv, x in calls:
            y = conv(x)
            y.backward(y.detach())
            x.grad = conv.weight.grad = None

    return work


def by_onnx(ours: Segmenter, stack: Tensor) -> Work:
    """A forward by ONNX Runtime of the network as it is."""
    session = graph_session(onnx_file(ours, {}, (stack.shape[-2], stack.shape[-1])))
    inputs = dict(zip(MODALITIES, stack.contiguous().chunk(len(MODALITIES)), strict=True))
    return lambda: run_graph(session, ours, inputs)


def without_gradient(work: Work) -> Work:
    """The same work, recording no gradients."""

    def run() -> None:
        with torch.no_grad():
            work()

    return run


def update(loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
    """Backward and one optimiser step."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def autocast(options: argparse.Namespace) -> AbstractContextManager[object]:
    """bfloat16 autocast, or nothing."""
    if options.precision == "fp32":
        return nullcontext()
    return torch.autocast(torch.device(options.device).type, dtype=torch.bfloat16)


if __name__ == "__main__":
    sys.exit(main())
