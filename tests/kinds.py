"""Folders as people have them: every kind of naming, storing and dividing that `cen data init` must tell, in small.

`KINDS` is by name: how one view is written, and what a draft of the folder must say (or why there is none).
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from tests.own import save

VIEWS = 8
SIZE = (32, 48)
COLOURS = np.array([[0, 0, 0], [180, 20, 20], [20, 180, 20], [20, 20, 180]], np.uint8)
IDS = ("a3f9c1", "b77e02", "0c9d4a", "ff13ab", "9be21c", "d4d40e", "e1a2b3", "77cafe")


@dataclasses.dataclass(frozen=True)
class View:
    """One view: uint8 [H, W, 3], metres [H, W], labels 0 to 3 [H, W]."""

    root: Path
    number: int
    rgb: np.ndarray
    depth: np.ndarray
    labels: np.ndarray

    @property
    def millimetres(self) -> np.ndarray:
        """The depth as uint16."""
        return (1000 * self.depth).astype(np.uint16)

    def save(self, path: str, values: np.ndarray, **options: object) -> None:
        """Write an image into the folder."""
        save(self.root / path, values, **options)

    def usual(self, *names: str) -> None:
        """The modalities of these names as rgb/0.png, depth/0.png and labels/0.png have them."""
        maps = {"rgb": self.rgb, "depth": self.millimetres, "labels": self.labels}
        for name in names:
            self.save(f"{name}/{self.number}.png", maps[name])


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of folder, and what is expected of its draft."""

    write: Callable[[View], None]
    inputs: tuple[str, ...] = ("rgb", "depth")
    labels: str = "labels/{stem}.png"
    """The pattern of the label maps; empty for a translation."""
    says: tuple[str, ...] = ()
    """What the draft says, beside other things."""
    found: tuple[str, ...] = ()
    """What the check says, beside other things."""
    fails: str = ""
    """What the check finds that would stop training."""
    refused: str = ""
    """Why nothing is drafted."""


