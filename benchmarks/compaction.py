"""A network beside its compact form: equality, costs and, per part, time.

    python -m benchmarks.compaction --replaced 0.1 0.3 0.5 --size 256 --rounds 7
    python -m benchmarks.compaction --checkpoints runs/rooms-261123-101500 --size 96

RefineNet on a ResNet (--backbone) in which a share of the pressed gammas, drawn at random, is 0; or trained networks
(--checkpoints). First outputs are compared, in float32: the program ends with exit code 1 where they differ. Then the
network before and its compact form run in turn within each round; a row shows the median over rounds of (before /
after) of the same round, and, for RefineNet, the same for the plain implementation of benchmarks/plain.py. With
--channels-last ours are, before and after. --rounds 0 leaves out the times. The last line is JSON.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks import segmentation
from benchmarks.plain import plain_from
from benchmarks.timing import Row, measure, show
from cen_cli import builders
from cen_cli.analysis.compaction import NETWORK, compaction_report, compare, part_forwards
from cen_cli.analysis.equality import random_batches
from cen_cli.models.compact import compact_tensors, compacted
from cen_cli.models.network import PARTS, StreamNetwork
from cen_cli.models.norms import set_norm_statistics
from cen_cli.models.segmenter import Segmenter
from cen_cli.results import Compaction


def main() -> int:
    """Check, count, measure, print."""
    options = parse()
    torch.set_num_threads(options.threads)
    rows: list[Row] = []
    for name, network in networks(options):
        torch.manual_seed(0)
        compact = compacted(network)
        print(name)
        report(costs(network, compact, options))
        if options.rounds:
            rows += times(name, network, compact, options)
    if rows:
        show(rows, options)
    return 0


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="resnet101", help="resnet18, 34, 50, 101 or 152")
    parser.add_argument("--replaced", type=float, nargs="+", default=[0.1, 0.3, 0.5], help="shares of the pressed part")
    parser.add_argument("--checkpoints", nargs="*", default=[], help="trained networks in place of RefineNet")
    parser.add_argument("--size", type=int, default=256, help="height and width of the images")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--channels-last", action="store_true", help="our networks' memory format")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def networks(options: argparse.Namespace) -> Iterator[tuple[str, StreamNetwork]]:
    """What is compacted, by name."""
    for path in options.checkpoints:
        loaded = builders.load(path)
        set_norm_statistics(loaded.network, loaded.recipe.eval.norm_statistics)
        yield Path(path).name, loaded.network
    if options.checkpoints:
        return
    for share in options.replaced:
        torch.manual_seed(0)
        drawn = argparse.Namespace(backbone=options.backbone, replaced=share, device="cpu")
        yield f"{share:.0%} replaced", segmentation.network(drawn).to(memory_format=torch.contiguous_format).eval()


def costs(network: StreamNetwork, compact: StreamNetwork, options: argparse.Namespace) -> Compaction:
    """Equality and everything that needs no clock. Raises MismatchError where outputs differ."""
    size = (options.size, options.size)
    batches = random_batches(network.modalities, size, getattr(network, "size_multiple", 1))
    compared = compare(network, compact, batches)
    stored = (network.state_dict(), compact_tensors(network))
    return compaction_report(network, compact, stored, compared, size=size, device=torch.device("cpu"), rounds=0)


def report(found: Compaction) -> None:
    """Costs of every part before and after."""
    worst = max(item.difference for item in found.compared)
    print(f"  largest difference of outputs: {worst:.1e}; channels of {found.channels}: replaced {found.replaced}")
    for part in found.parts:
        before, after = part.macs
        less = f" ({1 - after / before:.1%} less)" if before else ""
        mega = [f"{value / 2**20:.2f}" for value in part.memory]
        print(
            f"  {part.part:9} MACs {before:,} -> {after:,}{less}; numbers in the file {part.parameters[0]:,} -> "
            f"{part.parameters[1]:,}; MiB while running {mega[0]} -> {mega[1]}"
        )


def times(name: str, network: StreamNetwork, compact: StreamNetwork, options: argparse.Namespace) -> list[Row]:
    """Before / after for every part; plain / after for the whole of a segmentation network."""
    device = torch.device(options.device)
    layout = torch.channels_last if options.channels_last else torch.contiguous_format
    stack = torch.randn(len(network.modalities), 3, options.size, options.size, device=device)
    plain = plain_from(network).to(device).eval() if _is_refinenet(network, options) else None
    stack = stack.contiguous(memory_format=layout)
    before, after = (part_forwards(net.to(device).to(memory_format=layout), stack) for net in (network, compact))
    rows = [measure(f"{name}, {part}", before[part], after[part], options) for part in (*PARTS, NETWORK)]
    if plain is None:
        return rows
    streams = list(stack.split(1))

    def plain_forward() -> None:
        with torch.inference_mode():
            plain(streams)

    return [*rows, measure(f"{name}, {NETWORK}, plain", plain_forward, after[NETWORK], options)]


def _is_refinenet(network: StreamNetwork, options: argparse.Namespace) -> bool:
    return isinstance(network, Segmenter) and not options.checkpoints


if __name__ == "__main__":
    sys.exit(main())
