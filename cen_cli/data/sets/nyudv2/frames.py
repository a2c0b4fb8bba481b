"""The official nyu_depth_v2_labeled.mat: 1449 frames of 480 x 640, read one at a time.

    images                uint8 [3, H, W] of each frame
    depths, rawDepths     float metres [H, W]: inpainted; as measured, with 0 where nothing was
    labels                uint16 [H, W], 0 .. 894, 0 = void; here the 40 classes and 255

h5py sees MATLAB's axes reversed: images [N, 3, W, H], the others [N, W, H]. Frames are counted from 1, as the split and
MATLAB count them. The photographs have a white border, where labels are 0 and depth is made up; `NYUDv2` cuts it away.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from cen_cli.data import tensors
from cen_cli.data.listing import read_list
from cen_cli.data.modality import ModalitySpec
from cen_cli.data.reading import coded_labels, label_table
from cen_cli.data.sample import LABELS
from cen_cli.data.sets.matfile import MatFile
from cen_cli.data.sets.nyudv2.official import CLASS_OF, FRAMES_OF
from cen_cli.data.tensors import DepthMap
from cen_cli.data.views import Source, ViewFiles
from cen_cli.errors import DataError

Depth = Literal["filled", "raw"]
DEPTH_ARRAYS: dict[Depth, str] = {"filled": "depths", "raw": "rawDepths"}

_TABLE = label_table(CLASS_OF)
_NUMBER = re.compile(r"0*([1-9]\d*)")


def find_frames(path: Path, split: str, columns: Mapping[str, str], *, depth: Depth, list_file: str = "") -> Source:
    """The frames of a split: of each the maps that `columns` names ("rgb", "depth", `LABELS`), by its keys.

    `list_file`, relative to the file's folder, takes the place of the official split: one frame a line, by its number
    or by a file that is named after it. Raises DataError.
    """
    file = LabeledFrames(path)
    arrays = {"rgb": "images", "depth": DEPTH_ARRAYS[depth], LABELS: "labels"}
    absent = [column for column in columns.values() if column not in arrays]
    if absent:
        raise DataError(f"{path}: this file holds no {absent[0]}, only rgb, depth and labels")
    count = file.count([arrays[column] for column in columns.values()])
    if list_file:
        numbers = read_list(path.parent / list_file, partial(_frame_number, count=count), unique=True)
    else:
        numbers = [number for number in FRAMES_OF[split] if number <= count]
    if not numbers:
        raise DataError(f"{path}: none of the {count} frames is in the official split {split!r}")
    views = [
        ViewFiles(f"{number:06d}", {key: f"{arrays[column]}/{number}" for key, column in columns.items()})
        for number in numbers
    ]
    return Source(path, views, read=file.read, labels=file.read_labels)


class LabeledFrames(MatFile):
    """Frames of the file; a map is named by its path, <file>/<array>/<number>."""

    def count(self, arrays: Sequence[str]) -> int:
        """The number of frames. Raises DataError where arrays are not of the data set's form."""
        counts = {}
        for name in arrays:
            shape = self.shape(name)
            expected = "[N, 3, W, H]" if name == "images" else "[N, W, H]"
            if len(shape) != expected.count(",") + 1 or (name == "images" and shape[1] != 3):
                raise DataError(
                    f"{self.path}: {name} is of shape {list(shape)}, expected {expected} (MATLAB's axes reversed)",
                    hint="is it the labelled data set, as MATLAB wrote it?",
                )
            counts[name] = shape[0]
        if len(set(counts.values())) > 1:
            held = ", ".join(f"{name} {count}" for name, count in counts.items())
            raise DataError(f"{self.path}: the arrays hold different numbers of frames: {held}")
        return next(iter(counts.values()))

    def read(self, path: str | Path, spec: ModalitySpec) -> Tensor:
        """An Image uint8 [3, H, W], or a DepthMap in metres, of a path such as <file>/images/3. Raises DataError."""
        values = self._frame(path)
        if spec.kind == "image" and spec.derived != "normal":
            if values.dtype != np.uint8:
                raise DataError(f"{path}: the image is of {values.dtype}, expected uint8")
            return tensors.Image(torch.from_numpy(_interleaved(values)).permute(2, 0, 1))
        metres = np.ascontiguousarray(values.T, dtype=np.float32)
        if not (metres.min() >= 0 and metres.max() < np.inf):  # negative, infinite, or no number
            metres[~((metres > 0) & (metres < np.inf))] = 0.0
        return DepthMap(torch.from_numpy(metres)[None])

    def read_labels(self, path: str | Path) -> tensors.Mask:
        """Labels uint8 [1, H, W] of a path such as <file>/labels/3. Raises DataError."""
        return coded_labels(path, self._frame(path).T, _TABLE)

    def _frame(self, path: str | Path) -> np.ndarray:
        *_, array, number = Path(path).parts
        return self.part(array, int(number) - 1)


def _interleaved(values: np.ndarray) -> np.ndarray:
    """[3, W, H] as [H, W, 3], the memory order in which images resize fastest."""
    pixels = np.empty(values.shape[::-1], dtype=values.dtype)
    for channel, plane in enumerate(values):  # one by one: three times as fast as all at once
        pixels[..., channel] = plane.T
    return pixels


def _frame_number(line: str, count: int) -> int:
    match = _NUMBER.fullmatch(Path(line.split()[0]).stem)
    if match is None or int(match[1]) > count:
        raise ValueError(f"{line!r} names none of the frames 1 to {count}")
    return int(match[1])
