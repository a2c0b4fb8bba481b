"""Several trained networks side by side: their scores on one split, and what they make of some of its views."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast, get_args

import torch

from cen_cli import builders
from cen_cli.analysis.comparison import Branches, By, Shown, compared_views
from cen_cli.analysis.sweeps import RowPlan, sweep_rows
from cen_cli.builders import LoadedNetwork
from cen_cli.data.views import FileViews
from cen_cli.errors import UsageError
from cen_cli.jobs.arguments import check_at_least, several
from cen_cli.jobs.evaluate import dataset, evaluated_recipe, replaced_channels, scoring
from cen_cli.jobs.pictures import draw_rows, row_maker
from cen_cli.recipe import Recipe
from cen_cli.recipe.load import differ_in_seed
from cen_cli.recipe.schema import BEST_BY
from cen_cli.reporting.files import write_png
from cen_cli.results import SCALAR_METRICS, SILENT, Listener, MemberOutcome, SweepReport
from cen_cli.runs.directory import locate
from cen_cli.wording import did_you_mean

PICTURE = "comparison.png"
"""Where views are drawn if nothing is said."""


def compare(
    runs: Sequence[str | Path],
    *,
    split: str | None = None,
    images: int = 0,
    by: str | Sequence[str] = (),
    views: str | Sequence[str] = (),
    branches: bool = False,
    out: str | Path | None = None,
    inception_weights: Path | None = None,
    data_root: str | None = None,
    device: str = "auto",
    listener: Listener = SILENT,
) -> SweepReport:
    """Score several networks on one split, side by side; the others are compared with the first.

    Args:
        runs: two or more; those of one recipe that differ in their seed alone count as one network, two checkpoints of
            one run as two.
        split: "train", "val" or "test"; absent, the first recipe's `eval.split`.
        images: so many views are drawn into the file `out`; absent, comparison.png.
        by: which: "difference", the default, for those on which the networks differ most, "darkest", "brightest"; of
            each `images`.
        views: the names of the views that are drawn instead.
        branches: draw what each branch makes, too.

    Returns:
        a table as of a sweep: one row a network, mean and deviation over its seeds.

    Raises:
        UsageError: fewer than two runs, one given twice, some that do not learn the same, or a name that no view has.
    """
    check_at_least(0, images=images)
    runs, views, drawn = several(runs), several(views), bool(images or views)
    if not drawn and (by or branches or out):
        raise UsageError("--by, --branches and --out are of the picture", hint="--images N or --views NAME draws it")
    shown = _shown(images, several(by) or ("difference",), views)
    _check_distinct(runs)
    models = {str(run): builders.load(run, device) for run in runs}
    _check_comparable(models)
    names = _network_names({run: model.recipe for run, model in models.items()})
    outcomes: list[MemberOutcome] = []
    chosen = split or next(iter(models.values())).recipe.eval.split
    recipes = {run: evaluated_recipe(model, {"eval.split": chosen}, data_root, run) for run, model in models.items()}
    data = {run: dataset(recipe, listener) for run, recipe in recipes.items()}
    sizes = _sizes_of_same_views(data, recipes, drawn=drawn)
    for run, model in models.items():
        evaluation = scoring(model, data[run], recipes[run], run, inception_weights, listener)(data[run])
        replaced = replaced_channels(model)
        outcomes.append(MemberOutcome("", names[run], recipes[run].train.seed, run, "done", evaluation, replaced))
    report = _report(outcomes, names, next(iter(models.values())).recipe, sizes)
    if drawn:
        firsts = {name: run for run, name in reversed(names.items())}
        networks = {name: models[run] for name, run in reversed(firsts.items())}
        seen = {name: data[run] for name, run in firsts.items()}
        ways = {name: recipes[run] for name, run in firsts.items()}
        beside: Branches = dict.fromkeys(networks, "before") if branches else {}
        draw_views(networks, seen, ways, shown, Path(out or PICTURE), beside)
    return report


def _check_distinct(runs: Sequence[str | Path]) -> None:
    """Raises UsageError for fewer than two runs, and for a checkpoint that is given twice, as by its run."""
    if len(runs) < 2:
        raise UsageError("cen compare takes two or more runs", hint="cen eval scores a single one")
    known: dict[Path, str | Path] = {}
    for run in runs:
        file = locate(run).model_file.resolve()
        if file in known:
            raise UsageError(f"{run}: the same checkpoint as {known[file]}", hint="name each network once")
        known[file] = run


def _shown(images: int, by: Sequence[str], views: Sequence[str]) -> Shown:
    """Raises UsageError where the views are both named and counted, or a way of choosing is none."""
    ways = get_args(By)
    for way in by:
        if way not in ways:
            raise UsageError(f"--by {way}: one of {', '.join(ways)}", hint=did_you_mean(way, ways))
    if views and images:
        raise UsageError("--views names the views that --images would choose", hint="leave out one of them")
    return Shown(images, cast(Sequence[By], by), views)


def _check_comparable(models: Mapping[str, LoadedNetwork]) -> None:
    """Raises UsageError where a run does another task, or makes other things, than the first."""
    (first, model), *others = models.items()
    for run, other in others:
        same = (model.task, model.class_names, model.target)
        if (other.task, other.class_names, other.target) != same:
            raise UsageError(f"{run}: it does not learn what {first} learns, so their scores do not compare")


def _sizes_of_same_views(
    data: Mapping[str, FileViews], recipes: Mapping[str, Recipe], *, drawn: bool
) -> tuple[str, ...]:
    """What is to be noted of the sizes of the views that runs are scored on.

    Raises UsageError where they are other views than the first run's, or of another size and to be drawn.
    """
    seen = {run: views.view(0) for run, views in data.items()}
    first, *others = data
    for run in others:
        truth, own = (torch.as_tensor(seen[each].target) for each in (first, run))
        if truth.shape == own.shape:
            alike = torch.equal(truth, own)
        else:
            alike = _scenes(recipes[run], data[run]) == _scenes(recipes[first], data[first])
        if data[run].names != data[first].names or not alike:
            raise UsageError(f"{run}: scored on other views than {first}, so their scores do not compare")
        if drawn and seen[run].size != seen[first].size:
            sizes = " x ".join(map(str, seen[run].size)), " x ".join(map(str, seen[first].size))
            raise UsageError(
                f"{run}: sees views as {sizes[0]} pixels, {first} as {sizes[1]}, which no picture shows side by side",
                hint="leave out --images and --views",
            )
    if len({view.size for view in seen.values()}) == 1:
        return ()
    return tuple(f"{run}: views of {' x '.join(map(str, view.size))} pixels" for run, view in seen.items())


def _scenes(recipe: Recipe, views: FileViews) -> object:
    """What tells views from others of the same names, of whatever size: how rooms are drawn, or which files."""
    rooms = recipe.data.rooms
    return (rooms.seed, rooms.palette_style) if recipe.data.kind == "rooms" else views.truths()


def _network_names(recipes: Mapping[str, Recipe]) -> dict[str, str]:
    """What each run is called: its recipe's name, shared by runs that differ in their seed alone.

    Networks whose recipes have one name are called by their folders, and by their paths where these are alike. Two of
    one seed, such as two checkpoints of one run, are two networks.
    """
    networks: list[dict[str, Recipe]] = []
    for run, recipe in recipes.items():
        known = next(
            (known for known in networks if all(differ_in_seed(recipe, each) for each in known.values())), None
        )
        if known is None:
            networks.append({run: recipe})
        else:
            known[run] = recipe
    firsts = [next(iter(known.items())) for known in networks]
    by_recipe, by_folder = Counter(recipe.name for _, recipe in firsts), Counter(_folder_name(run) for run, _ in firsts)

    def name(run: str, recipe: Recipe) -> str:
        folder = _folder_name(run)
        return recipe.name if by_recipe[recipe.name] == 1 else folder if by_folder[folder] == 1 else run

    names = [name(*first) for first in firsts]
    names = [first[0] if names.count(called) > 1 else called for first, called in zip(firsts, names, strict=True)]
    return {run: called for known, called in zip(networks, names, strict=True) for run in known}


def _folder_name(run: str) -> str:
    """The run's folder, with the checkpoint where that is named."""
    path = Path(run)
    of_run = path.parent.name == "checkpoints"
    return f"{path.parent.absolute().parent.name}, {path.name}" if of_run else path.absolute().name


