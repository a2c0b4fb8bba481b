"""Streams: M modalities travel as one tensor [M*B, C, H, W], modality-major (all B samples of modality 0 come first).

A layer that the modalities share is then an ordinary torch layer, one call instead of M. The only layers that know M
are the norms (`norms`), the exchange (`exchange`) and the convolutions with one kernel per modality (`PrivateConv2d`
and `PrivateConvTranspose2d` here), which the unshared rows of S-Tables 7 and 8 need.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
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
    Raises ValueError naming the modality or the shape that does not fit.
    """
    if isinstance(inputs, Tensor):
        return _flatten_stack(inputs, modalities)
    missing = [name for name in modalities if name not in inputs]
    unknown = [name for name in inputs if name not in modalities]
    if missing or unknown:
        raise ValueError(
            f"expected inputs for {', '.join(modalities)}; "
            f"missing: {', '.join(missing) or 'none'}; unknown: {', '.join(unknown) or 'none'}"
        )
    shapes = {name: tuple(inputs[name].shape) for name in modalities}
    if len(set(shapes.values())) > 1 or inputs[modalities[0]].dim() != 4:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"expected one shape [B, C, H, W] for all modalities, got {listed}")
    return torch.cat([inputs[name] for name in modalities])


def stack_images(inputs: Mapping[str, Tensor] | Tensor, modalities: Sequence[str]) -> Tensor:
    """`stack_modalities` of images with 3 channels each: [M*B, 3, H, W]; ValueError where they have not."""
    x = stack_modalities(inputs, modalities)
    if x.shape[1] != 3:
        raise ValueError(f"each modality must have 3 channels (repeat a single one), got shape {tuple(x.shape)}")
    return x


def _flatten_stack(inputs: Tensor, modalities: Sequence[str]) -> Tensor:
    """[M, B, C, H, W] or [M*B, C, H, W] -> [M*B, C, H, W]."""
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


def split_modalities(x: Tensor, modalities: int) -> Tensor:
    """View a stack [M*B, ...] as [M, B, ...] (no copy). Raises ValueError where M does not divide x.shape[0]."""
    check_divisible(x, modalities)
    return x.unflatten(0, (modalities, -1))


def check_divisible(x: Tensor, modalities: int) -> None:
    """Raise ValueError unless the batch axis of `x` holds the same number of samples (at least one) per modality."""
    if x.shape[0] % modalities or x.shape[0] == 0:
        raise ValueError(
            f"x.shape[0] = {x.shape[0]} cannot be shared out among {modalities} modalities: "
            f"stack {modalities} batches of equal size on the batch axis, modality-major"
        )


class PrivateConv2d(nn.Module):
    """A convolution with one kernel per modality: M times nn.Conv2d, on streams.

    `weight` is [M, out, in / groups, k, k], `bias` [M, out] or None. Made from an ordinary convolution (`from_conv`),
    whose stride, padding, dilation, groups and padding mode it keeps.
    """

    bias: nn.Parameter | None

    def __init__(self, conv: nn.Conv2d, modalities: int) -> None:
        super().__init__()
        if modalities < 1:
            raise ValueError(f"modalities = {modalities}: at least 1 is needed")
        self.modalities = modalities
        self.in_channels, self.out_channels = conv.in_channels, conv.out_channels
        self.kernel_size, self.stride, self.dilation = conv.kernel_size, conv.stride, conv.dilation
        self.padding, self.padding_mode, self.groups = conv.padding, conv.padding_mode, conv.groups
        self._margins = list(conv._reversed_padding_repeated_twice)
        self.weight = _repeat_parameter(conv.weight, modalities)
        self.bias = None if conv.bias is None else _repeat_parameter(conv.bias, modalities)

    @classmethod
    def from_conv(cls, conv: nn.Conv2d, modalities: int) -> PrivateConv2d:
        """A private convolution of `modalities` streams, each starting from a copy of `conv`'s kernel and bias."""
        return cls(conv, modalities)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve each stream with its own kernel: [M*B, in, H, W] -> [M*B, out, h, w]."""
        padding: str | tuple[int, ...] | int = self.padding
        if self.padding_mode != "zeros":
            x, padding = F.pad(x, self._margins, mode=self.padding_mode), 0

        def convolve(stream: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
            return F.conv2d(stream, kernel, bias, self.stride, padding, self.dilation, self.groups)

        return _each_stream(convolve, x, self.weight, self.bias)

    def extra_repr(self) -> str:
        """What `print(module)` shows."""
        return (
            f"{self.in_channels}, {self.out_channels}, modalities={self.modalities}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        )


class PrivateConvTranspose2d(nn.Module):
    """A transposed convolution with one kernel per modality: M times nn.ConvTranspose2d, on streams.

    `weight` is [M, in, out / groups, k, k], `bias` [M, out] or None. Made from an ordinary one (`from_conv`), whose
    stride, padding, output padding, dilation and groups it keeps.
    """

    bias: nn.Parameter | None

    def __init__(self, conv: nn.ConvTranspose2d, modalities: int) -> None:
        super().__init__()
        if modalities < 1:
            raise ValueError(f"modalities = {modalities}: at least 1 is needed")
        self.modalities = modalities
        assert isinstance(conv.padding, tuple), "transposed convolutions know no padding by name"
        self.in_channels, self.out_channels = conv.in_channels, conv.out_channels
        self.kernel_size, self.stride, self.dilation = conv.kernel_size, conv.stride, conv.dilation
        self.padding, self.output_padding, self.groups = conv.padding, conv.output_padding, conv.groups
        self.weight = _repeat_parameter(conv.weight, modalities)
        self.bias = None if conv.bias is None else _repeat_parameter(conv.bias, modalities)

    @classmethod
    def from_conv(cls, conv: nn.ConvTranspose2d, modalities: int) -> PrivateConvTranspose2d:
        """A private transposed convolution of `modalities` streams, each starting from a copy of `conv`'s tensors."""
        return cls(conv, modalities)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve each stream with its own kernel: [M*B, in, h, w] -> [M*B, out, H, W]."""

        def convolve(stream: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
            return F.conv_transpose2d(
                stream, kernel, bias, self.stride, self.padding, self.output_padding, self.groups, self.dilation
            )

        return _each_stream(convolve, x, self.weight, self.bias)

    def extra_repr(self) -> str:
        """What `print(module)` shows."""
        return (
            f"{self.in_channels}, {self.out_channels}, modalities={self.modalities}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        )


def _each_stream(
    convolve: Callable[[Tensor, Tensor, Tensor | None], Tensor], x: Tensor, weight: Tensor, bias: Tensor | None
) -> Tensor:
    """Call `convolve` on every stream of [M*B, C, H, W] with its row of weight [M, ...] and of bias [M, out]."""
    modalities = weight.shape[0]
    streams = split_modalities(x, modalities).unbind()
    biases = [None] * modalities if bias is None else bias.unbind()
    return torch.cat([convolve(*row) for row in zip(streams, weight.unbind(), biases, strict=True)])


def _repeat_parameter(parameter: Tensor, modalities: int) -> nn.Parameter:
    """[...] -> [M, ...]: M independent copies."""
    copies = torch.stack([parameter.detach()] * modalities)
    return nn.Parameter(copies, requires_grad=parameter.requires_grad)
