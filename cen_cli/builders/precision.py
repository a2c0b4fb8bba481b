"""What `train.precision = "auto"` means for a network: bf16 on GPUs that compute it, and on a CPU if it is faster.

CPUs with instructions for bf16 (AVX512-BF16, AMX) are fast at products of matrices, and no faster than in fp32 at other
things; of depthwise convolutions, whose gradients are slower, the large ones train in fp32 (`placed`). So a step of the
network itself decides, with random numbers, and what it showed is kept in the user's cache: runs of one architecture on
one machine get one answer.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import platformdirs
import torch

from cen_cli import ranks
from cen_cli.builders.networks import network, placed
from cen_cli.errors import CheckpointError, SaveError
from cen_cli.files import read_json, write_json
from cen_cli.models.cost import in_turn
from cen_cli.models.device import DTYPES, LARGE, Precision, autocast, computes_bf16, resolve_precision
from cen_cli.recipe.schema import Recipe
from cen_cli.runs.directory import RunDirectory, locate
from cen_cli.runs.log import read_environment

FASTER = 0.95
"""Of the time in fp32: bf16 is taken below it."""
ROUNDS = 3
CLASSES = 14
"""Of the measured classifier; the number hardly matters."""
LONGEST = 256
"""Pixels of the measured crop's sides, at most, but for what a U-Net of more levels halves."""
PIXELS = 2**17
"""Of the measured batch of each modality, at most; fewer tell too little of a whole step."""


def decide_precision(recipe: Recipe, device: torch.device) -> tuple[Precision, float | None]:
    """The precision to train in, and a step's time in bf16 as a share of fp32's where that was measured for it."""
    asked = recipe.train.precision
    if asked != "auto" or not computes_bf16(device) or ranks.launched():  # ranks agree without measuring
        return resolve_precision(asked, device), None
    file = _cache(recipe)
    ratio = _remembered(file)
    if ratio is None:
        ratio = _measured(recipe, device)
        with contextlib.suppress(SaveError):  # then it is measured again next time
            write_json(file, {"bf16_over_fp32": ratio})
    return "bf16" if ratio < FASTER else "fp32", ratio


def in_recorded_precision(recipe: Recipe, environment: Mapping[str, Any], device: torch.device) -> Recipe:
    """The recipe of a run with the precision that "auto" meant when it was started, on the same kind of device."""
    recorded: Any = environment.get("precision")
    known = recorded in DTYPES and str(environment.get("device")).startswith(device.type)
    return in_precision(recipe, recorded) if recipe.train.precision == "auto" and known else recipe


def in_precision_of_run(recipe: Recipe, checkpoint: Path, device: torch.device) -> Recipe:
    """The same for a recipe by which a run's checkpoint is scored; one without its run keeps what it asks for."""
    run = locate(checkpoint).run
    if run is None or recipe.train.precision != "auto":
        return recipe
    try:
        return in_recorded_precision(recipe, read_environment(RunDirectory(run)), device)
    except CheckpointError:  # of environment.json alone: the network is whole
        return recipe


def in_precision(recipe: Recipe, precision: Precision) -> Recipe:
    """The recipe with this `train.precision`."""
    return recipe.model_copy(update={"train": recipe.train.model_copy(update={"precision": precision})})


def _measured(recipe: Recipe, device: torch.device) -> float:
    """Seconds of forward and backward in bf16 by those in fp32, median over rounds; no generator is moved."""
    longest = max(LONGEST, 2**recipe.unet.levels) if recipe.model.arch == "unet" else LONGEST
    height, width = (min(side, longest) for side in recipe.data.crop)
    batch = max(2, min(recipe.train.batch, PIXELS // (height * width)))
    with torch.random.fork_rng(devices=[]):
        model = placed(network(recipe, CLASSES, weights="none"), device, recipe).train()
        images = {name: torch.randn(batch, 3, height, width, device=device) for name in model.modalities}

        def step(precision: Precision) -> None:
            with autocast(device, precision):
                output = model(images)
            output.branches.float().mean().backward()

        times = in_turn(lambda: step("bf16"), lambda: step("fp32"), device, ROUNDS)
    return statistics.median(half / full for half, full in times)


def _cache(recipe: Recipe) -> Path:
    """Where the answer for this architecture and machine is kept, however it fuses and whatever it starts from."""
    model = recipe.model.model_dump(exclude={"fusion", "fusion_stage", "weights", "dropout"})
    subject = [model, recipe.unet.model_dump(), recipe.data.crop, recipe.data.inputs, recipe.train.channels_last]
    machine = [platform.node(), torch.backends.cpu.get_cpu_capability(), torch.__version__, torch.get_num_threads()]
    key = hashlib.sha256(json.dumps([machine, subject, LARGE], default=str).encode()).hexdigest()[:16]
    return platformdirs.user_cache_path("cen") / "precision" / f"{key}.json"


def _remembered(file: Path) -> float | None:
    try:
        ratio = read_json(file)["bf16_over_fp32"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return float(ratio) if isinstance(ratio, int | float) else None
