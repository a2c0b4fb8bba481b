"""Networks that start from a trained one."""

from __future__ import annotations

import json

import pytest
import torch

from cen_cli.builders import network
from cen_cli.builders.fine_tuning import own_checkpoint, start_from
from cen_cli.errors import CheckpointError
from cen_cli.models.exchange import exchange_layers
from cen_cli.models.segmenter import refinenet_segmenter
from cen_cli.recipe.load import dump_toml, load_recipe
from cen_cli.runs.checkpoint import COMPACT, write_tensors
from tests.streams import built


def segmenter(modalities, classes=3, **settings):
    return built(
        refinenet_segmenter, modalities, classes, backbone="resnet18", encoder_width=8, width=8, light=True, **settings
    ).eval()


def varied(net):
    """Every stream different from the others."""
    with torch.no_grad():
        for tensor in filter(torch.is_floating_point, net.state_dict().values()):
            tensor.add_(torch.rand_like(tensor) * 0.1)
    return net


@pytest.mark.parametrize("conv", ["shared", "private"])
def test_modalities_are_matched_by_name_and_rgb_stands_in(conv, tmp_path):
    trained = varied(segmenter(("rgb", "depth"), conv=conv))
    new = segmenter(("normal", "depth", "rgb"), classes=5, conv=conv)
    classifier = new.decoder.classifier
    before = [parameter.clone() for parameter in classifier.parameters()]
    remark = start_from(new, new.modalities, trained.state_dict(), trained.modalities, tmp_path / "model.safetensors")
    assert remark.endswith("model.safetensors without its classifier and ensemble, normal starts from rgb")
    assert all(map(torch.equal, before, classifier.parameters()))
    x = torch.randn(1, 3, 64, 64)
    theirs = trained.encoder(torch.cat([x, x]))[-1]
    ours = new.encoder(torch.cat([x, x, x]))[-1]
    torch.testing.assert_close(ours, torch.stack([theirs[0], theirs[1], theirs[0]]), rtol=1e-4, atol=1e-4)


def test_modalities_in_other_places_are_refused(tmp_path):
    trained, new = segmenter(("rgb", "depth")), segmenter(("depth", "rgb"))
    with pytest.raises(CheckpointError, match="trained on rgb, depth, not depth, rgb"):
        start_from(new, new.modalities, trained.state_dict(), trained.modalities, tmp_path / "model.safetensors")


def a_start(folder, changes, further):
    """A network of the rooms' recipe with these changes, and one of them and further ones that starts from it."""
    small = {"model.backbone": "resnet18", "model.encoder_width": 8, "model.width": 8, **changes}
    recipe = load_recipe("rooms", small)
    trained = varied(network(recipe, 3).eval())
    file = folder / "model.safetensors"
    labels = {"modalities": json.dumps(trained.modalities), "recipe": dump_toml(recipe)}
    write_tensors(file, trained.state_dict(), labels)
    return trained, network(load_recipe("rooms", {**small, **further, "model.weights": str(file)}), 3).eval()


@pytest.mark.parametrize(
    "changes", [{"model.frozen_stages": 1}, {"exchange.stages": [2, 3]}, {"exchange.sparsity_scale": "layer"}]
)
def test_stages_that_did_not_exchange_and_scaled_penalties_are_a_start(changes, tmp_path):
    trained, new = a_start(tmp_path, changes, {})
    x = torch.randn(2, 3, 64, 64)
    for theirs, ours in zip(trained.encoder(x), new.encoder(x), strict=True):
        assert torch.equal(theirs, ours)


@pytest.mark.parametrize(
    "choice",
    [
        {"exchange.choose": "random", "exchange.budget": 0.3, "exchange.sparsity": 0.0},
        {"exchange.choose": "gain", "exchange.budget": 0.3},
        {"exchange.choose": "gate"},
    ],
)
def test_the_same_choice_goes_on_from_its_channels_and_another_begins_anew(choice, tmp_path):
    trained, new = a_start(tmp_path, choice, {"train.seed": 1})
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(trained.encoder(x)[-1], new.encoder(x)[-1])
    _, other = a_start(
        tmp_path, choice, {"exchange.choose": "random", "exchange.budget": 0.6, "exchange.sparsity": 0.0}
    )
    layer = next(iter(exchange_layers(other).values()))
    assert layer.replaced().sum() == (0.6 * layer.replaceable.sum(dim=1)).round().sum()


@pytest.mark.parametrize(
    ("further", "told"),
    [({}, False), ({"model.frozen_stages": 1}, True), ({"exchange.choose": "none", "exchange.budget": "none"}, True)],
)
def test_channels_that_are_not_replaced_any_more_are_told_of(further, told, tmp_path):
    choice = {"exchange.choose": "random", "exchange.budget": 0.3, "exchange.sparsity": 0.0}
    trained, new = a_start(tmp_path, choice, further)
    was, now = (sum(int(each.replaced().sum()) for each in exchange_layers(net).values()) for net in (trained, new))
    assert (f", {was - now} channels that it replaced are not replaced here" in new.start) is told


