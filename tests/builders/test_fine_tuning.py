"""Networks that start from a trained one."""

from __future__ import annotations

import json

import pytest
import torch

from cen_cli.builders.fine_tuning import own_checkpoint, start_from
from cen_cli.errors import CheckpointError
from cen_cli.models.segmenter import refinenet_segmenter
from cen_cli.runs.checkpoint import write_tensors
from tests.streams import built


def segmenter(modalities, classes=3, **settings):
    return built(
        refinenet_segmenter, modalities, classes, backbone="resnet18", encoder_width=8, width=8, light=True, **settings
    ).eval()


def varied(net):
    """Every stream different from the others."""
    with torch.no_grad():
        for tensor in net.state_dict().values():
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


def test_without_a_stand_in_the_modality_is_named(tmp_path):
    trained, new = segmenter(("depth",)), segmenter(("normal",))
    with pytest.raises(CheckpointError, match="no modality 'normal' to start from, and no 'rgb'"):
        start_from(new, new.modalities, trained.state_dict(), trained.modalities, tmp_path / "model.safetensors")


def test_another_network_is_refused(tmp_path):
    trained = segmenter(("rgb",)).state_dict()
    new = segmenter(("rgb",), conv="private")
    with pytest.raises(CheckpointError, match=r"does not fit the recipe's model: missing .*conv1"):
        start_from(new, new.modalities, {"encoder.x": trained["encoder.bn1.weight"]}, ("rgb",), tmp_path)


def test_a_network_that_has_diverged_is_no_start(tmp_path):
    trained, new = segmenter(("rgb",)), segmenter(("rgb",))
    tensors = {**trained.state_dict(), "encoder.conv1.weight": torch.full((8, 3, 7, 7), float("nan"))}
    with pytest.raises(CheckpointError, match=r"NaN or infinity in encoder\.conv1\.weight"):
        start_from(new, new.modalities, tensors, ("rgb",), tmp_path / "model.safetensors")


def test_own_files_are_told_from_others(tmp_path, monkeypatch):
    file = tmp_path / "model.safetensors"
    write_tensors(file, {"a": torch.zeros(1)}, {"modalities": json.dumps(["rgb"])})
    assert own_checkpoint(str(file)) == own_checkpoint(str(tmp_path)) == file
    monkeypatch.chdir(tmp_path)
    (tmp_path / "none").mkdir()
    assert own_checkpoint("none") is None, "a word of recipes, not a folder"
    assert own_checkpoint("imagenet") is None
    assert own_checkpoint(str(tmp_path / "net.pth")) is None
