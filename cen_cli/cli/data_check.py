"""`cen data check`: looks at a recipe's data before they are trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cen_cli.cli import options
from cen_cli.errors import DataError, UsageError

if TYPE_CHECKING:
    from cen_cli.recipe.schema import Recipe
    from cen_cli.results.findings import DataCheck

Advance = Callable[[int, int], None]


def check(
    recipe: options.RecipeName,
    views: Annotated[
        int | None,
        typer.Option(
            "--views",
            metavar="N",
            min=1,
            help="Open only so many views of each split, spread over it [default: all].",
            show_default=False,
        ),
    ] = None,
    images: Annotated[
        int,
        typer.Option(
            "--images", metavar="N", min=0, help="Also draw N samples of each split as the network sees them."
        ),
    ] = 0,
    statistics: Annotated[
        bool,
        typer.Option(
            "--statistics", help="Write each input's mean and deviation over train into the recipe's file, at its end."
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder of the pictures [default: <recipe's name>-samples]."),
    ] = None,
    overrides: options.Overrides = None,
    data_root: options.DataRoot = None,
    json: options.Json = False,
) -> None:
    """Look at a recipe's data before training on them.

    Opens the views of train, val and test and shows what their files hold beside what is expected: types, sizes,
    ranges, invalid pixels, classes. Says in words what looks wrong: views without partners, labels outside the classes
    or shifted, names shifted against masks, values outside the declared range, constant or identical modalities, views
    that train and val share. Exit code 1 where training would stop or go wrong, 0 where there are warnings at most.

    With --images, pictures of augmented samples of train and of whole views of the other splits, labels over them, and
    a plot of the classes' shares. With --statistics, the measured means and deviations take the place of the defaults.

    Examples:

        cen data check rooms

        cen data check recipes/nyudv2.toml --data-root /data/nyudv2

        cen data check my-recipe.toml --views 100 --json

        cen data check my-recipe.toml --images 8 --statistics
    """
    from cen_cli import builders
    from cen_cli.recipe.load import load_recipe
    from cen_cli.reporting import console, tables
    from cen_cli.reporting.data import check_parts

    settings = load_recipe(recipe, overrides or (), data_root)
    with _progress() as progress:
        found = builders.check(settings, wanted=views, progress=progress)
    if json:
        console.print_json(found)
    else:
        root = f" --data-root {data_root}" if data_root else ""
        tables.show(console.out(), check_parts(found, f"cen train {recipe}{root}"))
    if images:
        _draw(settings, found, images, out or Path(f"{settings.name}-samples"))
    if found.errors:
        raise DataError(f"{settings.name}: training on these data would stop or go wrong")
    if statistics:
        _write_statistics(Path(recipe), settings, found)


def _draw(settings: Recipe, found: DataCheck, count: int, folder: Path) -> None:
    """A panel of samples for each split that was looked at, and the shares of the classes."""
    from cen_cli import builders
    from cen_cli.analysis.samples import sample_rows
    from cen_cli.reporting import console
    from cen_cli.reporting.files import write_png
    from cen_cli.reporting.panels import sample_panel
    from cen_cli.reporting.plots import class_shares

    for split in found.splits:
        data = builders.dataset(settings, split.split, training=split.split == "train")
        indices = sorted({number * len(data) // count for number in range(count)})
        panel = sample_panel(sample_rows(data, indices), data.class_names, builders.palette(settings))
        console.note(f"pictures: {write_png(folder / f'{split.split}.png', panel)}")
    shares = {split.split: [line.share for line in split.labels] for split in found.splits if split.labels}
    if shares:
        names = [line.class_name for line in found.splits[0].labels]
        console.note(f"classes: {class_shares(shares, class_names=names, out=folder / 'classes.png')}")


def _write_statistics(file: Path, settings: Recipe, found: DataCheck) -> None:
    """Raises UsageError where the recipe is none of the user's own files, or takes no statistics."""
    from cen_cli.builders.draft import with_statistics
    from cen_cli.reporting import console
    from cen_cli.runs.files import write_bytes

    if not file.is_file() or settings.task == "translation":
        reason = "a translation brings every image to [-1, 1]" if file.is_file() else "no file of a recipe of your own"
        raise UsageError(f"--statistics: {file}: {reason}", hint=None if file.is_file() else f"cen recipes copy {file}")
    text = with_statistics(file.read_text(encoding="utf-8"), found, settings.data.inputs)
    write_bytes(file, text.encode())
    console.note(f"wrote mean and deviation of {', '.join(settings.data.inputs)} into {file}")


@contextmanager
def _progress() -> Iterator[Callable[[str], Advance]]:
    """One bar after the other, named after the split that is looked at."""
    from cen_cli.reporting.progress import counting

    with ExitStack() as bars:

        def start(split: str) -> Advance:
            bars.close()
            return bars.enter_context(counting(f"looking at {split}"))

        yield start
