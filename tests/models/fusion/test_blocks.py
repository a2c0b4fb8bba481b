"""Every fusion block against NumPy."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from cen_cli.models.fusion.align import AlignFusion, alignment_penalty
from cen_cli.models.fusion.blocks import AverageFusion, ConcatFusion, SelfAttentionFusion
from cen_cli.models.fusion.mmd import multi_kernel_mmd
from cen_cli.models.norms import ModalBatchNorm2d
from tests.reference import fusing

MODALITIES = pytest.mark.parametrize("modalities", [2, 3, 4])
CHANNELS = 7


def streams(
    modalities: int, *, batch: int = 2, size: tuple[int, int] = (5, 6), channels: int = CHANNELS
) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(modalities * batch, channels, *size, generator=generator, dtype=torch.float64)


def as_list(x: torch.Tensor, modalities: int) -> list[np.ndarray]:
    return [stream.numpy() for stream in x.chunk(modalities)]


def layer(conv: nn.Conv2d) -> tuple[np.ndarray, np.ndarray | None]:
    return conv.weight.detach().numpy(), None if conv.bias is None else conv.bias.detach().numpy()


def randomised(block: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(1)
    for parameter in block.double().parameters():
        if parameter.dim() >= 4:  # kernels, not the norm
            parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.3
    return block


@MODALITIES
def test_average(modalities: int) -> None:
    x = streams(modalities)
    np.testing.assert_allclose(AverageFusion(modalities)(x).numpy(), np.mean(as_list(x, modalities), axis=0))


@MODALITIES
def test_concat(modalities: int) -> None:
    x, block = streams(modalities), randomised(ConcatFusion(CHANNELS, modalities))
    expected = fusing.convolve(np.concatenate(as_list(x, modalities), axis=1), *layer(block.mix))
    assert block.mix.weight.shape == (CHANNELS, modalities * CHANNELS, 1, 1)
    np.testing.assert_allclose(block(x).detach().numpy(), expected, rtol=1e-10)


@MODALITIES
def test_concat_starts_as_the_average(modalities: int) -> None:
    x, block = streams(modalities), ConcatFusion(CHANNELS, modalities).double()
    torch.testing.assert_close(block(x), AverageFusion(modalities)(x))


@MODALITIES
def test_self_attention(modalities: int) -> None:
    channels = 16
    x = streams(modalities, channels=channels)
    block = randomised(SelfAttentionFusion(channels, modalities, ModalBatchNorm2d(channels, 1)))
    assert block.squeeze.weight.shape == (modalities, modalities * channels, 3, 3)  # M C / eta
    expected = fusing.self_attention(as_list(x, modalities), layer(block.squeeze), layer(block.gate), layer(block.mix))
    np.testing.assert_allclose(block(x).detach().numpy(), expected, rtol=1e-7, atol=1e-9)


def test_the_gate_of_a_narrow_map_keeps_a_channel() -> None:
    assert SelfAttentionFusion(3, 2, nn.Identity()).squeeze.out_channels == 1


@MODALITIES
def test_align(modalities: int) -> None:
    x, block = streams(modalities), randomised(AlignFusion(CHANNELS, modalities))
    splits, mix = block.split.stacked("weight").detach().numpy(), block.mix.weight.detach().numpy()
    assert block.mix.in_channels == 3 + modalities * 4  # 7 channels: 3 in common, 4 of each modality
    np.testing.assert_allclose(block(x).detach().numpy(), fusing.align(as_list(x, modalities), splits, mix), rtol=1e-9)


@MODALITIES
def test_the_common_parts_are_measured_at_every_position(modalities: int) -> None:
    x, block = streams(modalities).float(), AlignFusion(CHANNELS, modalities)
    block(x)
    parts = [block.split(x).chunk(modalities)[m][:, :3].permute(0, 2, 3, 1).reshape(-1, 3) for m in range(modalities)]
    pairs = [multi_kernel_mmd(parts[a], parts[b]) for a in range(modalities) for b in range(a + 1, modalities)]
    torch.testing.assert_close(alignment_penalty(block), sum(pairs) / len(pairs))


def test_large_maps_are_averaged_to_eight_by_eight() -> None:
    block = AlignFusion(4, 2)
    for layer in block.split.copies:
        layer.weight.data.copy_(torch.eye(4)[:, :, None, None])
    x = streams(2, batch=3, size=(16, 24), channels=4).float()
    block(x)
    means = nn.functional.avg_pool2d(x[:, :2], (2, 3)).permute(0, 2, 3, 1).reshape(2, -1, 2)
    assert means.shape == (2, 3 * 64, 2)
    torch.testing.assert_close(alignment_penalty(block), multi_kernel_mmd(*means), rtol=1e-4, atol=1e-6)


def test_the_penalty_reaches_the_splits_of_all_modalities_and_pulls_the_common_parts_together() -> None:
    torch.manual_seed(0)
    block, x = AlignFusion(6, 2), streams(2, channels=6).float()
    x[:2] += 2  # the first modality's values lie elsewhere
    optimizer = torch.optim.SGD(block.parameters(), lr=0.5)
    values = []
    for _ in range(30):
        block(x)
        penalty = alignment_penalty(block)
        optimizer.zero_grad()
        penalty.backward()
        for layer in block.split.copies:
            assert layer.weight.grad[:3].abs().sum() > 0
            assert (layer.weight.grad[3:] == 0).all()
        optimizer.step()
        values.append(float(penalty.detach()))
    assert values[-1] < values[0] / 4


def test_the_discrepancy_is_measured_in_float32_inside_autocast() -> None:
    """Common parts close together, far from 0: in bfloat16 nothing would be left of their distances."""
    torch.manual_seed(0)
    block = AlignFusion(64, 2).train()
    x = 1 + 0.05 * torch.randn(2 * 4, 64, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        block(x)
        maps = block.split(x).unflatten(0, (2, -1))[:, :, :32].float().detach()
    one, other = maps.permute(0, 1, 3, 4, 2).reshape(2, -1, 32).double()
    assert float(alignment_penalty(block).detach()) == pytest.approx(float(multi_kernel_mmd(one, other)), rel=1e-3)


def test_a_block_that_has_measured_is_copied_without_that() -> None:
    block = AlignFusion(4, 2)
    block(streams(2, channels=4).float())
    copied = copy.deepcopy(block)
    assert copied.discrepancy is None
    assert block.discrepancy is not None
    assert torch.equal(copied.mix.weight, block.mix.weight)


def test_evaluation_measures_nothing() -> None:
    block = AlignFusion(4, 2).eval()
    block(streams(2, channels=4).float())
    with pytest.raises(ValueError, match="no discrepancy was measured"):
        alignment_penalty(block)
