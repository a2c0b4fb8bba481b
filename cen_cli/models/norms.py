"""Normalisation of M streams, private or shared: P Eq. 5, x' = gamma * (x - mu) / sqrt(var + eps) + beta.

gamma and beta are tensors (R, C), the running mean and variance (R', C), with one row per modality where they are
private and one row in all where they are shared. The four sharing modes of S-Tables 7 and 9 are nothing but these
shapes. Shared statistics are those of all modalities' activations together: the streams count as one batch.

Layer norms, of networks that have no others, are normalised at every position, and have no running statistics.

Different from torch's own batch and instance norms: no `num_batches_tracked` (momentum is always a number), and in
evaluation, or with frozen statistics, normalisation and affine map are one multiplication and one addition.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules._functions import SyncBatchNorm

from cen_cli import ranks
from cen_cli.models.streams import check_divisible

Share = Literal["private", "shared"]
NormSharing = Literal["private", "shared", "statistics-private", "affine-private"]

SHARING: dict[str, tuple[Share, Share]] = {
    "private": ("private", "private"),
    "shared": ("shared", "shared"),
    "statistics-private": ("shared", "private"),
    "affine-private": ("private", "shared"),
}
"""Sharing mode -> (gamma and beta, mean and variance)."""


class _NormByStatistics(nn.Module):
    """Gamma, beta and running statistics of M streams: gamma 1, beta 0, mean 0, variance 1."""

    weight: nn.Parameter
    bias: nn.Parameter
    running_mean: Tensor
    running_var: Tensor
    frozen = False

    def __init__(
        self,
        channels: int,
        modalities: int,
        *,
        affine: Share = "private",
        statistics: Share = "private",
        eps: float = 1e-5,
        momentum: float = 0.1,
    ) -> None:
        super().__init__()
        _allocate_affine(self, channels, modalities, affine)
        rows = _count_rows("statistics", statistics, modalities)
        self.register_buffer("running_mean", torch.zeros(rows, channels))
        self.register_buffer("running_var", torch.ones(rows, channels))
        self.channels, self.modalities = channels, modalities
        self.eps, self.momentum = eps, momentum

    def extra_repr(self) -> str:
        """What `print(module)` shows."""
        affine, statistics = (
            "private" if len(table) == self.modalities else "shared" for table in (self.weight, self.running_mean)
        )
        return f"{self.channels}, modalities={self.modalities}, affine={affine}, statistics={statistics}"


class ModalBatchNorm2d(_NormByStatistics):
    """Batch normalisation of M streams, each with its own gamma, beta, mean and variance unless shared (P Eq. 5).

    `channels` is C and `modalities` M; gamma (`weight`) and beta (`bias`) are [M, C], or [1, C] with
    `affine="shared"`, running mean and variance by `statistics` likewise; `eps` and `momentum` are torch's.
    With everything private it equals M `nn.BatchNorm2d`, one per stream, in training and in evaluation.
    `frozen = True` normalises by the running statistics in training too, and leaves them as they are; gamma and beta
    still learn. `synchronised = True` normalises by the batch of all processes that train together (`process_group`:
    of some of them), as `nn.SyncBatchNorm` does.
    """

    synchronised = False
    process_group: Any = None

    def forward(self, x: Tensor) -> Tensor:
        """Normalise [M*B, C, H, W], modality-major; the result has x's shape, dtype and memory format."""
        _check_input(x, self.channels, self.modalities)
        if not self.training or self.frozen:
            return _normalise_by(self, x, self.running_mean, self.running_var)
        if self.running_mean.shape[0] == self.modalities:
            return _joined(self._by_batch(*row) for row in _streams(self, x, self.running_mean, self.running_var))
        return self._normalise_all_streams(x)

    def _normalise_all_streams(self, x: Tensor) -> Tensor:
        """Statistics of all streams together."""
        mean, variance = self.running_mean[0], self.running_var[0]
        if self.weight.shape[0] == 1:
            return self._by_batch(x, mean, variance, self.weight[0], self.bias[0])
        normalised = self._by_batch(x, mean, variance, None, None)
        return _scale_and_shift(normalised, self.weight, self.bias, self.modalities)

    def _by_batch(self, x: Tensor, mean: Tensor, variance: Tensor, gamma: Tensor | None, beta: Tensor | None) -> Tensor:
        """Normalise by the batch's own statistics, which mean and variance then follow."""
        if self.synchronised and dist.is_available() and dist.is_initialized():
            group = self.process_group or dist.group.WORLD
            if (size := dist.get_world_size(group)) > 1:
                settings = (self.eps, self.momentum, group)
                if x.is_cuda:
                    return SyncBatchNorm.apply(x, gamma, beta, mean, variance, *settings, size)
                return _by_batch_of_all(x, gamma, beta, mean, variance, *settings)
        if ranks.count() == 1:
            return F.batch_norm(x, mean, variance, gamma, beta, True, self.momentum, self.eps)
        own = (mean.clone(), variance.clone())  # torch needs them in the backward as it leaves them
        y = F.batch_norm(x, *own, gamma, beta, True, self.momentum, self.eps)
        for running, followed in zip((mean, variance), _of_all_ranks(*own), strict=True):
            running.copy_(followed)
        return y


