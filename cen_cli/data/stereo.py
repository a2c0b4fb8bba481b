"""Disparity of a stereo camera, as Cityscapes stores it, and the depth that follows from it.

    disparity/.../<view>_disparity.png    16-bit grey: 0 = nothing measured, else disparity = (value - 1) / 256 pixels
    camera/.../<view>_camera.json         extrinsic.baseline (metres), intrinsic.fx (pixels)

Depth in metres is baseline * fx / disparity. The value 1 was measured and means no disparity at all, infinitely far: it
is read as half a step (1/512 pixel), which keeps it apart from 0 and the division finite.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from cen_cli.data.reading import read_units
from cen_cli.data.tensors import DepthMap
from cen_cli.errors import DataError

STEP = 1 / 256
"""Pixels of disparity between two stored values."""


def read_disparity(path: str | Path) -> DepthMap:
    """Disparity in pixels, float32 [1, H, W], above 0 where it was measured. Raises DataError."""
    return DepthMap(torch.from_numpy(_disparity(path))[None])


def read_stereo_depth(path: str | Path, *, clip: float | None = None) -> DepthMap:
    """Depth in metres, float32 [1, H, W], of a disparity file and its camera's; at most `clip`.

    Raises DataError where one of them cannot be read.
    """
    disparity = _disparity(path)
    unmeasured = disparity == 0
    with np.errstate(divide="ignore"):
        metres = np.divide(np.float32(_metre_pixels(camera_file(path))), disparity, out=disparity)
    metres[unmeasured] = 0.0
    if clip is not None:
        np.minimum(metres, np.float32(clip), out=metres)
    return DepthMap(torch.from_numpy(metres)[None])


def camera_file(path: str | Path) -> Path:
    """Where the camera of a disparity file is described: in camera/ in place of disparity/, or beside it."""
    disparity = Path(path)
    folder, name = disparity.parent, disparity.stem.removesuffix("_disparity") + "_camera.json"
    root = next((parent for parent in (folder, *folder.parents) if parent.name == "disparity"), None)
    return folder / name if root is None else root.with_name("camera") / folder.relative_to(root) / name


def _disparity(path: str | Path) -> np.ndarray:
    values = read_units(path)
    disparity = values.astype(np.float32)
    disparity -= 1
    disparity *= np.float32(STEP)
    np.maximum(disparity, np.float32(STEP / 2), out=disparity)
    disparity[values == 0] = 0.0
    return disparity


def _metre_pixels(path: Path) -> float:
    """Baseline times focal length of a camera: depth in metres where the disparity is one pixel."""
    try:
        camera = json.loads(path.read_text(encoding="utf-8"))
        product = float(camera["extrinsic"]["baseline"]) * float(camera["intrinsic"]["fx"])
    except FileNotFoundError:
        raise DataError(
            f"{path}: no such file; depth in metres needs the camera of each view",
            hint='camera_trainvaltest.zip of Cityscapes holds them; the input "disparity" needs none',
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: no camera with extrinsic.baseline and intrinsic.fx ({type(error).__name__}: {error})"
        ) from None
    if not 0 < product < np.inf:
        raise DataError(f"{path}: extrinsic.baseline times intrinsic.fx is {product:g}, and must be above 0")
    return product
