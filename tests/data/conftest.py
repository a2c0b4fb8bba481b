"""Small data sets, written to disk in the real formats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests import realistic
from tests.realistic import save

Writer = Callable[..., Path]


def labels_of(generator: np.random.Generator, size: tuple[int, int], classes: int) -> np.ndarray:
    """Random labels of 2 x 2 blocks, a tenth of them void."""
    blocks = generator.integers(0, classes, (-(-size[0] // 2), -(-size[1] // 2)), dtype=np.uint8)
    blocks[generator.random(blocks.shape) < 0.1] = 255
    return blocks.repeat(2, axis=0).repeat(2, axis=1)[: size[0], : size[1]]


@pytest.fixture
def write() -> Callable[..., None]:
    return save


@pytest.fixture
def write_nyudv2(tmp_path: Path) -> Writer:
    """Write train (`views` views) and val (2) in the processed layout: PNG or JPEG rgb, palette or grey masks."""

    def writer(
        views: int = 6,
        size: tuple[int, int] = (18, 26),
        depth_size: tuple[int, int] | None = None,
        *,
        suffix: str = "png",
        palette: bool = True,
    ) -> Path:
        root = tmp_path / "nyudv2"
        generator = np.random.default_rng(3)
        lines = []
        for number in range(1, views + 3):
            names = [f"rgb/{number:06d}.{suffix}", f"masks/{number:06d}.png", f"depth/{number:06d}.png"]
            save(root / names[0], generator.integers(0, 256, (*size, 3), dtype=np.uint8))
            save(root / names[1], labels_of(generator, size, 40), palette=palette)
            metres = generator.integers(0, 50000, depth_size or size, dtype=np.uint16)
            save(root / names[2], metres)
            lines.append("\t".join(names))
        (root / "train.txt").write_text("\n".join(lines[:views]) + "\n")
        (root / "val.txt").write_text("\n".join(lines[views:]) + "\n")
        return root

    return writer


@pytest.fixture
def write_rooms(tmp_path: Path) -> Writer:
    """Write `rooms` x 2 views of every domain below rooms/train."""

    def writer(rooms: int = 3, size: int = 16, splits: Sequence[str] = ("train",)) -> Path:
        root = tmp_path / "rooms"
        generator = np.random.default_rng(5)
        for split in splits:
            for name in (f"{room:04d}_{view}.png" for room in range(rooms) for view in range(2)):
                for domain in ("rgb", "rgb_clean", "normal", "principal_curvature"):
                    save(root / split / domain / name, generator.integers(0, 255, (size, size, 3), dtype=np.uint8))
                save(root / split / "reshading" / name, generator.integers(0, 256, (size, size), dtype=np.uint8))
                for domain in ("edge_texture", "edge_occlusion"):
                    save(root / split / domain / name, generator.integers(0, 11356, (size, size), dtype=np.uint16))
                for domain in ("depth_sensor", "depth_zbuffer", "depth_euclidean"):
                    units = generator.integers(1, 5120, (size, size), dtype=np.uint16)
                    units[generator.random((size, size)) < 0.1] = 65535
                    save(root / split / domain / name, units)
                save(root / split / "labels" / name, labels_of(generator, (size, size), 14), palette=True)
        return root

    return writer


@pytest.fixture
def write_taskonomy(tmp_path: Path) -> Writer:
    """Write views of Taskonomy as `tests.realistic.write_taskonomy` does."""
    return partial(realistic.write_taskonomy, tmp_path / "taskonomy")
