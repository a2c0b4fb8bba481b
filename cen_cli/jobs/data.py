"""What comes of a data set that was looked at: pictures of its samples, a recipe that knows its statistics, a draft."""

from __future__ import annotations

from pathlib import Path

from cen_cli import builders
from cen_cli.analysis.samples import sample_rows
from cen_cli.builders.draft import default_target, draft, recipe_name, with_statistics
from cen_cli.data.inspect.discovery import survey
from cen_cli.errors import UsageError
from cen_cli.files import check_free, write_bytes
from cen_cli.recipe import Recipe
from cen_cli.reporting.files import write_png
from cen_cli.reporting.panels import sample_panel
from cen_cli.reporting.plots import class_shares
from cen_cli.results import SILENT, Listener
from cen_cli.results.findings import DataCheck, Survey


def draft_recipe(
    folder: Path, file: Path | None = None, *, target: str | None = None, listener: Listener = SILENT
) -> tuple[Path, str | None, Survey]:
    """Write a draft recipe for a folder that nobody prepared, by default <its name>.toml.

    Returns the file, what is translated to (None in a segmentation), and what was found. Raises UsageError where the
    file is there already, DataError where there is nothing to learn from, and SaveError.
    """
    path = file or Path(f"{recipe_name(folder.resolve().name)}.toml")
    elsewhere = "give another file with --out"
    check_free(path, elsewhere)
    with listener.counting("looking at modalities") as progress:
        found = survey(folder.resolve(), progress=progress)
    made = target or default_target(found)
    text = draft(found, recipe_name(path.stem), file=str(path), target=made)
    write_bytes(path, text.encode(), hint=elsewhere)
    return path, made, found


def draw_samples(recipe: Recipe, check: DataCheck, count: int, folder: Path) -> list[Path]:
    """Draw `count` samples of each split that was looked at as the network sees them, and the shares of the classes.

    Those of train are augmented as in the first epoch. Raises SaveError.
    """
    written = []
    for split in check.splits:
        data = builders.dataset(recipe, split.split, training=split.split == "train")
        indices = sorted({number * len(data) // count for number in range(count)})
        panel = sample_panel(sample_rows(data, indices), data.class_names, builders.palette(recipe))
        written.append(write_png(folder / f"{split.split}.png", panel))
    shares = {split.split: [line.share for line in split.labels] for split in check.splits if split.labels}
    if shares:
        names = [line.class_name for line in check.splits[0].labels]
        written.append(class_shares(shares, class_names=names, out=folder / "classes.png"))
    return written


def write_statistics(file: str | Path, recipe: Recipe, check: DataCheck) -> None:
    """Write mean and deviation of the recipe's inputs, as they were measured in train, at the end of its `file`.

    Raises UsageError for a shipped recipe, for a translation, and where the recipe states them already.
    """
    if not Path(file).is_file():
        raise UsageError(f"--statistics: {file}: no file of a recipe of your own", hint=f"cen recipes copy {file}")
    if recipe.task == "translation":
        raise UsageError(f"--statistics: {file}: a translation brings every image to [-1, 1]")
    text = Path(file).read_text(encoding="utf-8")
    write_bytes(Path(file), with_statistics(text, check, recipe.data.inputs).encode())
