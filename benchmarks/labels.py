"""Labels from logits, and the confusion matrix, beside torch's bicubic resizing of the whole map and its argmax.

    python -m benchmarks.labels --classes 40 --size 425 560 --growth --rounds 7

Where OpenCV is installed, also beside it and NumPy: each image's logits resized as [H, W, K], argmax, bincount. The
matrices are compared first; the program ends with exit code 1 where more than 1 pixel in 10,000 is counted elsewhere.
--growth repeats it at 2 and 4 times the pixels. The last line is JSON.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.timing import Row, measure, show
from cen_cli.metrics import confusion_matrix
from cen_cli.scoring.labels import labels_at

STRIDE = 4
"""Of the logits."""
ALLOWED = 1e-4


def main() -> int:
    """Check, measure, print."""
    options = parse()
    torch.set_num_threads(options.threads)
    rows: list[Row] = []
    for times in (1, 2, 4) if options.growth else (1,):
        height, width = options.size[0] * (2 if times == 4 else 1), options.size[1] * min(times, 2)
        generator = torch.Generator().manual_seed(0)
        logits = torch.randn(1, options.classes, -(-height // STRIDE), -(-width // STRIDE), generator=generator)
        truth = torch.randint(options.classes, (1, height, width), generator=generator)
        ours = partial(our_way, logits.contiguous(memory_format=torch.channels_last), truth)
        ways = {"torch": partial(torchs_way, logits, truth)}
        if importlib.util.find_spec("cv2"):
            ways["OpenCV"] = partial(opencvs_way, logits[0].permute(1, 2, 0).numpy().copy(), truth[0].numpy())
        for name, plain in ways.items():
            different = float((plain() - ours()).abs().sum()) / 2 / truth.numel()
            print(
                f"{name}, {height} x {width}: {different:.1e} of the pixels counted elsewhere (allowed {ALLOWED:.0e})"
            )
            if name == "torch" and different > ALLOWED:
                return 1
            rows.append(measure(f"labels beside {name}, {height} x {width}", plain, ours, options))
    show(rows, options)
    return 0


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, default=40)
    parser.add_argument("--size", type=int, nargs=2, default=[425, 560], help="height and width of the label map")
    parser.add_argument("--growth", action="store_true", help="also at 2 and 4 times the pixels")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.set_defaults(device="cpu")
    return parser.parse_args()


def our_way(logits: Tensor, truth: Tensor) -> Tensor:
    """The confusion matrix of one view, [K, K]."""
    return confusion_matrix(labels_at(logits, (truth.shape[1], truth.shape[2])), truth, logits.shape[1])


def torchs_way(logits: Tensor, truth: Tensor) -> Tensor:
    """The same of the whole resized map."""
    resized = F.interpolate(logits, size=truth.shape[1:], mode="bicubic", align_corners=False)
    return confusion_matrix(resized.argmax(dim=1), truth, logits.shape[1])


def opencvs_way(logits: np.ndarray, truth: np.ndarray) -> Tensor:
    """The same by OpenCV and NumPy: logits [h, w, K], truth [H, W]."""
    import cv2

    cv2.setNumThreads(torch.get_num_threads())
    classes = logits.shape[2]
    resized = cv2.resize(logits, truth.shape[::-1], interpolation=cv2.INTER_CUBIC)
    cells = np.bincount((truth * classes + resized.argmax(axis=2)).ravel(), minlength=classes * classes)
    return torch.from_numpy(cells.reshape(classes, classes))


if __name__ == "__main__":
    sys.exit(main())
