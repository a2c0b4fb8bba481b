from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from cen_cli.metrics.feature_cache import cached_features, content_digest, feature_key

FEATURES = torch.randn(5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def compute() -> torch.Tensor:
    return FEATURES


def not_again() -> torch.Tensor:
    pytest.fail("computed though it was kept")


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_is_computed_once(tmp_path):
    folder = tmp_path / "new" / "folder"
    assert torch.equal(cached_features(folder, "abc", compute), FEATURES)
    kept = cached_features(folder, "abc", not_again)
    assert torch.equal(kept, FEATURES)
    assert kept.dtype == torch.float64
    assert files(folder) == ["abc.safetensors"]


def test_another_key_is_computed_anew(tmp_path):
    cached_features(tmp_path, "abc", compute)
    assert torch.equal(cached_features(tmp_path, "abd", lambda: FEATURES + 1), FEATURES + 1)
    assert torch.equal(cached_features(tmp_path, "abc", not_again), FEATURES)


def test_files_are_told_apart_by_what_is_in_them(tmp_path):
    paths = [tmp_path / "a.npy", tmp_path / "b.mat"]
    for path in paths:
        path.write_bytes(b"one")
    names = [str(paths[0]), f"{paths[1]}/depths/1", f"{paths[1]}/depths/2"]
    before = content_digest(names)
    assert content_digest(names) == before
    for path in paths:
        path.write_bytes(b"two")
        assert content_digest(names) != before
        path.write_bytes(b"one")


def test_float32_is_kept_as_float64(tmp_path):
    assert cached_features(tmp_path, "abc", lambda: FEATURES.float()).dtype == torch.float64


def flipped(content: bytes) -> bytes:
    return content[:-3] + bytes([content[-3] ^ 1]) + content[-2:]


@pytest.mark.parametrize(
    "damage",
    [
        flipped,
        lambda content: content[:-8],
        lambda content: content[:20],
        lambda content: b"",
        lambda content: content + b"more",
        lambda content: content.replace(b'"key":"abc"', b'"key":"abx"'),
        lambda content: content.replace(b"features", b"faetures"),
        lambda content: content.replace(b'"digest"', b'"tsegid"'),
        lambda content: content.replace(b"[5,7]", b"[7,5]"),
    ],
    ids=[
        "flipped bit",
        "cut",
        "cut in the head",
        "empty",
        "longer",
        "other key",
        "other name",
        "no digest",
        "reshaped",
    ],
)
def test_damage_is_noticed_and_mended(tmp_path, damage):
    cached_features(tmp_path, "abc", compute)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    assert damage(content) != content
    path.write_bytes(damage(content))
    computed = []
    assert torch.equal(cached_features(tmp_path, "abc", lambda: computed.append(1) or FEATURES), FEATURES)
    assert computed == [1]
    assert torch.equal(cached_features(tmp_path, "abc", not_again), FEATURES)


def test_a_file_under_the_name_of_another_is_not_taken(tmp_path):
    cached_features(tmp_path, "abc", compute)
    (tmp_path / "abc.safetensors").rename(tmp_path / "abd.safetensors")
    assert torch.equal(cached_features(tmp_path, "abd", lambda: FEATURES * 2), FEATURES * 2)


def test_nothing_half_is_left_when_the_disk_is_full(tmp_path, monkeypatch):
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert torch.equal(cached_features(tmp_path, "abc", compute), FEATURES)
    assert files(tmp_path) == []


def test_a_folder_that_cannot_be_made_costs_only_time(tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert torch.equal(cached_features(tmp_path / "file" / "folder", "abc", compute), FEATURES)


def test_nothing_is_kept_where_computing_fails(tmp_path):
    with pytest.raises(ZeroDivisionError):
        cached_features(tmp_path, "abc", lambda: FEATURES / (1 // 0))
    assert files(tmp_path) == []


def test_key_covers_every_part_and_its_name():
    keys = [
        feature_key(files="a", weights="b"),
        feature_key(files="b", weights="a"),
        feature_key(files="ab", weights=""),
        feature_key(files="a", preprocessing="b"),
    ]
    assert len(set(keys)) == 4
    assert all(key.isalnum() for key in keys)
    assert feature_key(weights="b", files="a") == keys[0]


@pytest.mark.parametrize("key", ["", "../abc", "a b"])
def test_keys_that_are_no_plain_word(tmp_path, key):
    with pytest.raises(ValueError, match="a key of letters and digits"):
        cached_features(tmp_path, key, compute)
