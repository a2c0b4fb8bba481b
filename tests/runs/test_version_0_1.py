"""A run that version 0.1.0 wrote goes on: it is resumed, scored and reported on, though newer runs hold more."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

import cen_cli
from cen_cli.errors import Interrupted
from cen_cli.jobs.report import report
from cen_cli.jobs.train import resume, train
from cen_cli.results import Listener, StepReport, as_json
from cen_cli.runs.checkpoint import read_tensors, write_tensors
from cen_cli.runs.directory import RunDirectory

RECIPE = """
task = "segmentation"
name = "tiny"

[data]
kind = "nyudv2"
root = "{root}"
inputs = ["rgb", "depth"]
crop = [32, 32]
cache = false
workers = 0
train_list = ""
val_list = ""
depth = "filled"

[data.augment]
scale = [1.0, 1.0]
min_short_side = 0
mirror = true

[data.augment.color_jitter]
brightness = 0.0
contrast = 0.0
saturation = 0.0
hue = 0.0

[model]
arch = "refinenet"
backbone = "resnet18"
weights = "none"
fusion = "exchange"
width = 4
encoder_width = 8
light = false
dropout = 0.5

[sharing]
conv = "shared"
norm = "private"

[exchange]
choose = "gamma"
threshold = 0.15
sparsity = 0.001
region = "disjoint"
replace = "own-part"
donors = "mean"
gamma_init = 0.2

[optimizer]
kind = "adam"
encoder_lr = 0.01
decoder_lr = 0.01
betas = [0.9, 0.999]
weight_decay = 1e-05

[schedule]
kind = "poly"
power = 0.9
warmup_steps = 0

[train]
epochs = 2
batch = 2
precision = "fp32"
channels_last = true
compile = false
freeze_bn = false
modality_dropout = 0.0
validate_every = 1
record_gammas_every = 2
log_every = 2
checkpoint_every = 0
best_by = ""
seed = 0

[eval]
protocol = "strict"
split = "test"
batch = 2
scales = [1.0]
flip = false
"""
"""As 0.1.0 resolved the recipe of `tests.tiny`."""
PROGRESS = {"epoch", "batch", "step", "seconds", "best_value", "best_step", "best", "last"}
PROGRESS |= {"window", "window_steps", "events_size"}
METADATA = {"recipe", "task", "modalities", "classes", "specs", "target", "step", "epoch"}
SPEC = {
    "name",
    "kind",
    "scale",
    "invalid",
    "coding",
    "clip",
    "mean",
    "std",
    "jitter",
    "mirror_sum",
    "colour",
    "derived",
}
SPEC |= {"log_scale", "max_depth", "encoding"}


class StopAtFour(Listener):
    """Asks the process to stop."""

    def on_step(self, report: StepReport) -> None:
        if report.step == 4:
            os.kill(os.getpid(), signal.SIGTERM)


def as_written_before(run: RunDirectory, root: Path) -> None:
    """Leave in the run just what 0.1.0 wrote."""
    recipe = RECIPE.replace("{root}", str(root))
    run.recipe.write_text(recipe)
    environment = json.loads(run.environment.read_text())
    run.environment.write_text(json.dumps({key: environment[key] for key in ("started", "versions", "device", "data")}))
    state = json.loads((run.last / "state.json").read_text())
    state = {key: state[key] for key in ("progress", "optimizers", "rng")}
    state["progress"] = {key: state["progress"][key] for key in PROGRESS}
    (run.last / "state.json").write_text(json.dumps(state))
    tensors, metadata = read_tensors(run.last / "model.safetensors")
    metadata = {key: metadata[key] for key in METADATA} | {"recipe": recipe}
    specs = [{key: spec[key] for key in SPEC} for spec in json.loads(metadata["specs"])]
    write_tensors(run.last / "model.safetensors", tensors, metadata | {"specs": json.dumps(specs)})


def test_a_run_of_version_0_1_is_resumed_scored_and_reported(
    tiny_recipe: Path, tiny_root: Path, tmp_path: Path
) -> None:
    whole = train(tiny_recipe, out=tmp_path / "whole", device="cpu")
    with pytest.raises(Interrupted):
        train(tiny_recipe, out=tmp_path / "old", device="cpu", listener=StopAtFour())
    run = RunDirectory(tmp_path / "old")
    as_written_before(run, tiny_root)

    assert resume(run.root, device="cpu").last == whole.last
    scored = cen_cli.evaluate(run.root, split="val", device="cpu").evaluation
    assert as_json(scored.scores) == as_json(whole.best.scores)
    assert Path(report(run.root).report).is_file()
    assert cen_cli.load(run.root).recipe.name == "tiny"
