"""Frechet and kernel distance side by side with scipy's square root and torch-fidelity's KID, on random features.

    python -m benchmarks.distances --few 500 --many 2500 --kernel 500 1500 --rounds 3

Plain Frechet: numpy's covariances and scipy's `sqrtm` of their product. Plain KID: torch-fidelity's own function, 50
subsets of 1000 (of all images, where there are fewer). Both variants run in turn within each round; a row shows the
median over rounds of (plain / ours) of the same round. Values are compared first; the program ends with exit code 1
where they differ by more than scipy's own noise (1e-4 for fewer images than features, else 1e-8). The last line is
JSON. A square root of 2048 x 2048 takes scipy the better part of a minute: numbers for a quick look are --dimension 64
--few 30 --many 90 --kernel 30 90.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
import scipy.linalg
import torch
from torch_fidelity.metric_kid import kid_features_to_metric

from benchmarks.timing import Row, measure, show
from cen_cli.metrics import frechet_distance, frechet_interval, kernel_distance

SUBSETS, SUBSET_SIZE, SEED = 50, 1000, 0
Pair = tuple[np.ndarray, np.ndarray]
Work = Callable[[], float]


def main() -> int:
    """Check, measure, print."""
    options = parse()
    torch.set_num_threads(options.threads)
    rows: list[Row] = []
    for name, plain, ours, rtol in workloads(options):
        first, second = plain(), ours()
        error = abs(first - second) / abs(first)
        print(f"{name}: {first:.6g} and {second:.6g}, relative difference {error:.1e} (allowed {rtol:.0e})")
        if not error <= rtol:
            return 1
        rows.append(measure(name, plain, ours, options))
    show(rows, options)
    return 0


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dimension", type=int, default=2048, help="length of a feature")
    parser.add_argument("--few", type=int, default=500, help="images of the Frechet distance, fewer than features")
    parser.add_argument("--many", type=int, default=2500, help="images of the Frechet distance, more than features")
    parser.add_argument("--kernel", type=int, nargs="+", default=[500, 1500], help="images of the kernel distance")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="of torch; set OMP_NUM_THREADS for numpy and scipy")
    parser.set_defaults(device="cpu")
    return parser.parse_args()


def workloads(options: argparse.Namespace) -> list[tuple[str, Work, Work, float]]:
    """Name, plain, ours, and how far they may differ."""
    found: list[tuple[str, Work, Work, float]] = []
    for size in (options.few, options.many):
        pair = features(size, options.dimension)
        rtol = 1e-4 if size <= options.dimension else 1e-8
        for name, ours in (("Frechet distance", frechet), ("the same with its interval", frechet_with_interval)):
            found.append((f"{name}, N = {size}", partial(plain_frechet, *pair), partial(ours, *pair), rtol))
    for size in options.kernel:
        pair = features(size, options.dimension)
        found.append((f"KID, N = {size}", partial(plain_kernel, *pair), partial(kernel, *pair), 1e-8))
    return found


def features(size: int, dimension: int) -> Pair:
    """Two sets of correlated features that are not alike."""
    random = np.random.default_rng(0)
    mix = random.normal(size=(dimension, dimension)) / np.sqrt(dimension)
    return random.normal(size=(size, dimension)) @ mix, 0.1 + random.normal(size=(size, dimension)) @ (1.1 * mix)


def plain_frechet(real: np.ndarray, fake: np.ndarray) -> float:
    """As the published implementations compute it."""
    sigma_real, sigma_fake = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy warns of singular matrices
        root = scipy.linalg.sqrtm(sigma_real @ sigma_fake)
    means = np.square(real.mean(axis=0) - fake.mean(axis=0)).sum()
    return float(means + np.trace(sigma_real) + np.trace(sigma_fake) - 2 * np.trace(root).real)


def frechet(real: np.ndarray, fake: np.ndarray) -> float:
    """Ours."""
    return frechet_distance(real, fake)


def frechet_with_interval(real: np.ndarray, fake: np.ndarray) -> float:
    """Ours, as `cen eval` reports it: the middle of the interval is the distance."""
    return sum(frechet_interval(real, fake)) / 2


def plain_kernel(real: np.ndarray, fake: np.ndarray) -> float:
    """torch-fidelity's mean over subsets."""
    metric = kid_features_to_metric(
        torch.from_numpy(real),
        torch.from_numpy(fake),
        kid_subsets=SUBSETS,
        kid_subset_size=min(SUBSET_SIZE, len(real)),
        rng_seed=SEED,
        verbose=False,
    )
    return float(metric["kernel_inception_distance_mean"])


def kernel(real: np.ndarray, fake: np.ndarray) -> float:
    """Ours."""
    return kernel_distance(real, fake, SUBSETS, SUBSET_SIZE, SEED)[0]


if __name__ == "__main__":
    sys.exit(main())
