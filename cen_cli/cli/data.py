"""`cen data`: checks data, drafts recipes, writes the built-in data set and published ones as folders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cen_cli.cli import options
from cen_cli.cli.options import argument, flag, option
from cen_cli.errors import DataError, UsageError
from cen_cli.results.datasets import WrittenData
from cen_cli.wording import command


def rooms(
    out: Annotated[Path, argument("OUT", "Folder to write into.")],
    size: Annotated[int, option("PIXELS", "Side of the square images.", min=32, max=4096)] = 96,
    views: Annotated[int, option("N", "Views of each room.", min=1, max=1000)] = 4,
    train_rooms: Annotated[int, option("N", "Rooms for training.", min=0, max=10_000)] = 400,
    val_rooms: Annotated[int, option("N", "Rooms for validation.", min=0, max=10_000)] = 75,
    test_rooms: Annotated[int, option("N", "Rooms for test.", min=0, max=10_000)] = 75,
    domains: Annotated[
        list[str] | None,
        option(
            "NAMES", "What to write of each view, as names between commas; may be given several times. All by default."
        ),
    ] = None,
    palette_style: Annotated[
        Literal["random", "house"],
        option(None, "random: free colours. house: colours that follow from shape and material."),
    ] = "random",
    seed: Annotated[int, option("N", "Another seed gives other rooms.", min=0)] = 0,
    workers: Annotated[int | None, option("N", "Rendering processes; one per processor by default.", min=1)] = None,
    json: options.Json = False,
) -> None:
    """Write the built-in rooms as PNG files.

    They lie at OUT/SPLIT/DOMAIN/ROOM_VIEW.png. What is there already is kept, so an interrupted run goes on where it
    stopped.

    Examples:
        cen data rooms rooms
        cen data rooms small --size 64 --train-rooms 20 --val-rooms 5 --test-rooms 5
        cen data rooms pairs --domains rgb,depth_sensor,labels
        cen data rooms house --palette-style house --domains reshading,edge_texture,rgb_clean
    """
    from cen_cli.data.rooms import RoomsSettings
    from cen_cli.jobs.data import write_rooms
    from cen_cli.reporting.progress import Terminal

    settings = RoomsSettings(
        size=size,
        seed=seed,
        train_rooms=train_rooms,
        val_rooms=val_rooms,
        test_rooms=test_rooms,
        views=views,
        palette_style=palette_style,
    )
    chosen = [name.strip() for names in domains or () for name in names.split(",")]
    _show(write_rooms(out, settings, domains=chosen, workers=workers, listener=Terminal()), json=json)


def _show(written: WrittenData, *, json: bool) -> None:
    from cen_cli.reporting import console

    if json:
        console.print_json(written)
        return
    console.print_text(written.folder)
    following = f"; next: {written.next}" if written.next else ""
    console.note(f"{written.views} views of {len(written.domains)} domains{following}")


def prepare(
    dataset: Annotated[Literal["nyudv2"], argument("SET", "The data set: nyudv2.")],  # noqa: ARG001 (the only one)
    file: Annotated[Path, argument("FILE", "nyu_depth_v2_labeled.mat.")],
    out: Annotated[Path, argument("OUT", "A new or empty folder.")],
    depth: Annotated[
        Literal["filled", "raw"], option(None, "filled: inpainted, as most work uses it. raw: 0 where unmeasured.")
    ] = "filled",
    json: options.Json = False,
) -> None:
    """Turn a data set's official file into folders of images.

    These are smaller and quicker to read.

    nyudv2: OUT/rgb, OUT/masks and OUT/depth, 1449 PNG files each, cut to the inside of the white border (468 x 625),
    and the lists of the official split. OUT appears when all of it is written, or not at all.

    Examples:
        cen data prepare nyudv2 nyu_depth_v2_labeled.mat nyudv2
        cen data prepare nyudv2 nyu_depth_v2_labeled.mat nyudv2-raw --depth raw
    """
    from cen_cli.jobs.data import write_nyudv2
    from cen_cli.reporting.progress import Terminal

    _show(write_nyudv2(file, out, depth=depth, listener=Terminal()), json=json)


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

    if out is not None and not images:
        raise UsageError("--out is the folder of pictures, and none are asked for", hint="--images N")
    settings = load_recipe(recipe, overrides or (), data_root)
    report = job.check(settings, views=views, listener=Terminal())
    same = ["--data-root", data_root] if data_root else []
    same += [word for text in overrides or () for word in ("--set", text)]
    tables.print_result(report, render_check(report, command("train", recipe, *same)), json=json)
    if images:
        for path in job.draw_samples(settings, report, images, out or Path(f"{settings.name}-samples")):
            console.note(f"picture: {path}")
    if report.errors:
        raise DataError(f"{settings.name}: training on these data would stop or go wrong")
    if statistics:
        written = job.write_statistics(recipe, settings, report)
        console.note(f"wrote mean and deviation of {', '.join(written)} into {recipe}")


def init(
    folder: Annotated[Path, argument("DIR", "A folder of images.")],
    out: Annotated[Path | None, option("FILE", "The recipe to write [default: <DIR's name>.toml].")] = None,
    target: Annotated[
        str | None, option("NAME", "Translate to this modality [default: label maps are learned where there are any].")
    ] = None,
    json: options.Json = False,
) -> None:
    """Write a draft recipe for a folder of images.

    Finds out by their names which files belong together, and by their contents what they are: photographs, other
    images, measurements such as depth with their invalid values, label maps with their classes. The recipe says beside
    everything it concluded what that rests on. An existing file is never overwritten.

    Examples:
        cen data init orchard
        cen data init orchard --out my-orchard.toml
        cen data init orchard --target nir --json
    """
    from cen_cli.jobs import data as job
    from cen_cli.reporting import tables
    from cen_cli.reporting.data import render_draft
    from cen_cli.reporting.progress import Terminal

    file, made, inferred = job.draft_recipe(folder, out, target=target, listener=Terminal())
    document = {"recipe": str(file), "target": made, "survey": inferred}
    tables.print_result(document, render_draft(inferred, made, str(file)), json=json)
