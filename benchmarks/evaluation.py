"""Evaluating a translation network side by side with the plain way, stage by stage.

    python -m benchmarks.evaluation --images 500 --size 256 --chunk 20 --rounds 5

Stages: translating, pictures as PNGs, Inception features, the Frechet distance, KID. Plain goes image by image through
matplotlib's PNGs and back, measures the true images too, and takes scipy's square root; see `plain_evaluation` and
`distances`. Ours translates and measures in batches, and keeps the features of true images between evaluations, so that
features count twice: of a first evaluation, and of all later ones. Weights are random and inputs are noise, which time
does not ask about.

What is proportional to the number of images is timed on a chunk of them, both variants in turn within each round, and
scaled to --images; distances are those of --images random features. A row shows the median over rounds of (plain /
ours) of the same round; of a whole evaluation, the ratio of the sums. Features of the two ways are compared first; the
program ends with exit code 1 where they differ. The last line is JSON. For a quick look: --images 60 --size 64
--levels 4 --filters 8 --chunk 4 --rounds 2.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from benchmarks.distances import features, frechet, kernel, plain_frechet, plain_kernel
from benchmarks.plain_evaluation import (
    PlainInception,
    plain_features,
    plain_pictures,
    plain_read,
    plain_translate,
    write_random_weights,
)
from benchmarks.plain_translation import plain_translator_from
from benchmarks.timing import Row, measure, show
from benchmarks.translation import our_generator
from cen_cli.metrics.features import DIMENSION
from cen_cli.metrics.inception import InceptionFeatures
from cen_cli.metrics.pictures import as_pictures
from cen_cli.models.translator import Translator
from cen_cli.reporting.files import write_png

RTOL = 1e-4
"""A translated value that rounds to another of 256 levels moves a feature by as much as this."""


def main() -> int:
    """Check, measure, print."""
    options = parse()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        bench = Evaluation(options, Path(folder))
        error = bench.largest_difference()
        print(f"largest relative difference of features: {error:.1e} (allowed {RTOL:.0e})")
        if not error <= RTOL:
            return 1
        stages = bench.stages()
    pair = features(options.images, DIMENSION)
    distances = [
        measure("Frechet distance", partial(plain_frechet, *pair), partial(frechet, *pair), options),
        measure("KID", partial(plain_kernel, *pair), partial(kernel, *pair), options),
    ]
    translating, pictures, first, later = stages
    show(
        [
            *stages,
            *distances,
            total("whole, first evaluation", [translating, pictures, first, *distances]),
            total("whole, later evaluations", [translating, pictures, later, *distances]),
        ],
        options,
    )
    return 0


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=500, help="of the evaluation")
    parser.add_argument("--modalities", type=int, choices=[2, 3, 4], default=2)
    parser.add_argument("--levels", type=int, default=8, help="of the U-Net; 2^levels divides --size")
    parser.add_argument("--filters", type=int, default=64, help="of the generator")
    parser.add_argument("--size", type=int, default=256, help="height and width of the images")
    parser.add_argument("--chunk", type=int, default=20, help="images that are timed, and our batch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of torch; set OMP_NUM_THREADS for numpy and scipy")
    parser.set_defaults(device="cpu", replaced=0.3)
    return parser.parse_args(arguments)


class Evaluation:
    """Both ways on one chunk of images."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options = options
        self.folder = folder
        weights = write_random_weights(folder / "inception.pth")
        generator = our_generator(options, options.filters, 0.0)
        self.plain_generator = plain_translator_from(generator, 0.0)
        self.generator: Translator = generator.eval().to(memory_format=torch.channels_last)
        self.plain_inception = PlainInception(weights)
        self.inception = InceptionFeatures(weights)
        random = torch.Generator().manual_seed(2)
        shape = (options.modalities, options.chunk, 3, options.size, options.size)
        self.inputs = torch.rand(shape, generator=random) * 2 - 1
        self.truth = torch.rand(shape[1:], generator=random) * 2 - 1
        self.fakes = self.translate()

    def translate(self) -> Tensor:
        """Ours: the ensemble's images of the whole chunk at once."""
        with torch.inference_mode():
            return self.generator(self.inputs.flatten(0, 1)).ensemble

    def pictures(self) -> None:
        """Ours: the translated images as PNGs."""
        for place, picture in enumerate(as_pictures(self.fakes, stretch=True).permute(0, 2, 3, 1).numpy()):
            write_png(self.folder / f"{place}.png", Image.fromarray(picture))

    def measured(self, *images: Tensor) -> list[Tensor]:
        """Ours: features of images [N, 3, H, W] in [-1, 1]."""
        return [self.inception(as_pictures(some, stretch=True)) for some in images]

    def plain_pictures(self) -> None:
        """Plain: translated and true images as PNGs, and back."""
        for images in (self.fakes, self.truth):
            for path in plain_pictures(images, self.folder):
                plain_read(path)

    def stages(self) -> list[Row]:
        """What is proportional to the number of images."""
        fakes, truth = (plain_pictures(images, self._new(name)) for name, images in self._both())
        translate = partial(plain_translate, self.plain_generator, list(self.inputs))

        def plain() -> None:
            plain_features(self.plain_inception, fakes)
            plain_features(self.plain_inception, truth)

        rows = [
            measure("translating", translate, self.translate, self.options),
            measure("pictures", self.plain_pictures, self.pictures, self.options),
            measure("features, first", plain, partial(self.measured, self.fakes, self.truth), self.options),
            measure("features, later", plain, partial(self.measured, self.fakes), self.options),
        ]
        factor = self.options.images / self.options.chunk
        return [replace(row, plain_ms=row.plain_ms * factor, ours_ms=row.ours_ms * factor) for row in rows]

    def largest_difference(self) -> float:
        """Of features of translated images, relative to the largest feature."""
        images = plain_translate(self.plain_generator, list(self.inputs))
        plain = plain_features(self.plain_inception, plain_pictures(images, self._new("check")))
        ours = self.inception(as_pictures(self.translate(), stretch=True))
        return float((plain - ours).abs().max() / plain.abs().max())

    def _both(self) -> list[tuple[str, Tensor]]:
        return [("fakes", self.fakes), ("truth", self.truth)]

    def _new(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        return folder


def total(name: str, rows: list[Row]) -> Row:
    """The sums of stages, and their ratio."""
    plain, ours = sum(row.plain_ms for row in rows), sum(row.ours_ms for row in rows)
    return Row(name, plain / ours, plain / ours, plain / ours, plain, ours)


if __name__ == "__main__":
    sys.exit(main())
