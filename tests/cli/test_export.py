"""`cen compact` on trained networks, what the other commands make of the result, and `cen export`."""

from __future__ import annotations

import errno
import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import cen_cli
from cen_cli import files
from cen_cli.analysis import equality, export
from cen_cli.cli.app import main
from cen_cli.jobs import export as export_job
from cen_cli.models.compact import CompactConvolution
from cen_cli.recipe import dump_toml, parse_recipe
from cen_cli.recipe.load import override
from cen_cli.runs.checkpoint import read_tensors, write_tensors
from tests.cli.conftest import Cen

ORIGINAL = Path("checkpoints/best/model.safetensors")
COMPACT = Path("compact/model.safetensors")


def with_dead_channels(run: Path, folder: Path) -> Path:
    """A copy of a run whose network replaces the first channel of the first and the last of the second modality."""
    shutil.copytree(run, folder)
    weights, metadata = read_tensors(folder / ORIGINAL)
    for name, gammas in weights.items():
        if name.endswith(".norm.weight") and len(gammas) == 2 and "encoder" in name:
            gammas.fill_(1.0)
            gammas[0, 0] = gammas[1, -1] = 0.0
    write_tensors(folder / ORIGINAL, weights, metadata)
    return folder


@pytest.fixture(scope="module")
def run(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_dead_channels(tiny_run, tmp_path_factory.mktemp("compact") / "run")


@pytest.fixture(scope="module")
def translation(tiny_translation_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_dead_channels(tiny_translation_run, tmp_path_factory.mktemp("compact") / "run")


@pytest.fixture(scope="module")
def compact(run: Path) -> Path:
    """Read only."""
    assert main(["compact", str(run), "--rounds", "0", "--out", str(run.parent / "small"), "--json"]) == 0
    return run.parent / "small"


@pytest.fixture(scope="module")
def compact_translation(translation: Path) -> Path:
    """Read only."""
    assert main(["compact", str(translation), "--rounds", "0", "--out", str(translation.parent / "t"), "--json"]) == 0
    return translation.parent / "t"


# ---- what it says and writes ----


def test_it_says_what_became_of_channels_norms_and_costs(run: Path, cen: Cen) -> None:
    done = cen("compact", run, "--rounds", 2)
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert "channels of 480 rgb 16 replaced, 16 no longer computed" in lines
    assert "depth 16 replaced, 16 no longer computed" in lines
    assert "norms 20 folded" in lines
    assert "one view of 32 x 40, all modalities" in lines
    rows = [line.split()[0] for line in lines if line.startswith(("encoder ", "decoder ", "ensemble ", "network "))]
    assert rows == ["encoder", "decoder", "ensemble", "network"] * 2
    assert any(line.startswith("test views, 2 of 32 x 40 ") for line in lines)
    assert lines[-1] == f"next: cen eval {run / 'compact'}"
    assert (run / COMPACT).is_file()


def test_the_next_command_runs_where_paths_have_spaces(run: Path, cen: Cen, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "my run")
    out = tmp_path / "a compact one"
    following = cen("compact", copy, "--rounds", 0, "--out", out, "--json").document["next"]
    assert shlex.split(following) == ["cen", "eval", str(out)]


def test_it_is_scored_in_the_precision_that_auto_meant_for_the_run(run: Path, cen: Cen, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    weights, metadata = read_tensors(copy / ORIGINAL)
    recipe = override(parse_recipe(metadata["recipe"], "a test"), ["train.precision=auto"], source="a test")
    write_tensors(copy / ORIGINAL, weights, metadata | {"recipe": dump_toml(recipe)})
    environment = json.loads((copy / "environment.json").read_text())
    (copy / "environment.json").write_text(json.dumps(environment | {"precision": "bf16"}))
    cen("compact", copy, "--rounds", 0, "--device", "cpu", "--out", tmp_path / "small")
    assert {(net := cen_cli.load(path)).precision(net.recipe) for path in (copy, tmp_path / "small")} == {"bf16"}


def test_numbers_as_json(run: Path, cen: Cen, tmp_path: Path) -> None:
    found = cen("compact", run, "--rounds", 0, "--out", tmp_path / "new", "--json").document
    assert found["checkpoint"] == str(run / ORIGINAL)
    assert found["written"] == str(tmp_path / "new" / "model.safetensors")
    assert found["file_bytes"] == [(run / ORIGINAL).stat().st_size, (tmp_path / "new/model.safetensors").stat().st_size]
    assert found["removed"] == {"rgb": 16, "depth": 16}
    encoder, decoder, _, network = found["parts"]
    assert decoder["macs"][0] == decoder["macs"][1] > 0
    assert network["macs"] == [encoder["macs"][index] + decoder["macs"][index] for index in (0, 1)]
    # By hand: one filter of 3 x 3 less in both streams of every stage's four convolutions. Stage 1 has 8 channels and
    # maps of 8 x 10, stage 4 has 64 and 1 x 2; the first convolution of stages 2 to 4 takes half the channels.
    pixels, inputs = (8 * 10, 4 * 5, 2 * 3, 1 * 2), (4 * 8, 8 + 3 * 16, 16 + 96, 32 + 192)
    saved = [2 * 9 * area * read for area, read in zip(pixels, inputs, strict=True)]
    assert encoder["macs"][0] - encoder["macs"][1] == sum(saved)
    assert encoder["seconds"] == []
    assert encoder["ratio"] is None
    assert [line["difference"] < 1e-5 for line in found["compared"]] == [True] * 4
    assert found["notes"] == []


def test_times_are_measured_in_turn(run: Path, cen: Cen, tmp_path: Path) -> None:
    found = cen("compact", run, "--rounds", 3, "--out", tmp_path / "new", "--json").document
    for part in found["parts"]:
        assert len(part["seconds"]) == 3
        assert part["lowest"] <= part["ratio"] <= part["highest"]


def test_without_the_data_random_images_are_compared(run: Path, cen: Cen, tmp_path: Path) -> None:
    done = cen("compact", run, "--rounds", 0, "--out", tmp_path / "new", "--data-root", tmp_path / "nowhere")
    assert "compared on random images only (--data-root names the data)" in done.out
    assert "test views" not in done.out


def test_a_checkpoint_of_no_run_is_compacted_beside_itself(run: Path, cen: Cen, tmp_path: Path) -> None:
    shutil.copy(run / ORIGINAL, tmp_path / "net.safetensors")
    shutil.copytree(run / ORIGINAL.parent, tmp_path / "net2")
    for source, written in (("net.safetensors", "net-compact"), ("net2", "net2-compact")):
        found = cen("compact", tmp_path / source, "--rounds", 0, "--json").document
        assert found["written"] == str(tmp_path / written / "model.safetensors")


def test_a_network_without_exchange_has_its_norms_folded(train: Cen, cen: Cen, tmp_path: Path) -> None:
    train("--out", tmp_path / "run", settings=("model.fusion=none", "train.epochs=1"))
    done = cen("compact", tmp_path / "run", "--rounds", 0)
    assert "this network exchanges none" in done.out
    assert "20 folded" in done.out


# ---- what takes the result ----


def test_it_scores_and_labels_as_its_original(run: Path, compact: Path, cen: Cen, tmp_path: Path, tiny_root) -> None:
    model = cen_cli.load(compact)
    assert model.compact
    assert any(isinstance(layer, CompactConvolution) for layer in model.modules())
    scores = [cen("eval", where, "--json").document["evaluation"] for where in (run, compact)]
    assert scores[0]["scores"].keys() == scores[1]["scores"].keys()
    for branch, found in scores[0]["scores"].items():
        assert scores[1]["scores"][branch]["pixel_accuracy"] == pytest.approx(found["pixel_accuracy"], abs=1e-3)
    files = [f"--input={name}={tiny_root / name / '001000.png'}" for name in ("rgb", "depth")]
    for where, out in ((run, "a"), (compact, "b")):
        cen("predict", where, *files, "--out", tmp_path / out)
    labels = [np.array(Image.open(next((tmp_path / out).glob("*label*.png")))) for out in ("a", "b")]
    assert np.mean(labels[0] == labels[1]) > 0.995


def test_it_translates_as_its_original(translation: Path, compact_translation: Path, cen: Cen, tmp_path: Path) -> None:
    for where, out in ((translation, "a"), (compact_translation, "b")):
        cen("translate", "--ckpt", where, "--count", 2, "--out", tmp_path / out)
    names = sorted(path.name for path in (tmp_path / "a").glob("*_*.png"))
    assert len(names) > 4
    for name in names:
        first, second = (np.array(Image.open(tmp_path / out / name)).astype(int) for out in ("a", "b"))
        assert np.abs(first - second).max() <= 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("exchange-stats",), "its exchange is a fixed index"),
        (("analyze-gammas",), "it has no gammas to analyse"),
        (("compact",), "it is compact already"),
        (("train", "--resume"), "a checkpoint without its run"),
    ],
)
def test_what_it_cannot_do_is_refused(compact: Path, cen: Cen, words: tuple[str, ...], message: str) -> None:
    text = cen(*words, compact, code=2).err
    assert message in text
    assert "compact network" in text


