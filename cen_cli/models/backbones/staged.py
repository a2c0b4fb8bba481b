"""Encoders of the package timm, by name: cut into stages and converted to exchanging streams.

Their maps are at strides of 4 and more. Where a network has several stages of one stride, each gives a map. The stem
belongs to the first stage.

The exchange sits behind the norm registered next after a k x k convolution with k > 1, the stem's and depthwise ones
included, and before the activation. A network is cut where timm taps it for features, which presumes that it runs its
modules one after the other; that is proved when it is built, and refused otherwise.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from cen_cli.errors import UsageError
from cen_cli.models.backbones.encoder import Encoder
from cen_cli.models.backbones.pretrained import load_timm_weights
from cen_cli.models.conversion import convert_layers
from cen_cli.models.fusion.placement import Fusion
from cen_cli.models.settings import StreamSettings
from cen_cli.models.stages import check_private

PREFIX = "timm/"
"""Of a backbone's name."""
FINEST_STRIDE = 4
DILATED_STRIDE = 8
PROBES = ((1, 3, 64, 64), (1, 3, 256, 256))
"""Shapes of the random image on which a cut network is compared with the whole one: the first that it takes."""
FAILED = (AssertionError, AttributeError, RuntimeError, TypeError, ValueError)
"""What networks raise on images that they do not take."""
INSTALL = "pip install '.[timm]'"


class StagedEncoder(Encoder):
    """Any network that is a chain of stages, `stage1`, `stage2`, ..."""

    probed: tuple[int, ...] = PROBES[0]
    """Shape of an image that it takes."""

    def first_convolutions(self) -> list[nn.Conv2d]:
        """Those that take the image: several where a stem has parallel branches, as RepVGG's."""
        readers: list[nn.Conv2d] = []
        image = torch.zeros(self.probed)

        def note(conv: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if inputs[0] is image and isinstance(conv, nn.Conv2d):
                readers.append(conv)

        hooks = [layer.register_forward_pre_hook(note) for layer in self.modules() if isinstance(layer, nn.Conv2d)]
        self.probe(image)
        for hook in hooks:
            hook.remove()
        return readers or super().first_convolutions()

    @torch.no_grad()
    def probe(self, images: Tensor) -> tuple[Tensor, ...]:
        """The maps of images in evaluation."""
        training = self.training
        try:
            return self.eval()(images)
        finally:
            self.train(training)


def timm_encoder(
    name: str,
    modalities: int,
    settings: StreamSettings,
    *,
    weights: str | None = None,
    dilated: bool = False,
    fusion: Fusion | None = None,
) -> StagedEncoder:
    """The encoder that timm calls `name`, of M streams; arguments as those of `resnet_encoder`.

    Raises UsageError where timm is not installed or has no such encoder, where it cannot be dilated or cut into stages,
    and for what `to_cen` refuses; CheckpointError where weights cannot be had or do not fit.
    """
    whole, modules, channels = _network(name, dilated=dilated)
    try:
        encoder = _cut(whole, modules, channels)
        if weights is not None and weights != "none":
            load_timm_weights(name, weights, whole, [module for stage in _chain(whole, modules) for module in stage])
            settings = replace(settings, gamma_init=None)
        if modalities > 1 and (settings.conv == "private" if fusion is None else fusion.stage != "input"):
            check_private(encoder)
        if fusion is None:
            convert_layers(encoder, modalities, settings, linear=True)
        else:
            last = len(channels)
            encoder.fuse(modalities, fusion, {"early": max(last // 2, 1), "middle": max(last - 1, 1), "late": last})
            if len(encoder.probe(torch.zeros(modalities, *encoder.probed[1:]))[-1]) != 1:
                raise ValueError("its stem takes images past its convolutions: they cannot be fused at the input")
    except ValueError as error:
        raise UsageError(f'model.backbone = "{PREFIX}{name}": {error}') from error
    return encoder


def _network(name: str, *, dilated: bool) -> tuple[nn.Module, list[str], tuple[int, ...]]:
    """Timm's network with random weights, the modules after which it is cut, and their channels."""
    try:
        import timm
    except ImportError as error:
        raise UsageError(f'model.backbone = "{PREFIX}{name}": the package timm is missing', hint=INSTALL) from error
    if not timm.is_model(name):
        raise UsageError(f'model.backbone = "{PREFIX}{name}": timm {timm.__version__} has no such network')
    stride: dict[str, Any] = {"output_stride": DILATED_STRIDE} if dilated else {}
    try:
        features: Any = timm.create_model(name, features_only=True, **stride)
        try:
            whole = timm.create_model(name, **stride)
        except TypeError:  # of MobileNetV3 and V4 the feature extractor alone takes a stride
            whole = timm.create_model(name)
            whole.blocks = features.blocks
    except Exception as error:  # whatever a network's constructor raises
        what = "cannot be dilated, as PSPNet needs it" if dilated else "is no feature extractor"
        raise UsageError(f'model.backbone = "{PREFIX}{name}": it {what} ({error!r})') from error
    info = features.feature_info
    taps = zip(info.reduction(), info.channels(), info.module_name(), strict=True)
    kept = [(channels, module) for stride_, channels, module in taps if stride_ >= FINEST_STRIDE]
    return whole, [module for _, module in kept], tuple(channels for channels, _ in kept)


def _chain(whole: nn.Module, ends: Sequence[str]) -> list[list[tuple[str, nn.Module]]]:
    """The modules of `whole` by name, in order, cut after those that `ends` names; what comes behind is left out."""
    stages: list[list[tuple[str, nn.Module]]] = [[]]

    def walk(parent: nn.Module, prefix: str) -> None:
        for short, child in parent.named_children():
            name = prefix + short
            if isinstance(child, nn.Sequential) and any(end.startswith(f"{name}.") for end in ends):
                walk(child, f"{name}.")
                continue
            stages[-1].append((name, child))
            if name in ends:
                stages.append([])

    walk(whole, "")
    return stages[:-1]


@torch.no_grad()
def _cut(whole: nn.Module, ends: Sequence[str], channels: tuple[int, ...]) -> StagedEncoder:
    """The stages of `whole`; ValueError where they do not compute, one after the other, what it computes."""
    stages = [OrderedDict((name.replace(".", "_"), layer) for name, layer in stage) for stage in _chain(whole, ends)]
    encoder = StagedEncoder(
        [{f"stage{number}": nn.Sequential(layers)} for number, layers in enumerate(stages, start=1)], channels
    )
    tapped: list[Tensor] = []
    hooks = []
    training = whole.training
    image = _probe_image(whole.eval())
    encoder.probed = tuple(image.shape)
    try:
        for end in ends:
            tap = whole.get_submodule(end)
            hooks.append(tap.register_forward_hook(lambda _, __, output: tapped.append(output.clone())))
        whole.forward_features(image)  # type: ignore[operator]  # all of timm's networks have it
        expected = tuple(tapped)
        alike = all(torch.equal(made, tap) for made, tap in zip(encoder.probe(image), expected, strict=True))
    except FAILED:
        alike = False
    finally:
        for hook in hooks:
            hook.remove()
    if not alike:
        raise ValueError("it does not run its modules one after the other, and so cannot be cut into stages")
    return encoder.train(training)


@torch.no_grad()
def _probe_image(whole: nn.Module) -> Tensor:
    """A random image that the network takes; the largest where it takes none."""
    images = [torch.randn(shape, generator=torch.Generator().manual_seed(0)) for shape in PROBES]
    for image in images[:-1]:
        with suppress(*FAILED):
            whole.forward_features(image)  # type: ignore[operator]  # all of timm's networks have it
            return image
    return images[-1]
