"""Two exchanging streams beside what most would try first: one U-Net on RGB and depth as four channels.

    pip install segmentation_models_pytorch
    python -m benchmarks.early_fusion --size 256 256 --rounds 3

Multiply-accumulates and parameters of segmentation_models.pytorch's U-Net with four input channels, and of RefineNet
with two streams on the same encoder, with its own decoder and with the light one; the time of a forward in evaluation
mode against the U-Net's, in turn, both with channels innermost. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
from functools import partial

import segmentation_models_pytorch as smp
import torch
from torch import nn

from benchmarks.timing import measure
from cen_cli.models.cost import macs
from cen_cli.models.segmenter import refinenet_segmenter
from cen_cli.models.settings import StreamSettings

MODALITIES = ("rgb", "depth")
ENCODERS = {
    "resnet18": "resnet18",
    "resnet101": "resnet101",
    "tu-tf_efficientnet_lite0": "timm/tf_efficientnet_lite0",
}
"""By their name in segmentation_models.pytorch."""
DECODERS = {
    "RefineNet, 256": {"width": 256, "light": False},
    "light, 256": {"width": 256, "light": True},
    "light, 96": {"width": 96, "light": True},
}


def main() -> None:
    """Measure, print."""
    options = parse()
    torch.set_num_threads(options.threads)
    height, width = options.size
    image = torch.randn(1, 4, height, width).contiguous(memory_format=torch.channels_last)
    streams = torch.randn(len(MODALITIES), 3, height, width).contiguous(memory_format=torch.channels_last)
    rows = []
    print(f"{'encoder':26} {'network':26} {'parameters':>11} {'MACs':>8} {'a stream/U-Net':>15} {'time/U-Net':>11}")
    for name, backbone in ENCODERS.items():
        unet = smp.Unet(name, encoder_weights=None, in_channels=4, classes=options.classes).eval()
        networks: dict[str, nn.Module] = {"U-Net, 4 channels": unet}
        for label, decoder in DECODERS.items():
            networks[f"two streams, {label}"] = refinenet_segmenter(
                MODALITIES, options.classes, backbone=backbone, streams=StreamSettings(), **decoder
            ).eval()
        for network in networks.values():
            network.to(memory_format=torch.channels_last)
        one = partial(forward, unet, image)
        for label, network in networks.items():
            work = partial(forward, network, image if network is unet else streams)
            share = 1 if network is unet else len(MODALITIES)
            row = {
                "encoder": name,
                "network": label,
                "parameters": sum(parameter.numel() for parameter in network.parameters()),
                "macs": macs(work),
                "stream": macs(work) / macs(one) / share,
                "time": measure(label, work, one, options).ratio,
            }
            rows.append(row)
            print(
                f"{name:26} {label:26} {row['parameters'] / 1e6:9.1f} M {row['macs'] / 1e9:6.1f} G "
                f"{row['stream']:15.2f} {row['time']:11.2f}"
            )
    print(json.dumps({"options": vars(options), "rows": rows}))


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, default=40)
    parser.add_argument("--size", type=int, nargs=2, default=(256, 256), metavar=("H", "W"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


@torch.inference_mode()
def forward(network: nn.Module, images: torch.Tensor) -> object:
    """One forward."""
    return network(images)


if __name__ == "__main__":
    main()
