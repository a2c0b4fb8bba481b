"""Files from the net: once into torch's hub folder or Hugging Face's, safetensors alone where users name the address.

https://HOST/PATH/model.safetensors[#sha256=HEX]      http:// only with a digest
hf://OWNER/REPO/PATH/model.safetensors[@REVISION][#sha256=HEX]
"""

from __future__ import annotations

import functools
import hashlib
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlsplit

import torch
from safetensors import SafetensorError, safe_open

from cen_cli.errors import CheckpointError, UsageError

CONNECT_SECONDS = 10.0
"""A download that stays silent this long has failed."""
_ADDRESS = re.compile(r"(?P<place>(?P<scheme>https?|hf)://[^#]+)(?:#sha256=(?P<digest>[0-9a-fA-F]{64}))?")
_HUB = re.compile(r"hf://([^/@]+/[^/@]+)/([^@]+)(?:@(.+))?")


class Fetched(NamedTuple):
    """A file that came from an address."""

    file: Path
    sha256: str


_BY_HAND = "try again where there is a network, or bring the file by other means and give its path"


def is_address(text: str) -> bool:
    """Whether it names a file in the net, and no path."""
    return re.match(r"(https?|hf)://", text) is not None


@functools.cache
def fetch(address: str) -> Fetched:
    """The file at an address, downloaded where it is not there yet.

    Raises UsageError for an address of another form, or without what it takes to read it; CheckpointError where the
    file cannot be had, or has another digest than the address says.
    """
    found = _ADDRESS.fullmatch(address)
    if found is None or PurePosixPath(_path(found["place"])).suffix != ".safetensors":
        raise UsageError(
            f"{address}: not the address of a safetensors file",
            hint="https://HOST/PATH/model.safetensors or hf://OWNER/REPO/PATH/model.safetensors[@REVISION], and behind "
            "either, if you like, #sha256= and 64 hexadecimal digits",
        )
    if found["scheme"] == "http" and not found["digest"]:
        raise UsageError(f"{address}: anyone on the way can change it", hint="https://, or add #sha256=")
    file = _from_hub(found["place"]) if found["scheme"] == "hf" else _from_host(found["place"])
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    if found["digest"] and sha256 != found["digest"].lower():
        raise CheckpointError(
            f"{address}: the file has SHA-256 {sha256}",
            hint=f"correct the digest, or delete {file} to download it again",
        )
    try:
        with safe_open(file, framework="pt"):
            pass
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{address}: what came is no whole safetensors file ({error})", hint=f"delete {file} to download it again"
        ) from error
    return Fetched(file, sha256)


def _path(place: str) -> str:
    return place.partition("@")[0] if place.startswith("hf:") else urlsplit(place).path


def _from_host(url: str) -> Path:
    name = f"{hashlib.sha256(url.encode()).hexdigest()[:16]}-{PurePosixPath(_path(url)).name}"
    return downloaded(url, name, hint=_BY_HAND)


def _from_hub(place: str) -> Path:
    parts = _HUB.fullmatch(place)
    if parts is None:
        raise UsageError(f"{place}: not hf://OWNER/REPO/PATH/model.safetensors[@REVISION]")
    repo, file, revision = parts.groups()
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise UsageError(
            f"{place}: the package huggingface_hub is missing",
            hint="pip install '.[hub]', or give the https:// address",
        ) from error
    try:
        return Path(hf_hub_download(repo, file, revision=revision, etag_timeout=CONNECT_SECONDS))
    except Exception as error:  # of many kinds, by what it fetches with
        raise CheckpointError(f"{place}: cannot be downloaded: {error}", hint=_BY_HAND) from error


def downloaded(url: str, name: str, *, hint: str, digest: str | None = None) -> Path:
    """The file at `url` under this name in torch's hub folder, downloaded where it is missing.

    `digest`: how its SHA-256 begins. Raises CheckpointError, with the hint, where it cannot be had or has another one.
    """
    file = hub_folder() / name
    if file.is_file():
        return file
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with silence_limit(CONNECT_SECONDS):
            torch.hub.download_url_to_file(url, str(file), digest, progress=False)
    except (OSError, HTTPException, RuntimeError) as error:  # URLErrors are OSErrors; a wrong hash is a RuntimeError
        if isinstance(error, HTTPError):
            error.close()
        raise CheckpointError(f"cannot download {url}: {error}", hint=hint) from error
    return file


def hub_folder() -> Path:
    """Where torch keeps downloaded weights."""
    return Path(torch.hub.get_dir()) / "checkpoints"


@contextmanager
def silence_limit(seconds: float) -> Iterator[None]:
    """Sockets opened inside give up after `seconds` without an answer."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
