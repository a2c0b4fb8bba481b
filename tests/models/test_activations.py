"""Checkpointed blocks: the same outputs, gradients, statistics and draws, in less memory."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cen_cli.models.activations import checkpoint_activations
from cen_cli.models.choices import LargestGains, choose_channels, watch_gains
from cen_cli.models.fusion.align import AlignFusion
from cen_cli.models.fusion.placement import Fusion
from cen_cli.models.health import watching
from cen_cli.models.segmenter import pspnet_segmenter, refinenet_segmenter
from cen_cli.models.settings import StreamSettings
from cen_cli.models.stages import freeze_first_stages, make_first_stages_private
from cen_cli.models.translator import unet_translator

INPUTS = ("rgb", "depth")
EXCHANGING = StreamSettings(threshold=0.5, gamma_init=0.5)
SMALL: dict[str, Any] = {"backbone": "resnet18", "encoder_width": 4, "width": 4, "streams": EXCHANGING}
ALIGNED = Fusion(lambda channels, modalities, _: AlignFusion(channels, modalities), "middle")


def private_stages() -> nn.Module:
    model = refinenet_segmenter(INPUTS, 3, **SMALL)
    freeze_first_stages(model.encoder, 1)
    make_first_stages_private(model.encoder, 2, 2)
    return model


def with_gains() -> nn.Module:
    model = refinenet_segmenter(INPUTS, 3, norm=True, **SMALL)
    choose_channels(model, LargestGains(0.5, 1), seed=0)
    watch_gains(model)
    return model


MODELS: dict[str, Callable[[], nn.Module]] = {
    "refinenet": lambda: refinenet_segmenter(INPUTS, 3, **SMALL),
    "gains": with_gains,
    "frozen and private": private_stages,
    "fused": lambda: refinenet_segmenter(INPUTS, 3, fusion=ALIGNED, **SMALL),
    "pspnet": lambda: pspnet_segmenter(INPUTS, 3, backbone="resnet50", encoder_width=4, width=4, streams=EXCHANGING),
    "unet": lambda: unet_translator(INPUTS, levels=6, filters=4, streams=EXCHANGING),
}


def step(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """All that a training step leaves: outputs, gradients, statistics, and where the generator stands."""
    torch.manual_seed(1)
    output = model.train()(images)
    loss = sum(each.square().mean() for each in output if each is not None)
    loss.backward()
    found = {name: each.grad for name, each in model.named_parameters() if each.grad is not None}
    found |= {f"probe {index}": probe.grad for index, probe in enumerate(_probes(model))}
    return found | dict(model.named_buffers()) | {"output": output.branches, "draws": torch.get_rng_state()}


def _probes(model: nn.Module) -> list[Any]:
    return [module.probe for module in model.modules() if getattr(module, "probe", None) is not None]


def kept_bytes(model: nn.Module, images: Tensor) -> int:
    sizes: dict[int, int] = {}
    kept = []

    def pack(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = model.encoder(images.flatten(0, 1))
    assert len(output) >= 4
    return sum(sizes.values())


@pytest.mark.parametrize("name", MODELS)
def test_a_step_is_the_same_in_less_memory(name: str) -> None:
    torch.manual_seed(0)
    plain = MODELS[name]()
    checkpointed = copy.deepcopy(plain)
    checkpoint_activations(checkpointed.encoder)
    checkpointed = copy.deepcopy(checkpointed)  # as an average of the weights is
    images = torch.randn(2, 2, 3, 64, 64)
    for _ in range(2):
        expected, found = step(plain, images), step(checkpointed, images)
        assert expected.keys() == found.keys()
        assert [key for key, value in expected.items() if not torch.equal(value, found[key])] == []
    assert kept_bytes(checkpointed, images) < 0.7 * kept_bytes(plain, images)


def test_dropped_paths_are_drawn_alike() -> None:
    class Dropping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.drop = nn.Conv2d(3, 4, 3), nn.Dropout(0.5)

        def forward(self, x: Tensor) -> Tensor:
            return self.drop(self.conv(x)).square()

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stage = nn.Sequential(Dropping())

        def stages(self) -> list[list[nn.Module]]:
            return [[self.stage]]

    plain = Encoder()
    checkpointed = copy.deepcopy(plain)
    checkpoint_activations(checkpointed)
    x, gradients = torch.randn(2, 3, 8, 8), []
    for encoder in (plain, checkpointed):
        torch.manual_seed(0)
        encoder.stage(x).sum().backward()
        gradients.append(encoder.stage[0].conv.weight.grad)
    assert torch.equal(*gradients)


def test_the_health_check_sees_the_first_time_alone() -> None:
    torch.manual_seed(0)
    plain = MODELS["unet"]()
    plain.encoder.layer2.conv.bias.data[0] = -100.0  # nowhere positive, which its norm is
    checkpointed = copy.deepcopy(plain)
    checkpoint_activations(checkpointed.encoder)
    images, seen = torch.randn(2, 2, 3, 64, 64), []
    for model in (plain, checkpointed):
        with watching(model) as watch:
            step(model, images)
        seen.append(watch.health())
    assert repr(seen[0]) == repr(seen[1])
