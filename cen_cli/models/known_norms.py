"""Which norms of others' networks are known, by their exact class, and the modal layers that compute what they compute.

| class                                                              | becomes                                        |
|--------------------------------------------------------------------|------------------------------------------------|
| torch `BatchNorm2d`, `InstanceNorm2d`                              | a modal norm                                   |
| torch `SyncBatchNorm`                                              | the same, with the batch of all processes      |
| torchvision `FrozenBatchNorm2d`                                    | the same, with frozen statistics               |
| timm `BatchNormAct2d`, `SyncBatchNormAct`, `FrozenBatchNormAct2d`  | the same, then the layer's dropout, activation |
| torch, timm `LayerNorm`; timm, torchvision `LayerNorm2d`; variants | a modal layer norm                             |

A subclass may do anything in its forward, so none is taken for the class from which it inherits, unless it is seen to
compute just that and then its children, in order (a norm that also activates).
"""

from __future__ import annotations

import copy
import sys
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from cen_cli.models.norms import (
    ModalBatchNorm2d,
    ModalInstanceNorm2d,
    ModalLayerNorm2d,
    ModalNorm,
    ModalSyncBatchNorm2d,
    Share,
)


@dataclass(frozen=True)
class NormKind:
    """What is known of a class of norms."""

    modal: type[ModalBatchNorm2d] | type[ModalInstanceNorm2d] | type[ModalLayerNorm2d]
    frozen: bool = False
    """Whether its statistics are; its gamma and beta are buffers there, and learn in the modal norm."""
    then: tuple[str, ...] = ()
    """Names of its children that follow, such as an activation."""
    channels_innermost: bool = False
    """Whether its maps are [N, H, W, C]."""


DROP_ACT = ("drop", "act")
BATCH, LAYER = NormKind(ModalBatchNorm2d), NormKind(ModalLayerNorm2d)
_OF_TORCH: dict[type[nn.Module], NormKind] = {
    nn.BatchNorm2d: BATCH,
    nn.SyncBatchNorm: NormKind(ModalSyncBatchNorm2d),
    nn.InstanceNorm2d: NormKind(ModalInstanceNorm2d),
    nn.LayerNorm: NormKind(ModalLayerNorm2d, channels_innermost=True),
}
_OF_OTHERS = {
    "torchvision.ops": {"FrozenBatchNorm2d": NormKind(ModalBatchNorm2d, frozen=True)},
    "torchvision.models.convnext": {"LayerNorm2d": LAYER},
    "timm.layers": {
        "BatchNormAct2d": NormKind(ModalBatchNorm2d, then=DROP_ACT),
        "SyncBatchNormAct": NormKind(ModalSyncBatchNorm2d, then=DROP_ACT),
        "FrozenBatchNormAct2d": NormKind(ModalBatchNorm2d, frozen=True, then=DROP_ACT),
        "LayerNorm": NormKind(ModalLayerNorm2d, channels_innermost=True),
        "LayerNormFp32": NormKind(ModalLayerNorm2d, channels_innermost=True),
        "LayerNorm2d": LAYER,
        "LayerNorm2dFp32": LAYER,
        "LayerNormExp2d": LAYER,
    },
}
"""By the module, which is imported where a network has one of its classes."""


NORMALISING = (nn.BatchNorm2d, nn.SyncBatchNorm, nn.InstanceNorm2d)
"""Classes whose subclasses are looked at."""


