"""`cen data`: the built-in data set as files; published data sets turned into folders that are quicker to read."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cen_cli.cli import options

if TYPE_CHECKING:
    from cen_cli.results.findings import WrittenData

Folder = Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write into.")]
Size = Annotated[int, typer.Option("--size", metavar="PIXELS", min=32, max=4096, help="Side of the square images.")]
Views = Annotated[int, typer.Option("--views", metavar="N", min=1, max=1000, help="Views of each room.")]
TrainRooms = Annotated[int, typer.Option("--train-rooms", metavar="N", min=0, max=10_000, help="Rooms for training.")]
ValRooms = Annotated[int, typer.Option("--val-rooms", metavar="N", min=0, max=10_000, help="Rooms for validation.")]
TestRooms = Annotated[int, typer.Option("--test-rooms", metavar="N", min=0, max=10_000, help="Rooms for test.")]
Domains = Annotated[
    list[str] | None,
    typer.Option(
        "--domains",
        metavar="NAMES",
        help="What to write of each view, as names between commas; may be given several times. All by default.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Another seed gives other rooms.")]


class PaletteStyle(StrEnum):
    """How the rooms are coloured."""

    RANDOM = "random"
    HOUSE = "house"


Palette = Annotated[
    PaletteStyle,
    typer.Option("--palette-style", help="random: free colours. house: colours that follow from shape and material."),
]
Workers = Annotated[
    int | None, typer.Option("--workers", metavar="N", min=1, help="Rendering processes; one per processor by default.")
]


def rooms(
    out: Folder,
    size: Size = 96,
    views: Views = 4,
    train_rooms: TrainRooms = 400,
    val_rooms: ValRooms = 75,
    test_rooms: TestRooms = 75,
    domains: Domains = None,
    palette_style: Palette = PaletteStyle.RANDOM,
    seed: Seed = 0,
    workers: Workers = None,
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
    dataset: Annotated[Prepared, typer.Argument(metavar="SET", help="The data set: nyudv2.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="nyu_depth_v2_labeled.mat.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new or empty folder.")],
    depth: Annotated[
        NyuDepth, typer.Option(help="filled: inpainted, as most work uses it. raw: 0 where unmeasured.")
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
