"""The U-Net of M streams, one modality after the other, read off the tensors of a state dict; and the discriminator."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from tests.reference import exchanging


def _row(table: torch.Tensor, m: int) -> torch.Tensor:
    """Modality m's row of a table that the modalities share (one row) or not."""
    return table[m] if table.shape[0] > 1 else table[0]


def _kernel(tensors, name: str, m: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight and bias that modality m uses."""
    own = f"{name}.copies.{m}"
    name = own if f"{own}.weight" in tensors else name
    return tensors[f"{name}.weight"], tensors[f"{name}.bias"]


def _instance_norm(tensors, name: str, streams, *, training: bool, running: bool, moved) -> list[torch.Tensor]:
    """Torch's own norm for each stream; `moved` collects the running variances that training leaves behind."""
    outputs, variances = [], []
    for m, x in enumerate(streams):
        single_pixel = x.shape[2:] == (1, 1)
        norm = nn.InstanceNorm2d(x.shape[1], affine=True, track_running_stats=True).to(x.dtype)
        with torch.no_grad():
            for part in ("weight", "bias", "running_mean", "running_var"):
                getattr(norm, part).copy_(_row(tensors[f"{name}.{part}"], m))
        norm.train(training and not single_pixel)
        if not (training or running or single_pixel):
            norm.running_mean = norm.running_var = None
            norm.track_running_stats = False
        outputs.append(norm(x))
        variances.append(norm.running_var)
    if training and outputs[0].shape[2:] != (1, 1):
        moved[f"{name}.running_var"] = torch.stack(variances)
    return outputs


def _exchange(streams, gamma: torch.Tensor, threshold: float, region: str, replace: str) -> list[torch.Tensor]:
    modalities, channels = len(streams), streams[0].shape[1]
    gamma = gamma.expand(modalities, -1)
    _, allowed = exchanging.replaceable(channels, modalities, region, replace)
    stack = np.concatenate([x.numpy() for x in streams])
    result, _ = exchanging.exchange(stack, gamma.numpy(), threshold, allowed)
    return list(torch.from_numpy(result).chunk(modalities))


@torch.no_grad()
def unet(
    tensors,
    images: list[torch.Tensor],
    *,
    levels: int,
    norm_layers: str = "all",
    threshold: float = 0.0,
    region: str = "disjoint",
    replace: str = "own-part",
    training: bool = False,
    running: bool = False,
):
    """Images [B, 3, H, W] of every modality -> made images, their ensemble, and the running variances afterwards.

    Without dropout and without gradients. A threshold of 0 exchanges nothing.
    """
    mode = {"training": training, "running": running, "moved": (moved := {})}
    streams, features = images, []
    for level in range(1, levels + 1):
        name = f"encoder.layer{level}"
        if level > 1:
            streams = [torch.where(x > 0, x, 0.2 * x) for x in streams]
        streams = [
            F.conv2d(x, *_kernel(tensors, f"{name}.conv", m), stride=2, padding=1) for m, x in enumerate(streams)
        ]
        if norm_layers == "all" or level not in (1, levels):
            streams = _instance_norm(tensors, f"{name}.norm.norm", streams, **mode)
            streams = _exchange(streams, tensors[f"{name}.norm.norm.weight"], threshold, region, replace)
        features.append(streams)
    for level in range(1, levels + 1):
        name = f"decoder.layer{level}"
        if level > 1:
            streams = [torch.cat([x, skip], 1) for x, skip in zip(streams, features[levels - level], strict=True)]
        streams = [
            F.conv_transpose2d(x.clamp(min=0), *_kernel(tensors, f"{name}.conv", m), stride=2, padding=1)
            for m, x in enumerate(streams)
        ]
        if level < levels:
            streams = _instance_norm(tensors, f"{name}.norm", streams, **mode)
    made = [x.tanh() for x in streams]
    odds = tensors["ensemble.alpha"].exp()
    ensemble = sum(odds[m] / odds.sum() * image for m, image in enumerate(made))
    return made, ensemble, moved


def discriminator(tensors, condition: torch.Tensor, image: torch.Tensor, *, layers: int) -> torch.Tensor:
    """One sample at a time: condition and image [N, 3, H, W] -> logits."""
    names = sorted({int(key.split(".")[1]) for key in tensors})
    convs = [name for name in names if tensors[f"body.{name}.weight"].dim() == 4]
    logits = []
    for pair in torch.cat([condition, image], 1):
        x = pair[None]
        for place, name in enumerate(convs):
            stride = 2 if place < layers else 1
            x = F.conv2d(x, tensors[f"body.{name}.weight"], tensors[f"body.{name}.bias"], stride=stride, padding=1)
            if 0 < place <= layers:
                mean, var = x.mean((2, 3), keepdim=True), x.var((2, 3), unbiased=False, keepdim=True)
                gamma, beta = (tensors[f"body.{name + 1}.{part}"][:, None, None] for part in ("weight", "bias"))
                x = (x - mean) / (var + 1e-5).sqrt() * gamma + beta
            if place <= layers:
                x = torch.where(x > 0, x, 0.2 * x)
        logits.append(x)
    return torch.cat(logits)
