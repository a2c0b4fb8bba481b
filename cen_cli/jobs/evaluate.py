"""Scoring a trained network: whole, without some of its modalities, and with each of them missing or corrupted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from cen_cli import builders
from cen_cli.analysis.robustness import plan_robustness, score_altered, score_robustness
from cen_cli.builders import LoadedNetwork
from cen_cli.data.altered.missing import Missing, stand_ins
from cen_cli.data.views import FileViews, ViewDataset
from cen_cli.errors import CenError, UsageError
from cen_cli.jobs.arguments import check_at_least, fill_of, several
from cen_cli.jobs.expected import expected_scores
from cen_cli.jobs.pictures import picture_of_views
from cen_cli.models.exchange import count_replaced, exchanging_layers
from cen_cli.recipe import Recipe
from cen_cli.recipe.load import override
from cen_cli.recipe.overrides import Changes, with_options
from cen_cli.recipe.schema import BEST_BY
from cen_cli.recipe.wording import perhaps
from cen_cli.reporting.files import unless_unwritable, write_png
from cen_cli.results import SILENT, Advance, Evaluation, EvaluationReport, Fill, Listener, ReplacedCount, Robustness
from cen_cli.runs.directory import RunDirectory, locate
from cen_cli.runs.log import read_environment
from cen_cli.scoring.segmentation import AfterBatch

Score = Callable[[ViewDataset], Evaluation]


def evaluate(
    checkpoint: str | Path,
    *,
    split: str | None = None,
    changes: Changes = (),
    without: str | Sequence[str] = (),
    fill: str | None = None,
    seed: int | None = None,
    pictures: int = 0,
    out: str | Path | None = None,
    data_root: str | None = None,
    inception_weights: Path | None = None,
    device: str = "auto",
    engine: str = "torch",
    listener: Listener = SILENT,
) -> EvaluationReport:
    """Score a run or checkpoint on a split, beside what its recipe expects.

    Args:
        split: "train", "val" or "test"; absent, the recipe's `eval.split`.
        without: modalities that are taken to be missing; nothing is expected, and no picture drawn then.
        fill: what stands in for them: "zero", absent too; "mean", "noise", or "other" for another view's image.
        seed: of the noise, and of which view lends its image; absent, 0.
        pictures: so many of the first views are drawn into the folder `out`, absent images/ of the run.
        engine: "torch", or "onnx" for ONNX Runtime, as in `load`.

    Returns:
        scores per branch, of the ensemble and per class, in [0, 1] or the metric's own unit.
    """
    check_at_least(0, pictures=pictures)
    source, without = str(checkpoint), several(without)
    if without and pictures:
        raise UsageError("--save-images shows whole inputs; leave it out, or --without")
    if not without and (fill is not None or seed is not None):
        raise UsageError(f"--{'seed' if fill is None else 'fill'} is read only with --without MODALITY or --robustness")
    stand_in = fill_of(fill or Fill.ZERO)
    if seed is not None and stand_in in (Fill.ZERO, Fill.MEAN):
        raise UsageError(f"--seed is read only with --fill noise or other, and it is {stand_in}")
    model = builders.load(checkpoint, device, engine)
    recipe = evaluated_recipe(model, with_options(changes, eval__split=split), data_root, source)
    data = dataset(recipe, listener)
    if recipe.eval.split != "train" and _learned_from_others(model, recipe, source):
        listener.on_warning(
            "the training views are not those that this network learned from: files or lists have changed since, and "
            f"{recipe.eval.split} may hold views that it learned from",
            "data.train_list, val_list and test_list keep views where they are",
        )
    score = scoring(model, data, recipe, source, inception_weights, listener)
    if without:
        missing = _missing(model, without)
        return EvaluationReport(
            score_altered(data, Missing(missing, stand_in, stand_ins(data, [stand_in], seed=seed or 0)), score)
        )
    evaluation, images = score(data), None
    if pictures:
        picture = picture_of_views(model, data, recipe, range(min(pictures, len(data))))
        file = Path(out or default_folder(checkpoint, "images")) / f"{recipe.eval.split}.png"
        draw = partial(write_png, file, picture)
        images = draw() if out else unless_unwritable(draw, listener.on_note)
    return EvaluationReport(evaluation, expected_scores(recipe, evaluation), str(images) if images else None)


def _learned_from_others(model: LoadedNetwork, recipe: Recipe, source: str) -> bool:
    """Whether views of one's own have been divided anew since a run, in the folder that it learned from."""
    run, roots = locate(source).run, (recipe.data.root, model.recipe.data.root)
    if run is None or recipe.data.kind != "folders" or len({Path(root).resolve() for root in roots}) > 1:
        return False
    listed_only = recipe.model_copy(update={"data": recipe.data.model_copy(update={"cache": False})})
    try:
        known = read_environment(RunDirectory(run)).get("arrangement", {}).get("train")  # version 0.1 has none
        return known is not None and builders.dataset(listed_only, "train").arrangement() != known
    except CenError:  # the views that are scored are there, whatever became of the others
        return False


