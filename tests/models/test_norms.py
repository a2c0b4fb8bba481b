"""Modal norms against torch's own, one per stream, and against NumPy in all sharing modes."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from cen_cli.models.known_norms import known_norms, modal_layer
from cen_cli.models.norms import (
    SHARING,
    ModalBatchNorm2d,
    ModalInstanceNorm2d,
    set_frozen_statistics,
    set_norm_statistics,
)
from tests.reference import normalising


def from_norm(norm, modalities):
    ((known, kind),) = known_norms(norm, allow_others=False).values()
    return modal_layer(known, kind, modalities)


KINDS = {ModalBatchNorm2d: normalising.batch_norm, ModalInstanceNorm2d: normalising.instance_norm}
TENSORS = ("weight", "bias", "running_mean", "running_var")


def randomised(norm: nn.Module, seed: int = 0) -> nn.Module:
    """The norm with random gamma, beta and statistics (variance positive)."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name in TENSORS:
            tensor = getattr(norm, name)
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return norm


def activations(samples: int, channels: int, dtype=torch.float32, size=(4, 5)) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    return (torch.randn(samples, channels, *size, generator=generator, dtype=torch.float64) * 2 + 1).to(dtype)


def torch_twins(modal: nn.Module) -> list[nn.Module]:
    """One torch norm per stream, with the stream's rows."""
    twins = []
    for m in range(modal.modalities):
        twin = nn.BatchNorm2d(modal.channels) if isinstance(modal, ModalBatchNorm2d) else None
        twin = twin or nn.InstanceNorm2d(modal.channels, affine=True, track_running_stats=True)
        with torch.no_grad():
            for name in TENSORS:
                getattr(twin, name).copy_(getattr(modal, name)[m])
        twins.append(twin.to(modal.weight.dtype))
    return twins


