"""Weights from the net: a server on this machine, and a hub that is none."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

import cen_cli
from cen_cli.errors import CenError, CheckpointError, UsageError
from cen_cli.models.downloads import fetch
from tests.tiny import write_nyudv2, write_recipe


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("downloads")
    return write_recipe(folder / "tiny.toml", write_nyudv2(folder / "data"))


@pytest.fixture(scope="module")
def published(recipe: Path) -> Path:
    """A trained network's file."""
    run = recipe.parent / "run"
    cen_cli.train(recipe, changes=("train.epochs=1",), out=run, device="cpu")
    return run / "checkpoints" / "best" / "model.safetensors"


@pytest.fixture(scope="module")
def host(published: Path) -> Iterator[str]:
    (published.parent / "page.safetensors").write_text("<html>not found</html>")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=published.parent))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    fetch.cache_clear()
    return tmp_path / "hub" / "checkpoints"


@pytest.fixture
def asked(published: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What Hugging Face's hub was asked for; it has one file."""
    calls: list[dict[str, Any]] = []
    module = ModuleType("huggingface_hub")

    def download(repo_id: str, filename: str, *, revision: str | None, etag_timeout: float) -> str:
        assert etag_timeout <= 10
        calls.append({"repo_id": repo_id, "filename": filename, "revision": revision})
        if filename != "nets/model.safetensors":
            raise LookupError("404")
        return str(published)

    module.hf_hub_download = download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    return calls


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_run_starts_from_an_address_and_keeps_its_digest(
    recipe: Path, published: Path, host: str, hub: Path, tmp_path: Path
) -> None:
    address = f"{host}/model.safetensors#sha256={sha256(published)}"
    changes = (f'model.weights="{address}"', "train.epochs=1")
    run = tmp_path / "run"
    cen_cli.train(recipe, changes=changes, out=run, device="cpu")
    assert json.loads((run / "environment.json").read_text())["weights_sha256"] == sha256(published)
    (kept,) = hub.iterdir()
    assert kept.read_bytes() == published.read_bytes()
    fetch.cache_clear()
    kept.unlink()
    cen_cli.resume(run, device="cpu")  # needs them no more
    assert not [*hub.iterdir()]


def test_a_network_is_loaded_from_an_address_once(published: Path, host: str, hub: Path) -> None:
    address = f"{host}/model.safetensors?download=true#sha256={sha256(published).upper()}"
    one, other = cen_cli.load(address), cen_cli.load(published)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())
    fetch.cache_clear()
    (kept,) = hub.iterdir()
    before = kept.stat().st_mtime_ns
    cen_cli.load(address)
    assert kept.stat().st_mtime_ns == before


def test_the_hub_is_asked_for_file_and_revision(published: Path, asked: list[dict[str, Any]]) -> None:
    found = fetch("hf://someone/rooms/nets/model.safetensors@v1")
    assert asked == [{"repo_id": "someone/rooms", "filename": "nets/model.safetensors", "revision": "v1"}]
    assert (found.file, found.sha256) == (published, sha256(published))
    assert cen_cli.load("hf://someone/rooms/nets/model.safetensors").modalities == ("rgb", "depth")
    assert asked[1]["revision"] is None


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize(
    ("address", "message", "hint"),
    [
        ("HOST/model.pth", "not the address of a safetensors file", "model.safetensors"),
        ("HOST/model.safetensors#sha256=12", "not the address of a safetensors file", "64 hexadecimal digits"),
        ("hf://model.safetensors", "not hf://OWNER/REPO/PATH", ""),
        ("HOST/model.safetensors", "anyone on the way can change it", "add #sha256="),
        ("https://127.0.0.1:9/model.safetensors", "cannot download.*refused", "give its path"),
        ("hf://someone/rooms/other.safetensors", "cannot be downloaded: 404", "give its path"),
        ("HOST/missing.safetensors#sha256=" + 64 * "0", "cannot download.*404", "give its path"),
        ("HOST/model.safetensors#sha256=" + 64 * "0", "the file has SHA-256", "correct the digest, or delete"),
        ("HOST/page.safetensors#sha256=PAGE", "what came is no whole safetensors file", "to download it again"),
    ],
)
def test_what_cannot_be_had_is_said(published: Path, host: str, address: str, message: str, hint: str) -> None:
    page = sha256(published.parent / "page.safetensors")
    with pytest.raises(CenError, match=message) as caught:
        cen_cli.load(address.replace("HOST", host).replace("PAGE", page))
    assert isinstance(caught.value, UsageError | CheckpointError)
    assert hint in str(caught.value.hint or "")


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UsageError, match="the package huggingface_hub is missing") as caught:
        fetch("hf://someone/rooms/model.safetensors")
    assert "pip install '.[hub]'" in str(caught.value.hint)
