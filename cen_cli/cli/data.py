"""`cen data`: the built-in data set as files; published data sets turned into folders that are quicker to read."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cen_cli.cli import options
from cen_cli.cli.options import argument, option

if TYPE_CHECKING:
    from cen_cli.results.findings import WrittenData


class PaletteStyle(StrEnum):
    """How the rooms are coloured."""

    RANDOM = "random"
    HOUSE = "house"


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
        PaletteStyle, option(None, "random: free colours. house: colours that follow from shape and material.")
    ] = PaletteStyle.RANDOM,
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
        palette_style=palette_style.value,
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


class Prepared(StrEnum):
    """Data sets that can be turned into folders."""

    NYUDV2 = "nyudv2"


class NyuDepth(StrEnum):
    """Which of NYUDv2's two depths."""

    FILLED = "filled"
    RAW = "raw"


def prepare(
    dataset: Annotated[Prepared, argument("SET", "The data set: nyudv2.")],
    file: Annotated[Path, argument("FILE", "nyu_depth_v2_labeled.mat.")],
    out: Annotated[Path, argument("OUT", "A new or empty folder.")],
    depth: Annotated[
        NyuDepth, option(None, "filled: inpainted, as most work uses it. raw: 0 where unmeasured.")
    ] = NyuDepth.FILLED,
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

    assert dataset is Prepared.NYUDV2
    _show(write_nyudv2(file, out, depth=depth.value, listener=Terminal()), json=json)
