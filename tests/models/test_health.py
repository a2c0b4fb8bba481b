from __future__ import annotations

import weakref

import pytest
import torch
from torch import nn

import cen_cli
from cen_cli.models.exchange import exchange_layers
from cen_cli.models.health import Watch, part_of, watching
from cen_cli.models.norms import ModalBatchNorm2d
from cen_cli.models.segmenter import Segmenter, refinenet_segmenter
from cen_cli.models.settings import StreamSettings
from cen_cli.models.streams import PrivateCopies
from cen_cli.results import Health
from tests.models.test_segmenter import images as segmented_images

NAMES = ("rgb", "depth")


class Shut(nn.Module):
    """A convolution whose ReLU is shut for everything, or for nothing, and what it would feed."""

    def __init__(self, bias: float) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.second = nn.Conv2d(4, 5, 1)
        self.last = nn.Conv2d(5, 2, 1)
        nn.init.constant_(self.second.bias, bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.second(self.first(x))))


def images(count: int = 4) -> torch.Tensor:
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_a_shut_layer_is_dead_and_what_lies_before_it_unreached() -> None:
    torch.manual_seed(0)
    seen = cen_cli.health(Shut(-100.0), images())
    parts = {part.name: part for part in seen.parts}
    assert seen.dead == ("second",)
    assert seen.unreached == ("first.1", "second")
    assert (parts["second"].dead, parts["second"].positive, parts["second"].gradient) == (1.0, 0.0, 0.0)
    assert parts["last"].gradient > 0


def test_nothing_of_a_step_that_was_watched_stays_in_memory() -> None:
    network, outputs = Shut(1.0), []
    network.last.register_forward_hook(lambda layer, inputs, output: outputs.append(weakref.ref(output)))
    with watching(network):
        network(images()).sum().backward()
    assert outputs[0]() is None


def test_an_open_layer_is_alive_and_reached() -> None:
    torch.manual_seed(0)
    seen = cen_cli.health(Shut(1.0), images())
    assert (seen.dead, seen.unreached) == ((), ())
    assert [part.name for part in seen.parts] == ["first.1", "second", "last"], "the norm stands for its convolution"


def test_the_gradient_is_that_of_the_loss_with_respect_to_the_output() -> None:
    torch.manual_seed(0)
    network = Shut(1.0)
    output = network.first(images())
    output.retain_grad()
    made = network.second(output)
    made.retain_grad()
    (3 * network.last(torch.relu(made)).sum()).backward()
    seen = cen_cli.health(network, images(), loss=lambda out: 3 * out.sum())
    second = next(part for part in seen.parts if part.name == "second")
    assert made.grad is not None
    assert second.gradient == pytest.approx(made.grad.norm().item(), rel=1e-5)
    assert second.positive == pytest.approx((made > 0).float().mean().item(), rel=1e-5)


def test_a_batch_in_parts_is_seen_as_a_whole() -> None:
    torch.manual_seed(0)
    network, batch = Shut(0.0).eval(), torch.cat([images(), images() - 3])

    def seen(parts: int) -> Health:
        with watching(network) as watch:
            for part in batch.chunk(parts):
                network(part).sum().backward()
        return watch.health()

    for one, several in zip(seen(1).parts, seen(2).parts, strict=True):
        assert (several.name, several.worst) == (one.name, one.worst)
        for value in ("dead", "positive", "gradient"):
            assert getattr(several, value) == pytest.approx(getattr(one, value), rel=1e-5)


def test_a_pass_without_gradients_is_none() -> None:
    """As the discriminator's step makes one of the generator."""
    network = Shut(0.0).eval()
    with watching(network) as watch:
        with torch.no_grad():
            network(images())
        network(images()).sum().backward()
    with watching(network) as alone:
        network(images()).sum().backward()
    assert watch.health() == alone.health()


def test_a_stream_that_gets_nothing_is_seen_beside_one_that_does() -> None:
    """The other stream's gradient must not hide it: here the loss reads the first modality alone."""
    torch.manual_seed(0)
    net = refinenet_segmenter(NAMES, 3, backbone="resnet18", encoder_width=8, width=8, dropout=0.0, norm=True)
    inputs = dict(zip(NAMES, torch.randn(2, 2, 3, 64, 64), strict=True))
    whole = cen_cli.health(net, inputs)
    assert (whole.dead, whole.unreached) == ((), ())
    alone = cen_cli.health(net, inputs, loss=lambda out: out.branches[0].square().mean())
    assert "decoder.path4" in alone.unreached
    assert set(alone.exchanging) == set(exchange_layers(net))
    gradients = alone.exchanging["encoder.layer4.1.bn2"]
    assert gradients[0] > 0
    assert gradients[1] == 0


def test_looking_changes_nothing() -> None:
    torch.manual_seed(0)
    network = Shut(1.0).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    cen_cli.health(network, images())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    with watching(network):
        watched = network(images())
    torch.testing.assert_close(watched, network(images()), rtol=0, atol=0)
    assert not network._forward_pre_hooks
    assert not any(module._forward_hooks for module in network.modules())


def test_parts_are_stages_and_paths() -> None:
    net = refinenet_segmenter(NAMES, 3, backbone="resnet18", encoder_width=8, width=8, norm=True)
    layers = {
        "encoder.layer4.1.bn2": "encoder.layer4",
        "encoder.bn1": "encoder.bn1",
        "decoder.path4.reduce.1": "decoder.path4",
        "decoder.classifier": "decoder.classifier",
        "encoder.junctions.3": "encoder.junctions.3",
    }
    assert {name: part_of(net, name) for name in layers} == layers


# --- private copies ---


def with_norms(conv: str) -> Segmenter:
    """A small network in training whose decoder has norms."""
    sizes = {"backbone": "resnet18", "width": 8, "encoder_width": 8}
    return refinenet_segmenter(("rgb", "depth"), 5, **sizes, norm=True, streams=StreamSettings(conv=conv)).train()


def watched(net: Segmenter) -> Watch:
    with watching(net) as watch:
        net(segmented_images()).branches.square().mean().backward()
    return watch


@pytest.mark.parametrize("conv", ["shared", "private"])
def test_private_copies_are_seen_as_the_layer_of_which_they_are_copies(conv: str) -> None:
    net = with_norms(conv)
    health = watched(net).health()
    stages, paths = [f"encoder.layer{n}" for n in (1, 2, 3, 4)], [f"decoder.path{n}" for n in (4, 3, 2, 1)]
    assert [part.name for part in health.parts] == ["encoder.bn1", *stages, *paths, "decoder.classifier"]
    assert not any("copies" in part.worst for part in health.parts)
    assert list(health.exchanging) == list(exchange_layers(net))
    assert {len(row) for row in health.exchanging.values()} == {2}
    assert health.dead == health.unreached == ()


def test_one_stream_s_dead_copy_is_found() -> None:
    net = with_norms("private")
    conv = net.decoder.get_submodule("path1.refine.first.0")
    assert isinstance(conv, PrivateCopies)
    conv.copies[1].bias.data.fill_(-1e6)
    assert watched(net).health().dead == ("decoder.path1.refine.first.0",)


def test_the_decoder_s_norms_are_converted_with_its_private_convolutions() -> None:
    widen = with_norms("private").decoder.get_submodule("path3.widen")
    assert [type(layer) for layer in widen] == [PrivateCopies, ModalBatchNorm2d]
