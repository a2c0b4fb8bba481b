"""Getting and reading weights files, and every way in which that fails."""

from __future__ import annotations

import urllib.error

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from cen_cli.errors import CheckpointError
from cen_cli.models.backbones.pretrained import imagenet_file, read_resnet_weights

IMAGENET_NAME = "resnet18-f37072fd.pth"


@pytest.fixture(scope="module")
def tensors() -> dict[str, torch.Tensor]:
    return torchvision.models.resnet18(weights=None).state_dict()


@pytest.fixture
def expected(tensors) -> dict[str, torch.Tensor]:
    return {key: value for key, value in tensors.items() if not key.startswith("fc.")}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty hub folder, and no way out."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))

    def offline(url: str, *_: object, **__: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    return tmp_path / "hub"


def test_offline_the_message_says_which_file_goes_where(hub):
    with pytest.raises(CheckpointError, match=f"cannot download.*{IMAGENET_NAME}.*no network") as caught:
        imagenet_file("resnet18")
    assert caught.value.hint is not None
    assert f"put {IMAGENET_NAME} into {hub / 'checkpoints'}" in caught.value.hint
    assert "--set model.weights=PATH" in caught.value.hint
    assert "--set model.weights=none" in caught.value.hint


@pytest.mark.parametrize("failure", [TimeoutError("timed out"), RuntimeError("wrong hash"), OSError("no space")])
def test_other_failures_of_the_download_are_told_the_same_way(hub, monkeypatch, failure):
    def fail(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    with pytest.raises(CheckpointError, match=f"cannot download.*{failure}"):
        imagenet_file("resnet18")


def test_a_file_in_the_hub_folder_is_used_without_a_download(hub, tensors, expected):
    (hub / "checkpoints").mkdir(parents=True)
    torch.save(tensors, hub / "checkpoints" / IMAGENET_NAME)
    found = read_resnet_weights("resnet18", "imagenet", expected)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_a_download_goes_to_the_hub_folder_with_its_hash(hub, tensors, monkeypatch):
    calls = []

    def download(url: str, file: str, hash_prefix: str, progress: bool) -> None:
        calls.append((url.rsplit("/", 1)[1], hash_prefix))
        torch.save(tensors, file)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    assert imagenet_file("resnet18") == hub / "checkpoints" / IMAGENET_NAME
    assert calls == [(IMAGENET_NAME, "f37072fd")]


@pytest.mark.parametrize("kind", ["safetensors", "torch", "without counts"])
def test_files_of_both_kinds_are_read(tmp_path, tensors, expected, kind):
    file = tmp_path / ("net.safetensors" if kind == "safetensors" else "net.pth")
    if kind == "safetensors":
        save_file(tensors, file)
    else:
        kept = {key: value for key, value in tensors.items() if kind == "torch" or "num_batches" not in key}
        torch.save(kept, file)
    found = read_resnet_weights("resnet18", str(file), expected)
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_a_missing_file_is_named(tmp_path, expected):
    with pytest.raises(CheckpointError, match=r"absent\.pth: no such weights file"):
        read_resnet_weights("resnet18", str(tmp_path / "absent.pth"), expected)


def test_a_text_file_is_called_none_of_torch_s(tmp_path, expected):
    (tmp_path / "net.pth").write_text("hello")
    with pytest.raises(CheckpointError, match="not a torch file, or a damaged one"):
        read_resnet_weights("resnet18", str(tmp_path / "net.pth"), expected)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_damaged_file_is_named(tmp_path, expected, suffix):
    (tmp_path / f"net{suffix}").write_bytes(b"not weights at all")
    with pytest.raises(CheckpointError, match="cannot be read as weights"):
        read_resnet_weights("resnet18", str(tmp_path / f"net{suffix}"), expected)


def test_a_file_with_more_than_tensors_is_refused(tmp_path, expected):
    torch.save({"weights": {}, "epoch": 3}, tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match="not a state dict"):
        read_resnet_weights("resnet18", str(tmp_path / "net.pth"), expected)


def test_tensors_that_do_not_fit_are_named(tmp_path, tensors, expected):
    torch.save(tensors | {"conv1.weight": torch.zeros(8, 3, 7, 7), "extra": torch.zeros(1)}, tmp_path / "net.pth")
    message = r"resnet18: unknown tensor extra; conv1.weight has shape \[8, 3, 7, 7\], expected \[64, 3, 7, 7\]"
    with pytest.raises(CheckpointError, match=message):
        read_resnet_weights("resnet18", str(tmp_path / "net.pth"), expected)
    torch.save({"conv1.weight": tensors["conv1.weight"]}, tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match=r"missing tensor bn1.weight; .* and \d+ more"):
        read_resnet_weights("resnet18", str(tmp_path / "net.pth"), expected)
