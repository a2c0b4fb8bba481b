"""ResNet encoders against torchvision's own networks."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from cen_cli.errors import CheckpointError
from cen_cli.models.backbones.resnet import RESNETS, resnet_encoder
from cen_cli.models.exchange import exchange_layers
from cen_cli.models.settings import StreamSettings
from cen_cli.models.streams import PrivateCopies


def torchvision_features(net: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
    found = []
    for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
        x = stage(x)
        found.append(x)
    return found


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_streams_with_a_torchvision_network_s_weights_equal_it(name, tmp_path):
    net = torchvision.models.get_model(name, weights=None).eval()
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
            nn.init.normal_(layer.running_mean, std=0.1)
    torch.save(net.state_dict(), tmp_path / "net.pth")
    encoder = resnet_encoder(name, 2, StreamSettings(gamma_init=0.0), weights=str(tmp_path / "net.pth")).eval()
    x = torch.randn(1, 3, 50, 40, dtype=torch.float64)
    with torch.inference_mode():
        expected, found = torchvision_features(net.double(), x), encoder.double()(torch.cat([x, x]))
    assert encoder.channels == tuple(features.shape[1] for features in expected)
    for reference, features in zip(expected, found, strict=True):
        torch.testing.assert_close(features, torch.cat([reference] * 2), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "places"), [("resnet18", 16), ("resnet34", 32), ("resnet50", 16), ("resnet101", 33), ("resnet152", 50)]
)
def test_exchange_follows_every_three_by_three_convolution(name, places):
    with torch.device("meta"):
        encoder = resnet_encoder(name, 2, StreamSettings())
    found = list(exchange_layers(encoder))
    assert len(found) == places
    assert "bn1" not in found
    kinds = {layer.rsplit(".", 1)[1] for layer in found}
    assert kinds == ({"bn1", "bn2"} if name in ("resnet18", "resnet34") else {"bn2"})


@pytest.mark.parametrize("name", RESNETS)
def test_parameters_are_named_and_shaped_as_in_torchvision(name):
    with torch.device("meta"):
        encoder = resnet_encoder(name, 3, StreamSettings())
        net = torchvision.models.get_model(name, weights=None)
    found = {key.replace(".norm.", "."): tuple(value.shape) for key, value in encoder.state_dict().items()}
    expected = {key: tuple(value.shape) for key, value in net.state_dict().items() if not key.startswith("fc.")}
    expected = {key: shape for key, shape in expected.items() if not key.endswith("num_batches_tracked")}
    norms = {key.rsplit(".", 1)[0] for key in expected if key.endswith("running_mean")}
    expected = {key: (3, *shape) if key.rsplit(".", 1)[0] in norms else shape for key, shape in expected.items()}
    assert found == expected


@pytest.mark.parametrize(("name", "width"), [("resnet18", 8), ("resnet50", 24), ("resnet34", 64)])
def test_width_scales_every_stage(name, width):
    encoder = resnet_encoder(name, 2, StreamSettings(), width=width)
    expansion = 4 if name == "resnet50" else 1
    assert encoder.channels == tuple(width * expansion * factor for factor in (1, 2, 4, 8))
    assert encoder.conv1.out_channels == width
    features = encoder.eval()(torch.randn(2, 3, 33, 64))
    assert [tuple(f.shape[1:]) for f in features] == [
        (channels, -(-33 // stride), 64 // stride)
        for channels, stride in zip(encoder.channels, (4, 8, 16, 32), strict=True)
    ]


def test_initial_gamma_is_set_where_weights_are_random():
    encoder = resnet_encoder("resnet18", 2, StreamSettings(gamma_init=0.4), width=8)
    assert all((layer.norm.weight == 0.4).all() for layer in exchange_layers(encoder).values())
    assert (encoder.bn1.weight == 1).all()


def test_private_convolutions():
    encoder = resnet_encoder("resnet18", 2, StreamSettings(conv="private"), width=8)
    assert isinstance(encoder.conv1, PrivateCopies)
    private = sum(isinstance(layer, PrivateCopies) for layer in encoder.modules())
    assert sum(isinstance(layer, nn.Conv2d) for layer in encoder.modules()) == 2 * private


def test_weights_have_one_width():
    with pytest.raises(CheckpointError, match="weights of width 64, and the encoder's is 32"):
        resnet_encoder("resnet18", 2, StreamSettings(), width=32, weights="imagenet")
    with pytest.raises(CheckpointError, match="no such weights file"):
        resnet_encoder("resnet18", 2, StreamSettings(), width=32, weights="absent.pth")
