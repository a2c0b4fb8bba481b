"""The patch discriminator against plain arithmetic, one sample at a time."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cen_cli.models.heads.patch_discriminator import PatchDiscriminator
from tests.reference import translating


def pair(samples: int, *size: int, dtype=torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand(samples, 3, *size, dtype=dtype) * 2 - 1, torch.rand(samples, 3, *size, dtype=dtype) * 2 - 1


@pytest.mark.parametrize(("layers", "smallest"), [(1, 6), (2, 12), (3, 24)])
def test_logits_equal_plain_arithmetic(layers, smallest):
    net = PatchDiscriminator(filters=4, layers=layers).double()
    for parameter in net.parameters():
        nn.init.uniform_(parameter, -1, 1)
    condition, image = pair(3, 32, 2 * smallest, dtype=torch.float64)
    tensors = {name: tensor.detach() for name, tensor in net.state_dict().items()}
    with torch.no_grad():
        expected = translating.discriminator(tensors, condition, image, layers=layers)
        torch.testing.assert_close(net(condition, image), expected, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(net.eval()(condition, image), expected, rtol=1e-10, atol=1e-10)


def test_published_layers():
    net = PatchDiscriminator()
    convs = [layer for layer in net.body if isinstance(layer, nn.Conv2d)]
    assert [(conv.out_channels, conv.stride[0]) for conv in convs] == [(64, 2), (128, 2), (256, 2), (512, 1), (1, 1)]
    assert convs[0].in_channels == 6
    assert all((conv.kernel_size, conv.padding) == ((4, 4), (1, 1)) for conv in convs)
    assert sum(parameter.numel() for parameter in net.parameters()) == 2_769_601
    assert convs[2].weight.std().item() == pytest.approx(0.02, rel=0.05)
    with torch.no_grad():
        assert net(*pair(1, 256, 256)).shape == (1, 1, 30, 30)


@pytest.mark.parametrize(("layers", "side", "logits"), [(3, 32, 2), (3, 24, 1), (2, 12, 1), (1, 6, 1), (3, 64, 6)])
def test_small_images_are_judged(layers, side, logits):
    net = PatchDiscriminator(filters=2, layers=layers)
    assert net(*pair(2, side, side)).shape == (2, 1, logits, logits)


@pytest.mark.parametrize(("layers", "field"), [(3, 70), (2, 34), (1, 16)])
def test_a_logit_sees_a_patch_of_the_stated_size(layers, field):
    net = PatchDiscriminator(filters=2, layers=layers).double()
    for place, layer in enumerate(net.body):
        if isinstance(layer, nn.InstanceNorm2d):
            net.body[place] = nn.Identity()  # a norm sees the whole map
    condition, image = pair(1, 128, 128, dtype=torch.float64)
    logits = net(condition, image.requires_grad_())
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    seen = image.grad[0].abs().sum(0) > 0
    assert seen.any(1).sum().item() == seen.any(0).sum().item() == field


def test_images_that_do_not_fit_are_named():
    net = PatchDiscriminator(filters=2)
    with pytest.raises(ValueError, match=r"23 x 64 are too small for the discriminator: sides of at least 24 pixels"):
        net(*pair(1, 23, 64))
    wanted = r"condition must be \[N, 3, H, W\] and image \[N, 3, H, W\], got "
    with pytest.raises(ValueError, match=wanted + r"\(2, 3, 32, 32\) and \(1, 3, 32, 32\)"):
        net(pair(2, 32, 32)[0], pair(1, 32, 32)[1])
    with pytest.raises(ValueError, match=r"condition must be \[N, 6, H, W\]"):
        PatchDiscriminator(2, condition_channels=6)(*pair(1, 32, 32))
