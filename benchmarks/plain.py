"""A plain implementation of the segmentation network, to measure against: what one writes first from the paper.

Modalities are a list of M tensors; every shared convolution is called once per modality; every norm is a list of
nn.BatchNorm2d (nn.InstanceNorm2d in `plain_translation`); the exchange assigns through boolean masks; everything is
float32 and NCHW. The parameters are those of a `Segmenter`, copied by `plain_from`, so outputs can be compared.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cen_cli.models.exchange import ChannelExchange
from cen_cli.models.heads.refinenet import ChainedPooling, RefinePath, ResidualUnits
from cen_cli.models.norms import ModalBatchNorm2d, ModalNorm
from cen_cli.models.segmenter import Segmenter

Streams = list[Tensor]


def each(layer: Callable[[Tensor], Tensor], x: Streams) -> Streams:
    """Apply a shared layer to one modality after the other."""
    return [layer(stream) for stream in x]


def exchange(x: Streams, norms: nn.ModuleList, threshold: float, replaceable: Tensor) -> Streams:
    """P Eq. 6 by boolean-mask assignment."""
    outputs = []
    for m, stream in enumerate(x):
        replaced = (norms[m].weight.abs() < threshold) & replaceable[m]
        output = torch.zeros_like(stream)
        output[:, ~replaced] = stream[:, ~replaced]
        others = [x[other][:, replaced] for other in range(len(x)) if other != m]
        output[:, replaced] = sum(others) / len(others)
        outputs.append(output)
    return outputs


class PlainNorm(nn.Module):
    """One norm of torch's per modality, and the exchange where the original has it."""

    def __init__(self, source: nn.Module) -> None:
        super().__init__()
        modal = source.norm if isinstance(source, ChannelExchange) else source
        assert isinstance(modal, ModalNorm)
        self.norms = nn.ModuleList(_torch_norm(modal, m) for m in range(modal.modalities))
        self.threshold = source.threshold if isinstance(source, ChannelExchange) else 0.0
        self.exchanges = isinstance(source, ChannelExchange) and source.active and len(self.norms) > 1
        if isinstance(source, ChannelExchange):
            self.pressed, self.replaceable = source.pressed.clone(), source.replaceable.clone()

    def forward(self, x: Streams) -> Streams:
        """M x [B, C, H, W] -> the same."""
        x = [norm(stream) for norm, stream in zip(self.norms, x, strict=True)]
        return exchange(x, self.norms, self.threshold, self.replaceable) if self.exchanges else x


def _torch_norm(modal: ModalNorm, m: int) -> nn.BatchNorm2d | nn.InstanceNorm2d:
    kind = nn.BatchNorm2d if isinstance(modal, ModalBatchNorm2d) else nn.InstanceNorm2d
    norm = kind(modal.channels, modal.eps, modal.momentum, affine=True, track_running_stats=True).to(modal.weight)
    with torch.no_grad():
        for name in ("weight", "bias", "running_mean", "running_var"):
            getattr(norm, name).copy_(getattr(modal, name)[m if getattr(modal, name).shape[0] > 1 else 0])
    return norm


class PlainBlock(nn.Module):
    """A residual block of a ResNet, basic or bottleneck, on a list of streams."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        numbers = [n for n in (1, 2, 3) if hasattr(block, f"conv{n}")]
        self.convs = nn.ModuleList(getattr(block, f"conv{n}") for n in numbers)
        self.norms = nn.ModuleList(PlainNorm(getattr(block, f"bn{n}")) for n in numbers)
        self.shortcut = None
        if block.downsample is not None:
            self.shortcut = nn.ModuleList([block.downsample[0], PlainNorm(block.downsample[1])])

    def forward(self, x: Streams) -> Streams:
        """M x [B, C, H, W] -> M x [B, C', h, w]."""
        identity = x
        for number, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = norm(each(conv, each(F.relu, x) if number else x))
        if self.shortcut is not None:
            identity = self.shortcut[1](each(self.shortcut[0], identity))
        return [F.relu(a + b) for a, b in zip(x, identity, strict=True)]


class PlainSegmenter(nn.Module):
    """The network of `Segmenter`, with its convolutions, on a list of streams."""

    def __init__(self, source: Segmenter) -> None:
        super().__init__()
        encoder, decoder = source.encoder, source.decoder
        self.stem, self.stem_norm = encoder.conv1, PlainNorm(encoder.bn1)
        self.stages = nn.ModuleList(
            nn.ModuleList(PlainBlock(block) for block in stage)
            for stage in (encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4)
        )
        self.paths = nn.ModuleList([decoder.path1, decoder.path2, decoder.path3, decoder.path4])
        self.classifier, self.dropout = decoder.classifier, decoder.drop.p
        self.alpha = source.ensemble.alpha

    def forward(self, x: Streams) -> tuple[Streams, Tensor]:
        """M x [B, 3, H, W] -> logits of the branches, M x [B, K, h, w], and of the ensemble."""
        x = each(F.relu, self.stem_norm(each(self.stem, x)))
        x = [F.max_pool2d(stream, 3, 2, 1) for stream in x]
        features = []
        for stage in self.stages:
            for block in stage:
                x = block(x)
            features.append(x)
        branches = [self._decode([stage[m] for stage in features]) for m in range(len(x))]
        weights = self.alpha.softmax(0)
        return branches, sum(weights[m] * branch.detach() for m, branch in enumerate(branches))

    def _decode(self, features: list[Tensor]) -> Tensor:
        x = None
        for stage in (3, 2, 1, 0):
            feature = features[stage]
            if stage >= 2:
                feature = F.dropout(feature, self.dropout, self.training)
            x = plain_path(self.paths[stage], feature, x)
        return self.classifier(F.dropout(x, self.dropout, self.training))

    def penalty(self) -> Tensor:
        """The L1 penalty."""
        return plain_penalty(self)


def plain_penalty(network: nn.Module) -> Tensor:
    """The L1 penalty, one layer and one modality after the other."""
    total = next(network.parameters()).new_zeros(())
    for layer in network.modules():
        if isinstance(layer, PlainNorm) and hasattr(layer, "pressed"):
            for norm, pressed in zip(layer.norms, layer.pressed, strict=True):
                total = total + norm.weight[pressed].abs().sum()
    return total


def plain_path(path: RefinePath, features: Tensor, coarser: Tensor | None) -> Tensor:
    """One path of the decoder."""
    x = path.join(plain_units(path.adapt, path.reduce(features)))
    if coarser is not None:
        x = x + F.interpolate(coarser, size=x.shape[2:], mode="bilinear", align_corners=True)
    return path.widen(plain_units(path.refine, plain_pooling(path.pooling, F.relu(x))))


def plain_units(units: ResidualUnits, x: Tensor) -> Tensor:
    """Residual units."""
    for first, second in zip(units.first, units.second, strict=True):
        rectified = F.relu(x)
        x = second(F.relu(first(rectified))) + rectified
    return x


def plain_pooling(pooling: ChainedPooling, x: Tensor) -> Tensor:
    """Chained residual pooling."""
    top = x
    for conv in pooling.convs:
        top = conv(F.max_pool2d(top, 5, 1, 2))
        x = x + top
    return x


def plain_from(model: Segmenter) -> PlainSegmenter:
    """The plain network with a copy of `model`'s parameters, NCHW, on its device and in its dtype."""
    plain = PlainSegmenter(copy.deepcopy(model)).to(model.ensemble.alpha)
    return plain.to(memory_format=torch.contiguous_format).train(model.training)
