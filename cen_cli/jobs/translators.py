"""Which translation network is meant: names of domains, runs, and what a network takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from cen_cli import builders
from cen_cli.builders import LoadedNetwork
from cen_cli.data.modality import SHORT_NAMES, full_name
from cen_cli.data.sets import nyudv2, rooms, taskonomy
from cen_cli.errors import CheckpointError, RecipeError, UsageError
from cen_cli.files import whole_directory
from cen_cli.recipe import Recipe, parse_recipe
from cen_cli.runs.checkpoint import MODEL_FILE
from cen_cli.runs.directory import RunDirectory, locate
from cen_cli.runs.log import read_progress
from cen_cli.wording import command, did_you_mean, listed

RUNS = Path("runs")
MOST_LISTED = 8


# --- names ----------------------------------------------------------------------------------------------------------


def domain_names(inputs: Sequence[str], target: str | None, checkpoint: str | None = None) -> list[str]:
    """The inputs as given, commas taken apart.

    Raises UsageError for a name that no data set has, and no network trained on data of one's own (that of
    `checkpoint`, or those of the runs here); for two of one domain, and where the target is one of them.
    """
    names = [name.strip() for text in inputs for name in text.split(",") if name.strip()]
    for name in names:
        _check_known(name, "--inputs", checkpoint)
    full = [full_name(name) for name in names]
    twice = [name for name, domain in zip(names, full, strict=True) if full.count(domain) > 1]
    if twice:
        same = f" ({twice[0]} and {twice[1]} are the same)" if len(set(twice)) > 1 else ""
        raise UsageError(f"--inputs {' '.join(names)}: {full_name(twice[0])} is named twice{same}")
    if target is not None:
        _check_known(target, "--target", checkpoint)
        if full_name(target) in full:
            raise UsageError(f"--target {target}: is one of the inputs", hint="leave it out of --inputs")
    return names


def _check_known(name: str, option: str, checkpoint: str | None) -> None:
    known = list(dict.fromkeys([*SHORT_NAMES, *taskonomy.SPECS, *rooms.SPECS, *nyudv2.SPECS]))
    if name in known:
        return
    own = _own_names(checkpoint)
    if name in own:
        return
    if Path(name).exists() or Path(name).suffix:
        raise UsageError(
            f"{option} {name}: a path, where names of domains are expected",
            hint="images stand before --inputs, or behind a -- of their own: --inputs shade texture -- a.png b.png",
        )
    every = list(dict.fromkeys([*known, *own]))
    hint = did_you_mean(name, every) or f"known are {', '.join(every)}"
    nor = f", and no run in {RUNS}/ makes it" if option == "--target" and checkpoint is None else ""
    raise UsageError(f"{option} {name}: no such domain{nor}", hint=hint)


def _own_names(checkpoint: str | None) -> list[str]:
    """What the networks that were trained on data of one's own call their modalities."""
    recipes = [run.recipe for run in translation_runs()] if checkpoint is None else [builders.load(checkpoint).recipe]
    own = [recipe.data for recipe in recipes if recipe.data.kind == "folders"]
    return list(dict.fromkeys(name for data in own for name in (*data.inputs, data.target) if name))


def domain(recipe: Recipe, name: str) -> str:
    """The full name of a domain as the recipe's data set understands it: NYUDv2 has one kind of edges.

    Data of one's own have no names but those of the recipe.
    """
    if recipe.data.kind == "folders":
        return name
    return nyudv2.NAMES.get(name, name) if recipe.data.kind == "nyudv2" else full_name(name)


def takes(recipe: Recipe, inputs: Sequence[str], target: str | None) -> bool:
    """Whether a network makes `target` (any, if None) of just these inputs, in whatever order and by whichever name."""
    if sorted(domain(recipe, name) for name in inputs) != sorted(domain(recipe, name) for name in recipe.data.inputs):
        return False
    return target is None or domain(recipe, target) == domain(recipe, recipe.data.target or "")


def described(inputs: Sequence[str], target: str | None) -> str:
    """`shade, texture -> rgb`; without a target only the inputs."""
    return ", ".join(inputs) + (f" -> {target}" if target else "")


# --- runs -----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class TranslationRun:
    """A run directory whose recipe is a translation."""

    root: Path
    recipe: Recipe
    finished: bool
    saved: float
    """When its newest checkpoint was written, in seconds."""

    def __str__(self) -> str:
        state = "" if self.finished else ", not finished"
        return f"{self.root} ({described(self.recipe.data.inputs, self.recipe.data.target)}{state})"


def translation_runs() -> list[TranslationRun]:
    """The translation runs with a checkpoint in runs/, the newest first; what cannot be read is left out."""
    runs = [run for path in RUNS.glob("*/recipe.toml") if (run := _read_run(path.parent)) is not None]
    return sorted(runs, key=lambda run: run.saved, reverse=True)


def _read_run(root: Path) -> TranslationRun | None:
    run = RunDirectory(root)
    try:
        recipe = parse_recipe(run.read_recipe(), source=str(run.recipe))
        progress = read_progress(run, recipe.train.epochs, recipe.train.patience)
        saved = (whole_directory(run.last) or run.last).stat().st_mtime
    except (CheckpointError, RecipeError, OSError):
        return None
    return TranslationRun(root, recipe, progress.finished, saved) if recipe.task == "translation" else None


def find_run(inputs: Sequence[str], target: str | None) -> TranslationRun:
    """The newest finished run that takes these inputs. Raises UsageError that says which runs there are."""
    runs = translation_runs()
    matching = [run for run in runs if takes(run.recipe, inputs, target)]
    finished = [run for run in matching if run.finished]
    if inputs and finished:
        return finished[0]
    there_are = f"there are {listed(matching or runs, MOST_LISTED)}" if runs else "train one: cen train rooms-translate"
    if not inputs:
        raise UsageError("what is to be translated, and by which network?", hint=f"give --inputs; {there_are}")
    what = "no finished run" if matching else "no run"
    raise UsageError(f"{what} in {RUNS}/ translates {described(inputs, target)}", hint=f"{there_are}; or give --ckpt")


# --- networks -------------------------------------------------------------------------------------------------------


def load_translator(
    source: str, device: str, inputs: Sequence[str], target: str | None, engine: str = "torch"
) -> LoadedNetwork:
    """The network of a run or checkpoint, in eval mode.

    Raises UsageError where it labels images, or does not take what was asked for (any inputs, where none are named).
    """
    loaded = builders.load(source, device, engine)
    if loaded.target is None:
        files = (word for name in loaded.modalities for word in ("--input", f"{name}=FILE"))
        raise UsageError(
            f"{source}: this network labels images", hint=f"use it with: {command('predict', source, *files)}"
        )
    asked = inputs or loaded.modalities
    if takes(loaded.recipe, asked, target):
        return loaded
    fitting = [run for run in translation_runs() if takes(run.recipe, asked, target)]
    raise UsageError(
        f"{source}: translates {described(loaded.modalities, loaded.target.name)}, not {described(asked, target)}",
        hint=f"what fits: {listed(fitting, MOST_LISTED)}" if fitting else f"no run in {RUNS}/ fits",
    )


def name_of(source: str) -> str:
    """What a run or a checkpoint is called, for the folder of its translations."""
    located = locate(source)
    if located.run is not None:
        return located.run.resolve().name
    file = located.model_file.resolve()
    return file.parent.name if file.name == MODEL_FILE else file.stem
