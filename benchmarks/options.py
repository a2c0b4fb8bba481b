"""What options of a training cost: a step of a recipe with each of them beside a step without, in turn.

    python -m benchmarks.options rooms train.ema=0.999 loss.dice=1.0 --rounds 7

Each change is made alone, on top of --set. Steps are of one batch that is at hand. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
from functools import partial

import torch

from benchmarks.timing import Work, measure
from cen_cli import builders
from cen_cli.recipe import load_recipe


def main() -> None:
    """Measure, print."""
    options = parse()
    torch.set_num_threads(options.threads)
    plain = step(options, [])
    rows = [measure(change, step(options, [change]), plain, options) for change in options.changes]
    print(f"{'change':34} {'time of a step':>15} {'range':>13}")
    for row in rows:
        print(f"{row.name:34} {row.ratio:15.2f} {f'{row.lowest:.2f}-{row.highest:.2f}':>13}")
    print(json.dumps({"options": vars(options), "rows": [vars(row) for row in rows]}))


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("changes", nargs="+", metavar="KEY=VALUE")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="for all of them")
    parser.add_argument("--data-root")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


def step(options: argparse.Namespace, changes: list[str]) -> Work:
    """One training step of the recipe with these changes."""
    recipe = load_recipe(options.recipe, [*options.set, *changes], options.data_root)
    job = builders.training_job(recipe, device_name=options.device)
    return partial(job.task.step, next(job.batches(workers=0)).to(job.task.device), step=0)


if __name__ == "__main__":
    main()