def view(root: Path, number: int) -> View:
    """A view with three rectangles of other colours and depths."""
    random = np.random.default_rng(number)
    height, width = SIZE
    labels = np.zeros(SIZE, np.uint8)
    for label in (1, 2, 3):
        top, left = random.integers(0, height // 2), random.integers(0, width // 2)
        labels[top : top + height // 3, left : left + width // 3] = label
    rgb = random.integers(30, 220, (4, 3))[labels] + random.normal(0, 8, (*SIZE, 3))
    depth = 1 + 0.8 * labels + np.linspace(0, 1, height)[:, None] + random.normal(0, 0.02, SIZE)
    return View(root, number, np.clip(rgb, 0, 255).astype(np.uint8), depth.astype(np.float32), labels)


def write(root: Path, kind: Kind) -> Path:
    """A folder of this kind."""
    for number in range(VIEWS):
        kind.write(view(root, number))
    return root


def _colours_of_16_bits(v: View) -> None:
    v.usual("depth", "labels")
    (v.root / "rgb").mkdir(exist_ok=True)
    tifffile.imwrite(v.root / f"rgb/{v.number}.tif", v.rgb.astype(np.uint16) * 16, photometric="rgb")


def _ids_with_letters(v: View) -> None:
    for name, values in (("rgb", v.rgb), ("depth", v.millimetres), ("mask", v.labels)):
        v.save(f"{name}/img_{IDS[v.number]}_{name}.png", values)


def _dates(v: View) -> None:
    for name, values in (("rgb", v.rgb), ("nir", v.rgb[..., 0].copy()), ("label", v.labels)):
        v.save(f"{name}/site_2018{5 + v.number // 4:02d}{10 + v.number}T2313{v.number:02d}_{name}.png", values)


def _split_in_names(v: View) -> None:
    split = "train" if v.number < 6 else "test"
    for name, values in (("rgb", v.rgb), ("depth", v.millimetres), ("labels_40", v.labels)):
        v.save(f"{split}_{name}/{v.number}.png", values)


def _years(v: View) -> None:
    split = "train2017" if v.number < 6 else "val2017"
    for name, values in (("images", v.rgb), ("depth", v.millimetres), ("annotations", v.labels)):
        v.save(f"{name}/{split}/{v.number}.png", values)


def _sides(v: View) -> None:
    split = "train" if v.number < 6 else "test"
    v.save(f"{split}A/{v.number}.png", v.rgb)
    v.save(f"{split}B/{v.number}.png", v.millimetres)


def _withheld(v: View) -> None:
    split = "training" if v.number < 5 else "testing"
    v.save(f"{split}/image_2/{v.number:06d}_10.png", v.rgb)
    v.save(f"{split}/disp/{v.number:06d}_10.png", v.millimetres)
    if split == "training":
        v.save(f"{split}/semantic/{v.number:06d}_10.png", v.labels + np.uint8(7))


def _unlabelled(v: View) -> None:
    if v.number < 5:
        v.save(f"labeled_train/rgb/{v.number}.png", v.rgb)
        v.save(f"labeled_train/labels/{v.number}.png", v.labels)
    else:
        v.save(f"unlabeled_train/rgb/{v.number}.png", v.rgb)


def _two_suffixes(v: View) -> None:
    v.usual("depth", "labels")
    v.save(f"rgb/{v.number}.{'jpg' if v.number % 2 else 'png'}", v.rgb)


def _padding(v: View) -> None:
    v.save(f"top_{v.number + 5}_10_IRRG.tif", v.rgb)
    v.save(f"dsm_{v.number + 5:02d}_10.tif", v.depth)
    v.save(f"top_{v.number + 5}_10_label.tif", v.labels)


def _endings(v: View) -> None:
    v.save(f"imgs/{v.number:05d}_img.jpg", v.rgb)
    v.save(f"gts/{v.number:05d}_gt.png", v.labels)


def _scenes_of_scenes(v: View) -> None:
    for name, values in (("rgb", v.rgb), ("depth", v.millimetres), ("labels", v.labels)):
        v.save(f"house{v.number // 4}/room{v.number // 2}/{name}/{v.number}.png", values)


def _links(v: View) -> None:
    dataclasses.replace(v, root=v.root / ".real").usual("rgb", "depth", "labels")
    for name in ("rgb", "depth", "labels"):
        if not (v.root / name).exists():
            os.symlink(v.root / ".real" / name, v.root / name)


def _archive(v: View) -> None:
    v.usual("rgb", "depth", "labels")
    v.save(f"__MACOSX/rgb/{v.number}.png", v.rgb)


def _one_grey(v: View) -> None:
    v.usual("depth", "labels")
    v.save(f"rgb/{v.number}.jpg", v.rgb[..., 1].copy() if v.number == 3 else v.rgb)


def _one_of_another_type(v: View) -> None:
    v.usual("depth", "labels")
    v.save(f"rgb/{v.number}.png", v.millimetres if v.number == 3 else v.rgb)


def _damaged(v: View) -> None:
    v.usual("rgb", "labels")
    (v.root / "depth").mkdir(exist_ok=True)
    (v.root / f"depth/{v.number}.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")


def _edges(v: View) -> None:
    v.usual("rgb", "labels")
    v.save(f"edge/{v.number}.png", ((v.labels > 0) * 255).astype(np.uint8))


def _transparent(v: View) -> None:
    v.usual("depth", "labels")
    v.save(f"rgb/{v.number}.png", np.dstack([v.rgb, np.full(SIZE, 255, np.uint8)]))


def _thermal_in_alpha(v: View) -> None:
    v.save(f"images/{v.number:05d}D.png", np.dstack([v.rgb, 255 - v.rgb[..., 0]]))
    v.save(f"labels/{v.number:05d}D.png", v.labels)


def _five_bands(v: View) -> None:
    v.usual("rgb", "labels")
    (v.root / "ms").mkdir(exist_ok=True)
    bands = np.dstack([v.rgb, v.rgb[..., :2]]).astype(np.uint16)
    tifffile.imwrite(v.root / f"ms/{v.number}.tif", bands, photometric="minisblack", planarconfig="contig")


def _palette_photographs(v: View) -> None:
    v.usual("depth", "labels")
    (v.root / "rgb").mkdir(exist_ok=True)
    Image.fromarray(v.rgb).quantize(256).save(v.root / f"rgb/{v.number}.png")


def _palette_depth(v: View) -> None:
    v.usual("rgb", "labels")
    (v.root / "depth").mkdir(exist_ok=True)
    image = Image.fromarray((60 * v.depth).astype(np.uint8)).copy()
    image.putpalette([value // 3 for value in range(768)])
    image.save(v.root / f"depth/{v.number}.png")


def _float_labels(v: View) -> None:
    v.usual("rgb", "depth")
    v.save(f"labels/{v.number}.tif", v.labels.astype(np.float32))


def _smooth_labels(v: View) -> None:
    v.usual("rgb", "depth")
    v.save(f"labels/{v.number}.tif", v.labels + v.depth)


def _colours_with_alpha(v: View) -> None:
    v.usual("rgb", "depth")
    v.save(f"labels/{v.number}.png", np.dstack([COLOURS[v.labels], np.full(SIZE, 255, np.uint8)]))


def _jpeg_masks(v: View) -> None:
    v.usual("rgb", "depth")
    v.save(f"masks/{v.number}.jpg", ((v.labels > 0) * 255).astype(np.uint8))


def _trimaps(v: View) -> None:
    v.usual("rgb")
    v.save(f"trimaps/{v.number}.png", np.array([0, 128, 255, 255], np.uint8)[v.labels])


def _turned(v: View) -> None:
    v.usual("depth", "labels")
    (v.root / "rgb").mkdir(exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(v.rgb)).save(v.root / f"rgb/{v.number}.jpg", exif=exif)


def _two_sizes(v: View) -> None:
    v.usual("depth", "labels")
    v.save(f"rgb/{v.number}.jpg", v.rgb.repeat(2, 0).repeat(2, 1))


def _archives_of_arrays(v: View) -> None:
    v.usual("rgb", "labels")
    (v.root / "depth").mkdir(exist_ok=True)
    np.savez(v.root / f"depth/{v.number}.npz", depth=v.depth)


def _channels_first(v: View) -> None:
    v.usual("rgb", "labels")
    v.save(f"depth/{v.number}.npy", v.depth[None])


def _heights(v: View) -> None:
    v.usual("rgb", "labels")
    (v.root / "dem").mkdir(exist_ok=True)
    heights = (100 * v.depth - 150).astype(np.int16)
    heights[:2] = -32768
    tifffile.imwrite(v.root / f"dem/{v.number}.tif", heights)


def _rotated_bits(v: View) -> None:
    v.usual("rgb", "labels")
    v.save(f"depth/{v.number}.png", v.millimetres * np.uint16(8))


def _pairs(v: View) -> None:
    v.usual("rgb", "depth")


def _valid(v: View) -> None:
    v.usual("rgb", "depth", "labels")
    v.save(f"valid/{v.number}.png", ((v.labels != 2) * 255).astype(np.uint8))


def _confidence(v: View) -> None:
    v.usual("rgb", "depth", "labels")
    v.save(f"confidence/{v.number}.png", np.clip(2 - v.labels.astype(int), 0, 2).astype(np.uint8))


def _coloured_copies(v: View) -> None:
    v.usual("rgb", "depth", "labels")
    v.save(f"labels_colored/{v.number}.png", COLOURS[v.labels])


def _fine_labels(v: View) -> None:
    v.usual("rgb", "depth", "labels")
    fine = np.random.default_rng(v.number).integers(0, 894, (8, 12)).repeat(4, 0).repeat(4, 1)
    v.save(f"labels_894/{v.number}.png", fine.astype(np.uint16))


def _potsdam(v: View) -> None:
    """ISPRS Potsdam: colours, heights and coloured labels of tiles in numbered folders."""
    tile = f"{v.number + 5}_{10 + v.number % 2}"
    v.save(f"2_Ortho_RGB/top_potsdam_{tile}_RGB.tif", v.rgb)
    v.save(f"1_DSM/dsm_potsdam_{v.number + 5:02d}_{10 + v.number % 2}.tif", v.depth)
    v.save(f"5_Labels_all/top_potsdam_{tile}_label.tif", COLOURS[v.labels])


def _forest(v: View) -> None:
    """Freiburg Forest: modalities and coloured masks of two splits, with endings of their own."""
    split = "train" if v.number < 6 else "test"
    v.save(f"{split}/rgb/b{v.number}-09517_Clipped.jpg", v.rgb)
    v.save(f"{split}/nir_gray/b{v.number}-09517.png", v.rgb[..., 0].copy())
    v.save(f"{split}/GT_color/b{v.number}-09517_mask.png", COLOURS[v.labels])


def _sun(v: View) -> None:
    """SUN RGB-D as it is unpacked: a folder for each view, raw and filled depth with rotated bits."""
    folder = f"kv1/NYUdata/NYU{v.number:04d}"
    v.save(f"{folder}/image/NYU{v.number:04d}.jpg", v.rgb)
    holes = np.where(v.labels == 3, 0, v.millimetres * 8).astype(np.uint16)
    v.save(f"{folder}/depth/NYU{v.number:04d}.png", holes)
    v.save(f"{folder}/depth_bfx/NYU{v.number:04d}.png", v.millimetres * np.uint16(8))


KINDS = {
    "colours of 16 bits": Kind(_colours_of_16_bits, says=('stored = "uint16"',)),
    "ids with letters": Kind(_ids_with_letters, labels="mask/{stem}_mask.png"),
    "dates as ids": Kind(_dates, ("rgb", "nir"), "label/{stem}_label.png"),
    "splits in names of folders": Kind(
        _split_in_names,
        labels="{split}_labels_40/{stem}.png",
        says=("The folders themselves divide the views: train, test.", "a share of train is"),
    ),
    "years behind splits": Kind(_years, ("images", "depth"), "annotations/{split}2017/{stem}.png"),
    "sides behind splits": Kind(_sides, ("b",), "", says=('pattern = "{split}A/{stem}.png"',)),
    "a test without labels": Kind(
        _withheld,
        ("image", "disp"),
        "{split}/semantic/{stem}.png",
        says=("test: none of its 3 views has all files", "skip_incomplete = true"),
    ),
    "a folder without labels": Kind(
        _unlabelled,
        ("rgb",),
        "labeled_train/labels/{stem}.png",
        says=("none of its 3 views has a label map",),
    ),
    "two suffixes in a folder": Kind(_two_suffixes, says=('pattern = "rgb/{stem}.*"',)),
    "numbers padded differently": Kind(_padding, ("top_irrg", "dsm"), "top_{stem}_label.tif"),
    "endings in folders": Kind(_endings, ("imgs_img",), "gts/{stem}_gt.png"),
    "two levels of scenes": Kind(_scenes_of_scenes, labels="{group}/{group}/labels/{stem}.png"),
    "links": Kind(_links),
    "what an archive leaves": Kind(_archive),
    "one grey file among colours": Kind(_one_grey, says=("convert = true", "1 of 8 are 8-bit grey: 3.jpg")),
    "one file of another type": Kind(
        _one_of_another_type,
        says=("1 of 8 are 16-bit grey: 3.png, which reading refuses",),
        fails="the image is 16-bit grey, expected 8-bit RGB",
    ),
    "a damaged modality": Kind(_damaged, ("rgb",), says=("depth/{stem}.png is left out",)),
    "edges in black and white": Kind(_edges, ("rgb", "edge")),
    "transparency": Kind(_transparent, says=("convert = true",)),
    "a band of its own in the transparency": Kind(
        _thermal_in_alpha, ("images", "images_4"), "labels/{stem}.png", says=("bands = [4]",)
    ),
    "five bands": Kind(_five_bands, ("rgb",), says=("16-bit of 5 bands; `bands`",)),
    "photographs with palettes": Kind(_palette_photographs, says=("convert = true",)),
    "depth with palettes": Kind(_palette_depth, ("rgb",), says=("palette images draw a measurement in colours",)),
    "labels as floats": Kind(_float_labels, labels="labels/{stem}.tif"),
    "labels that are none": Kind(_smooth_labels, refused="labels/{stem}.tif is left out: called label maps, but they"),
    "colours of labels with transparency": Kind(_colours_with_alpha, says=('stored = "color"',)),
    "masks as JPEG": Kind(_jpeg_masks, labels="masks/{stem}.jpg", says=("tolerance = 127",)),
    "trimaps": Kind(_trimaps, ("rgb",), "trimaps/{stem}.png", says=("values = [0, 128, 255]",)),
    "turned photographs": Kind(_turned, found=("as their EXIF orientation says",)),
    "two sizes": Kind(_two_sizes, says=("resize = [",)),
    "archives of arrays": Kind(_archives_of_arrays, ("rgb",), says=("8 .npz files are passed over",)),
    "channels first": Kind(_channels_first),
    "heights with a sign": Kind(_heights, ("rgb", "dem"), says=('stored = "int16"', "invalid = [-32768]")),
    "rotated bits": Kind(_rotated_bits, says=("scale = 8000", "SUN RGB-D")),
    "ISPRS Potsdam": Kind(_potsdam, ("rgb", "dsm"), "5_Labels_all/top_{stem}_label.tif", says=('stored = "color"',)),
    "Freiburg Forest": Kind(_forest, ("rgb", "nir_gray"), "{split}/GT_color/{stem}_mask.png"),
    "SUN RGB-D": Kind(_sun, ("depth", "depth_bfx"), "", says=("scale = 8000", "{group}/depth_bfx/{stem}.png")),
    "pairs": Kind(_pairs, ("depth",), "", says=('fusion = "none"',)),
    "masks of what is valid": Kind(_valid, says=("valid/{stem}.png is left out",)),
    "maps of confidence": Kind(_confidence, says=("confidence/{stem}.png is left out",)),
    "coloured copies of labels": Kind(_coloured_copies, says=("labels_colored/{stem}.png looks like label maps, too",)),
    "finer labels": Kind(_fine_labels, says=("labels_894/{stem}.png is left out: called label maps, but they hold",)),
}
