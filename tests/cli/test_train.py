"""`cen train`: what a run prints, writes and depends on; dry runs; the switches of a recipe; resuming."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cen_cli import builders
from cen_cli.engine.segmentation import SegmentationTask
from cen_cli.models.exchange import exchange_layers
from cen_cli.recipe.load import differences, load_recipe
from cen_cli.results import ENSEMBLE, Evaluation
from cen_cli.runs.checkpoint import read_tensors
from cen_cli.runs.directory import RunDirectory
from tests.cli.conftest import Cen
from tests.tiny import write_nyudv2, write_recipe

LAST = Path("checkpoints") / "last" / "model.safetensors"
ONE_EPOCH = "train.epochs=1"


def weights(run: Path) -> dict[str, Tensor]:
    return read_tensors(run / LAST)[0]


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


def events(run: Path, kind: str) -> list[dict]:
    lines = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


def gammas(run: Path) -> dict[str, Tensor]:
    return read_tensors(run / "gammas.safetensors")[0]


# ---- what a run leaves behind ----


def test_the_run_directory_holds_everything(tiny_run: Path, tiny_recipe: Path) -> None:
    files = {str(path.relative_to(tiny_run)) for path in tiny_run.rglob("*") if path.is_file()}
    checkpoint = ("model.safetensors", "training.safetensors", "state.json")
    assert files == {
        *(".lock", "recipe.toml", "environment.json", "events.jsonl", "gammas.safetensors", "metrics.json"),
        *(f"checkpoints/{name}/{file}" for name in ("last", "best") for file in checkpoint),
    }
    assert load_recipe(str(tiny_run / "recipe.toml")) == load_recipe(str(tiny_recipe))
    environment = json.loads((tiny_run / "environment.json").read_text())
    assert environment["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert environment["precision"] == "fp32"
    assert set(environment["data"]) == {"train", "val"}


def test_events_have_a_line_per_interval_and_validation(tiny_run: Path) -> None:
    steps = events(tiny_run, "step")
    assert [(line["epoch"], line["step"]) for line in steps] == [(1, 2), (1, 4), (2, 6), (2, 8)]
    for line in steps:
        terms = dict(line["losses"])
        assert terms.pop("total") == pytest.approx(sum(terms.values()), rel=1e-5)
        assert set(terms) == {"rgb", "depth", "ensemble", "sparsity"}
        assert [item["modality"] for item in line["replaced"]] == ["rgb", "depth"]
    rates = [line["learning_rates"]["encoder"] for line in steps]
    assert rates == pytest.approx([1e-2 * (1 - (step - 1) / 8) ** 0.9 for step in (2, 4, 6, 8)])
    assert [(line["epoch"], line["step"]) for line in events(tiny_run, "validation")] == [(1, 4), (2, 8)]


def test_gammas_are_recorded_from_step_0_on(tiny_run: Path) -> None:
    recorded = gammas(tiny_run)
    assert recorded.pop("steps").tolist() == [0, 2, 4, 6, 8]
    assert len(recorded) == 16
    assert recorded["encoder.layer1.0.bn1"].shape == (5, 2, 8)
    for name, history in recorded.items():
        assert torch.equal(history[0], torch.full_like(history[0], 0.2))
        assert torch.equal(history[-1], weights(tiny_run)[f"{name}.norm.weight"])


def test_metrics_hold_the_last_and_the_best_validation(tiny_run: Path) -> None:
    metrics = json.loads((tiny_run / "metrics.json").read_text())
    validations = {line["step"]: line["evaluation"] for line in events(tiny_run, "validation")}
    value = {step: found["scores"]["ensemble"]["mean_iou"] for step, found in validations.items()}
    assert metrics["last_step"] == 8
    assert metrics["last"] == validations[8]
    assert metrics["best_step"] == max(value, key=lambda step: value[step])
    assert metrics["best"] == validations[metrics["best_step"]]
    _, kept = read_tensors(tiny_run / "checkpoints" / "best" / "model.safetensors")
    assert kept["step"] == str(metrics["best_step"])


def test_the_best_checkpoint_stays_when_a_later_one_is_worse(
    train: Cen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    validate, values = SegmentationTask.validate, iter([0.5, 0.2, 0.6, 0.4])  # the check before step 1, then 3 epochs

    def scripted(task: SegmentationTask, *args: Any, **kwargs: Any) -> Evaluation:
        found = validate(task, *args, **kwargs)
        ensemble = dataclasses.replace(found.scores[ENSEMBLE], mean_iou=next(values))
        return dataclasses.replace(found, scores={**found.scores, ENSEMBLE: ensemble})

    monkeypatch.setattr(SegmentationTask, "validate", scripted)
    train("--out", tmp_path / "run", settings=("train.epochs=3",))
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert (metrics["best_step"], metrics["last_step"]) == (8, 12)
    steps = {
        name: read_tensors(tmp_path / "run" / "checkpoints" / name / "model.safetensors")[1]["step"]
        for name in ("best", "last")
    }
    assert steps == {"best": "8", "last": "12"}


# ---- what it prints ----


ENDINGS = ("nothing was exchanged: none of", "never found on val: ", "the ensemble (mean_iou ")


def only_warnings(text: str) -> bool:
    """Whether nothing but what a training warns of at its end was said, each with its hint, none twice."""
    warnings, hints = text.splitlines()[::2], text.splitlines()[1::2]
    kinds = [next((kind for kind in ENDINGS if line.startswith(f"warning: {kind}")), None) for line in warnings]
    paired = len(hints) == len(warnings) and all(line.startswith("hint: ") for line in hints)
    return paired and None not in kinds and len(set(kinds)) == len(kinds)


def test_results_on_stdout_and_plain_progress_on_stderr(train: Cen, tmp_path: Path) -> None:
    run = tmp_path / "a-run-whose-name-is-far-too-long-to-fit-into-the-eighty-columns-of-a-terminal"
    ended = train("--out", run)
    lines = ended.err.splitlines()
    assert any(line.split() == ["run", str(run)] for line in lines)
    assert [line.split(" | ")[:2] for line in lines if line.startswith("epoch ")] == [
        ["epoch 1", "step 2/8"],
        ["epoch 1", "step 4/8"],
        ["epoch 2", "step 6/8"],
        ["epoch 2", "step 8/8"],
    ]
    assert sum(line.startswith("validation | ") for line in lines) == 2
    finished = [line.startswith("finished 8 steps in ") for line in lines].index(True)
    assert only_warnings("\n".join(lines[finished + 1 :]))
    assert "\x1b" not in ended.err + ended.out
    rows = [line.split()[0] for line in ended.out.splitlines() if line.strip()]
    assert [name for name in rows if name in ("rgb", "depth", "ensemble")][-3:] == ["rgb", "depth", "ensemble"]
    assert ended.out.splitlines()[-1] == f"next: cen eval {run}"


def test_json_is_one_document_and_nothing_else(train: Cen, tmp_path: Path) -> None:
    expected = 'expected."rgb.mean_iou"={value=0.5, tolerance=1.0, source="a guess"}'
    ended = train("--out", tmp_path / "run", "--json", settings=(ONE_EPOCH, expected))
    assert only_warnings(ended.err)
    summary = ended.document["summary"]
    assert (summary["run"], summary["epochs"], summary["steps"]) == (str(tmp_path / "run"), 1, 4)
    assert summary["last"] == json.loads((tmp_path / "run" / "metrics.json").read_text())["last"]
    assert [item["modality"] for item in summary["replaced"]] == ["rgb", "depth"]
    (line,) = ended.document["expected"]
    assert (line["metric"], line["source"]) == ("rgb.mean_iou", "a guess")
    assert line["obtained"] == summary["best"]["scores"]["rgb"]["mean_iou"]


@pytest.mark.parametrize(("split", "code"), [("val", 1), ("test", 0)])
def test_a_missed_expectation_ends_the_command_with_1_where_it_is_of_the_split_that_was_validated(
    train: Cen, tmp_path: Path, split: str, code: int
) -> None:
    expected = 'expected."rgb.mean_iou"={value=1.0, tolerance=0.0, source="a wish"}'
    ended = train("--out", tmp_path / "run", settings=(ONE_EPOCH, f"eval.split={split}", expected), code=code)
    assert ("MISSED" in ended.out) == bool(code)
    assert ("expected are the scores of cen eval on the split test" in ended.out) == (not code)
    assert (tmp_path / "run" / "metrics.json").is_file()


def test_a_run_is_named_after_its_recipe(train: Cen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    summary = train("--json", settings=(ONE_EPOCH,)).document["summary"]
    (run,) = (tmp_path / "runs").iterdir()
    assert Path(summary["run"]) == Path("runs") / run.name
    assert run.name.startswith("tiny-")


# ---- dry run ----


def test_a_dry_run_writes_nothing(train: Cen, tmp_path: Path, tiny_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    before = sorted(tiny_root.rglob("*"))
    ended = train("--dry-run", "--out", work / "run")
    assert list(work.iterdir()) == []
    assert sorted(tiny_root.rglob("*")) == before
    assert 'backbone = "resnet18"' in ended.out.splitlines()
    assert "Dry run: nothing was written." in ended.out.splitlines()


def test_a_dry_run_counts_parameters_and_multiplications(train: Cen, tiny_run: Path) -> None:
    ended = train("--dry-run", "--json")
    assert ended.err == ""
    dry = ended.document["dry_run"]
    model = builders.load(tiny_run)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert sum(dry["plan"]["parameters"].values()) == parameters
    assert dry["plan"]["parameters"]["gamma"] == 2 * 4 * (8 + 16 + 32 + 64)
    assert dry["plan"]["parameters"]["ensemble"] == 2
    assert dry["parameter_bytes"] == dry["gradient_bytes"] == 4 * parameters
    assert dry["optimizer_bytes"] == pytest.approx(2 * 4 * parameters, rel=0.01)  # two moments, and Adam's step counts
    assert dry["macs"] == counted_by_hand(model, (32, 32))
    assert (dry["plan"]["train_samples"], dry["plan"]["steps_per_epoch"], dry["plan"]["run"]) == (8, 4, None)
    assert set(dry["losses"]) == {"rgb", "depth", "ensemble", "sparsity", "total"}
    assert dry["activation_bytes"] > 0


def counted_by_hand(model: nn.Module, size: tuple[int, int]) -> int:
    """Outputs of every convolution times what each is summed over."""
    counts: list[int] = []

    def count(layer: nn.Module, _: object, output: Tensor) -> None:
        counts.append(output.numel() * layer.weight.shape[-3:].numel())  # type: ignore[operator,union-attr]

    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(count)
    with torch.no_grad():
        model({name: torch.zeros(1, 3, *size) for name in model.modalities})  # type: ignore[union-attr]
    return sum(counts)


# ---- what a run depends on ----


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    train: Cen, tiny_run: Path, tmp_path: Path
) -> None:
    train("--out", tmp_path / "again", "--seed", 0, "--json")
    train("--out", tmp_path / "other", "--seed", 1, "--json")
    assert same(weights(tiny_run), weights(tmp_path / "again"))
    assert not same(weights(tiny_run), weights(tmp_path / "other"))
    again, first = tmp_path / "again" / "events.jsonl", tiny_run / "events.jsonl"
    assert again.read_bytes() == first.read_bytes()


@pytest.mark.parametrize("setting", ["data.workers=2", "data.cache=true"])
def test_how_views_are_loaded_changes_nothing(train: Cen, tiny_run: Path, tmp_path: Path, setting: str) -> None:
    train("--out", tmp_path / "run", "--json", settings=(setting,))
    assert same(weights(tiny_run), weights(tmp_path / "run"))


def test_seed_set_and_data_root_end_up_in_the_resolved_recipe(
    train: Cen, tiny_recipe: Path, tiny_root: Path, tmp_path: Path
) -> None:
    root = shutil.copytree(tiny_root, tmp_path / "copy")
    settings = ("train.batch=4", "optimizer.clip_norm=3.0", ONE_EPOCH)
    train("--out", tmp_path / "run", "--seed", 7, "--data-root", root, "--json", settings=settings)
    resolved = load_recipe(str(tmp_path / "run" / "recipe.toml"))
    assert (resolved.train.seed, resolved.train.batch, resolved.optimizer.clip_norm) == (7, 4, 3.0)
    assert resolved.data.root == str(root)
    changed = ["optimizer.clip_norm", "train.batch", "train.epochs", "train.seed"]
    assert sorted(differences(load_recipe(str(tiny_recipe)), resolved)) == changed
    assert read_tensors(tmp_path / "run" / LAST)[1]["recipe"] == (tmp_path / "run" / "recipe.toml").read_text()


# ---- the switches of a recipe ----

FIRST = "encoder.layer1.0.bn1.norm"


@pytest.fixture
def trained(train: Cen, tmp_path: Path):
    """Trains one epoch with settings; returns the run."""

    def run(*settings: str) -> Path:
        folder = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        train("--out", folder, "--json", settings=(ONE_EPOCH, *settings))
        return folder

    return run


@pytest.mark.parametrize(
    ("settings", "count"),
    [(("exchange.choose=random", "exchange.share=0.5"), 120), (("exchange.choose=all",), 240)],
)
def test_controls_replace_the_same_channels_from_the_first_step_to_the_last(trained, settings, count: int) -> None:
    run = trained(*settings, "exchange.sparsity=0.0")
    for line in events(run, "step"):
        assert [item["replaced"] for item in line["replaced"]] == [count, count]
    again = trained(*settings, "exchange.sparsity=0.0")
    layers = [name for name in weights(run) if name.endswith(".fixed")]
    assert len(layers) == 16
    assert all(torch.equal(weights(run)[name], weights(again)[name]) for name in layers)
    model = builders.load(run)
    assert sum(int(layer.replaced().sum()) for layer in exchange_layers(model).values()) == 2 * count


@pytest.mark.parametrize("stage", ["early", "middle", "late", "all"])
@pytest.mark.parametrize("fusion", ["concat", "average", "align", "self-attention"])
def test_fusion_baselines_have_one_branch(cen: Cen, trained, fusion: str, stage: str) -> None:
    run = trained(f"model.fusion={fusion}", f"model.fusion_stage={stage}")
    metrics = json.loads((run / "metrics.json").read_text())
    assert list(metrics["last"]["scores"]) == ["fused"]
    terms = set(events(run, "step")[0]["losses"])
    assert terms == {"fused", "total", *(["alignment"] if fusion == "align" else [])}
    ended = cen("eval", run, "--device", "cpu", "--split", "val", "--json")
    assert ended.document["evaluation"]["scores"] == metrics["best"]["scores"]


def test_the_weight_of_the_alignment_is_the_recipe_s(trained) -> None:
    align = ("model.fusion=align", "model.fusion_stage=early")
    first = [events(trained(*align, f"model.alignment={weight}"), "step")[0]["losses"] for weight in (1.0, 0.0)]
    assert "alignment" in first[0]
    assert "alignment" not in first[1]


def test_one_modality(trained) -> None:
    run = trained('data.inputs=["rgb"]', "model.fusion=none")
    metrics = json.loads((run / "metrics.json").read_text())
    assert list(metrics["last"]["scores"]) == ["rgb"]
    assert metrics["last"]["weights"] == {"rgb": 1.0}
    assert set(events(run, "step")[0]["losses"]) == {"rgb", "total"}


def test_private_convolutions(trained) -> None:
    private = weights(trained("sharing.conv=private"))
    copies = [private[f"encoder.layer1.0.conv1.copies.{m}.weight"] for m in range(2)]
    assert [kernel.shape for kernel in copies] == [(8, 8, 3, 3)] * 2
    assert weights(trained())["encoder.layer1.0.conv1.weight"].shape == (8, 8, 3, 3)


@pytest.mark.parametrize(
    ("settings", "affine", "statistics"),
    [
        (("sharing.norm=affine-private",), 2, 1),
        (("sharing.norm=statistics-private", "exchange.choose=none"), 1, 2),
        (("sharing.norm=shared", "exchange.choose=none"), 1, 1),
    ],
)
def test_norms_share_what_the_recipe_says(trained, settings: tuple[str, ...], affine: int, statistics: int) -> None:
    found = weights(trained(*settings))
    assert found[f"{FIRST}.weight"].shape == (affine, 8)
    assert found[f"{FIRST}.running_mean"].shape == (statistics, 8)


@pytest.mark.parametrize(("choose", "replaced"), [("gamma", [240, 240]), ("none", [])])
def test_channels_are_replaced_only_where_the_recipe_chooses_so(trained, choose: str, replaced: list[int]) -> None:
    run = trained(f"exchange.choose={choose}", "exchange.threshold=5.0")
    for line in events(run, "step"):
        assert [item["replaced"] for item in line["replaced"]] == replaced
        assert "sparsity" in line["losses"]


def test_frozen_statistics_stay_as_they_were(trained) -> None:
    frozen, free = weights(trained("train.freeze_bn=true")), weights(trained())
    means = [name for name in frozen if name.endswith("running_mean")]
    assert len(means) == 20
    assert all(frozen[name].count_nonzero() == 0 for name in means)
    assert all(free[name].count_nonzero() > 0 for name in means)


def test_a_baseline_s_norm_is_not_frozen_with_the_encoder(trained) -> None:
    """Its statistics have been loaded with nothing."""
    run = trained("train.freeze_bn=true", "model.fusion=self-attention", "model.fusion_stage=middle")
    found = weights(run)
    means = {name: found[name].count_nonzero() > 0 for name in found if name.endswith("running_mean")}
    assert {"junctions" in name for name, moved in means.items() if moved} == {True}
    assert any("junctions" in name for name in means)


@pytest.mark.parametrize(("limit", "moves"), [("1e-9", False), ("1e9", True)])
def test_gradients_are_clipped(trained, limit: str, moves: bool) -> None:
    settings = ("optimizer.kind=sgd", "optimizer.weight_decay=0.0", f"optimizer.clip_norm={limit}")
    history = gammas(trained(*settings))["encoder.layer1.0.bn1"]
    assert torch.equal(history[0], history[-1]) is not moves


def test_staged_rates_follow_their_epochs(trained) -> None:
    rates = ("optimizer.encoder_lr=[1e-2,1e-3]", "optimizer.decoder_lr=[2e-2,2e-3]", "train.epochs=2")
    found = events(trained("schedule.kind=staged", "schedule.stage_epochs=[1,1]", *rates), "step")
    assert [line["learning_rates"]["encoder"] for line in found] == [1e-2, 1e-2, 1e-3, 1e-3]
    assert [line["learning_rates"]["decoder"] for line in found] == [2e-2, 2e-2, 2e-3, 2e-3]


def test_bf16_computes_differently_and_keeps_fp32_weights(trained) -> None:
    half, full = trained("train.precision=bf16"), trained()
    assert json.loads((half / "environment.json").read_text())["precision"] == "bf16"
    assert {tensor.dtype for tensor in weights(half).values()} == {tensor.dtype for tensor in weights(full).values()}
    assert weights(half)[f"{FIRST}.weight"].dtype == torch.float32
    assert not same(weights(half), weights(full))


def test_checkpoints_between_epochs_and_rare_validation(trained) -> None:
    run = trained("train.epochs=3", "train.validate_every=2", "train.checkpoint_every=3")
    assert [line["epoch"] for line in events(run, "validation")] == [2, 3]


# ---- the built-in rooms ----


def test_rooms_are_rendered_on_first_use_and_kept(train: Cen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rooms = ("size=32", "train_rooms=2", "val_rooms=2", "test_rooms=2", "views=2", "antialias=1")
    settings = ("data.kind=rooms", 'data.root=""', ONE_EPOCH, *(f"data.rooms.{setting}" for setting in rooms))
    first = train("--out", tmp_path / "first", "--json", settings=settings)
    rendered, *others = first.err.splitlines()
    assert rendered == "rendering rooms: 12/12"
    assert only_warnings("\n".join(others))
    assert len(list((tmp_path / "cache").rglob("rgb/*.png"))) == 12
    second = train("--out", tmp_path / "second", "--json", settings=settings)
    assert only_warnings(second.err)
    assert same(weights(tmp_path / "first"), weights(tmp_path / "second"))
    assert first.document["summary"]["last"]["class_names"][:2] == ["wall", "floor"]


# ---- resuming ----


def copy_of(run: Path, folder: Path) -> Path:
    return Path(shutil.copytree(run, folder))


def test_a_finished_run_shows_its_summary_again(cen: Cen, tiny_run: Path, tmp_path: Path) -> None:
    run = copy_of(tiny_run, tmp_path / "run")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    ended = cen("train", "--resume", run, "--device", "cpu")
    assert "note: continuing after step 8 of 8" in ended.err.splitlines()
    assert ended.out.splitlines()[-1] == f"next: cen eval {run}"
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_the_newest_run_of_the_recipe_is_resumed(
    train: Cen, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    copy_of(tiny_run, tmp_path / "runs" / "tiny-261101-101500")
    newest = copy_of(tiny_run, tmp_path / "runs" / "tiny-261102-101500")
    other = copy_of(tiny_run, tmp_path / "runs" / "tiny-other-261103-101500")
    (other / "recipe.toml").write_text((other / "recipe.toml").read_text().replace('"tiny"', '"tiny-other"'))
    for age, run in ((100, newest), (50, other)):
        os.utime(run / "checkpoints" / "last", (time.time() - age + 1000,) * 2)
    summary = train("--resume", "--json").document["summary"]
    assert summary["run"] == "runs/tiny-261102-101500"


def test_a_folder_with_the_name_of_a_shipped_recipe_is_not_its_run(
    cen: Cen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rooms").mkdir()
    assert "no run of 'rooms' with a checkpoint in runs/" in cen("train", "--resume", "rooms", code=2).err


def test_a_recipe_without_a_run_has_nothing_to_resume(
    train: Cen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "no run of 'tiny' with a checkpoint in runs/" in train("--resume", code=2).err


def test_another_recipe_does_not_continue_a_run(train: Cen, tiny_run: Path) -> None:
    settings = ("train.batch=4", "exchange.threshold=0.1", "data.workers=1")
    text = train("--resume", tiny_run, "--seed", 3, settings=settings, code=2).err
    assert "was trained by another recipe: exchange.threshold, train.batch, train.seed differ" in text
    assert f"hint: continue it by its own recipe with: cen train --resume {tiny_run}" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "new"], "--out names a new run; --resume continues an old one"),
        (["--set", "train.epochs=3"], "a resumed run continues its own recipe: --set and --seed have no place here"),
        (["--seed", "1"], "a resumed run continues its own recipe: --set and --seed have no place here"),
        (["--dry-run"], "--dry-run shows what a new run would do; --resume continues an old one"),
    ],
)
def test_options_of_a_new_run_are_refused(cen: Cen, tiny_run: Path, words: list[str], message: str) -> None:
    assert f"error: {message}" in cen("train", "--resume", tiny_run, *words, code=2).err.splitlines()


def test_what_is_no_run_is_not_resumed(cen: Cen, tiny_root: Path, tiny_recipe: Path, tmp_path: Path) -> None:
    message = f"{tiny_root}: not a run directory (no recipe.toml)"
    assert message in cen("train", "--resume", tiny_root, code=2).err
    assert message in cen("train", tiny_recipe, "--resume", tiny_root, code=2).err
    missing = tmp_path / "runs" / "nothing"
    assert f"{missing}: no such run directory" in cen("train", "--resume", missing, code=2).err
    assert "--resume needs a run" in cen("train", "--resume", code=2).err


def test_a_run_that_another_process_trains_is_left_to_it(cen: Cen, tiny_run: Path, tmp_path: Path) -> None:
    run = copy_of(tiny_run, tmp_path / "run")
    with RunDirectory(run).held():
        ended = cen("train", "--resume", run, "--device", "cpu", code=2)
    assert f"error: {run}: another process is training this run" in ended.err
    assert cen("train", "--resume", run, "--device", "cpu", "--json").document["summary"]["steps"] == 8


def test_a_run_without_a_checkpoint_is_not_resumed(cen: Cen, tiny_run: Path, tmp_path: Path) -> None:
    run = copy_of(tiny_run, tmp_path / "run")
    shutil.rmtree(run / "checkpoints")
    assert "the run stopped before its first checkpoint" in cen("train", "--resume", run, code=1).err


def test_a_run_continues_on_its_own_data_only(cen: Cen, tiny_run: Path, tiny_root: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(tiny_root, tmp_path / "moved")
    run = copy_of(tiny_run, tmp_path / "run")
    words = ("train", "--resume", run, "--device", "cpu", "--data-root", moved, "--json")
    assert cen(*words).document["summary"]["steps"] == 8
    (moved / "val.txt").write_text((moved / "train.txt").read_text())
    assert f"the data of split val are not those that {run} was started on" in cen(*words, code=1).err


def test_a_run_does_not_continue_on_views_in_another_order(
    cen: Cen, tiny_run: Path, tiny_root: Path, tmp_path: Path
) -> None:
    moved, run = shutil.copytree(tiny_root, tmp_path / "moved"), copy_of(tiny_run, tmp_path / "run")
    lines = (moved / "train.txt").read_text().splitlines()
    (moved / "train.txt").write_text("\n".join(reversed(lines)))
    text = cen("train", "--resume", run, "--device", "cpu", "--data-root", moved, code=1).err
    assert f"the data of split train are not those that {run} was started on" in text


def test_a_recipe_elsewhere_with_the_same_settings_continues_the_run(cen: Cen, tiny_run: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "tiny.toml", write_nyudv2(tmp_path / "data"))
    assert cen("train", recipe, "--resume", tiny_run, "--json").document["summary"]["steps"] == 8


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_statistics_that_nothing_has_measured_are_pointed_out(train: Cen, frozen: bool) -> None:
    text = train("--dry-run", settings=(f"train.freeze_bn={str(frozen).lower()}",)).err
    assert ("freezes statistics that nothing has measured" in text) == frozen
    assert "freezes nothing" not in text


@pytest.mark.parametrize("budget", ["0.3", "none"])
def test_a_budget_beside_pressed_gammas_is_pointed_out(train: Cen, budget: str) -> None:
    text = train("--dry-run", settings=("exchange.budget=0.3", f"exchange.budget={budget}")).err
    assert ("exchange.threshold decides nothing" in text) == (budget != "none")


@pytest.mark.parametrize("weight", [0, 1])
def test_keys_of_a_discriminator_that_is_not_there_are_pointed_out(
    cen: Cen, tiny_translation_recipe: Path, weight
) -> None:
    settings = (f"gan.adversarial_weight={weight}", "gan.filters=8")
    text = cen("train", tiny_translation_recipe, "--dry-run", "--device", "cpu", settings=settings).err
    assert ("makes no discriminator, to which gan.filters" in text) == (weight == 0)


def test_an_encoder_without_batch_norms_has_none_to_freeze(train: Cen) -> None:
    settings = ("train.freeze_bn=true", "model.backbone=timm/convnext_atto", "model.encoder_width=64")
    text = train("--dry-run", settings=settings).err
    assert "train.freeze_bn = true freezes nothing" in text


@pytest.mark.parametrize("batch", [2, 1000])
def test_a_batch_of_more_views_than_there_are_is_pointed_out(train: Cen, batch: int) -> None:
    text = train("--dry-run", settings=(f"train.batch={batch}",)).err
    assert ("train.batch = 1000: a step takes the" in text) == (batch == 1000)


@pytest.mark.parametrize("steps", [1, 1000])
def test_a_warm_up_as_long_as_the_run_is_pointed_out(train: Cen, steps: int) -> None:
    text = train("--dry-run", settings=(f"schedule.warmup_steps={steps}",)).err
    assert ("never reach the recipe's" in text) == (steps == 1000)
