"""Features of real images kept on disk: computed once for a data set, its preprocessing and the Inception weights."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from cen_cli.errors import SaveError
from cen_cli.files import write_bytes

_NAME = "features"


def feature_key(**parts: str) -> str:
    """Fingerprint of everything that decides the features, for example of files, preprocessing and weights."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def content_digest(files: Iterable[str]) -> str:
    """Fingerprint of what is in these files, each read once; a container, of `a.mat/depths/3`, is read whole."""
    places = ((Path(file), *Path(file).parents) for file in files)
    sha = hashlib.sha256()
    for path in dict.fromkeys(next(each for each in place if each.is_file()) for place in places):
        with path.open("rb") as stream:
            sha.update(hashlib.file_digest(stream, "sha256").digest())
    return sha.hexdigest()


def cached_features(folder: Path, key: str, compute: Callable[[], Tensor]) -> Tensor:
    """Features float64 [N, D] kept in `folder` under `key`; else those of `compute`, kept from now on.

    A file that is damaged, or was written under another key, is as good as none: its contents are checked against a
    digest. Files are written whole or not at all; a folder that cannot be written to costs the next run time, nothing
    else. Raises ValueError for a key that is no plain word.
    """
    if not key.isalnum():
        raise ValueError(f"a key of letters and digits names the file, not {key!r}")
    path = folder / f"{key}.safetensors"
    kept = _read(path, key)
    if kept is not None:
        return kept
    features = compute().detach().cpu().double().contiguous()
    with contextlib.suppress(SaveError):
        write_bytes(path, save({_NAME: features}, {"key": key, "digest": _digest(features)}))
    return features


def _read(path: Path, key: str) -> Tensor | None:
    """The features of a whole file written under this key, or None."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata, features = file.metadata() or {}, file.get_tensor(_NAME)
    except (SafetensorError, OSError):
        return None
    whole = metadata.get("key") == key and metadata.get("digest") == _digest(features)
    return features if whole else None


def _digest(features: Tensor) -> str:
    """SHA-256 over type, shape and bytes."""
    sha = hashlib.sha256(f"{features.dtype} {list(features.shape)}".encode())
    sha.update(features.numpy().tobytes())
    return sha.hexdigest()