class ModalSyncBatchNorm2d(ModalBatchNorm2d):
    """A `ModalBatchNorm2d` that is synchronised: what an `nn.SyncBatchNorm` becomes."""

    synchronised = True


class ModalInstanceNorm2d(_NormByStatistics):
    """Instance normalisation of M streams with gamma, beta and running statistics (S Section 2, U-Net).

    `channels`, `modalities`, `affine`, `statistics`, `eps` and `momentum` are those of `ModalBatchNorm2d`.

    Statistics are those of each sample's own map, in training and in evaluation; `use_running_statistics = True` takes
    the running ones in evaluation. Sharing the statistics therefore shows only there (S-Table 9). In training the
    running statistics follow the average over the samples of a row, with the unbiased variance of each map.

    A 1x1 map has no variance of its own: it is normalised by the running statistics as they stand, in training too,
    and these then follow the values themselves and their squared distances from the running mean.

    `frozen = True` does in training what is done in evaluation; gamma and beta still learn.
    """

    use_running_statistics = False

    def forward(self, x: Tensor) -> Tensor:
        """Normalise [M*B, C, H, W], modality-major; the result has x's shape, dtype and memory format."""
        _check_input(x, self.channels, self.modalities)
        if x.shape[2] * x.shape[3] == 1:
            return self._normalise_values(x)
        if self.use_running_statistics and (not self.training or self.frozen):
            return _normalise_by(self, x, self.running_mean, self.running_var)
        return self._normalise_each_map(x)

    def _normalise_each_map(self, x: Tensor) -> Tensor:
        """Statistics of each sample's map, through torch's batch norm; in training the running statistics follow.

        To it each map is a channel of one sample, or, where x is channels_last, each sample is a batch: no copy of x.
        """
        wide, per_stream = at_least_float32(x), x.shape[0] // self.modalities
        mean, variance = x.new_zeros(2, *x.shape[:2], dtype=wide).unbind()  # [M*B, C], overwritten: momentum 1
        gamma, beta = (
            table.expand(self.modalities, -1).repeat_interleave(per_stream, dim=0).to(wide)
            for table in (self.weight, self.bias)
        )
        if x.is_contiguous() or not x.is_contiguous(memory_format=torch.channels_last):
            maps = x.reshape(1, -1, *x.shape[2:])  # [1, M*B*C, H, W]
            y = self._batch_norm(maps, mean.reshape(-1), variance.reshape(-1), gamma.reshape(-1), beta.reshape(-1))
            y = y.view(x.shape)
        else:
            samples = zip(x.split(1), mean, variance, gamma.unbind(), beta.unbind(), strict=True)
            y = torch.cat([self._batch_norm(*sample) for sample in samples])
        if self.training and not self.frozen:
            self._follow(mean, variance)
        return y

    def _batch_norm(self, x: Tensor, mean: Tensor, variance: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        """Torch's batch norm in training, which writes this batch's mean and unbiased variance into its arguments."""
        return F.batch_norm(x, mean, variance, gamma, beta, True, 1.0, self.eps)

    def _normalise_values(self, x: Tensor) -> Tensor:
        """1x1 maps [M*B, C, 1, 1], by the running statistics; in training these then follow."""
        if not self.training or self.frozen:
            return _normalise_by(self, x, self.running_mean, self.running_var)
        mean, variance = self.running_mean.clone(), self.running_var.clone()  # backward needs them as they were
        y = _normalise_by(self, x, mean, variance)
        values = x.detach().flatten(1).to(self.running_mean.dtype)
        centre = mean.expand(self.modalities, -1).repeat_interleave(x.shape[0] // self.modalities, dim=0)
        self._follow(values, (values - centre).square())
        return y

    def _follow(self, means: Tensor, variances: Tensor) -> None:
        """Move the running statistics towards the samples' average: means and variances are [M*B, C]."""
        rows = (self.running_mean.shape[0], -1)  # with one row, all streams' samples fall into it
        mean, variance = _of_all_ranks(means.unflatten(0, rows).mean(1), variances.unflatten(0, rows).mean(1))
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        self.running_var.lerp_(variance.to(self.running_var.dtype), self.momentum)


class ModalLayerNorm2d(nn.Module):
    """Layer normalisation over channels, at every position, with gamma and beta of each of M streams unless shared."""

    weight: nn.Parameter
    bias: nn.Parameter

    def __init__(self, channels: int, modalities: int, *, affine: Share = "private", eps: float = 1e-6) -> None:
        super().__init__()
        _allocate_affine(self, channels, modalities, affine)
        self.channels, self.modalities, self.eps = channels, modalities, eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise [M*B, C, H, W], modality-major; the result has x's shape and dtype."""
        _check_input(x, self.channels, self.modalities)
        positions = F.layer_norm(x.movedim(1, -1), (self.channels,), eps=self.eps)  # [M*B, H, W, C]
        return _scale_and_shift(positions.movedim(-1, 1), self.weight, self.bias, self.modalities).to(x.dtype)

    def extra_repr(self) -> str:
        """What `print(module)` shows."""
        affine = "private" if self.weight.shape[0] == self.modalities else "shared"
        return f"{self.channels}, modalities={self.modalities}, affine={affine}"


BatchOrInstanceNorm = ModalBatchNorm2d | ModalInstanceNorm2d
ModalNorm = BatchOrInstanceNorm | ModalLayerNorm2d


def set_frozen_statistics(model: nn.Module, frozen: bool) -> None:
    """Freeze (or release, `frozen = False`) the running statistics of every batch and instance norm in `model`."""
    for module in model.modules():
        if isinstance(module, _NormByStatistics):
            module.frozen = frozen


def set_synchronised(model: nn.Module, synchronised: bool) -> None:
    """Let every `ModalBatchNorm2d` in `model` see the batch of all processes that train together, or its own alone.

    `synchronised`: whether they see all of it, as `nn.SyncBatchNorm` does.
    """
    for module in model.modules():
        if isinstance(module, ModalBatchNorm2d):
            module.synchronised = synchronised


def set_norm_statistics(model: nn.Module, statistics: str) -> None:
    """Choose what every `ModalInstanceNorm2d` in `model` normalises by in evaluation.

    `statistics` is "instance", each map's own mean and variance, as in training; or "running", the running ones
    (S-Table 9). Raises ValueError for another word.
    """
    if statistics not in ("instance", "running"):
        raise ValueError(f"norm statistics {statistics!r}: 'instance' or 'running'")
    for module in model.modules():
        if isinstance(module, ModalInstanceNorm2d):
            module.use_running_statistics = statistics == "running"


def _allocate_affine(norm: nn.Module, channels: int, modalities: int, affine: Share) -> None:
    """Gamma 1 and beta 0."""
    if channels < 1 or modalities < 1:
        raise ValueError(f"channels = {channels}, modalities = {modalities}: both must be at least 1")
    rows = _count_rows("affine", affine, modalities)
    norm.weight = nn.Parameter(torch.ones(rows, channels))
    norm.bias = nn.Parameter(torch.zeros(rows, channels))


def _count_rows(name: str, share: Share, modalities: int) -> int:
    if share not in ("private", "shared"):
        raise ValueError(f"{name} = {share!r}: 'private' or 'shared'")
    return modalities if share == "private" else 1


def _check_input(x: Tensor, channels: int, modalities: int) -> None:
    if x.dim() != 4 or x.shape[1] != channels:
        raise ValueError(f"expected [{modalities}*B, {channels}, H, W], got shape {tuple(x.shape)}")
    check_divisible(x, modalities)


def _normalise_by(norm: BatchOrInstanceNorm, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """By given statistics [M or 1, C]: one multiplication, one addition; gradients reach x, gamma and beta."""
    if x.dtype != at_least_float32(x):  # torch's kernel computes in float32 without a float32 copy of x
        streams = _streams(norm, x, mean, variance)
        return _joined(F.batch_norm(*row, training=False, momentum=norm.momentum, eps=norm.eps) for row in streams)
    scale = norm.weight * torch.rsqrt(variance + norm.eps)  # [M or 1, C]
    return _scale_and_shift(x, scale, norm.bias - mean * scale, norm.modalities)


def _by_batch_of_all(
    x: Tensor,
    gamma: Tensor | None,
    beta: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    eps: float,
    momentum: float,
    group: Any,
) -> Tensor:
    """One stream [B, C, H, W] by the statistics of all processes' streams, which mean and variance then follow.

    For devices that torch's kernels for this do not know. Each process gives its mean, variance and count: sums of
    squares over all would lose small variances beside large means.
    """
    wide = x.to(at_least_float32(x))
    own = torch.var_mean(wide, dim=(0, 2, 3), correction=0)
    row = torch.cat([*own, wide.new_full((1,), wide[:, 0].numel())])
    variances, means, counts = ranks.gathered(row[None], 0, group).split([len(mean), len(mean), 1], dim=1)
    total = counts.detach().sum()
    mu = (counts * means).sum(0) / total
    var = (counts * (variances + (means - mu).square())).sum(0) / total
    mean.lerp_(mu.detach().to(mean.dtype), momentum)
    variance.lerp_((var.detach() * total / (total - 1)).to(variance.dtype), momentum)
    scale = torch.rsqrt(var + eps) if gamma is None else gamma * torch.rsqrt(var + eps)
    y = (wide - mu[:, None, None]) * scale[:, None, None]
    return (y if beta is None else y + beta[:, None, None]).to(x.dtype)


def _of_all_ranks(mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """What running statistics are to follow, or have come to, averaged over the ranks, so that these stay alike."""
    followed = ranks.averaged({"mean": mean, "variance": variance})
    return followed["mean"], followed["variance"]


def _streams(
    norm: BatchOrInstanceNorm, x: Tensor, mean: Tensor, variance: Tensor
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor, Tensor]]:
    """Each stream, [B, C, H, W], with its mean, variance, gamma and beta, [C] each."""
    tables = (table.expand(norm.modalities, -1).unbind() for table in (mean, variance, norm.weight, norm.bias))
    return zip(x.chunk(norm.modalities), *tables, strict=True)


def _joined(streams: Iterable[Tensor]) -> Tensor:
    """M times [B, C, H, W] -> [M*B, C, H, W]."""
    outputs = list(streams)
    return torch.cat(outputs) if len(outputs) > 1 else outputs[0]


def _scale_and_shift(x: Tensor, scale: Tensor, shift: Tensor, modalities: int) -> Tensor:
    """x * scale + shift per stream and channel: x [M*B, C, H, W], scale and shift [M or 1, C]; rounded once."""
    stack = x.unflatten(0, (modalities, -1))  # [M, B, C, H, W]
    y = torch.addcmul(shift[:, None, :, None, None], stack, scale[:, None, :, None, None])
    return y.flatten(0, 1).to(x.dtype)


def at_least_float32(x: Tensor) -> torch.dtype:
    """The type in which sums over x are taken."""
    return torch.promote_types(x.dtype, torch.float32)
