"""A folder of one's own: photographs, near infrared of 12 bits, heights in floats, and label maps, in small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZE = (40, 48)
NAMES = ("soil", "plant", "roof")
COLOURS = ((90, 60, 40), (40, 140, 40), (200, 200, 210))

TRAINING = """
[model]
backbone = "resnet18"
encoder_width = 8
width = 4
light = true
[exchange]
threshold = 0.1
gamma_init = 0.2
[optimizer]
kind = "adam"
encoder_lr = 1e-3
decoder_lr = 1e-3
[train]
epochs = 1
batch = 4
"""

RECIPE = (
    """
task = "segmentation"
[data]
kind = "folders"
root = "{root}"
inputs = ["rgb", "nir", "height"]
crop = [32, 32]
[data.folders]
shares = [0.6, 0.2, 0.2]
[data.folders.modalities.rgb]
pattern = "rgb/{{stem}}.jpg"
kind = "photograph"
channels = 3
[data.folders.modalities.nir]
pattern = "nir/{{stem}}.png"
kind = "image"
channels = 1
stored = "uint16"
range = [0, 4095]
[data.folders.modalities.height]
pattern = "height/{{stem}}.tif"
kind = "measurement"
channels = 1
stored = "float32"
range = [-2, 10]
unit = "m"
invalid = [-9999]
[data.folders.labels]
pattern = "masks/{{stem}}.png"
classes = ["soil", "plant", "roof"]
first = 1
void = [0]
"""
    + TRAINING
)


def save(path: Path, values: np.ndarray, **options: Any) -> None:
    """Write an array; the suffix gives the format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, values)
    else:
        Image.fromarray(values).save(path, **options)


def scene(seed: int, size: tuple[int, int] = SIZE) -> dict[str, np.ndarray]:
    """One view: soil, a field of plants and a roof, 0.5 m below, 1 m and 6 m above 0; the upper rows have no height."""
    random = np.random.default_rng(seed)
    height, width = size
    labels = np.zeros(size, dtype=np.uint8)
    left, top = random.integers(4, width // 2), random.integers(4, height // 2)
    labels[:, left:] = 1
    labels[top : top + height // 3, left + 4 : left + width // 3] = 2
    noise = random.normal(0, 1, (*size, 3))
    heights = np.array([-0.5, 1.0, 6.0])[labels] + 0.1 * noise[..., 0]
    heights[:3] = -9999
    return {
        "rgb": np.clip(np.array(COLOURS)[labels] + 12 * noise, 0, 255).astype(np.uint8),
        "nir": np.clip(np.array([900, 3200, 1500])[labels] + 90 * noise[..., 1], 0, 4095).astype(np.uint16),
        "height": heights.astype(np.float32),
        "labels": labels,
    }


def write_folder(root: Path, views: int = 10, *, size: tuple[int, int] = SIZE) -> Path:
    """rgb/field_000.jpg, nir/field_000.png, height/field_000.tif, masks/field_000.png (labels start at 1)."""
    for number in range(views):
        maps, name = scene(number, size), f"field_{number:03d}"
        save(root / "rgb" / f"{name}.jpg", maps["rgb"], quality=95)
        save(root / "nir" / f"{name}.png", maps["nir"])
        save(root / "height" / f"{name}.tif", maps["height"])
        save(root / "masks" / f"{name}.png", maps["labels"] + np.uint8(1))
    return root


def write_recipe(path: Path, root: Path) -> Path:
    """The recipe that reads such a folder."""
    path.write_text(RECIPE.format(root=root))
    return path
