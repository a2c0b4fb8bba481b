"""Trainings in which channels are chosen otherwise than by the threshold: exact under resume, and seen afterwards."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import torch

from cen_cli import builders
from cen_cli.errors import Interrupted, RecipeError, UsageError
from cen_cli.jobs.analyze import analyze, exchange_statistics
from cen_cli.jobs.export import compact
from cen_cli.jobs.report import report
from cen_cli.jobs.train import dry_run, resume, train
from cen_cli.models.exchange import exchange_layers
from cen_cli.recipe import load_recipe
from cen_cli.results import TOTAL, RunSummary
from cen_cli.runs.checkpoint import read_tensors
from tests.jobs.test_train import Heard

CHOICES = {
    "budget": {"exchange.budget": 0.5, "exchange.choose_every": 2},
    "gain": {"exchange.choose": "gain", "exchange.budget": 0.5, "exchange.choose_every": 1},
    "gate": {"exchange.choose": "gate", "exchange.budget": 0.5},
    "layer": {"exchange.sparsity_scale": "layer"},
    "some stages": {"exchange.choose": "random", "exchange.budget": 0.5, "exchange.stages": [2, 3]},
}


def weights(run: Path) -> dict[str, torch.Tensor]:
    return read_tensors(run / "checkpoints" / "last" / "model.safetensors")[0]


def share(summary: RunSummary) -> float:
    return sum(count.replaced for count in summary.replaced) / sum(count.pressed for count in summary.replaced)


@pytest.mark.parametrize("name", CHOICES)
def test_a_stopped_run_ends_as_if_it_had_not_been_stopped(name: str, tiny_recipe: Path, tmp_path: Path) -> None:
    whole = train(tiny_recipe, changes=CHOICES[name], out=tmp_path / "whole", device="cpu")
    with pytest.raises(Interrupted):
        train(tiny_recipe, changes=CHOICES[name], out=tmp_path / "run", device="cpu", listener=Heard(stop_at=4))
    resume(tmp_path / "run", device="cpu")
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "run")
    assert list(one) == list(other)
    assert [key for key, tensor in one.items() if not torch.equal(tensor, other[key])] == []
    if name != "layer":
        assert share(whole) == pytest.approx(0.5, abs=0.1)
    statistics = exchange_statistics(tmp_path / "whole", out=tmp_path)
    (rgb, depth) = (row for row in statistics.rows if row.layer == TOTAL)
    assert (rgb.replaced, depth.replaced) == tuple(count.replaced for count in whole.replaced)
    assert (rgb.gain is not None) is (name == "gain")
    assert (rgb.mixed is not None) is (name == "gate")
    assert (statistics.steps is None) is (name == "gate"), "what gates mixed in is not recorded"


def test_gains_stand_beside_gammas(tiny_run: Path, tmp_path: Path) -> None:
    found = analyze(tiny_run, gains=2, out=tmp_path)
    assert found.gains is not None
    assert len(found.gains) == 2 * 16
    assert all(-1 <= row.correlation <= 1 for row in found.gains if row.channels > 4)
    assert any(row.kept != 0 for row in found.gains)
    again = analyze(tiny_run, gains=2, out=tmp_path)
    assert str(again.gains) == str(found.gains)


def test_gates_that_mix_are_told_of_and_not_compacted(tiny_recipe: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(tiny_recipe, changes={"exchange.choose": "gate", "train.epochs": 1}, out=run, device="cpu")
    (rgb, _) = (row for row in exchange_statistics(run).rows if row.layer == TOTAL)
    assert rgb.replaced == 0
    assert rgb.mixed == pytest.approx(0.1, abs=0.05)
    assert "gate" in json.loads((run / "events.jsonl").read_text().splitlines()[-2])["learning_rates"]
    with pytest.raises(UsageError, match="its gates mix channels"):
        compact(run, out=tmp_path / "compact", rounds=0)
    page = Path(report(run, images=0).report).read_text()
    assert "% mixed" in page
    assert "What gates mix is not recorded" in page
    assert re.search(r"gates mix \d+\.\d% of the others", page)
    assert os.path.isdir(run)


def test_averaged_weights_have_the_gates_that_were_hardened(tiny_recipe: Path, tmp_path: Path) -> None:
    run, gates = tmp_path / "run", {"exchange.choose": "gate", "exchange.budget": 0.3}
    train(tiny_recipe, changes=gates | {"train.ema": 0.9999, "train.epochs": 2}, out=run, device="cpu")
    last = run / "checkpoints" / "last"
    totals = [row for row in exchange_statistics(last).rows if row.layer == TOTAL]
    assert [row.share_of_pressed for row in totals] == pytest.approx([0.3, 0.3], abs=0.02)
    assert compact(last, out=tmp_path / "compact", rounds=0)


def test_no_network_is_the_best_or_the_last_before_its_gates_are_hardened(tiny_recipe: Path, tmp_path: Path) -> None:
    changes = {"exchange.choose": "gate", "exchange.budget": 0.3, "train.epochs": 4, "train.patience": 1}
    summary = train(tiny_recipe, changes=changes, out=tmp_path / "run", device="cpu")
    assert summary.best_step == summary.steps == 16, "hardened in step 13, validated every four"
    assert share(summary) == pytest.approx(0.3, abs=0.02)


STILL = {"optimizer.encoder_lr": 1e-12, "optimizer.decoder_lr": 1e-12, "optimizer.gamma_lr": 1e-12}
HARDENED = {"exchange.choose": "gate", "exchange.budget": 0.3, "train.freeze_bn": True}


def test_patience_waits_for_a_validation_of_the_hardened_network(tiny_recipe: Path, tmp_path: Path) -> None:
    changes = HARDENED | STILL | {"train.epochs": 12, "train.validate_every": 3, "train.patience": 2}
    summary = train(tiny_recipe, changes=changes, out=tmp_path / "run", device="cpu")
    assert summary.best_step == summary.steps == 48, "hardened in step 37, between two validations"
    assert share(summary) == pytest.approx(0.3, abs=0.02)


def test_a_run_that_is_stopped_before_its_gates_are_hardened_is_not_finished(tiny_recipe: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    changes = HARDENED | STILL | {"train.epochs": 4, "train.patience": 1, "train.log_every": 2}
    with pytest.raises(Interrupted):
        train(tiny_recipe, changes=changes, out=run, device="cpu", listener=Heard(stop_at=10))
    assert report(run, images=0).headline.startswith("Not finished: 2 of 4 epochs")
    assert resume(run, device="cpu").steps == 16
    assert not report(run, images=0).headline.startswith("Not finished")


def test_a_report_is_of_the_best_checkpoint_not_of_what_came_before_it(tiny_recipe: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    changes = {"exchange.choose": "gate", "exchange.budget": 0.3, "train.epochs": 4}
    train(tiny_recipe, changes=changes, out=run, device="cpu")
    lines = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    first = next(line for line in lines if line["kind"] == "validation")
    first["evaluation"]["scores"]["ensemble"]["mean_iou"] = 1.0  # better than the hardened network, as may be
    (run / "events.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    page = Path(report(run, images=0).report).read_text()
    assert "epoch 4, step 16" in page
    assert "epoch 1, step 4" not in page


def test_an_average_chooses_alike_in_a_step_without_an_update(tiny_recipe: Path) -> None:
    recipe = load_recipe(tiny_recipe, {"exchange.choose": "gate", "exchange.budget": 0.3, "train.ema": 0.9})
    task = builders.training_job(recipe, device_name="cpu").task
    task.pass_over(int(0.75 * task.schedule.total_steps))
    both = [exchange_layers(net).values() for net in (task.model, task.kept)]
    for own, kept in zip(*both, strict=True):
        assert own.replaced().any()
        assert torch.equal(own.replaced(), kept.replaced())


def test_donors_are_drawn_apart_from_the_channels(tiny_recipe: Path) -> None:
    names = ["rgb", "depth", "hha", "normal"]
    changes = {"data.inputs": names, "exchange.choose": "random", "exchange.budget": 0.3, "exchange.donors": "groups"}
    net = builders.network(load_recipe("rooms", {**changes, "exchange.sparsity": 0.0}), 5)
    falling = []
    for layer in exchange_layers(net).values():
        for m, replaced in enumerate(layer.replaced()):
            counts = torch.bincount(layer.donor[m, replaced], minlength=4).tolist()
            others = [count for other, count in enumerate(counts) if other != m]
            falling.append(others == sorted(others, reverse=True))
    assert not all(falling), "the first modalities give no more than the last"


def test_classes_are_counted_on_what_is_trained_on(tiny_recipe: Path) -> None:
    weighted = {"loss.class_weights": "median"}
    recipes = (load_recipe(tiny_recipe, weighted | changes) for changes in ({}, {"eval.size": [64, 80]}))
    one, other = (builders.training_job(recipe, device_name="cpu").class_counts for recipe in recipes)
    assert one == other


def test_other_stages_neither_exchange_nor_are_pressed(tiny_recipe: Path) -> None:
    plan = dry_run(tiny_recipe, changes={"exchange.stages": [2, 3]}, device="cpu").plan
    assert {name.split(".")[1] for name in plan.exchanges} == {"layer2", "layer3"}


def test_a_u_net_chooses_alike(tiny_translation_recipe: Path, tmp_path: Path) -> None:
    changes = {"exchange.choose": "gain", "exchange.budget": 0.5, "exchange.choose_every": 1, "exchange.stages": [2, 3]}
    changes |= {"train.epochs": 1, "gan.reuse_forward": True, "data.inputs": ["shade", "texture", "depth"]}
    summary = train(tiny_translation_recipe, changes=changes, out=tmp_path / "run", device="cpu")
    assert share(summary) == pytest.approx(0.5, abs=0.1)
    layers = exchange_layers(builders.load(tmp_path / "run").network)
    assert list(layers) == ["encoder.layer2.norm", "encoder.layer3.norm"]
    assert all(layer.choice.gain.any() for layer in layers.values())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"exchange.choose": "gain"}, 'exchange.budget: missing; exchange.choose = "gain" needs a share, such as 0.3'),
        ({"exchange.choose_every": 3}, "exchange.choose_every = 3: the threshold decides at every step without"),
        (
            {"exchange.choose": "random", "exchange.budget": 0.3, "exchange.share": 0.4},
            "exchange.share = 0.4: not read beside exchange.budget = 0.3",
        ),
        ({"exchange.choose": "all", "exchange.budget": 0.3}, "exchange.budget = 0.3: read only with exchange.choose ="),
        ({"exchange.choose": "gate", "exchange.sparsity": 1.0}, "exchange.sparsity = 1.0: read only with"),
        ({"model.fusion": "none", "exchange.stages": [1]}, "exchange.stages = .1.: read only with model.fusion"),
    ],
)
def test_keys_that_do_not_apply_are_refused(changes: dict, message: str, tiny_recipe: Path) -> None:
    with pytest.raises(RecipeError) as refused:
        dry_run(tiny_recipe, changes=changes, device="cpu")
    assert any(message.replace(".1.", "[1]") in problem for problem in refused.value.problems)


@pytest.mark.parametrize(
    ("stages", "frozen", "message"),
    [
        ([5], 0, "encoder has 4"),
        ([1, 2], 1, "nothing exchanges in stage 1"),
        (None, 4, "nothing is left that exchanges"),
    ],
)
def test_stages_that_cannot_exchange_are_refused(stages, frozen, message, tiny_recipe: Path) -> None:
    changes = {"model.frozen_stages": frozen} | ({"exchange.stages": stages} if stages else {})
    with pytest.raises(UsageError, match=message):
        dry_run(tiny_recipe, changes=changes, device="cpu")


@pytest.mark.parametrize(
    "changes",
    [
        {"exchange.choose": "random", "exchange.share": 1e-3},
        {"exchange.choose": "gamma", "exchange.budget": 1e-3},
        {"exchange.choose": "gate", "exchange.budget": 1e-3},
    ],
    ids=str,
)
def test_a_share_that_replaces_no_channel_is_refused(changes: dict, tiny_recipe: Path) -> None:
    with pytest.raises(
        UsageError, match=r"exchange\.(share|budget): a share of .* is no channel: no layer may replace more than"
    ):
        dry_run(tiny_recipe, changes=changes, device="cpu")