@pytest.mark.parametrize("modalities", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_training_equals_one_torch_norm_per_stream(kind, modalities):
    modal = randomised(kind(6, modalities)).double()
    twins = torch_twins(modal)
    for step in range(3):
        x = activations(2 * modalities, 6, torch.float64) * (step + 1)
        expected = torch.cat([twin(stream) for twin, stream in zip(twins, x.chunk(modalities), strict=True)])
        torch.testing.assert_close(modal(x), expected, rtol=1e-12, atol=1e-12)
    for name in ("running_mean", "running_var"):
        expected = torch.stack([getattr(twin, name) for twin in twins])
        torch.testing.assert_close(getattr(modal, name), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("modalities", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_running_statistics_equal_one_torch_norm_per_stream(kind, modalities):
    modal = randomised(kind(6, modalities)).eval()
    modal.use_running_statistics = True
    x = activations(2 * modalities, 6)
    twins = [twin.eval() for twin in torch_twins(modal)]
    expected = torch.cat([twin(stream) for twin, stream in zip(twins, x.chunk(modalities), strict=True)])
    torch.testing.assert_close(modal(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("sharing", SHARING)
@pytest.mark.parametrize("modalities", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_sharing_modes_equal_plain_numpy(kind, modalities, sharing, training):
    affine, statistics = SHARING[sharing]
    modal = randomised(kind(5, modalities, affine=affine, statistics=statistics)).double().train(training)
    assert modal.weight.shape == modal.bias.shape == (modalities if affine == "private" else 1, 5)
    assert modal.running_mean.shape == (modalities if statistics == "private" else 1, 5)
    x = activations(3 * modalities, 5, torch.float64)
    before = [getattr(modal, name).detach().numpy().copy() for name in TENSORS]
    y, mean, var = KINDS[kind](x.numpy(), modalities, *before, training=training)
    np.testing.assert_allclose(modal(x).detach().numpy(), y, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(modal.running_mean.numpy(), mean, rtol=1e-12)
    np.testing.assert_allclose(modal.running_var.numpy(), var, rtol=1e-12)


def test_shared_running_statistics_of_instance_norms_show_in_evaluation():
    private, shared = (ModalInstanceNorm2d(5, 2, statistics=share).double() for share in ("private", "shared"))
    x = activations(4, 5, torch.float64)
    x[2:] += 3
    for norm in (private, shared):
        norm.use_running_statistics = True
        norm(x)
        norm.eval()
    assert torch.allclose(shared.running_mean, private.running_mean.mean(0, keepdim=True))
    assert not torch.allclose(shared(x), private(x))


def test_norm_statistics_are_chosen_for_a_whole_network():
    inner, outer, batch = ModalInstanceNorm2d(5, 2), randomised(ModalInstanceNorm2d(5, 2)), ModalBatchNorm2d(5, 2)
    net = nn.Sequential(nn.Sequential(inner), outer, batch).eval()
    x = activations(4, 5)
    by_instance = outer(x)
    set_norm_statistics(net, "running")
    assert inner.use_running_statistics
    by_running = outer(x)
    expected = torch.cat([twin.eval()(stream) for twin, stream in zip(torch_twins(outer), x.chunk(2), strict=True)])
    torch.testing.assert_close(by_running, expected)
    set_norm_statistics(net, "instance")
    assert torch.equal(outer(x), by_instance)
    assert not torch.allclose(by_running, by_instance)
    with pytest.raises(ValueError, match="norm statistics 'batch': 'instance' or 'running'"):
        set_norm_statistics(net, "batch")


@pytest.mark.parametrize("training", [True, False])
def test_a_map_of_one_pixel_is_normalised_by_running_statistics(training):
    norm = randomised(ModalInstanceNorm2d(5, 2)).double().train(training)
    mean, var = norm.running_mean.clone(), norm.running_var.clone()
    x = activations(4, 5, torch.float64, size=(1, 1))
    y = norm(x)
    for m, stream in enumerate(x.chunk(2)):
        expected = norm.weight[m] * (stream[..., 0, 0] - mean[m]) / (var[m] + norm.eps).sqrt() + norm.bias[m]
        torch.testing.assert_close(y.chunk(2)[m][..., 0, 0], expected)
        values = stream[..., 0, 0]
        moved = (mean[m] * 0.9 + values.mean(0) * 0.1, var[m] * 0.9 + (values - mean[m]).square().mean(0) * 0.1)
        expected_mean, expected_var = moved if training else (mean[m], var[m])
        torch.testing.assert_close(norm.running_mean[m], expected_mean)
        torch.testing.assert_close(norm.running_var[m], expected_var)
    y.sum().backward()
    torch.testing.assert_close(norm.bias.grad, torch.full((2, 5), 2.0).double())
    assert (norm.weight.grad != 0).all()
    assert norm.float()(x.bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize("sharing", SHARING)
def test_frozen_statistics_stay_while_gamma_and_beta_learn(sharing):
    affine, statistics = SHARING[sharing]
    norm = randomised(ModalBatchNorm2d(5, 2, affine=affine, statistics=statistics)).train()
    set_frozen_statistics(nn.Sequential(norm), True)
    before = {name: getattr(norm, name).clone() for name in ("running_mean", "running_var")}
    x = activations(4, 5).requires_grad_()
    y = norm(x)
    y.square().sum().backward()
    assert all(torch.equal(getattr(norm, name), value) for name, value in before.items())
    assert torch.equal(y, norm.eval()(x))
    for tensor in (norm.weight, norm.bias, x):
        assert (tensor.grad != 0).all()
    set_frozen_statistics(norm, False)
    norm.train()(x)
    assert not torch.equal(norm.running_mean, before["running_mean"])


def test_frozen_gradients_equal_those_of_torch_in_evaluation():
    modal = randomised(ModalBatchNorm2d(4, 2)).double()
    modal.frozen = True
    twins = [twin.eval() for twin in torch_twins(modal)]
    x, weights = activations(4, 4, torch.float64), activations(4, 4, torch.float64).sin()
    (modal(x) * weights).sum().backward()
    for twin, stream, weight in zip(twins, x.chunk(2), weights.chunk(2), strict=True):
        (twin(stream) * weight).sum().backward()
    torch.testing.assert_close(modal.weight.grad, torch.stack([twin.weight.grad for twin in twins]))
    torch.testing.assert_close(modal.bias.grad, torch.stack([twin.bias.grad for twin in twins]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sharing", SHARING)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("training", [True, False])
def test_dtype_and_memory_format_are_kept(kind, sharing, dtype, memory_format, training):
    affine, statistics = SHARING[sharing]
    norm = randomised(kind(8, 2, affine=affine, statistics=statistics)).train(training)
    x = activations(6, 8, dtype).to(memory_format=memory_format)
    exact = copy.deepcopy(norm)(x.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = norm(x)
    assert y.dtype == dtype
    assert y.stride() == x.stride()
    torch.testing.assert_close(y.float(), exact, rtol=1e-2 if dtype == torch.bfloat16 else 1e-5, atol=2e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_what_does_not_fit_is_named(kind):
    norm = kind(4, 2)
    with pytest.raises(ValueError, match=r"x.shape\[0\] = 3 cannot be shared out among 2 modalities"):
        norm(torch.zeros(3, 4, 2, 2))
    with pytest.raises(ValueError, match=r"expected \[2\*B, 4, H, W\], got shape \(4, 5, 2, 2\)"):
        norm(torch.zeros(4, 5, 2, 2))
    with pytest.raises(ValueError, match="channels = 4, modalities = 0"):
        kind(4, 0)
    with pytest.raises(ValueError, match="affine = 'own'"):
        kind(4, 2, affine="own")
    with pytest.raises(ValueError, match="statistics = 'all'"):
        kind(4, 2, statistics="all")


@pytest.mark.parametrize("kind", KINDS)
def test_state_is_four_tensors_and_survives_a_round_trip(kind):
    norm, other = randomised(kind(4, 3)), kind(4, 3)
    assert {key: tuple(value.shape) for key, value in norm.state_dict().items()} == dict.fromkeys(TENSORS, (3, 4))
    other.load_state_dict(norm.state_dict())
    assert all(torch.equal(getattr(other, name), getattr(norm, name)) for name in TENSORS)


@pytest.mark.parametrize(
    "source",
    [
        nn.BatchNorm2d(4, eps=1e-3, momentum=0.3),
        nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
        nn.InstanceNorm2d(4, affine=True),
        nn.InstanceNorm2d(4),
        nn.BatchNorm2d(4, affine=False),
    ],
    ids=str,
)
@pytest.mark.parametrize("training", [True, False])
def test_a_converted_norm_does_what_the_original_does(source, training):
    source = copy.deepcopy(source).train(training)
    modal = from_norm(source, 2)
    assert modal.training == training
    assert (modal.eps, modal.momentum) == (source.eps, source.momentum)
    x = activations(3, 4)
    for _ in range(2):
        expected = source(x)
        for stream in modal(torch.cat([x, x])).chunk(2):
            torch.testing.assert_close(stream, expected, rtol=1e-5, atol=1e-5)
    if source.running_var is not None:
        torch.testing.assert_close(modal.running_var, source.running_var.expand(2, -1))


def test_a_frozen_gamma_stays_frozen_in_the_copy_and_the_copy_is_independent():
    source = nn.BatchNorm2d(4)
    source.weight.requires_grad_(False)
    modal = from_norm(source, 2)
    assert not modal.weight.requires_grad
    assert modal.bias.requires_grad
    modal.weight[0] += 1
    assert torch.equal(modal.weight[1], source.weight)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (nn.BatchNorm2d(4, momentum=None), "momentum=None"),
        (nn.BatchNorm2d(4, track_running_stats=False), "without running statistics"),
    ],
)
def test_norms_that_cannot_be_converted_are_refused(source, message):
    with pytest.raises(ValueError, match=message):
        from_norm(source, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_norms_are_traced_as_one_graph(kind):
    norm = randomised(kind(4, 2))
    twin = copy.deepcopy(norm)
    compiled = torch.compile(norm, fullgraph=True, backend="aot_eager")
    x = activations(4, 4)
    torch.testing.assert_close(compiled(x), twin(x))
    torch.testing.assert_close(norm.running_var, twin.running_var)