def robustness(
    checkpoint: str | Path,
    *,
    split: str | None = None,
    changes: Changes = (),
    fills: str | Sequence[str] = tuple(Fill),
    seed: int | None = None,
    data_root: str | None = None,
    device: str = "auto",
    engine: str = "torch",
    listener: Listener = SILENT,
) -> Robustness:
    """Score a network with every subset of its modalities missing, and with each one corrupted; no FID and no KID."""
    source, words = str(checkpoint), [fill_of(word) for word in several(fills)]
    model = builders.load(checkpoint, device, engine)
    distances = False if model.task == "translation" else None
    options = with_options(changes, eval__split=split, eval__distances=distances)
    recipe = evaluated_recipe(model, options, data_root, source)
    data = dataset(recipe, listener)
    builders.check_fits(model, data, source)
    scorer = builders.checkpoint_scorer(recipe, model.device, locate(checkpoint).model_file)
    plan = plan_robustness(data, tuple(dict.fromkeys(words)), seed=seed or 0)
    with listener.counting("evaluating") as advance:
        counts = counted_evaluations(advance, len(data), plan.evaluations)

        def score(altered: ViewDataset) -> Evaluation:
            return scorer(model.network, altered, split=recipe.eval.split, after_batch=next(counts))

        return score_robustness(data, plan, score, metric=BEST_BY[model.task].rpartition(".")[2])


def counted_evaluations(advance: Advance, views: int, evaluations: int) -> Iterator[AfterBatch]:
    """For each of so many evaluations of the same `views`, what it calls after a batch: all are counted as one work."""
    for number in range(evaluations):
        yield partial(_advance, advance, views * evaluations, number * views)


def default_folder(checkpoint: str | Path, name: str) -> Path:
    """Where plots or images of a checkpoint go: a folder of this name in its run, or beside it."""
    located = locate(checkpoint)
    return (located.run or located.model_file.parent) / name


def replaced_channels(model: LoadedNetwork) -> tuple[ReplacedCount, ...]:
    """Of a network that tells: a compact one has no exchange left to count."""
    return () if model.compact else count_replaced(exchanging_layers(model.network), model.modalities)


def evaluated_recipe(model: LoadedNetwork, changes: Changes, data_root: str | None, source: str) -> Recipe:
    """A trained network's recipe with other data or evaluation settings."""
    recipe = override(model.recipe, changes, data_root=data_root, source=source)
    builders.check_statistics(model, recipe, source)
    return recipe


def dataset(recipe: Recipe, listener: Listener) -> FileViews:
    """The recipe's split eval.split, whose rooms are rendered first where they are not."""
    with listener.counting("rendering rooms") as progress:
        return builders.dataset(recipe, recipe.eval.split, progress=progress)


def scoring(
    model: LoadedNetwork,
    data: ViewDataset,
    recipe: Recipe,
    source: str,
    inception_weights: Path | None,
    listener: Listener,
) -> Score:
    """How views such as those of `data` are scored. Raises UsageError where they have other classes."""
    builders.check_fits(model, data, source)
    file = model.file or locate(source).model_file
    scorer = builders.checkpoint_scorer(recipe, model.device, file, inception_weights=inception_weights)

    def score(views: ViewDataset) -> Evaluation:
        with listener.counting(f"evaluating {source}") as advance:
            (count,) = counted_evaluations(advance, len(views), 1)
            return scorer(model.network, views, split=recipe.eval.split, after_batch=count)

    return score


def _advance(advance: Advance, total: int, before: int, done: int) -> None:
    advance(before + done, total)


def _missing(model: LoadedNetwork, without: Sequence[str]) -> tuple[str, ...]:
    """The modalities that are left out, in the network's order. Raises UsageError where they cannot be."""
    names = model.modalities
    for name in without:
        if name not in names:
            raise UsageError(f"--without {name}: one of {', '.join(names)}{perhaps(name, list(names))}")
    missing = tuple(name for name in names if name in without)
    if missing == names:
        left = "it is the network's only modality" if len(names) == 1 else "no modality would be left"
        raise UsageError(f"--without {' --without '.join(missing)}: {left}")
    return missing
