"""`cen predict`: one own pair, labelled as the network says; what does not fit is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import cen_cli
from cen_cli.data.sets.nyudv2 import NYUDv2
from cen_cli.reporting.panels import default_palette
from cen_cli.runs.checkpoint import read_tensors, write_tensors
from tests.cli.conftest import Cen

STEM = "001000"


def pair(root: Path, **changed: Path) -> list[str]:
    files = {"rgb": root / "rgb" / f"{STEM}.png", "depth": root / "depth" / f"{STEM}.png"} | changed
    return [word for name, file in files.items() for word in ("--input", f"{name}={file}")]


def test_the_label_map_is_what_the_ensemble_says(cen: Cen, tiny_run: Path, tiny_root: Path, tmp_path: Path) -> None:
    found = cen("predict", tiny_run, *pair(tiny_root), "--out", tmp_path / "out", "--json").document
    with Image.open(tmp_path / "out" / "labels.png") as image:
        assert image.mode == "P"
        labels = np.asarray(image)
    with Image.open(tmp_path / "out" / "overlay.png") as image:
        assert image.size == (40, 32)

    model = cen_cli.load(tiny_run)
    sample = NYUDv2(tiny_root, "val")[0]
    with torch.inference_mode():
        logits = model({name: image[None] for name, image in sample.inputs.items()}).ensemble
    expected = torch.nn.functional.interpolate(logits, size=(32, 40), mode="bicubic").argmax(1)[0]
    assert np.array_equal(labels, expected.numpy())
    shares = {entry["class_name"]: entry["share"] for entry in found["classes"]}
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["wall"] == pytest.approx(float((expected == 0).float().mean()))


def test_a_network_that_has_diverged_labels_nothing(cen: Cen, tiny_run: Path, tiny_root: Path, tmp_path: Path) -> None:
    """Of several NaN the first would be the largest, and everything class 0."""
    tensors, metadata = read_tensors(tiny_run / "checkpoints" / "best" / "model.safetensors")
    name = "encoder.layer1.0.conv1.weight"
    broken = tmp_path / "model.safetensors"
    write_tensors(broken, {**tensors, name: torch.full_like(tensors[name], float("nan"))}, metadata)
    words = ["predict", broken, *pair(tiny_root), "--out", tmp_path / "out"]
    assert "the network's output is not finite" in cen(*words, code=1).err
    assert not (tmp_path / "out").exists()
    scored = cen("eval", broken, "--data-root", tiny_root, "--device", "cpu", code=1)
    assert "the network's output is not finite" in scored.err


def test_classes_and_files_are_printed(cen: Cen, tiny_run: Path, tiny_root: Path, tmp_path: Path) -> None:
    shown = cen("predict", tiny_run, *pair(tiny_root), "--out", tmp_path / "out").out
    assert ["class", "share"] in [line.split() for line in shown.splitlines()]
    assert f"wrote {tmp_path / 'out' / 'labels.png'}" in shown


def test_the_palette_colours_the_classes(cen: Cen, tiny_run: Path, tiny_root: Path, tmp_path: Path) -> None:
    cen("predict", tiny_run, *pair(tiny_root), "--out", tmp_path)
    with Image.open(tmp_path / "labels.png") as labels:
        colours = np.asarray(labels.getpalette()).reshape(-1, 3)[:40].tolist()
    assert colours == [list(colour) for colour in default_palette(40)]


def test_the_label_map_has_the_inputs_size_where_the_recipe_resizes(
    train: Cen, cen: Cen, tiny_root: Path, tmp_path: Path
) -> None:
    train("--out", tmp_path / "run", "--json", settings=("train.epochs=1", "data.resize=[24,24]"))
    cen("predict", tmp_path / "run", *pair(tiny_root), "--out", tmp_path / "out")
    for name in ("labels.png", "overlay.png"):
        with Image.open(tmp_path / "out" / name) as picture:
            assert picture.size == (40, 32)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--input", "rgb=a.png"], "one file for each of rgb, depth; missing: depth"),
        (["--input", "rgb=a.png", "--input", "dpeth=b.png"], "missing: depth; unknown: dpeth"),
        (["--input", "rgb=a.png", "--input", "rgb=a.png", "--input", "depth=b.png"], "given twice: rgb"),
        (["--input", "a.png"], "--input takes MODALITY=FILE"),
    ],
)
def test_inputs_that_do_not_fit_the_network(cen: Cen, tiny_run: Path, words: list[str], message: str) -> None:
    assert message in cen("predict", tiny_run, *words, code=2).err


def test_files_that_do_not_fit_together(cen: Cen, tiny_run: Path, tiny_root: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.png"
    Image.fromarray(np.full((16, 16), 5000, dtype=np.uint16)).save(small)
    text = cen("predict", tiny_run, *pair(tiny_root, depth=small), "--out", tmp_path / "out", code=1).err
    assert "sizes differ" in text
    assert str(small) in text
    assert not (tmp_path / "out").exists()


def test_files_that_cannot_be_read(cen: Cen, tiny_run: Path, tiny_root: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.png"
    cut.write_bytes((tiny_root / "rgb" / f"{STEM}.png").read_bytes()[:200])
    assert str(cut) in cen("predict", tiny_run, *pair(tiny_root, rgb=cut), code=1).err
    missing = tmp_path / "missing.png"
    assert str(missing) in cen("predict", tiny_run, *pair(tiny_root, rgb=missing), code=1).err


def test_the_official_layouts_framed_depth_is_cut(cen: Cen, tiny_run: Path, tiny_root: Path, tmp_path: Path) -> None:
    depth = np.asarray(Image.open(tiny_root / "depth" / f"{STEM}.png"))
    framed = tmp_path / "framed.png"
    Image.fromarray(np.pad(depth, 2)).save(framed)
    plain, cut = tmp_path / "plain", tmp_path / "cut"
    cen("predict", tiny_run, *pair(tiny_root), "--out", plain)
    cen("predict", tiny_run, *pair(tiny_root, depth=framed), "--out", cut)
    assert (plain / "labels.png").read_bytes() == (cut / "labels.png").read_bytes()
