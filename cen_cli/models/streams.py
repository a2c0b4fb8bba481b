"""Streams: M modalities travel as one tensor [M*B, C, H, W], modality-major (all B samples of modality 0 come first).

A layer that the modalities share is then an ordinary torch layer, one call instead of M. The only layers that know M
are the norms (`norms`), the exchange (`exchange`) and the layers of which each modality has a copy of its own
(`PrivateCopies` here), which the unshared rows of S-Tables 7 and 8 need.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from cen_cli.results import ENSEMBLE


class ModalOutput(NamedTuple):
    """What a network of M streams returns."""

    branches: Tensor
    """[M, B, K, h, w]: each modality's own prediction, in the order of the network's `modalities`."""
    ensemble: Tensor
    """[B, K, h, w]: their weighted sum."""
    weights: Tensor
    """[M]: the ensemble's weights, positive, summing to 1."""
    auxiliary: Tensor | None = None
    """[M, B, K, h, w]: a second prediction of each branch, from the middle of the network and for its loss alone; only
    in training, and only of networks with an auxiliary head."""

    def named(self, branches: Sequence[str]) -> dict[str, Tensor]:
        """Each branch, [B, K, h, w], by its name, then the ensemble where there are several branches."""
        outputs = [*self.branches] if len(self.branches) == 1 else [*self.branches, self.ensemble]
        return dict(zip(output_names(branches), outputs, strict=True))


def output_names(branches: Sequence[str]) -> tuple[str, ...]:
    """Names of what a network of these branches puts out: the branches, then the ensemble of several."""
    return tuple(branches) if len(branches) == 1 else (*branches, ENSEMBLE)


def stack_modalities(inputs: Mapping[str, Tensor] | Tensor, modalities: Sequence[str]) -> Tensor:
    """Stack one image batch per modality on the batch axis.

    `inputs` maps each of the M modalities to a tensor [B, C, H, W], all of one shape; or it is stacked already, as
    [M, B, C, H, W] or as [M*B, C, H, W] (modality-major). Returns [M*B, C, H, W]; channels_last inputs stay so.
    Raises ValueError naming the modality or the shape that does not fit, TypeError for what names no modality.
    """
    if isinstance(inputs, Tensor):
        count = len(modalities)
        if inputs.dim() == 5 and inputs.shape[0] == count:
            return inputs.flatten(0, 1)
        if inputs.dim() == 4:
            check_divisible(inputs, count)
            return inputs
        raise ValueError(
            f"expected a stack [{count}, B, C, H, W] or [{count}*B, C, H, W] of {', '.join(modalities)}, "
            f"got shape {tuple(inputs.shape)}"
        )
    if not isinstance(inputs, Mapping):
        wanted = f"expected inputs by name, {{name: tensor}} for {', '.join(modalities)}, or a stack of them"
        raise TypeError(f"{wanted}, not a {type(inputs).__name__}")
    missing = [name for name in modalities if name not in inputs]
    unknown = [name for name in inputs if name not in modalities]
    if missing or unknown:
        raise ValueError(
            f"expected inputs for {', '.join(modalities)}; "
            f"missing: {', '.join(missing) or 'none'}; unknown: {', '.join(unknown) or 'none'}"
        )
    first = inputs[modalities[0]]
    if first.dim() != 4 or any(inputs[name].shape != first.shape for name in modalities):
        listed = ", ".join(f"{name} {tuple(inputs[name].shape)}" for name in modalities)
        raise ValueError(f"expected one shape [B, C, H, W] for all modalities, got {listed}")
    return torch.cat([inputs[name] for name in modalities])


def stack_images(inputs: Mapping[str, Tensor] | Tensor, modalities: Sequence[str]) -> Tensor:
    """`stack_modalities` of images with 3 channels each: [M*B, 3, H, W]; ValueError where they have not."""
    x = stack_modalities(inputs, modalities)
    if x.shape[1] != 3:
        raise ValueError(f"each modality must have 3 channels (repeat a single one), got shape {tuple(x.shape)}")
    return x


def split_modalities(x: Tensor, modalities: int) -> Tensor:
    """View a stack [M*B, ...] as [M, B, ...] (no copy). Raises ValueError where M does not divide x.shape[0]."""
    check_divisible(x, modalities)
    return x.unflatten(0, (modalities, -1))


def check_divisible(x: Tensor, modalities: int) -> None:
    """Raise ValueError unless the batch axis of `x` holds the same number of samples (at least one) per modality."""
    if x.dim() == 0:
        raise ValueError("a single number for all images, such as a loss, has no modalities: return it elsewhere")
    if x.shape[0] % modalities or x.shape[0] == 0:
        raise ValueError(
            f"x.shape[0] = {x.shape[0]} cannot be shared out among {modalities} modalities: "
            f"stack {modalities} batches of equal size on the batch axis, modality-major"
        )


class PrivateCopies(nn.Module):
    """A copy of one layer for each of M modalities, run on that modality's stream alone.

    `layer` may be of any class that maps [B, C, H, W] to [B, D, h, w]: what its forward does, each copy does. Raises
    ValueError for fewer `modalities` than 1. Needed by the unshared rows of S-Tables 7 and 8.
    """

    def __init__(self, layer: nn.Module, modalities: int) -> None:
        super().__init__()
        if modalities < 1:
            raise ValueError(f"modalities = {modalities}: at least 1 is needed")
        self.modalities = modalities
        self.copies = nn.ModuleList(copy.deepcopy(layer) for _ in range(modalities))
        self.register_load_state_dict_pre_hook(_update_before_loading)

    @property
    def layer(self) -> nn.Module:
        """The first modality's copy, for what all have in common."""
        return self.copies[0]

    def stacked(self, name: str) -> Any:
        """[M, ...]: a parameter of all copies, or None where theirs is None."""
        rows = [getattr(layer, name) for layer in self.copies]
        return None if rows[0] is None else torch.stack(rows)

    def forward(self, x: Tensor) -> Tensor:
        """[M*B, C, H, W] -> [M*B, D, h, w], each stream through its own copy."""
        streams = split_modalities(x, self.modalities).unbind()
        return torch.cat([layer(stream) for layer, stream in zip(self.copies, streams, strict=True)])

    def update_state(self, tensors: dict[str, Tensor], prefix: str) -> None:
        """Bring a state of another form under today's names.

        Earlier versions stacked the copies' tensors to [M, ...]. A tensor of the layer as it was, which its streams
        shared, becomes that of every copy.
        """
        for name in ("weight", "bias"):
            own, stored = getattr(self.layer, name, None), tensors.get(prefix + name)
            if own is None or stored is None:
                continue
            del tensors[prefix + name]
            rows = self.modalities * (stored,) if stored.dim() == own.dim() else stored.unbind()
            tensors |= {f"{prefix}copies.{m}.{name}": row for m, row in enumerate(rows)}


class PrivateConv2d(PrivateCopies):
    """`PrivateCopies` of a convolution, under its name of version 0.1; of the same `layer` and `modalities`."""

    @classmethod
    def from_conv(cls, conv: nn.Module, modalities: int) -> PrivateConv2d:
        """The same as the constructor."""
        return cls(conv, modalities)


PrivateConvTranspose2d = PrivateConv2d


def current_state(model: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state of `model`, maybe of an earlier version, as today's: see every `update_state` of its modules."""
    current = dict(tensors)
    for name, module in model.named_modules():
        update = getattr(module, "update_state", None)
        if callable(update):
            update(current, f"{name}.")
    return current


def _update_before_loading(module: PrivateCopies, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    module.update_state(state, prefix)
