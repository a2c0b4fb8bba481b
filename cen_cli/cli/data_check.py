"""`cen data check`: checks a recipe's data before they are trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cen_cli.cli import options
from cen_cli.cli.options import flag, option
from cen_cli.errors import DataError
from cen_cli.wording import command


def check(
    recipe: options.RecipeName,
    views: Annotated[
        int | None, option("N", "Open only so many views of each split, spread over it [default: all].", min=1)
    ] = None,
    images: Annotated[int, option("N", "Also draw N samples of each split as the network sees them.", min=0)] = 0,
    statistics: Annotated[
        bool,
        flag("--statistics", "Write each input's mean and deviation over train into the recipe's file, at its end."),
    ] = False,
    out: Annotated[Path | None, option("DIR", "Folder of the pictures [default: <recipe's name>-samples].")] = None,
    overrides: options.Overrides = None,
    data_root: options.DataRoot = None,
    json: options.Json = False,
) -> None:
    """Check a recipe's data before training on them.

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
    from cen_cli.jobs import data as job
    from cen_cli.recipe.load import load_recipe
    from cen_cli.reporting import console, tables
    from cen_cli.reporting.data import render_check
    from cen_cli.reporting.progress import Terminal

    settings = load_recipe(recipe, overrides or (), data_root)
    found = job.check(settings, views=views, listener=Terminal())
    root = ("--data-root", data_root) if data_root else ()
    tables.print_result(found, render_check(found, command("train", recipe, *root)), json=json)
    if images:
        for path in job.draw_samples(settings, found, images, out or Path(f"{settings.name}-samples")):
            console.note(f"picture: {path}")
    if found.errors:
        raise DataError(f"{settings.name}: training on these data would stop or go wrong")
    if statistics:
        job.write_statistics(recipe, settings, found)
        console.note(f"wrote mean and deviation of {', '.join(settings.data.inputs)} into {recipe}")
