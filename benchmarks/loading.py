"""Loading views of every data set against merely decoding the same files to images with Pillow and h5py.

    OMP_NUM_THREADS=1 python -m benchmarks.loading --rounds 20
    OMP_NUM_THREADS=1 python -m benchmarks.loading --nyudv2 /data/nyudv2 --nyudv2 /data/nyu_depth_v2_labeled.mat

The files are made up, in the real sizes and formats (tests/realistic.py); `--nyudv2` adds real ones. For each data set:

    read      views as stored: decoded, checked, depth in metres, labels translated, all of one size
    batch     the same as a batch of one, with masks of what is valid: what a loading process hands over

Nothing is resized, augmented or normalised (that happens on the network's device). Loader and decoder run in turn
within each round, over the same views, on one thread; a row shows views a second and, as the median over rounds, how
much longer the loader takes. What was decoded is compared first; the program ends with exit code 1 where the loader
read something else. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path

import h5py
import numpy as np
import torch
from PIL import Image

from benchmarks.timing import Row, measure
from cen_cli.data.rooms import RoomsSettings, prepare
from cen_cli.data.sample import collate
from cen_cli.data.sets.cityscapes import Cityscapes
from cen_cli.data.sets.nyudv2 import NYUDv2
from cen_cli.data.sets.nyudv2.prepare import write_folders
from cen_cli.data.sets.rooms import Rooms, domains_of
from cen_cli.data.sets.sunrgbd import SUNRGBD
from cen_cli.data.sets.taskonomy import Taskonomy
from cen_cli.data.views import FileViews
from tests.realistic import (
    nyu_frames,
    sun_views,
    write_cityscapes,
    write_nyu_mat,
    write_sun_packs,
    write_sunrgbd,
    write_taskonomy,
)

PAIR = ("rgb", "depth")
THREE = ("rgb", "normal", "reshading")


def main() -> int:
    """Write, check, measure, print."""
    options = parse()
    torch.set_num_threads(1)
    rows: list[tuple[Row, int]] = []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for name, data in data_sets(Path(folder), options):
            views = range(min(options.views, len(data)))
            for index in views:
                if not decoded_alike(data, index):
                    print(f"{name}: {data.views[index].name} was not read as it is stored")
                    return 1
            decode = repeated(lambda index, data=data: decoded(data, index), views)
            for what, load in (("read", data.view), ("batch", lambda index, data=data: collate([data.sample(index)]))):
                rows.append((measure(f"{name}, {what}", repeated(load, views), decode, options), len(views)))
    show(rows, options)
    return 0


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--views", type=int, default=4, help="views of each data set")
    parser.add_argument(
        "--nyudv2", type=Path, action="append", default=[], help="real NYUDv2: a folder or the .mat file"
    )
    parser.add_argument("--folder", help="where files are written for a while [default: the system's temporary folder]")
    parser.set_defaults(device="cpu")
    return parser.parse_args()


def data_sets(folder: Path, options: argparse.Namespace) -> Iterator[tuple[str, FileViews]]:
    """Data sets by name, each written when it is reached."""
    settings = RoomsSettings(train_rooms=2, val_rooms=0, test_rooms=0)
    rendered = prepare(settings, folder / "rooms", domains=domains_of(PAIR), keyed=False, workers=1)
    yield "rooms, 96 x 96", Rooms(rendered, "train", PAIR)
    mat = write_nyu_mat(folder / "nyu_depth_v2_labeled.mat", nyu_frames(count=7, size=(480, 640)))
    yield "nyudv2, .mat, 480 x 640", NYUDv2(mat, "train", PAIR)
    write_folders(mat, folder / "nyudv2")
    yield "nyudv2, folders, 468 x 625", NYUDv2(folder / "nyudv2", "train", PAIR)
    views = sun_views(copies=2, shrink=1)
    yield "sunrgbd, four sizes", SUNRGBD(write_sunrgbd(folder / "sunrgbd", views), "train", PAIR)
    yield "sunrgbd, packs", SUNRGBD(write_sun_packs(folder / "packs", views), "train", PAIR)
    cityscapes = write_cityscapes(folder / "cityscapes", frames=1, size=(1024, 2048))
    yield "cityscapes, 1024 x 2048", Cityscapes(cityscapes, "train", PAIR)
    taskonomy = write_taskonomy(folder / "taskonomy", points=(0, 2), size=(512, 512))
    yield "taskonomy, 4 domains, 512 x 512", Taskonomy(taskonomy, "train", THREE, "depth")
    for path in options.nyudv2:
        yield f"nyudv2, {path.name}", NYUDv2(path, "train", PAIR)


def repeated(work: Callable[[int], object], views: range) -> Callable[[], None]:
    """The work on each view in turn."""

    def all_of_them() -> None:
        for index in views:
            work(index)

    return all_of_them


def decoded(data: FileViews, index: int) -> dict[str, np.ndarray]:
    """The arrays in a view's files, as Pillow and h5py give them; each file once."""
    names = {name for name in data.views[index].files.values() if not name.endswith(".json")}
    return {name: stored(data.root / name) for name in names}


def stored(path: Path) -> np.ndarray:
    """An image file's array, or the map that a path within a MATLAB file names, its axes put right: [H, W] or more."""
    if path.suffix:
        with Image.open(path) as image:
            return np.array(image)
    holder = next(parent for parent in path.parents if parent.suffix == ".mat")
    file = opened(holder)
    values = file[path.parent.relative_to(holder).as_posix()][int(path.name) - 1]
    return np.ascontiguousarray((file[values[0]][:] if values.dtype == h5py.ref_dtype else values).T)


@cache
def opened(path: Path) -> h5py.File:
    """The file, opened once."""
    return h5py.File(path, "r")


def decoded_alike(data: FileViews, index: int) -> bool:
    """Whether the loader's first image holds the pixels that its file holds."""
    name = data.specs[0].name
    pixels = stored(data.root / data.views[index].files[name])
    found = data.view(index).inputs[name].permute(1, 2, 0).numpy()
    if pixels.shape != found.shape:  # without the white border
        pixels = pixels[6:474, 7:632]
    return np.array_equal(pixels, found)


def show(rows: list[tuple[Row, int]], options: argparse.Namespace) -> None:
    """The table and, as the last line, everything as JSON; of each row, how many views were loaded in turn."""
    print(f"{'data set':40} {'loaded/s':>9} {'decoded/s':>10} {'loader/decoder':>15} {'range':>11}")
    for row, views in rows:
        rates = f"{1e3 * views / row.plain_ms:9.1f} {1e3 * views / row.ours_ms:10.1f}"
        print(f"{row.name:40} {rates} {row.ratio:15.2f} {row.lowest:>6.2f}-{row.highest:.2f}")
    written = {name: str(value) for name, value in vars(options).items()}
    described = {"torch": torch.__version__, "threads": os.environ.get("OMP_NUM_THREADS"), "options": written}
    print(json.dumps({**described, "rows": [{**asdict(row), "views": views} for row, views in rows]}))


if __name__ == "__main__":
    sys.exit(main())