def _report(
    outcomes: Sequence[MemberOutcome], names: Mapping[str, str], recipe: Recipe, sizes: Sequence[str]
) -> SweepReport:
    rows = list(dict.fromkeys(names.values()))
    metrics = [f"ensemble.{metric}" for metric in SCALAR_METRICS[recipe.task]]
    metrics.sort(key=lambda metric: metric == BEST_BY[recipe.task])  # stable: that one last, where it is compared
    evaluations = [one.evaluation for one in outcomes if one.evaluation is not None]
    first = evaluations[0]
    ways = [(*each.notes, *([f"{each.protocol} protocol"] * (each.protocol != first.protocol))) for each in evaluations]
    if len(set(ways)) > 1:  # each is scored as its own recipe says
        ways = [tuple(f"{one.variant}: {note}" for note in way) for one, way in zip(outcomes, ways, strict=True)]
    notes = dict.fromkeys(note for way in ways for note in way)
    return SweepReport(
        title=f"{len(outcomes)} runs of {len(rows)} networks",
        source="",
        reference=rows[0],
        split=first.split,
        task=recipe.task,
        rows=sweep_rows([RowPlan("", row, row, {}) for row in rows], outcomes, metrics, rows[0]),
        notes=(*notes, *sizes, *(f"{one.variant}: {one.evaluation.checkpoint}" for one in outcomes if one.evaluation)),
    )


def draw_views(
    models: Mapping[str, LoadedNetwork],
    data: Mapping[str, FileViews],
    recipes: Mapping[str, Recipe],
    shown: Shown,
    path: Path,
    branches: Branches,
) -> Path:
    """Views and what networks make of them, into a PNG.

    All by network: `data`, with the inputs that each takes; `recipes`, by which it is evaluated.
    """
    makers = {name: row_maker(model, recipes[name]) for name, model in models.items()}
    rows = compared_views(makers, data, shown, branches)
    first = next(iter(data.values()))
    return write_png(path, draw_rows(rows, next(iter(models.values())), first.class_names))
