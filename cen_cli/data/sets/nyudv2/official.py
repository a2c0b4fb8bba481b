"""What the data set itself lays down, from official.toml: the split, and the 40 classes of its 894 labels."""

from __future__ import annotations

import tomllib
from pathlib import Path

from cen_cli.results import VOID

_FACTS = tomllib.loads(Path(__file__).with_name("official.toml").read_text(encoding="utf-8"))


def _numbers(text: str) -> list[int]:
    """The numbers of a text such as "3-5 8"."""
    ranges = [[int(number) for number in word.split("-")] for word in text.split()]
    return [number for ends in ranges for number in range(ends[0], ends[-1] + 1)]


CLASS_NAMES: tuple[str, ...] = tuple(_FACTS["classes"])
"""The 40 classes by label, spelled as the data set spells them."""

CLASS_OF: dict[int, int] = {0: VOID} | {
    number: label for label, text in enumerate(_FACTS["classes"].values()) for number in _numbers(text)
}
"""Label of nyu_depth_v2_labeled.mat, 0 .. 894 -> 0 .. 39, or `VOID`."""

TRAIN_FRAMES: tuple[int, ...] = tuple(_numbers(_FACTS["train"]))
"""The 795 frames to train on, counted from 1."""

TEST_FRAMES: tuple[int, ...] = tuple(sorted(set(range(1, _FACTS["frames"] + 1)) - set(TRAIN_FRAMES)))
"""The 654 frames to test on."""

FRAMES_OF = {"train": TRAIN_FRAMES, "val": TEST_FRAMES, "test": TEST_FRAMES}

MAT_FILE = "nyu_depth_v2_labeled.mat"

SOURCE = (
    f"expected {MAT_FILE} of https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html; or the folder that "
    "`cen data prepare nyudv2` makes of it: rgb/, masks/, depth/, train.txt and val.txt (such a copy is linked from "
    "https://github.com/yikaiw/CEN); or RGB/, HHA/, Depth/, Label/, train.txt and test.txt"
)
