"""What users get wrong: a few lines that say what and where, the right exit code, nothing lost."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import cen_cli
from cen_cli import files
from cen_cli.runs.checkpoint import read_tensors, write_tensors
from tests.cli.conftest import Cen
from tests.tiny import write_nyudv2, write_recipe, write_translation_recipe

STEM = "000003"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_nyudv2(tmp_path / "data")


@pytest.fixture
def fails(cen: Cen, data: Path, tmp_path: Path):
    """Train on `data`, which must fail with exit code 1; returns what was printed on stderr."""

    def run(*settings: str, code: int = 1) -> str:
        recipe = write_recipe(tmp_path / "tiny.toml", data)
        return cen("train", recipe, "--device", "cpu", "--out", tmp_path / "run", settings=settings, code=code).err

    return run


# ---- recipes ----


def test_all_mistakes_of_a_recipe_at_once(train: Cen) -> None:
    settings = ("train.epoch=3", "model.width=wide", "exchange.threshold=-1", "data.inputs=[]", "modle.width=3")
    text = train(settings=settings, code=2).err
    assert "5 problems" in text
    assert "train.epoch = 3: no such key (did you mean 'train.epochs'?) [from an option]" in text
    assert 'model.width = "wide": a whole number >= 4' in text
    assert "exchange.threshold = -1: a number > 0" in text
    assert "data.inputs = []" in text
    assert "[modle]: no such table (did you mean 'model'?)" in text


def test_an_impossible_batch_norm_is_refused_before_training(train: Cen) -> None:
    blocks = ("train.freeze_bn=true", "model.fusion=self-attention")  # whose norms have nothing to be frozen at
    for further in ((), blocks):
        text = train(settings=("train.batch=1", *further), code=2).err
        assert "train.batch = 1 and data.crop = [32, 32] leave batch norm one value per channel" in text
    assert "or train.freeze_bn" not in text


def test_one_view_in_a_step_is_enough_where_maps_are_larger_or_statistics_frozen(train: Cen) -> None:
    for setting in ("data.crop=[32,33]", "train.freeze_bn=true"):
        train("--dry-run", "--json", settings=("train.batch=1", setting))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (('train.batch="2"',), 'train.batch = "2": a whole number >= 1'),
        (("train.batch=2.0",), "train.batch = 2.0: a whole number >= 1"),
        (("data.crop=[32]",), "data.crop = [32]: a list of 2, each a whole number >= 1"),
        (
            ("model.fusion=exchnge",),
            '"exchange", "none", "concat", "average", "align" or "self-attention" (did you mean \'exchange\'?)',
        ),
        (("sharing.norm=shared",), "one gamma for all modalities leaves nothing to exchange by"),
        (("train.seed=9223372036854775808",), "train.seed: too large; a whole number below 2^63"),
        (('data.inputs=["rgb","dept"]',), "unknown input 'dept': this data set has rgb, depth"),
        (('data.root=""',), "data.root is not set"),
    ],
)
def test_what_a_recipe_may_hold(train: Cen, settings: tuple[str, ...], message: str) -> None:
    assert message in train("--dry-run", settings=settings, code=2).err


# ---- images ----


def damage_nothing(_: Path) -> None:
    """A file that is not there."""


def leave_empty(path: Path) -> None:
    path.write_bytes(b"")


def make_folder(path: Path) -> None:
    path.mkdir()


def write_text(path: Path) -> None:
    path.write_text("not an image")


@pytest.mark.parametrize("damage", [damage_nothing, leave_empty, make_folder, write_text])
@pytest.mark.parametrize("folder", ["rgb", "depth", "masks"])
def test_a_missing_empty_or_unreadable_file_is_named(fails, data: Path, folder: str, damage) -> None:
    path = data / folder / f"{STEM}.png"
    path.unlink()
    damage(path)
    assert f"{folder}/{STEM}.png" in fails()


@pytest.mark.parametrize("folder", ["rgb", "depth", "masks"])
def test_a_truncated_file_is_named(fails, data: Path, folder: str) -> None:
    path = data / folder / f"{STEM}.png"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert str(path) in fails()


@pytest.mark.parametrize("folder", ["rgb", "depth"])
def test_images_of_another_size_are_named(fails, data: Path, folder: str) -> None:
    path = data / folder / f"{STEM}.png"
    image = Image.open(path)
    image.crop((0, 0, 20, 20)).save(path)
    text = fails()
    assert "sizes differ" in text
    assert str(path) in text


def test_a_label_outside_the_classes_is_named(fails, data: Path) -> None:
    path = data / "masks" / f"{STEM}.png"
    labels = np.array(Image.open(path))
    labels[5, 5] = 77
    Image.fromarray(labels).save(path)
    text = fails()
    assert str(path) in text
    assert "77" in text


def test_a_worker_names_the_file_too(fails, data: Path) -> None:
    path = data / "masks" / f"{STEM}.png"
    Image.fromarray(np.full((32, 40), 77, dtype=np.uint8)).save(path)
    text = fails("data.workers=2")
    assert f"error: {path}: label 77 is none of the 40 classes 0 .. 39 or 255 (void)" in text.splitlines()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train.txt", "", "train.txt: the list is empty"),
        ("val.txt", "rgb/a.png\n", "val.txt, line 1: expected rgb <TAB> masks <TAB> depth, found 1 field"),
    ],
)
def test_lists_that_cannot_be_used(fails, data: Path, tmp_path: Path, name: str, content: str, message: str) -> None:
    (data / name).write_text(content)
    assert message in fails()
    assert not (tmp_path / "run").exists()


def test_an_epoch_without_a_valid_pixel(fails, data: Path) -> None:
    for path in (data / "masks").glob("000*.png"):
        Image.fromarray(np.full((32, 40), 255, dtype=np.uint8)).save(path)
    text = fails()
    assert "no batch of epoch 1 has a valid pixel: every label is void (255) in the crops of" in text


@pytest.mark.parametrize("dice", [0, 1])
def test_a_batch_without_a_valid_pixel_teaches_nothing(cen: Cen, data: Path, tmp_path: Path, dice: int) -> None:
    Image.fromarray(np.full((32, 40), 255, dtype=np.uint8)).save(data / "masks" / f"{STEM}.png")
    recipe = write_recipe(tmp_path / "tiny.toml", data)
    settings = ("train.batch=1", "data.crop=[32,40]", "train.log_every=1", f"loss.dice={dice}")
    text = cen("train", recipe, "--device", "cpu", "--out", tmp_path / "run", settings=settings).err
    assert text.count("learns nothing, its batch has no valid pixel: every label is void (255) in the crops of") == 1
    events = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    steps = [event["step"] for event in events if event["kind"] == "step"]
    assert len(steps) == max(steps) - 2, "one batch in each of two epochs has no loss, and is counted all the same"


def test_a_validation_split_without_a_valid_pixel(fails, data: Path) -> None:
    for path in (data / "masks").glob("001*.png"):
        Image.fromarray(np.full((32, 40), 255, dtype=np.uint8)).save(path)
    text = fails()
    assert "validation of epoch 1: ensemble.mean_iou is undefined, no pixel of the split is valid" in text


# ---- training ----


def test_a_loss_that_is_not_finite_stops_the_run(fails, data: Path, tmp_path: Path) -> None:
    text = fails("optimizer.encoder_lr=1e30", "optimizer.decoder_lr=1e30", "optimizer.kind=sgd")
    assert "the loss is not finite in epoch 1, step " in text
    assert f"{data}/rgb/" in text
    assert f"{data}/masks/" in text
    assert "hint: what was saved before is untouched" in text


def test_a_network_that_goes_astray_before_a_validation_is_not_saved(fails, tmp_path: Path) -> None:
    text = fails("optimizer.encoder_lr=1e30", "optimizer.decoder_lr=1e30", "optimizer.kind=sgd", "train.batch=64")
    assert "not finite after step 1" in text
    assert "hint: what was saved before is untouched" in text
    model = cen_cli.load(tmp_path / "run" / "checkpoints" / "last")
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def test_what_was_saved_before_the_loss_went_astray_stays(fails, tmp_path: Path) -> None:
    text = fails(
        "optimizer.kind=sgd",
        "optimizer.encoder_lr=[1e-3, 1e30]",
        "optimizer.decoder_lr=[1e-3, 1e30]",
        "schedule.kind=staged",
        "schedule.stage_epochs=[1, 1]",
    )
    assert "the loss is not finite in epoch 2, step " in text
    model = cen_cli.load(tmp_path / "run" / "checkpoints" / "last")
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def test_a_run_directory_is_never_overwritten(train: Cen, tiny_run: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in tiny_run.rglob("*")}
    text = train("--out", tiny_run, code=2).err
    assert f"{tiny_run}: exists already, and nothing is overwritten" in text
    assert {path: path.stat().st_mtime_ns for path in tiny_run.rglob("*")} == before


def test_an_impossible_folder(train: Cen, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert f"could not write {tmp_path / 'file' / 'run'}" in train("--out", tmp_path / "file" / "run", code=1).err


def test_a_disk_that_fills_up_leaves_the_previous_checkpoint(
    train: Cen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = files.os.fsync
    run = tmp_path / "run"

    def fills_up(descriptor: int) -> None:
        if (run / "checkpoints" / "last").exists():
            raise OSError(28, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(files.os, "fsync", fills_up)
    text = train("--out", run, settings=("train.epochs=3",), code=1).err
    assert "No space left on device" in text
    assert "what was saved there before is untouched" in text
    monkeypatch.undo()
    assert cen_cli.load(run / "checkpoints" / "last").modalities == ("rgb", "depth")
    assert [path.name for path in (run / "checkpoints").iterdir() if path.suffix] == []


@pytest.mark.parametrize("call", [0, 1, 3, 6, 10, 13])
def test_wherever_in_a_save_the_disk_fills_up_the_run_resumes_as_if_it_had_not(
    train: Cen, cen: Cen, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    run, sync, seen = tmp_path / "run", os.fsync, []

    def fills_up(descriptor: int) -> None:
        if '"epoch": 2' in (run / "events.jsonl").read_text() if (run / "events.jsonl").exists() else False:
            seen.append(descriptor)
        if len(seen) > call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    with monkeypatch.context() as full:
        full.setattr(files.os, "fsync", fills_up)
        text = train("--out", run, "--json", code=1).err
    assert re.match(f"error: could not write {run}/.*: No space left on device\n", text)
    cen("eval", run / "checkpoints" / "last", "--json")
    cen("train", "--resume", run, "--device", "cpu", "--json")
    ours, straight = (read_tensors(each / "checkpoints" / "last" / "model.safetensors")[0] for each in (run, tiny_run))
    assert all(torch.equal(ours[name], straight[name]) for name in straight)


def test_devices_that_are_not_there(train: Cen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "torch finds no CUDA device here" in train("--device", "cuda", code=2).err
    assert "unknown device 'gpu'" in train("--device", "gpu", code=2).err


# ---- checkpoints ----


def checkpoint_of(run: Path, folder: Path) -> Path:
    return Path(shutil.copy(run / "checkpoints" / "last" / "model.safetensors", folder / "model.safetensors"))


@pytest.mark.parametrize("command", ["eval", "analyze-gammas", "exchange-stats"])
def test_damaged_checkpoints(cen: Cen, tiny_run: Path, tmp_path: Path, command: str) -> None:
    path = checkpoint_of(tiny_run, tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[:-1000])
    assert "not a readable safetensors file" in cen(command, path, code=1).err
    path.write_bytes(content[:-8] + bytes(8))
    assert "corrupted, its contents do not match its digest" in cen(command, path, code=1).err
    path.write_bytes(b"")
    assert "not a readable safetensors file" in cen(command, path, code=1).err


def test_files_that_are_not_ours(cen: Cen, tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(3)}, tmp_path / "theirs.pth")
    assert "not a readable safetensors file" in cen("eval", tmp_path / "theirs.pth", code=1).err
    save_file({"weight": torch.ones(3)}, tmp_path / "theirs.safetensors")
    assert "not a checkpoint of cen" in cen("eval", tmp_path / "theirs.safetensors", code=1).err
    assert "no such file or directory" in cen("eval", tmp_path / "nothing", code=2).err
    assert "no checkpoint in this folder" in cen("eval", tmp_path, code=2).err


def test_a_checkpoint_of_another_recipe_does_not_continue_a_run(
    cen: Cen, train: Cen, tiny_run: Path, tmp_path: Path
) -> None:
    train("--out", tmp_path / "wide", settings=("train.epochs=1", "model.width=8"))
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    shutil.rmtree(run / "checkpoints" / "last")
    shutil.copytree(tmp_path / "wide" / "checkpoints" / "last", run / "checkpoints" / "last")
    text = cen("train", "--resume", run, "--device", "cpu", code=1).err
    assert "does not fit the recipe's model" in text
    assert "has shape" in text


def test_a_damaged_checkpoint_does_not_continue_a_run(cen: Cen, tiny_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    for name in ("training.safetensors", "state.json"):
        path = run / "checkpoints" / "last" / name
        kept = path.read_bytes()
        path.write_bytes(kept[: len(kept) // 2])
        assert str(path) in cen("train", "--resume", run, "--device", "cpu", code=1).err
        path.write_bytes(kept)


def test_a_run_whose_log_has_lost_lines_says_so_when_it_is_resumed(cen: Cen, tiny_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    lost = f"{run / 'events.jsonl'} has lost lines"
    assert lost not in cen("train", "--resume", run, "--device", "cpu").err
    (run / "events.jsonl").write_bytes(b"\xff\xfe")
    assert lost in cen("train", "--resume", run, "--device", "cpu").err


def forget(key: str) -> Callable[[dict[str, str]], dict[str, str]]:
    return lambda metadata: {name: value for name, value in metadata.items() if name != key}


def rewrite(key: str, old: str, new: str) -> Callable[[dict[str, str]], dict[str, str]]:
    return lambda metadata: {**metadata, key: metadata[key].replace(old, new)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (forget("recipe"), "holds no network (no 'recipe' in its metadata)"),
        (forget("specs"), "holds no network (no 'specs' in its metadata)"),
        (rewrite("classes", "[", "{"), "its metadata are damaged"),
        (
            rewrite("classes", "wall", r"wall\nmetrics: fake=1"),
            "its metadata are damaged (a class without a name",
        ),
        (rewrite("classes", '"wall"', "1"), "its metadata are damaged"),
        (rewrite("recipe", "threshold", "treshold"), "its recipe: 1 problem"),
        (rewrite("recipe", "\nwidth = 4\n", "\nwidth = 8\n"), "does not fit the recipe's model"),
    ],
)
def test_damaged_metadata(cen: Cen, tiny_run: Path, tmp_path: Path, change, message: str) -> None:
    path = checkpoint_of(tiny_run, tmp_path)
    tensors, metadata = read_tensors(path)
    changed = change(metadata)
    assert changed != metadata
    write_tensors(path, tensors, changed)
    assert cen("eval", path, code=1).err.startswith(f"error: {path}: {message}")


@pytest.mark.parametrize("file", ["gammas.safetensors", "checkpoints/last/training.safetensors"])
def test_other_files_of_a_run_are_no_networks(cen: Cen, tiny_run: Path, file: str) -> None:
    text = cen("eval", tiny_run / file, code=1).err
    assert f"{tiny_run / file}: holds no network (no 'recipe' in its metadata)" in text


@pytest.mark.parametrize(
    ("file", "content", "message", "hint"),
    [
        (
            "checkpoints/last/state.json",
            b"{}",
            "not the state of this recipe's training",
            "put the run's own file back",
        ),
        ("checkpoints/last/model.safetensors", b"", "not a readable safetensors file", "the file is truncated"),
        ("gammas.safetensors", b"x", "not a readable safetensors file", "move the file away"),
        ("environment.json", b"{}", "not what a training run writes", "put the run's own file back"),
        ("environment.json", b"{", "not readable", "put the run's own file back"),
        ("recipe.toml", b"\xff\xfe", "not readable", "put the run's own file back"),
    ],
)
def test_other_damage_to_a_run(
    cen: Cen, tiny_run: Path, tmp_path: Path, file: str, content: bytes, message: str, hint: str
) -> None:
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    (run / file).write_bytes(content)
    text = cen("train", "--resume", run, "--device", "cpu", code=1).err
    assert message in text
    assert hint in text
    assert str((run / file).parent) in text


def test_damaged_records_of_gammas_may_be_moved_away(cen: Cen, tiny_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    (run / "gammas.safetensors").write_bytes(b"x")
    for command in ("exchange-stats", "analyze-gammas"):
        assert "move the file away" in cen(command, run, code=1).err
    (run / "gammas.safetensors").unlink()
    for command in ("exchange-stats", "analyze-gammas"):
        cen(command, run)


def test_a_translation_that_diverges_stops_and_saves_nothing_of_it(cen: Cen, tmp_path: Path) -> None:
    recipe = write_translation_recipe(tmp_path / "pairs.toml", tmp_path / "rooms")
    run = tmp_path / "run"
    text = cen(
        "train",
        recipe,
        "--out",
        run,
        "--device",
        "cpu",
        settings=("optimizer.encoder_lr=1e30", "optimizer.decoder_lr=1e30"),
        code=1,
    ).err
    assert "not finite" in text
    tensors, _ = read_tensors(run / "checkpoints" / "last" / "model.safetensors")
    assert all(bool(tensor.isfinite().all()) for tensor in tensors.values())