def test_its_statistics_cannot_be_changed(compact_translation: Path, cen: Cen, tmp_path: Path) -> None:
    settings = ("eval.norm_statistics=running",)
    for words in (("eval", compact_translation), ("translate", "--ckpt", compact_translation, "--out", tmp_path / "o")):
        text = cen(*words, settings=settings, code=2).err
        assert "made for eval.norm_statistics = 'instance', which cannot be changed" in text


# ---- what goes wrong ----


def test_outputs_that_differ_are_not_written(run: Path, cen: Cen, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(equality, "TOLERANCE", 1e-12)
    text = cen("compact", run, "--out", tmp_path / "new", code=1).err
    assert "the compact network: its output" in text
    assert "nothing was written" in text
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(run: Path, cen: Cen, tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    text = cen("compact", run, "--out", tmp_path / "kept", code=2).err
    assert "kept: exists already, and nothing is overwritten" in text


def test_a_folder_that_cannot_be_written_is_named(run: Path, cen: Cen, tmp_path: Path, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(files.os, "fsync", refuse)
    text = cen("compact", run, "--rounds", 0, "--out", tmp_path / "new", code=1).err
    assert f"could not write {tmp_path / 'new'}" in text
    assert "Read-only file system" in text
    assert not list(tmp_path.iterdir())


def test_nothing_to_compact_is_said(tiny_translation_run: Path, cen: Cen, tmp_path: Path) -> None:
    shutil.copytree(tiny_translation_run, tmp_path / "run")
    weights, metadata = read_tensors(tmp_path / "run" / ORIGINAL)
    for name, gammas in weights.items():
        if name.endswith("norm.weight"):
            gammas.fill_(1.0)
    write_tensors(tmp_path / "run" / ORIGINAL, weights, metadata)
    text = cen("compact", tmp_path / "run", code=2).err
    assert "nothing to compact: no channel is replaced, and instance norms by each image's own statistics" in text


@pytest.mark.parametrize("command", [("compact",), ("export", "--onnx", "net.onnx")])
def test_what_is_no_checkpoint_is_refused(cen: Cen, tmp_path: Path, command: tuple[str, ...]) -> None:
    assert "no such file or directory" in cen(*command, tmp_path / "none", code=2).err
    (tmp_path / "text.safetensors").write_text("no tensors")
    assert "not a readable safetensors file" in cen(*command, tmp_path / "text.safetensors", code=1).err


@pytest.mark.parametrize("changed", ["form", "replaced", "weight"])
def test_a_damaged_or_newer_one_is_refused(compact: Path, cen: Cen, tmp_path: Path, changed: str) -> None:
    tensors, metadata = read_tensors(compact / "model.safetensors")
    name = "encoder.layer1.0.bn1.replaced" if changed == "replaced" else "encoder.layer1.0.conv1.weight"
    if changed == "form":
        metadata["compact"] = "2"
    elif changed == "replaced":
        del tensors[name]
    else:
        tensors[name] = tensors[name][:3]
    write_tensors(tmp_path / "model.safetensors", tensors, metadata)
    text = cen("eval", tmp_path, code=1).err
    assert ("of form '2', which this version" if changed == "form" else "does not fit the recipe's model") in text


# ---- export ----


def test_an_export_into_no_folder_is_refused_at_once(run: Path, cen: Cen, tmp_path: Path) -> None:
    text = cen("export", run, "--onnx", tmp_path / "nowhere" / "net.onnx", code=2).err
    assert f"there is no folder {tmp_path / 'nowhere'}" in text


def test_an_export_of_what_exists_is_refused(run: Path, cen: Cen, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"kept")
    text = cen("export", run, "--onnx", tmp_path / "net.onnx", code=2).err
    assert "exists already, and nothing is overwritten" in text
    assert (tmp_path / "net.onnx").read_bytes() == b"kept"


def test_an_export_says_what_it_wrote_or_leaves_nothing(run: Path, cen: Cen, tmp_path: Path, monkeypatch) -> None:
    checked = []
    monkeypatch.setattr("cen_cli.jobs.export.onnx_file", lambda model, metadata, size: b"graph")
    monkeypatch.setattr(
        "cen_cli.jobs.export.compare_onnx", lambda model, content, batches: checked.append(content) or ()
    )
    lines = [" ".join(line.split()) for line in cen("export", run, "--onnx", tmp_path / "a.onnx").out.splitlines()]
    assert "B, H, W any number of views; height and width: 33 or more" in lines
    assert "outputs branch_rgb, branch_depth, ensemble: float32 [B, K, h, w]" in lines
    assert (tmp_path / "a.onnx").read_bytes() == b"graph"
    assert checked == [b"graph"]
    monkeypatch.undo()
    monkeypatch.setattr("cen_cli.jobs.export.onnx_file", lambda model, metadata, size: b"graph")
    cen("export", run, "--onnx", tmp_path / "b.onnx", code=1)
    assert not list(tmp_path.glob("b.onnx*"))


def test_an_export_needs_its_packages_and_an_onnx_file(run: Path, cen: Cen, tmp_path: Path, monkeypatch) -> None:
    assert "files of this kind end in .onnx" in cen("export", run, "--onnx", tmp_path / "net.pt", code=2).err
    assert "--onnx network.onnx" in cen("export", run, "--onnx", ".", code=2).err
    assert "Missing option '--onnx'" in cen("export", run, code=2).err
    monkeypatch.setattr(export.importlib.util, "find_spec", lambda name: None)
    text = cen("export", run, "--onnx", tmp_path / "net.onnx", code=1).err
    assert "needs onnx, onnxscript, onnxruntime, which are not installed" in text
    assert "pip install" in text


@pytest.mark.nyudv2
def test_real_images_are_compared(run: Path, nyudv2_root: Path, cen: Cen, tmp_path: Path) -> None:
    found = cen("compact", run, "--rounds", 0, "--out", tmp_path / "n", "--data-root", nyudv2_root, "--json").document
    real = [line for line in found["compared"] if line["images"].startswith("test views")]
    assert len(real) == 2
    assert all(line["difference"] < 1e-4 for line in real)


def test_a_compact_network_is_timed_in_the_layout_in_which_it_is_loaded(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed: list[torch.nn.Module] = []
    report = export_job.compaction_report

    def noted(model: Any, made: Any, *arguments: Any, **options: Any) -> Any:
        timed.append(made)
        return report(model, made, *arguments, **options)

    monkeypatch.setattr(export_job, "compaction_report", noted)
    export_job.compact(run, out=tmp_path / "small", rounds=0)
    ours, loaded = (
        {name: kernel.stride() for name, kernel in network.state_dict().items() if kernel.dim() == 4}
        for network in (timed[0], cen_cli.load(tmp_path / "small").network)
    )
    assert ours == loaded
