"""The smallest real trainings, done in seconds: a few frames in NYUDv2's processed layout to be labelled, and a few
rendered rooms to be translated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

RECIPE = """
task = "segmentation"
name = "tiny"

[data]
kind = "nyudv2"
root = "{root}"
inputs = ["rgb", "depth"]
crop = [32, 32]

[model]
backbone = "resnet18"
encoder_width = 8
width = 4

[exchange]
threshold = 0.15
sparsity = 1e-3
gamma_init = 0.2

[optimizer]
kind = "adam"
encoder_lr = 1e-2
decoder_lr = 1e-2

[schedule]
kind = "poly"

[train]
epochs = 2
batch = 2
log_every = 2
record_gammas_every = 2

[eval]
batch = 2
"""


def write_frame(root: Path, stem: str, *, size: tuple[int, int] = (32, 40), seed: int = 0) -> None:
    """One frame whose labels can be learned: class 0 is dark and near, class 1 bright and far."""
    random = np.random.default_rng(seed)
    height, width = size
    labels = np.zeros(size, dtype=np.uint8)
    labels[:, random.integers(8, width - 8) :] = 1
    rgb = np.clip(labels[..., None] * 120 + random.normal(60, 20, (height, width, 3)), 0, 255).astype(np.uint8)
    depth = 5000 * (1 + labels.astype(np.uint16))
    labels[:2] = 255
    for folder in ("rgb", "masks", "depth"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(root / "rgb" / f"{stem}.png")
    Image.fromarray(labels).save(root / "masks" / f"{stem}.png")
    Image.fromarray(depth).save(root / "depth" / f"{stem}.png")


def write_nyudv2(root: Path, *, train: int = 8, val: int = 4) -> Path:
    """A folder in the processed layout, with lists."""
    for split, count, offset in (("train", train, 0), ("val", val, 1000)):
        stems = [f"{offset + index:06d}" for index in range(count)]
        for index, stem in enumerate(stems):
            write_frame(root, stem, seed=offset + index)
        lines = [f"rgb/{stem}.png\tmasks/{stem}.png\tdepth/{stem}.png\n" for stem in stems]
        (root / f"{split}.txt").write_text("".join(lines))
    return root


def write_recipe(path: Path, root: Path) -> Path:
    """The recipe, reading `root`."""
    path.write_text(RECIPE.format(root=root))
    return path


TRANSLATION_RECIPE = """
task = "translation"
name = "tiny-translate"
[data]
kind = "rooms"
root = "{root}"
inputs = ["shade", "texture"]
target = "rgb"
crop = [32, 32]
[data.rooms]
size = 32
train_rooms = 8
val_rooms = 2
test_rooms = 2
views = 2
antialias = 1
palette_style = "house"
[model]
arch = "unet"
[unet]
levels = 5
filters = 4
[gan]
filters = 4
layers = 1
[optimizer]
kind = "adam"
encoder_lr = 1e-3
decoder_lr = 1e-3
betas = [0.5, 0.999]
weight_decay = 0.0
[train]
epochs = 2
batch = 2
"""


def write_translation_recipe(path: Path, root: Path) -> Path:
    """The recipe of a translation of the built-in rooms, rendered below `root`."""
    path.write_text(TRANSLATION_RECIPE.format(root=root))
    return path
