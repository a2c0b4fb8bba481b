"""`cen compare`: several runs side by side, their scores and the views on which they differ most."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cen_cli.cli import options
from cen_cli.errors import UsageError

if TYPE_CHECKING:
    from cen_cli.builders import Network
    from cen_cli.data.views import ViewDataset
    from cen_cli.recipe.schema import Recipe
    from cen_cli.results import MemberOutcome, SweepReport


def compare(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Two or more runs or checkpoints.", show_default=False)
    ],
    split: Annotated[
        str | None, typer.Option("--split", help="train, val or test [default: the first recipe's eval.split].")
    ] = None,
    images: Annotated[
        int, typer.Option("--images", min=0, help="Also draw the N views on which the networks differ most.")
    ] = 0,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The picture.")] = Path("comparison.png"),
    inception_weights: options.InceptionWeights = None,
    data_root: options.DataRoot = None,
    device: options.Device = "auto",
    json: options.Json = False,
) -> None:
    """Score runs on one split and print them side by side; the first is what the others are held against.

    Runs of one recipe that differ in their seed count as one network: mean, spread, a paired test. The picture shows
    inputs, truth and one column a network, with the region framed in which they differ most.

    Examples:

        cen compare runs/rooms-261123-101500 runs/rooms-none-261123-104500 --images 4

        cen compare sweeps/table7-rooms/shared/seed-* sweeps/table7-rooms/shared-half-exchange/seed-*
    """
    from cen_cli import builders
    from cen_cli.reporting import console, sweeps, tables

    if len(runs) < 2:
        raise UsageError("cen compare takes two or more runs", hint="cen eval scores a single one")
    models = {run: builders.load(run, device) for run in runs}
    _check_comparable(models)
    names = _network_names({run: model.recipe for run, model in models.items()})
    outcomes, data = _scored(models, names, split, data_root, device, inception_weights)
    report = _report(outcomes, names, next(iter(models.values())).recipe)
    picture = None
    if images:
        firsts = {name: models[run] for run, name in reversed(names.items())}
        picture = _draw(dict(reversed(firsts.items())), data, images, out)
    if json:
        from cen_cli.results import as_json

        console.print_json({**as_json(report), "picture": picture and str(picture)})
        return
    tables.show(console.out(), sweeps.sweep_parts(report))
    if picture:
        console.note(f"picture: {picture}")


def _check_comparable(models: Mapping[str, Network]) -> None:
    """Raises UsageError where a run does another task, or makes other things, than the first."""
    (first, model), *others = models.items()
    for run, other in others:
        same = (model.task, model.class_names, getattr(model, "target_spec", None))
        if (other.task, other.class_names, getattr(other, "target_spec", None)) != same:
            raise UsageError(f"{run}: it does not learn what {first} learns, so their scores do not compare")


def _network_names(recipes: Mapping[str, Recipe]) -> dict[str, str]:
    """What each run is called: its recipe's name, shared by runs that differ only in their seed; else its folder's."""
    from cen_cli.recipe.load import differences

    names: dict[str, str] = {}
    taken: dict[str, Recipe] = {}
    for run, recipe in recipes.items():
        name = next(
            (known for known, other in taken.items() if set(differences(recipe, other)) <= {"train.seed"}), None
        )
        if name is None:
            name = recipe.name if recipe.name not in taken else Path(run).name
            name = name if name not in taken else run
            taken[name] = recipe
        names[run] = name
    return names


def _scored(
    models: Mapping[str, Network],
    names: Mapping[str, str],
    split: str | None,
    data_root: str | None,
    device: str,
    inception_weights: Path | None,
) -> tuple[list[MemberOutcome], ViewDataset]:
    """Every run's scores on one split, and the data set of the first, whose inputs the pictures show."""
    from cen_cli import builders
    from cen_cli.models.device import resolve_device
    from cen_cli.models.exchange import count_replaced, exchanging_layers
    from cen_cli.recipe.load import override
    from cen_cli.reporting.progress import counting
    from cen_cli.results import MemberOutcome

    outcomes: list[MemberOutcome] = []
    datasets: list[ViewDataset] = []
    chosen = split or next(iter(models.values())).recipe.eval.split
    for run, model in models.items():
        recipe = override(model.recipe, [f"eval.split={chosen}"], data_root=data_root, source=run)
        with counting("rendering rooms") as progress:
            data = builders.dataset(recipe, chosen, progress=progress)
        builders.check_fits(model, data, run)
        score = builders.scorer(recipe, resolve_device(device), inception_weights=inception_weights)
        with counting(f"evaluating {run}") as progress:
            evaluation = score(model, data, split=chosen, after_batch=partial(_advance, progress, len(data)))
        replaced = count_replaced(exchanging_layers(model), model.modalities)
        seed = recipe.train.seed
        outcomes.append(MemberOutcome("", names[run], seed, run, "done", evaluation, replaced))
        datasets.append(data)
    return outcomes, datasets[0]


def _advance(progress: Callable[[int, int], None], views: int, done: int) -> None:
    progress(done, views)


def _report(outcomes: Sequence[MemberOutcome], names: Mapping[str, str], recipe: Recipe) -> SweepReport:
    from cen_cli.analysis.sweeps import RowPlan, sweep_rows
    from cen_cli.recipe.schema import BEST_BY
    from cen_cli.results import SCALAR_METRICS, SweepReport

    rows = list(dict.fromkeys(names.values()))
    metrics = [f"ensemble.{metric}" for metric in SCALAR_METRICS[recipe.task]]
    metrics.sort(key=lambda metric: metric == BEST_BY[recipe.task])  # stable: that one last, where it is compared
    first = outcomes[0].evaluation
    assert first is not None
    return SweepReport(
        title=f"{len(outcomes)} runs of {len(rows)} networks",
        source="",
        reference=rows[0],
        split=first.split,
        task=recipe.task,
        rows=sweep_rows([RowPlan("", row, row, {}) for row in rows], outcomes, metrics, rows[0]),
        notes=first.notes,
    )


def _draw(models: Mapping[str, Network], data: ViewDataset, count: int, path: Path) -> Path:
    """The views on which the networks differ most, the first run of each network."""
    from cen_cli import builders
    from cen_cli.analysis.comparison import compared_images, compared_labels
    from cen_cli.models.segmenter import Segmenter
    from cen_cli.models.translator import Translator
    from cen_cli.reporting import panels
    from cen_cli.reporting.translation import write_contact_sheet

    first = next(iter(models.values()))
    if any(model.modalities != first.modalities for model in models.values()):
        raise UsageError("--images: the networks take different inputs", hint="leave it out to compare scores alone")
    translators = {name: model for name, model in models.items() if isinstance(model, Translator)}
    if translators:
        return write_contact_sheet(path, compared_images(translators, data, count))
    segmenters = {name: model for name, model in models.items() if isinstance(model, Segmenter)}
    rows = compared_labels(segmenters, data, count)
    return panels.write_panel(path, rows, data.class_names, builders.palette(first.recipe))
