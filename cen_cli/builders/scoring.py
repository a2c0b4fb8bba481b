"""A recipe's `[eval]` table -> how networks are scored."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import platformdirs
import torch

from cen_cli.builders.precision import in_precision_of_run
from cen_cli.errors import UnavailableError
from cen_cli.models.device import resolve_precision
from cen_cli.recipe.schema import BEST_BY, Recipe
from cen_cli.results import Evaluation
from cen_cli.scoring.segmentation import Scorer, SegmentationScorer
from cen_cli.scoring.test_time_augmentation import MultiScaleFlip

DISTANCES = ("fid", "kid")


def best_by(recipe: Recipe) -> str:
    """The score that chooses the recipe's best checkpoint."""
    return recipe.train.best_by or BEST_BY[recipe.task]


def multi_scale_flip(recipe: Recipe, *, training: bool = False) -> MultiScaleFlip:
    """How a view is labelled in test; validations (`training`) take one scale and no mirror image."""
    several = MultiScaleFlip() if training else MultiScaleFlip(recipe.eval.scales, recipe.eval.flip)
    return dataclasses.replace(several, window=recipe.eval.window, stride=recipe.eval.stride)


def checkpoint_scorer(
    recipe: Recipe, device: torch.device, checkpoint: Path, *, inception_weights: Path | None = None
) -> Scorer:
    """How the network of a checkpoint is scored, in the precision that it was trained in; errors as in `scorer`.

    The scores name the checkpoint's file.
    """
    recipe = in_precision_of_run(recipe, checkpoint, device)
    return partial(_named, scorer(recipe, device, inception_weights=inception_weights), str(checkpoint))


def _named(score: Scorer, checkpoint: str, *network_and_data: Any, **options: Any) -> Evaluation:
    return dataclasses.replace(score(*network_and_data, **options), checkpoint=checkpoint)


def can_score_distances(inception_weights: Path | None = None) -> bool:
    """Whether FID and KID can be computed here."""
    from cen_cli.metrics.inception import inception_weights as find_weights

    try:
        return find_weights(inception_weights).is_file()
    except UnavailableError:
        return False


def validated_without_distances(recipe: Recipe) -> Recipe:
    """The recipe of a training that chooses no checkpoint, and so needs no Inception weights."""
    if not best_by(recipe).endswith(DISTANCES):
        return recipe
    return recipe.model_copy(update={"train": recipe.train.model_copy(update={"best_by": "ensemble.mae"})})


def scorer(
    recipe: Recipe, device: torch.device, *, training: bool = False, inception_weights: Path | None = None
) -> Scorer:
    """How the recipe's networks are scored, in validations (`training`) or by `cen eval`.

    FID and KID need a file of Inception weights. Raises UnavailableError where it is missing and the best checkpoint is
    chosen by one of them; else the scores carry a note.
    """
    precision = resolve_precision(recipe.train.precision, device)
    if recipe.task == "segmentation":
        return SegmentationScorer(
            device,
            precision,
            batch=recipe.eval.batch,
            workers=recipe.data.workers,
            augmentation=multi_scale_flip(recipe, training=training),
        )
    from cen_cli.metrics.inception import InceptionFeatures
    from cen_cli.metrics.inception import inception_weights as find_weights
    from cen_cli.scoring.translation import Distances, TranslationScorer

    needed = training and best_by(recipe).rpartition(".")[2] in DISTANCES
    distances: Distances | None = None
    notes: tuple[str, ...] = ()
    if needed or (recipe.eval.distances and not training):
        try:
            features = InceptionFeatures(find_weights(inception_weights), device)
            distances = Distances(features, platformdirs.user_cache_path("cen") / "features", interval=not training)
        except UnavailableError as error:
            if needed:
                raise
            notes = (f"FID and KID are unavailable: {error.message}; {error.hint}",)
    return TranslationScorer(
        device,
        precision,
        batch=recipe.eval.batch,
        workers=recipe.data.workers,
        protocol=recipe.eval.protocol,
        norm_statistics=recipe.eval.norm_statistics,
        distances=distances,
        notes=notes,
    )