@pytest.mark.parametrize("inputs", [["rgb", "normal"], ["rgb", "depth", "normal"]])
def test_so_they_are_where_a_modality_takes_the_place_of_another(inputs, tmp_path):
    choice = {"exchange.choose": "random", "exchange.budget": 0.5, "exchange.sparsity": 0.0}
    trained, new = a_start(tmp_path, choice, {"data.inputs": inputs})
    layers = exchange_layers(trained)
    lost = sum(
        int((layers[name].replaced()[0 if row == "normal" else ["rgb", "depth"].index(row)] & ~now).sum())
        for name, layer in exchange_layers(new).items()
        for row, now in zip(inputs, layer.replaced(), strict=True)
    )
    assert lost > 0
    assert new.start.endswith(
        f", {lost} channels that it replaced are not replaced here, though nothing has trained them"
    )


def test_without_a_stand_in_the_modality_is_named(tmp_path):
    trained, new = segmenter(("depth",)), segmenter(("normal",))
    with pytest.raises(CheckpointError, match="no modality 'normal' to start from, and no 'rgb'"):
        start_from(new, new.modalities, trained.state_dict(), trained.modalities, tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("fusion", "start"),
    [
        ({"model.fusion_stage": "input"}, "normal starts from depth"),
        ({"model.fusion_stage": "all"}, "normal starts from rgb, in the fusing blocks from depth"),
        ({"model.fusion": "average"}, "normal starts from rgb"),
    ],
)
def test_where_streams_fuse_a_new_modality_takes_the_place_of_another(fusion, start, tmp_path):
    trained, new = a_start(tmp_path, {"model.fusion": "concat", **fusion}, {"data.inputs": ["rgb", "normal"]})
    assert new.start.endswith(f"without its classifier and ensemble, {start}")
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(trained.encoder(x)[-1], new.encoder(x)[-1]) == ("rgb" not in start)


def test_a_run_with_shared_convolutions_starts_private_ones(tmp_path):
    trained, new = a_start(tmp_path, {}, {"sharing.conv": "private"})
    x = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(trained.encoder(x)[-1], new.encoder(x)[-1])


def test_a_compact_network_is_no_start(tmp_path):
    file = tmp_path / "model.safetensors"
    write_tensors(file, {"a": torch.zeros(1)}, {"modalities": json.dumps(["rgb"]), "recipe": "", COMPACT: "1"})
    with pytest.raises(CheckpointError, match="a compact network, made for inference"):
        network(load_recipe("rooms", {"model.weights": str(file)}), 3)


def test_another_network_is_refused(tmp_path):
    trained = segmenter(("rgb",)).state_dict()
    new = segmenter(("rgb",), conv="private")
    with pytest.raises(CheckpointError, match=r"does not fit the recipe's model: missing .*conv1"):
        start_from(new, new.modalities, {"encoder.x": trained["encoder.bn1.weight"]}, ("rgb",), tmp_path)


def test_a_deeper_encoder_is_not_taken_in_part(tmp_path):
    trained = built(refinenet_segmenter, ("rgb",), 3, backbone="resnet34", encoder_width=8, width=8, light=True)
    new = segmenter(("rgb",))
    with pytest.raises(CheckpointError, match=r"does not fit the recipe's model: unexpected encoder\.layer1\.2\."):
        start_from(new, new.modalities, trained.state_dict(), ("rgb",), tmp_path / "model.safetensors")


def test_channels_that_fell_elsewhere_are_told_of(tmp_path):
    trained = segmenter(("rgb", "depth"))
    layers = exchange_layers(trained).values()
    with torch.no_grad():
        for layer in layers:
            layer.norm.weight[layer.replaceable] = 1e-4
    fallen = sum(int(layer.replaceable[0].sum()) for layer in layers)
    again = segmenter(("rgb", "depth"))
    remark = start_from(again, again.modalities, trained.state_dict(), ("rgb", "depth"), tmp_path)
    assert "fallen" not in remark
    new = segmenter(("rgb", "normal"))
    remark = start_from(new, new.modalities, trained.state_dict(), ("rgb", "depth"), tmp_path)
    assert f"{fallen} gammas that had fallen" in remark


def test_a_network_that_has_diverged_is_no_start(tmp_path):
    trained, new = segmenter(("rgb",)), segmenter(("rgb",))
    tensors = {**trained.state_dict(), "encoder.conv1.weight": torch.full((8, 3, 7, 7), float("nan"))}
    with pytest.raises(CheckpointError, match=r"NaN or infinity in encoder\.conv1\.weight"):
        start_from(new, new.modalities, tensors, ("rgb",), tmp_path / "model.safetensors")


def test_own_files_are_told_from_others(tmp_path, monkeypatch):
    file = tmp_path / "model.safetensors"
    write_tensors(file, {"a": torch.zeros(1)}, {"modalities": json.dumps(["rgb"]), "recipe": ""})
    assert own_checkpoint(str(file)) == own_checkpoint(str(tmp_path)) == file
    monkeypatch.chdir(tmp_path)
    (tmp_path / "none").mkdir()
    assert own_checkpoint("none") is None, "a word of recipes, not a folder"
    assert own_checkpoint("imagenet") is None
    assert own_checkpoint(str(tmp_path / "net.pth")) is None
    write_tensors(file, {"a": torch.zeros(1)}, {"network": "resnet"})
    assert own_checkpoint(str(file)) is None, "a converted encoder"
