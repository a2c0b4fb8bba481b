"""From two folders of your own to a trained channel exchanging network, its scores and its gamma plots.

python examples/two_folders.py

Photographs in rgb/, depth in depth/, and label maps in labels/ to learn from; files of one name are one view. The views
are rendered here, so that the script runs as it is. For your own, leave out `write_folders` and describe your files in
`RECIPE` (docs/own-data.md says how, and `cen data init FOLDER` drafts it).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import cen_cli
from cen_cli.data.rooms import CLASS_NAMES, RoomsSettings, render_view
from cen_cli.results import GammaAnalysis

RECIPE: dict[str, Any] = {
    "task": "segmentation",
    "name": "two-folders",
    "data": {
        "kind": "folders",
        "inputs": ["rgb", "depth"],
        "crop": [64, 64],
        "cache": True,
        "folders": {
            "shares": [0.7, 0.15, 0.15],  # of the views: train, val, test
            "modalities": {
                "rgb": {"pattern": "rgb/{stem}.png", "kind": "photograph", "channels": 3},
                "depth": {
                    "pattern": "depth/{stem}.png",
                    "kind": "measurement",
                    "channels": 1,
                    "stored": "uint16",
                    "scale": 1000,  # stored in millimetres
                    "unit": "m",
                    "range": [0, 8],
                    "invalid": [0],
                },
            },
            "labels": {"pattern": "labels/{stem}.png", "classes": list(CLASS_NAMES), "void": [255]},
        },
    },
    # A small network, whose gammas begin near the threshold: it is trained from scratch, and not for long.
    "model": {"backbone": "resnet18", "encoder_width": 16, "width": 16, "decoder_norm": "batch", "dropout": 0.0},
    "exchange": {"threshold": 1e-2, "sparsity": 1e-3, "gamma_init": 0.1},
    "optimizer": {"kind": "adam", "encoder_lr": 2e-3, "decoder_lr": 2e-3},
    "schedule": {"kind": "poly"},
    "train": {"epochs": 20, "batch": 8, "validate_every": 5, "record_gammas_every": 5, "log_every": 5},
}


def write_folders(root: Path, views: int) -> None:
    """Render views as PNG files: 8-bit photographs, 16-bit depth in millimetres (0: not measured), 8-bit labels."""
    for name in ("rgb", "depth", "labels"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for number in range(views):
        view = render_view(RoomsSettings(size=64), "train", room=number, view=0)
        depth = np.round(1000 * view["depth_sensor"]).astype(np.uint16)  # [H, W], from metres
        for name, image in {"rgb": view["rgb"], "depth": depth, "labels": view["labels"]}.items():
            Image.fromarray(image).save(root / name / f"{number:03}.png")


def main(folder: Path, views: int = 96, epochs: int = 20) -> GammaAnalysis:
    """Write the data, train, score the test views, and look at the gammas; all below `folder`."""
    write_folders(folder / "data", views)
    trained = cen_cli.train(
        RECIPE, data_root=str(folder / "data"), changes={"train.epochs": epochs}, out=folder / "run"
    )
    tested = cen_cli.evaluate(trained.run, pictures=4).evaluation
    for name in tested.scores:
        print(f"{name:9} mean IoU {100 * tested.metric(f'{name}.mean_iou'):.1f}%")
    found = cen_cli.analyze(trained.run)
    print(f"gammas: {found.diagnosis.verdict}; {found.diagnosis.advice}")
    print("plots:", *found.plots, sep="\n  ")
    return found


if __name__ == "__main__":
    main(Path("two-folders"))