class ChannelsInnermost(nn.Module):
    """A layer of maps [N, C, H, W] where they are [N, H, W, C]."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """[N, H, W, C] -> the same shape."""
        if x.dim() != 4:
            raise ValueError(
                f"a layer norm of maps [N, H, W, C] was given shape {tuple(x.shape)}: tokens, as transformers have "
                "them, are not exchanged"
            )
        return self.layer(x.movedim(-1, 1)).movedim(1, -1)


def known_norms(module: nn.Module, *, allow_others: bool) -> dict[str, tuple[nn.Module, NormKind]]:
    """The norms of `module` that are converted, by name: all batch and instance norms or, without any, its layer norms.

    Raises ValueError at a norm that is not known and keeps statistics of its batch, and so would mix the modalities',
    unless `allow_others`.
    """
    kinds = _known_kinds()
    norms = {}
    for name, layer in module.named_modules():
        kind = kinds.get(type(layer)) or _inferred_kind(layer)
        if kind is not None:
            norms[name] = (layer, kind)
        elif not allow_others and (isinstance(layer, _NormBase) or "running_var" in layer._buffers):
            known = ", ".join(sorted({known.__name__ for known in kinds}))
            raise ValueError(
                f"{name}: {type(layer).__name__} is no known norm, and would normalise all modalities together; "
                f"known are {known} (norm='shared' leaves it as it is)"
            )
    others = {name: pair for name, pair in norms.items() if pair[1].modal is not ModalLayerNorm2d}
    return others or norms


def norm_channels(norm: nn.Module) -> int:
    """C."""
    if isinstance(norm, nn.LayerNorm):
        return norm.normalized_shape[-1]
    count = getattr(norm, "num_features", None)  # the frozen ones have none
    return int(len(norm.get_buffer("weight")) if count is None else count)


def modal_layer(
    norm: nn.Module,
    kind: NormKind,
    modalities: int,
    *,
    affine: Share = "private",
    statistics: Share = "private",
    around: Callable[[ModalNorm], nn.Module] | None = None,
) -> nn.Module:
    """What stands in the place of a known norm: `around(modal norm)`, and all else that the norm's class does.

    Every stream starts from a copy of the norm's gamma, beta and running statistics. A norm without gamma and beta gets
    gamma = 1 and beta = 0 (an exchange needs a gamma to go by). An instance norm that keeps running statistics goes on
    using them in evaluation. Raises ValueError for a batch norm without running statistics, or with a cumulative
    average (momentum=None), and for a layer norm over more than channels.
    """
    modal = modal_norm(norm, kind, modalities, affine=affine, statistics=statistics)
    layer: nn.Module = modal if around is None else around(modal)
    if kind.channels_innermost:
        layer = ChannelsInnermost(layer)
    if kind.then:
        children = dict(norm.named_children())
        layer = nn.Sequential(
            OrderedDict(norm=layer, **{name: children[name] for name in kind.then if name in children})
        )
    return layer.train(norm.training)


def modal_norm(
    norm: nn.Module, kind: NormKind, modalities: int, *, affine: Share = "private", statistics: Share = "private"
) -> ModalNorm:
    """The norm alone; as in `modal_layer`."""
    settings: dict[str, Any] = {"affine": affine, "eps": norm.eps}
    if kind.modal is ModalLayerNorm2d:
        assert isinstance(norm, nn.LayerNorm)
        if len(norm.normalized_shape) != 1:
            raise ValueError(f"a layer norm over {list(norm.normalized_shape)}, of which only the last is channels")
    else:
        momentum = getattr(norm, "momentum", 0.1)  # frozen statistics follow nothing
        if momentum is None:
            raise ValueError("momentum=None (cumulative average) is not supported: give the norm a momentum, as 0.1")
        if norm.running_mean is None and kind.modal is not ModalInstanceNorm2d:
            raise ValueError("a batch norm without running statistics (track_running_stats=False) is not supported")
        settings |= {"statistics": statistics, "momentum": momentum}
    modal = kind.modal(norm_channels(norm), modalities, **settings)
    _copy_rows(norm, modal, learn=kind.frozen)
    if isinstance(modal, ModalInstanceNorm2d):
        modal.use_running_statistics = norm.running_mean is not None
    if isinstance(modal, ModalBatchNorm2d):
        modal.frozen = kind.frozen
    if isinstance(modal, ModalSyncBatchNorm2d):
        modal.process_group = norm.process_group
    return modal


def _known_kinds() -> dict[type[nn.Module], NormKind]:
    """All known classes; timm's only once somebody has imported it, for otherwise no network can hold one."""
    imported = [(sys.modules.get(module), kinds) for module, kinds in _OF_OTHERS.items()]
    others = {getattr(of, name): kind for of, kinds in imported for name, kind in kinds.items() if hasattr(of, name)}
    return _OF_TORCH | others


def _inferred_kind(layer: nn.Module) -> NormKind | None:
    """What a subclass of a batch or instance norm is, where it computes its parent's norm and then its children."""
    parent = next(
        (kind for known, kind in _OF_TORCH.items() if known in NORMALISING and isinstance(layer, known)), None
    )
    if parent is None:
        return None
    kind = NormKind(parent.modal, then=tuple(name for name, _ in layer.named_children()))
    theirs = copy.deepcopy(layer).cpu()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(0)  # and no generator of a GPU
        for name, tensor in (*theirs.named_parameters(recurse=False), *theirs.named_buffers(recurse=False)):
            size = torch.rand(tensor.shape) + 0.5  # a gamma of 0 would hide what follows
            signed = name in ("weight", "bias", "running_mean")
            signs = (-1.0) ** torch.arange(1, size.numel() + 1).view(size.shape)
            tensor.copy_(size * signs if signed else size)
        x = torch.randn(4, norm_channels(layer), 5, 7).to(next(theirs.parameters(), torch.empty(())))
        try:
            ours = modal_layer(theirs, kind, 1)
            for scale in (1.0, 100.0):  # at last late in a training, and beyond what may be clamped
                counter = getattr(theirs, "num_batches_tracked", None)
                if counter is not None and scale > 1:
                    counter.fill_(1_000_000)
                for training in (False, True, False):  # at last by the statistics that the step has followed
                    made = []
                    for one in (theirs, ours):
                        torch.default_generator.manual_seed(0)
                        made.append(one.train(training)(scale * x))
                    torch.testing.assert_close(*made, rtol=1e-4, atol=1e-4 * scale)
        except Exception:  # of any kind, by what the class does
            return None
    return kind


@torch.no_grad()
def _copy_rows(norm: nn.Module, modal: ModalNorm, *, learn: bool) -> None:
    """Copy a norm's tensors into every row of a modal norm's, with device, dtype and, unless `learn`, requires_grad."""
    for name in ("weight", "bias", "running_mean", "running_var"):
        source, target = getattr(norm, name, None), getattr(modal, name, None)
        if source is None and target is not None and getattr(norm, "running_mean", None) is not None:
            target.data = target.data.to(norm.running_mean)
        if source is not None and target is not None:
            target.data = source.detach().expand_as(target).clone()
            target.requires_grad_(isinstance(target, nn.Parameter) and (learn or source.requires_grad))
