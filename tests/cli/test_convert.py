"""`cen convert`, and every command on what it writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests import published
from tests.cli.conftest import Cen


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A segmentation network as the authors saved theirs, with few channels; read only."""
    folder = tmp_path_factory.mktemp("published")
    return published.save_segmenter(folder / "nyudv2-resnet50.pth", published.segmenter_state())


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator of 32 x 32 pixels; read only."""
    return published.save_bare(tmp_path_factory.mktemp("published") / "gen.pth", published.generator_state())


def test_a_segmentation_network_is_evaluated_without_further_words(
    cen: Cen, segmenter: Path, tiny_root: Path, tmp_path: Path
) -> None:
    net = tmp_path / "new" / "net.safetensors"
    shown = cen("convert", segmenter, "-o", net).out
    for line in (
        "RefineNet on resnet50, 40 classes, 2 modalities",
        "rgb, depth",
        "best_val     51.58",
        "2 have no use: module.bn1.bn_0.num_batches_tracked",
        f"next: cen eval {net} --data-root DIR",
    ):
        assert line in shown
    evaluation = cen("eval", net, "--data-root", tiny_root, "--json").document["evaluation"]
    assert (list(evaluation["scores"]), evaluation["samples"]) == (["rgb", "depth", "ensemble"], 4)


def test_gammas_exchange_and_predictions_of_it(cen: Cen, segmenter: Path, tiny_root: Path, tmp_path: Path) -> None:
    net = tmp_path / "net.safetensors"
    cen("convert", segmenter, "-o", net)
    rows = cen("exchange-stats", net, "--json").document["rows"]
    (first,) = [row for row in rows if (row["layer"], row["modality"]) == ("encoder.layer1.0.bn2", "rgb")]
    state = published.segmenter_state()
    below = [abs(gamma) < 2e-2 for gamma in state["layer1.0.bn2.bn_0.weight"].tolist()]
    assert first["replaced"] == sum(below)
    assert any(below[4:])  # beyond the own part
    assert cen("analyze-gammas", net, "--json", "--out", tmp_path / "plots").document["rows"]
    files = [f"{name}={tiny_root / name / '001000.png'}" for name in ("rgb", "depth")]
    done = cen("predict", net, "--input", files[0], "--input", files[1], "--out", tmp_path / "labels", "--json")
    assert sum(entry["share"] for entry in done.document["classes"]) == pytest.approx(1.0)


def test_a_generator_translates_images_of_ones_own(cen: Cen, generator: Path, tmp_path: Path) -> None:
    net = tmp_path / "gen.safetensors"
    words = ("--inputs", "shade", "texture", "--target", "rgb")
    document = cen("convert", generator, *words, "-o", net, "--json").document
    assert (document["kind"], document["inputs"], document["target"]) == ("unet", ["shade", "texture"], "rgb")
    assert (document["checkpoint"], len(document["unused"])) == (str(net), 24)
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(0, 255, (40, 40), dtype=np.uint8)).save(tmp_path / "shade.png")
    Image.fromarray(random.integers(0, 11355, (40, 40)).astype(np.uint16)).save(tmp_path / "texture.png")
    given = (tmp_path / "shade.png", tmp_path / "texture.png")
    files = cen("translate", *given, "--ckpt", net, "--out", tmp_path / "made", "--json").document["files"]
    with Image.open(files[-1]) as image:
        assert image.size == (40, 40)
    assert cen("exchange-stats", net, "--json").document["rows"]


def test_a_generator_is_evaluated_without_further_words(cen: Cen, generator: Path, tmp_path: Path) -> None:
    net, rooms = tmp_path / "gen.safetensors", tmp_path / "rooms"
    cen("convert", generator, "--inputs", "shade", "texture", "--target", "rgb", "-o", net)
    sizes = ("--size", 32, "--train-rooms", 1, "--val-rooms", 1, "--test-rooms", 1)
    cen("data", "rooms", rooms, *sizes, "--domains", "reshading,edge_texture,rgb")
    evaluation = cen("eval", net, "--data-root", rooms, "--json").document["evaluation"]
    assert (evaluation["split"], evaluation["samples"]) == ("val", 4)
    assert list(evaluation["scores"]) == ["shade", "texture", "ensemble"]


def test_commas_may_join_the_inputs(cen: Cen, generator: Path, tmp_path: Path) -> None:
    words = ("--inputs", "normal,depth", "--target", "rgb", "-o", tmp_path / "a.safetensors", "--json")
    assert cen("convert", generator, *words).document["inputs"] == ["normal", "depth"]


def test_the_checkpoint_lies_beside_the_file_by_default_and_is_never_overwritten(cen: Cen, tmp_path: Path) -> None:
    file = published.save_bare(tmp_path / "judge.pth", published.discriminator_state())
    shown = cen("convert", file).out
    assert "PatchGAN discriminator, 4 filters, 3 normalised layers" in shown
    assert "note: for use from Python" in shown
    written = (tmp_path / "judge.safetensors").read_bytes()
    text = cen("convert", file, code=2).err
    assert f"{tmp_path / 'judge.safetensors'}: exists already, and nothing is overwritten" in text
    assert (tmp_path / "judge.safetensors").read_bytes() == written
    assert "holds no network" in cen("eval", tmp_path / "judge.safetensors", code=1).err


def test_names_of_the_file_are_shown_as_they_are(cen: Cen, tmp_path: Path) -> None:
    state = {**published.discriminator_state(), "[red]x[/bold].num_batches_tracked": torch.tensor(1)}
    torch.save({"segmenter": state, "[/bold]": 3}, tmp_path / "net[bold].pth")
    shown = cen("convert", tmp_path / "net[bold].pth").out
    assert "net[bold].safetensors" in shown
    assert "[/bold]  " in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("absent.pth",), "absent.pth: no such file"),
        (("net.pth", "-o", "net.ckpt"), "-o net.ckpt: checkpoints are files that end in .safetensors"),
        (("net.pth", "--inputs", "rbg", "depth"), "--inputs rbg: no such domain\nhint: did you mean 'rgb'?"),
        (("net.pth", "--arch", "refinnet"), "Invalid value for '--arch': 'refinnet' is not one of 'refinenet', 'unet'"),
        (("net.pth", "--inputs", "rgb", "rgb"), "rgb is named twice"),
        ((), "Missing argument 'FILE'"),
    ],
)
def test_a_wrong_request_is_refused(
    cen: Cen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    published.save_bare(tmp_path / "net.pth", published.discriminator_state())
    assert message in cen("convert", *words, code=2).err
    assert [path.name for path in tmp_path.iterdir()] == ["net.pth"]


def test_a_file_that_fails_leaves_nothing_behind(cen: Cen, segmenter: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.pth"
    cut.write_bytes(segmenter.read_bytes()[:-1000])
    finished = cen("convert", cut, "--json", code=1)
    assert "cut.pth: cannot be read as weights" in finished.err
    assert finished.out == ""
    assert list(tmp_path.iterdir()) == [cut]


def test_a_file_that_cannot_be_written_is_named(cen: Cen, generator: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    words = ("--inputs", "shade", "texture", "--target", "rgb", "-o", tmp_path / "file" / "net.safetensors")
    assert f"could not write {tmp_path / 'file'}" in cen("convert", generator, *words, code=1).err


def test_a_converted_file_carries_the_recipe_in_its_metadata(cen: Cen, segmenter: Path, tmp_path: Path) -> None:
    from safetensors import safe_open

    cen("convert", segmenter, "-o", tmp_path / "net.safetensors")
    with safe_open(tmp_path / "net.safetensors", framework="pt") as file:
        metadata = file.metadata()
    assert 'replace = "anywhere"' in metadata["recipe"]
    assert json.loads(metadata["modalities"]) == ["rgb", "depth"]
    assert len(json.loads(metadata["classes"])) == 40
