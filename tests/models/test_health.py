"""What a watched network is seen to be made of."""

from __future__ import annotations

import pytest

from cen_cli.models.exchange import exchange_layers
from cen_cli.models.health import Watch, watching
from cen_cli.models.norms import ModalBatchNorm2d
from cen_cli.models.segmenter import Segmenter, refinenet_segmenter
from cen_cli.models.settings import StreamSettings
from cen_cli.models.streams import PrivateCopies
from tests.models.test_segmenter import images


def with_norms(conv: str) -> Segmenter:
    """A small network in training whose decoder has norms."""
    sizes = {"backbone": "resnet18", "width": 8, "encoder_width": 8}
    return refinenet_segmenter(("rgb", "depth"), 5, **sizes, norm=True, streams=StreamSettings(conv=conv)).train()


def watched(net: Segmenter) -> Watch:
    with watching(net) as watch:
        net(images()).branches.square().mean().backward()
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
