"""The published networks as they are described: one list entry per modality, plain functional calls, their own names.

Nothing of the package is used. A channel is replaced by the mean of the other modalities' wherever |gamma| < theta.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

Streams = list[torch.Tensor]


def exchange(streams: Streams, gammas: Streams, theta: float) -> Streams:
    """[B, C, H, W] and [C] of every modality; all channels are those before any exchange."""
    mixed = []
    for m, own in enumerate(streams):
        others = [stream for other, stream in enumerate(streams) if other != m]
        mixed.append(own.clone())
        for channel, gamma in enumerate(gammas[m]):
            if abs(float(gamma)) < theta:
                mixed[m][:, channel] = sum(other[:, channel] for other in others) / len(others)
    return mixed


def ensemble(streams: Streams, alpha: torch.Tensor) -> torch.Tensor:
    odds = alpha.exp() / alpha.exp().sum()
    return sum(odds[m] * stream for m, stream in enumerate(streams))


# ---- segmentation ----


def segmenter(state, images: Streams, blocks: tuple[int, ...], theta: float = 2e-2) -> tuple[Streams, torch.Tensor]:
    """Normalised images [B, 3, H, W] of every modality -> logits of every modality and of their ensemble."""

    def conv(streams: Streams, name: str, **settings) -> Streams:
        kernel, bias = state[f"{name}.module.weight"], state.get(f"{name}.module.bias")
        return [F.conv2d(x, kernel, bias, **settings) for x in streams]

    def norm(streams: Streams, name: str) -> Streams:
        outputs = []
        for m, x in enumerate(streams):
            gamma, beta, mean, var = (
                state[f"{name}.bn_{m}.{part}"][None, :, None, None]
                for part in ("weight", "bias", "running_mean", "running_var")
            )
            outputs.append((x - mean) / (var + 1e-5).sqrt() * gamma + beta)
        return outputs

    def relu(streams: Streams) -> Streams:
        return [x.clamp(min=0) for x in streams]

    def bottleneck(x: Streams, name: str, stride: int) -> Streams:
        y = relu(norm(conv(x, f"{name}.conv1"), f"{name}.bn1"))
        y = norm(conv(y, f"{name}.conv2", stride=stride, padding=1), f"{name}.bn2")
        y = exchange(y, [state[f"{name}.bn2.bn_{m}.weight"] for m in range(len(y))], theta)
        y = norm(conv(relu(y), f"{name}.conv3"), f"{name}.bn3")
        if f"{name}.downsample.0.module.weight" in state:
            x = norm(conv(x, f"{name}.downsample.0", stride=stride), f"{name}.downsample.1")
        return relu([a + b for a, b in zip(x, y, strict=True)])

    x = relu(norm(conv(images, "conv1", stride=2, padding=3), "bn1"))
    x = [F.max_pool2d(stream, 3, stride=2, padding=1) for stream in x]
    stages = []
    for stage, count in enumerate(blocks, start=1):
        for block in range(count):
            x = bottleneck(x, f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1)
        stages.append(x)
    logits = [_decode(state, [stage[m] for stage in stages]) for m in range(len(images))]
    return logits, ensemble(logits, state["alpha"])


def _decode(state, stages: Streams) -> torch.Tensor:
    """Four feature maps of one modality, finest first -> its logits."""

    def conv(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.conv2d(x, state[f"{name}.module.weight"], state.get(f"{name}.module.bias"), padding=1)

    def units(x: torch.Tensor, name: str, blocks: int) -> torch.Tensor:
        for k in range(1, blocks + 1):
            r = F.relu(x)
            x = conv(F.relu(conv(r, f"{name}.0.{k}_conv")), f"{name}.0.{k}_conv_relu_varout_dimred") + r
        return x

    def pooling(x: torch.Tensor, name: str) -> torch.Tensor:
        top = x
        for k in range(1, 5):
            top = conv(F.max_pool2d(top, 5, stride=1, padding=2), f"{name}.0.{k}_outvar_dimred")
            x = x + top
        return x

    coarser = None
    for number, features in enumerate(reversed(stages), start=1):
        x = units(conv(features, f"p_ims1d2_outl{number}_dimred"), f"adapt_stage{number}_b", 2)
        if coarser is not None:
            x = conv(x, f"adapt_stage{number}_b2_joint_varout_dimred") + F.interpolate(
                coarser, size=x.shape[2:], mode="bilinear", align_corners=True
            )
        x = units(pooling(F.relu(x), f"mflow_conv_g{number}_pool"), f"mflow_conv_g{number}_b", 3)
        if number < 4:
            coarser = conv(x, f"mflow_conv_g{number}_b3_joint_varout_dimred")
    return conv(x, "clf_conv")


# ---- translation ----


def generator(
    state, images: Streams, levels: int, theta: float = 1e-2, *, running: bool = False
) -> tuple[Streams, torch.Tensor]:
    """Images [B, 3, H, W] in [-1, 1] of every modality -> made images of every modality and their ensemble.

    No dropout; norms by the image's own statistics, or the `running` ones.
    """

    def norm(streams: Streams, name: str) -> Streams:
        outputs = []
        for m, x in enumerate(streams):
            gamma, beta, mean, var = (
                state[f"{name}_{m}.{part}"][None, :, None, None]
                for part in ("weight", "bias", "running_mean", "running_var")
            )
            if not running:
                mean, var = x.mean((2, 3), keepdim=True), x.var((2, 3), unbiased=False, keepdim=True)
            outputs.append((x - mean) / (var + 1e-5).sqrt() * gamma + beta)
        return outputs

    x, features = images, []
    for k in range(1, levels + 1):
        if k > 1:
            x = [F.leaky_relu(stream, 0.2) for stream in x]
        kernel, bias = state[f"conv{k}.conv.module.weight"], state[f"conv{k}.conv.module.bias"]
        x = [F.conv2d(stream, kernel, bias, stride=2, padding=1) for stream in x]
        if 1 < k < levels:
            name = f"conv{k}.insnorm_conv.insnorm"
            x = norm(x, name)
            x = exchange(x, [state[f"{name}_{m}.weight"] for m in range(len(x))], theta)
        features.append(x)
    for k in range(1, levels + 1):
        if k > 1:
            x = [torch.cat(pair, dim=1) for pair in zip(x, features[levels - k], strict=True)]
        kernel, bias = state[f"deconv{k}.deconv.module.weight"], state[f"deconv{k}.deconv.module.bias"]
        x = [F.conv_transpose2d(F.relu(stream), kernel, bias, stride=2, padding=1) for stream in x]
        if k < levels:
            x = norm(x, f"deconv{k}.insnorm_deconv.insnorm")
    made = [stream.tanh() for stream in x]
    return made, ensemble(made, state["alpha"])


def discriminator(state, condition: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """What the branch saw and an image, [B, 3, H, W] each -> probabilities that the patches are real."""
    x = torch.cat([condition, image], dim=1)
    for k, stride in enumerate((2, 2, 2, 1, 1), start=1):
        if k > 1:
            x = F.leaky_relu(x, 0.2)
        kernel, bias = state[f"conv{k}.conv.module.weight"], state[f"conv{k}.conv.module.bias"]
        x = F.conv2d(x, kernel, bias, stride=stride, padding=1)
        if 1 < k < 5:
            gamma, beta = (state[f"conv{k}.insnorm.module.{part}"] for part in ("weight", "bias"))
            x = F.instance_norm(x, weight=gamma, bias=beta)
    return x.sigmoid()
