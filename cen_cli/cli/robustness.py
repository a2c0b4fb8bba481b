"""What `cen eval` does with `--without` and `--robustness`: networks whose inputs are not what they should be."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from cen_cli.errors import UsageError
from cen_cli.results import Fill

if TYPE_CHECKING:
    from cen_cli.analysis.robustness import Score
    from cen_cli.builders import Network
    from cen_cli.data.altered.missing import Missing
    from cen_cli.data.views import ViewDataset
    from cen_cli.results import Evaluation
    from cen_cli.scoring.segmentation import Scorer


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What the options ask to be done to the inputs."""

    without: tuple[str, ...]
    fills: tuple[Fill, ...]
    """As given; none where the default holds."""
    seed: int | None
    robustness: bool

    def check(self, *, pictures: bool, inception_weights: bool) -> None:
        """Raises UsageError for options that do not go together, or would do nothing."""
        if self.robustness and self.without:
            raise UsageError("--robustness leaves out every subset of the modalities; give it or --without")
        if (self.robustness or self.without) and pictures:
            raise UsageError("--save-images shows whole inputs; leave it out, or --robustness and --without")
        if self.robustness and inception_weights:
            raise UsageError("--robustness computes no FID and no KID; leave --inception-weights out")
        if not (self.robustness or self.without) and (self.fills or self.seed is not None):
            option = "--fill" if self.fills else "--seed"
            raise UsageError(f"{option} is read only with --without MODALITY or --robustness")
        if self.without and len(self.fills) > 1:
            raise UsageError("--without takes one --fill", hint="--robustness compares them")

    def scored(self, model: Network, data: ViewDataset, score: Score) -> Evaluation:
        """Scores without the modalities that are left out, if any. Raises UsageError where they cannot be."""
        from cen_cli.analysis.robustness import score_altered

        return score_altered(data, self._missing(model, data), score) if self.without else score(data)

    def _missing(self, model: Network, data: ViewDataset) -> Missing:
        from cen_cli.data.altered.missing import Missing, stand_ins
        from cen_cli.recipe.wording import nearest

        names = model.modalities
        for name in self.without:
            if name not in names:
                raise UsageError(f"--without {name}: one of {', '.join(names)}{nearest(name, list(names))}")
        missing = tuple(name for name in names if name in self.without)
        if missing == names:
            left = "it is the network's only modality" if len(names) == 1 else "no modality would be left"
            raise UsageError(f"--without {' --without '.join(missing)}: {left}")
        fill = self.fills[0] if self.fills else Fill.ZERO
        return Missing(missing, fill, stand_ins(data, [fill], seed=self.seed or 0))


def report_robustness(
    model: Network, data: ViewDataset, scorer: Scorer, inputs: Inputs, split: str, folder: Path, *, json: bool
) -> None:
    """Measure, draw into `folder`, and print."""
    from cen_cli.analysis.robustness import measure_robustness, plan_robustness
    from cen_cli.recipe.schema import BEST_BY
    from cen_cli.reporting import console, tables
    from cen_cli.reporting.progress import counting
    from cen_cli.reporting.robustness import robustness_parts, write_corruptions
    from cen_cli.results import as_json

    fills = tuple(dict.fromkeys(inputs.fills or Fill))
    seed = inputs.seed or 0
    plan = plan_robustness(data, fills, seed=seed)
    views, before = plan.evaluations * len(data), 0
    with counting("evaluating") as progress:

        def score(altered: ViewDataset) -> Evaluation:
            nonlocal before
            evaluation = scorer(model, altered, split=split, after_batch=lambda done: progress(before + done, views))
            before += len(data)
            return evaluation

        report = measure_robustness(data, plan, score, metric=BEST_BY[model.task].rpartition(".")[2])
    if not json:  # before the plot, which a folder that cannot be written to would cost
        tables.show(console.out(), robustness_parts(report))
    plot = write_corruptions(folder / "robustness.png", report)
    if json:
        console.print_json({"robustness": as_json(report), "plot": str(plot)})
    else:
        console.note(f"plot: {plot}")
