"""Small copies of published data sets, byte for byte in the form in which they are published: names, containers, bit
depths, orders of axes, palettes and invalid values. For tests, and for benchmarks/loading.py in the real sizes.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import scipy.io
from PIL import Image

MATLAB_HEADER = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Thu Sep 27 17:55:36 2012 HDF5 schema 1.00 ."


def save(path: Path, values: np.ndarray, *, palette: bool = False) -> Path:
    """Write uint8 [H, W] or [H, W, 3] or uint16 [H, W]; the suffix gives the format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values)
    if palette:
        image = image.copy()
        image.putpalette(bytes(np.random.default_rng(0).integers(0, 256, 768, dtype=np.uint8)))
        assert image.mode == "P"
    image.save(path)
    return path


def picture(random: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """A photograph, uint8 [H, W, 3]: smooth, with a little noise, so that files have common sizes."""
    coarse = random.integers(20, 236, (size[0] // 16 + 2, size[1] // 16 + 2, 3))
    smooth = coarse.repeat(16, axis=0).repeat(16, axis=1)[: size[0], : size[1]]
    return np.clip(smooth + random.normal(0, 3, (*size, 3)), 0, 255).astype(np.uint8)


def blocks(random: np.random.Generator, size: tuple[int, int], values: Sequence[int]) -> np.ndarray:
    """A label map [H, W] of blocks, each of one of the values; all of them occur where there is room."""
    side = max(2, min(size) // 12)
    shape = -(-size[0] // side), -(-size[1] // side)
    chosen = random.permutation(np.resize(values, shape[0] * shape[1])).reshape(shape)
    return chosen.repeat(side, axis=0).repeat(side, axis=1)[: size[0], : size[1]]


# --- NYU Depth v2 ---------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class NyuFrames:
    """What nyu_depth_v2_labeled.mat holds of N frames, in the order of axes that people think in."""

    images: np.ndarray
    """uint8 [N, H, W, 3]"""
    depths: np.ndarray
    """float32 [N, H, W], metres"""
    raw_depths: np.ndarray
    """float32 [N, H, W], metres, 0 where nothing was measured"""
    labels: np.ndarray
    """uint16 [N, H, W], 0 .. 894"""


def nyu_frames(count: int = 10, size: tuple[int, int] = (24, 32), seed: int = 0) -> NyuFrames:
    """Random frames; depth in whole units of 1/5000 m."""
    random = np.random.default_rng(seed)
    depths = (random.integers(3000, 49000, (count, *size)) / 5000).astype(np.float32)
    raw = np.where(random.random(depths.shape) < 0.2, 0, depths).astype(np.float32)
    labels = [blocks(random, size, [0, *random.permutation(np.arange(1, 895))[:60]]) for _ in range(count)]
    return NyuFrames(
        np.stack([picture(random, size) for _ in range(count)]), depths, raw, np.stack(labels).astype(np.uint16)
    )


def write_nyu_mat(path: Path, frames: NyuFrames) -> Path:
    """Write the labelled data set as MATLAB v7.3 does: HDF5 behind 512 bytes of its own, all axes reversed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {
        "images": frames.images.transpose(0, 3, 2, 1),  # [N, 3, W, H]
        "depths": frames.depths.transpose(0, 2, 1),  # [N, W, H]
        "rawDepths": frames.raw_depths.transpose(0, 2, 1),
        "labels": frames.labels.transpose(0, 2, 1),
        "instances": np.minimum(frames.labels, 1).astype(np.uint8).transpose(0, 2, 1),
    }
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in arrays.items():
            kind = {"float32": "single"}.get(values.dtype.name, values.dtype.name)
            _store(file, name, values, kind, chunks=(1, *values.shape[1:]), compression="gzip", compression_opts=3)
        _store_texts(file, "sceneTypes", ["kitchen"] * len(frames.images))
    return _with_header(path)


# --- SUN RGB-D ------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class SunView:
    """One view of SUN RGB-D."""

    folder: str
    """Below SUNRGBD/, such as kv1/NYUdata/NYU0001; its first part is the sensor."""
    training: bool
    rgb: np.ndarray
    """uint8 [H, W, 3]"""
    millimetres: np.ndarray
    """uint16 [H, W], inpainted"""
    raw_millimetres: np.ndarray
    """uint16 [H, W], 0 where nothing was measured"""
    labels: np.ndarray
    """uint8 [H, W], 0 = void, 1 .. 37"""


SUN_FOLDERS = {
    "kv1/NYUdata/NYU0001": (427, 561),
    "kv2/kinect2data/000002_2014-05-26_14-23-37_260595134347_rgbf000103-resize": (530, 730),
    "realsense/lg/2014_10_21-18_15_50-1311000073": (531, 681),
    "xtion/sun3ddata/brown_bm_1/brown_bm_1/0000103-000003432000": (441, 591),
}
"""A view of each sensor, and its size."""


def sun_views(copies: int = 3, shrink: int = 16, seed: int = 0) -> list[SunView]:
    """`copies` views of each sensor, of which the last is for testing, a `shrink`th of the real size."""
    random = np.random.default_rng(seed)
    views = []
    for copy in range(copies):
        for folder, real in SUN_FOLDERS.items():
            size = (real[0] // shrink, real[1] // shrink)
            millimetres = random.integers(300, 9500, size).astype(np.uint16)
            raw = np.where(random.random(size) < 0.2, 0, millimetres).astype(np.uint16)
            labels = blocks(random, size, range(38)).astype(np.uint8)
            name = f"{folder}_{copy}"
            views.append(SunView(name, copy < copies - 1, picture(random, size), millimetres, raw, labels))
    return views


def write_sunrgbd(root: Path, views: Sequence[SunView]) -> Path:
    """Write SUNRGBD/ and SUNRGBDtoolbox/ as the official archives unpack."""
    recorded = "/n/fs/sun3d/data/SUNRGBD/"
    metadata, split = [], []
    for number, view in enumerate(views, start=1):
        folder, rgb, depth = root / "SUNRGBD" / view.folder, f"{number:07d}.jpg", f"{number:07d}_abs.png"
        save(folder / "image" / rgb, view.rgb)
        save(folder / "depth_bfx" / depth, rotated_left(view.millimetres))
        save(folder / "depth" / depth, rotated_left(view.raw_millimetres))
        path = recorded + view.folder
        metadata.append((f"SUNRGBD/{view.folder}", f"{path}/depth/{depth}", f"{path}/image/{rgb}", depth, rgb))
        split += [path] if view.training else []
    toolbox = root / "SUNRGBDtoolbox"
    (toolbox / "Metadata").mkdir(parents=True)
    (toolbox / "traintestSUNRGBD").mkdir()
    fields = [(name, object) for name in ("sequenceName", "depthpath", "rgbpath", "depthname", "rgbname")]
    scipy.io.savemat(toolbox / "Metadata/SUNRGBDMeta.mat", {"SUNRGBDMeta": np.array([metadata], dtype=fields)})
    scipy.io.savemat(toolbox / "traintestSUNRGBD/allsplit.mat", {"alltrain": np.array([split], dtype=object)})
    _write_sun_labels(toolbox / "Metadata/SUNRGBD2Dseg.mat", [view.labels for view in views])
    return root


def write_sun_packs(root: Path, views: Sequence[SunView], *, depth_name: str = "{}.png") -> Path:
    """Write the flat folders; of the label maps those of the test views count from 1, the others from 5051."""
    for part, first in (("train", 5050), ("test", 0)):
        chosen = [view for view in views if view.training == (part == "train")]
        for number, view in enumerate(chosen, start=1):
            save(root / f"SUNRGBD-{part}_images/img-{number:06d}.jpg", view.rgb)
            units = np.minimum(view.millimetres.astype(np.int64) * 10, 65535).astype(np.uint16)
            save(root / f"sunrgbd_{part}_depth" / depth_name.format(number), units)
            save(root / f"sunrgbd_train_test_labels/img-{number + first:06d}.png", view.labels)
    return root


def rotated_left(millimetres: np.ndarray) -> np.ndarray:
    """16-bit values with their bits rotated to the left by 3, as the depth images are stored."""
    wide = millimetres.astype(np.uint32)
    return ((wide << 3 | wide >> 13) & 0xFFFF).astype(np.uint16)


def _write_sun_labels(path: Path, labels: Sequence[np.ndarray]) -> None:
    with h5py.File(path, "w", userblock_size=512) as file:
        references = [
            _store(file, f"#refs#/{number}", values.T, "uint8", compression="gzip").ref
            for number, values in enumerate(labels)
        ]
        group = file.create_group("SUNRGBD2Dseg")
        cells = group.create_dataset("seglabel", (len(labels), 1), dtype=h5py.ref_dtype)
        for number, reference in enumerate(references):
            cells[number, 0] = reference
        _store_texts(file, "seg37list", ["wall", "floor"])
    _with_header(path)


# --- Cityscapes -----------------------------------------------------------------------------------------------------

CAMERA = {
    "extrinsic": {"baseline": 0.209313, "pitch": 0.038, "roll": 0.0, "x": 1.7, "y": 0.1, "yaw": -0.0195, "z": 1.22},
    "intrinsic": {"fx": 2262.52, "fy": 2265.3017905988554, "u0": 1096.98, "v0": 513.137},
}
CITIES = {"train": ("aachen", "zurich"), "val": ("frankfurt",)}


def write_cityscapes(root: Path, *, frames: int = 2, size: tuple[int, int] = (32, 64), seed: int = 0) -> Path:
    """Write `frames` views of each city: leftImg8bit/, gtFine/ with label ids, disparity/ and camera/."""
    random = np.random.default_rng(seed)
    for split, cities in CITIES.items():
        for city in cities:
            for frame in range(frames):
                name = f"{city}_000000_{frame + 19:06d}"

                def path(kind: str, suffix: str = ".png", *, place: str = f"{split}/{city}/{name}") -> Path:
                    return root / kind.split("_")[0] / f"{place}_{kind}{suffix}"

                save(path("leftImg8bit"), picture(random, size))
                save(path("gtFine_labelIds"), blocks(random, size, range(34)).astype(np.uint8))
                values = random.integers(0, 32258, size).astype(np.uint16)
                values[0, :4] = (0, 1, 2, 257)
                save(path("disparity"), values)
                path("camera", ".json").parent.mkdir(parents=True, exist_ok=True)
                path("camera", ".json").write_text(json.dumps(CAMERA, indent=4))
    return root


# --- Taskonomy ------------------------------------------------------------------------------------------------------

TASKONOMY_POINTS = (0, 1, 2, 3, 11)
"""Of these, `split_of_point` gives 11 to val and 1 to test."""


def write_taskonomy(
    root: Path, points: Sequence[int] = TASKONOMY_POINTS, size: tuple[int, int] = (16, 16), *, grey: bool = True
) -> Path:
    """Write views 0 and 3 of each point, every domain in the sample's own encoding; reshading grey or RGB."""
    random = np.random.default_rng(11)

    def store(domain: str, name: str, values: np.ndarray) -> None:
        save(root / domain / f"{name}_domain_{domain}.png", values)

    for name in (f"point_{point}_view_{view}" for point in points for view in (0, 3)):
        for domain in ("rgb", "normal", "principal_curvature"):
            store(domain, name, random.integers(0, 255, (*size, 3), dtype=np.uint8))
        shade = random.integers(0, 256, size, dtype=np.uint8)
        store("reshading", name, shade if grey else np.stack([shade] * 3, -1))
        for domain, full in (("edge_texture", 11355), ("edge_occlusion", 11584)):
            store(domain, name, random.integers(0, full + 1, size, dtype=np.uint16))
        for domain in ("depth_euclidean", "depth_zbuffer"):
            units = random.integers(1, 5120, size, dtype=np.uint16)
            units[random.random(size) < 0.1] = 65535
            store(domain, name, units)
    return root


# --- MATLAB v7.3 ----------------------------------------------------------------------------------------------------


def _store(file: h5py.File, name: str, values: np.ndarray, kind: str, **settings: object) -> h5py.Dataset:
    dataset = file.create_dataset(name, data=values, **settings)
    dataset.attrs["MATLAB_class"] = np.bytes_(kind)
    return dataset


def _store_texts(file: h5py.File, name: str, texts: Sequence[str]) -> None:
    """A cell array of texts: references to columns of 16-bit characters."""
    cells = file.create_dataset(name, (len(texts), 1), dtype=h5py.ref_dtype)
    for number, text in enumerate(texts):
        characters = np.array([[ord(letter)] for letter in text], dtype=np.uint16)
        cells[number, 0] = _store(file, f"#refs#/{name}{number}", characters, "char").ref


def _with_header(path: Path) -> Path:
    with path.open("r+b") as file:
        file.write(MATLAB_HEADER.ljust(124) + b"\x00\x02IM")
    return path
