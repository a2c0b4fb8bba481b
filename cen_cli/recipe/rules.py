"""The rules between keys of a recipe; `folder_rules` has those of `[data.folders]`.

A rule is given the values of the keys that it names and yields (key, what is wrong). `problems` puts the key and its
value before the words, and passes a rule over where one of its keys is known to be wrong already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from cen_cli.recipe.paths import Path
from cen_cli.recipe.schema import Exchange, Recipe
from cen_cli.recipe.switches import BASELINES
from cen_cli.recipe.table import BACKBONES
from cen_cli.recipe.wording import one_of, perhaps, show_value
from cen_cli.results import SCALAR_METRICS

Complaints = Iterator[tuple[str | Path, str]]
"""(dotted key, or a path where a name may have a dot; what is wrong)."""
Rule = Callable[..., Complaints]
SHARES = (*SCALAR_METRICS["segmentation"], "ssim")
"""Scores that cannot be above 1."""
RULES: list[tuple[tuple[Path, ...], Rule]] = []
"""(keys that a rule reads, rule)."""


def rule(keys: str) -> Callable[[Rule], Rule]:
    """Note a function as a rule; its arguments are the values of these keys."""

    def note(check: Rule) -> Rule:
        RULES.append((tuple(tuple(key.split(".")) for key in keys.split()), check))
        return check

    return note


@rule("model.fusion sharing.norm exchange.choose")
def _one_gamma_for_all(fusion: str, norm: str, choose: str) -> Complaints:
    if fusion == "exchange" and choose != "none" and norm in ("shared", "statistics-private"):
        wanted = '"private" or "affine-private", or model.fusion = "none", or exchange.choose = "none"'
        yield "sharing.norm", f"one gamma for all modalities leaves nothing to exchange by; {wanted}"


@rule("exchange.choose exchange.budget exchange.choose_every exchange.share")
def _budget_of_the_choice(choose: str, budget: float | None, every: int | None, share: float) -> Complaints:
    if choose == "gain" and budget is None:
        yield "exchange.budget", 'missing; exchange.choose = "gain" needs a share, such as 0.3'
    if choose == "gamma" and budget is None and every is not None:
        yield "exchange.choose_every", "the threshold decides at every step without exchange.budget; remove it"
    if choose == "random" and budget is not None and share != Exchange.model_fields["share"].default:
        yield "exchange.share", f"not read beside exchange.budget = {budget}; remove one"


@rule("exchange.replace exchange.choose exchange.budget")
def _anywhere_by_the_threshold(replace: str, choose: str, budget: float | None) -> Complaints:
    if replace == "anywhere" and (choose not in ("gamma", "none") or budget is not None):
        otherwise = f"exchange.budget = {budget}" if budget is not None else f"exchange.choose = {show_value(choose)}"
        yield "exchange.replace", f'"own-part" with {otherwise}; "anywhere" is where a threshold finds them'


@rule("data.inputs model.fusion exchange.donors train.modality_dropout")
def _number_of_inputs(inputs: list[str], fusion: str, donors: str, dropout: float) -> Complaints:
    one = f'one modality ("{inputs[0]}")'
    if len(inputs) == 1 and fusion != "none":
        what = "exchange" if fusion == "exchange" else "be fused"
        yield "model.fusion", f'{one} has nothing to {what} with; model.fusion = "none", or two or more data.inputs'
    if len(inputs) == 1 and dropout > 0:
        yield "train.modality_dropout", f"{one} always stays; 0, or two or more data.inputs"
    if len(inputs) == 2 and fusion == "exchange" and donors == "groups":
        yield "exchange.donors", 'of two modalities each has one donor; "mean", or three or more data.inputs'


@rule("train.accumulate loss.dice")
def _dice_of_a_whole_batch(accumulate: int, dice: float) -> Complaints:
    if accumulate > 1 and dice > 0:
        yield "train.accumulate", f"loss.dice = {dice} is of a whole batch; 1, or no loss.dice"


@rule("train.accumulate model.fusion model.alignment")
def _alignment_of_a_whole_batch(accumulate: int, fusion: str, alignment: float) -> Complaints:
    if accumulate > 1 and fusion == "align" and alignment > 0:
        yield "train.accumulate", f"model.alignment = {alignment} is of a whole batch; 1, or model.alignment = 0"


@rule("train.checkpoint_activations train.compile")
def _compiled_otherwise(checkpointed: bool, compiled: bool) -> Complaints:
    if checkpointed and compiled:
        yield "train.checkpoint_activations", "train.compile = true plans by itself what is kept; one of them"


@rule("model.fusion model.fusion_stage")
def _fused_at_the_input(fusion: str, stage: str) -> Complaints:
    if fusion in BASELINES and fusion != "concat" and stage == "input":
        yield "model.fusion_stage", f'images are put side by side by model.fusion = "concat", not "{fusion}"'


@rule("model.fusion_stage model.frozen_stages")
def _a_new_stem_learns(stage: str, frozen: int) -> Complaints:
    if stage == "input" and frozen:
        yield "model.frozen_stages", '0 with model.fusion_stage = "input", whose stem starts as the mean of the images'


@rule("model.backbone model.weights model.encoder_width")
def _encoder_width(backbone: str | None, weights: str, width: int) -> Complaints:
    if width != 64 and (backbone or "").startswith("timm/"):
        yield "model.encoder_width", "64, its default, with timm/ encoders, which have widths of their own"
    if width != 64 and weights == "imagenet":
        wanted = '64 with model.weights = "imagenet", since published weights have that width'
        yield "model.encoder_width", f'{wanted}; or model.weights = "none"'


@rule("schedule.kind schedule.stage_epochs schedule.constant_epochs train.epochs")
def _stages_fill_the_run(kind: str, stages: list[int], constant: int, epochs: int) -> Complaints:
    if kind == "staged" and sum(stages) != epochs:
        wanted = f"the epochs of each stage, which sum to train.epochs = {epochs} (they sum to {sum(stages)})"
        yield "schedule.stage_epochs", wanted
    if kind == "linear" and constant >= epochs:
        yield "schedule.constant_epochs", f"fewer than train.epochs = {epochs}"


@rule(
    "schedule.kind schedule.stage_epochs optimizer.encoder_lr optimizer.decoder_lr optimizer.gamma_lr "
    "optimizer.discriminator_lr"
)
def _rates_by_stage(kind: str, stages: list[int], *rates: Any) -> Complaints:
    for name, rate in zip(("encoder_lr", "decoder_lr", "gamma_lr", "discriminator_lr"), rates, strict=True):
        if kind == "staged" and rate is not None and (not isinstance(rate, list) or len(rate) != len(stages)):
            yield f"optimizer.{name}", f"a list of {len(stages)}, one for each stage of schedule.stage_epochs"
        if kind != "staged" and isinstance(rate, list):
            yield f"optimizer.{name}", f'one number; a list needs schedule.kind = "staged", and it is "{kind}"'


def score_names(recipe: Recipe) -> list[str]:
    """The scores of a recipe's network, `branch.metric`."""
    branches = _branches(recipe.data.inputs, recipe.model.fusion, recipe.model.classifier)
    return [f"{branch}.{metric}" for branch in branches for metric in SCALAR_METRICS[recipe.task]]


def _branches(inputs: Sequence[str], fusion: str, classifier: str) -> tuple[str, ...]:
    return ("ensemble", *(["fused"] if fusion in BASELINES or classifier == "concat" else inputs))


@rule("task data.inputs model.fusion model.classifier train.best_by expected")
def _scores_exist(
    task: str, inputs: list[str], fusion: str, classifier: str, best_by: str, expected: Mapping[str, Any]
) -> Complaints:
    metrics = SCALAR_METRICS.get(task, ())
    branches = _branches(inputs, fusion, classifier)
    names = [f"{branch}.{metric}" for branch in branches for metric in metrics]
    wanted = f"a score: {' or '.join(branches)}, a dot, then {', '.join(metrics)}"
    if best_by and best_by not in names:
        yield "train.best_by", f"{wanted}{perhaps(best_by, names)}"
    for name, line in expected.items():
        if name not in names:
            yield ("expected", name), f"named after {wanted}{perhaps(name, names)}"
        elif name.rpartition(".")[2] in SHARES and line["value"] > 1:
            yield ("expected", name, "value"), "a share between 0 and 1"


@rule("task model.arch model.backbone")
def _network_of_the_task(task: str, arch: str, backbone: str | None) -> Complaints:
    fitting = {"segmentation": ("refinenet", "pspnet"), "translation": ("unet",)}.get(task, ())
    if arch not in fitting:
        yield "model.arch", f'{one_of(fitting)} with task = "{task}"'
    elif arch != "unet" and backbone is None:
        yield "model.backbone", f"missing; {BACKBONES}"
    elif arch == "pspnet" and backbone in ("resnet18", "resnet34"):
        wanted = '"resnet50", "resnet101" or "resnet152" with model.arch = "pspnet"'
        yield "model.backbone", f"{wanted}, whose dilated stages need bottleneck blocks"


@rule("task data.kind data.inputs data.target")
def _target_of_the_task(task: str, kind: str, inputs: list[str], target: str | None) -> Complaints:
    if task == "translation" and target is None:
        yield "data.target", 'missing; the modality to be made, with task = "translation"'
    if target in inputs:
        yield "data.target", f"it is one of data.inputs = {show_value(inputs)}"
    if task == "segmentation" and kind == "taskonomy":
        yield "data.kind", 'its labels are not read; with task = "translation"'
    if task == "translation" and kind in ("sunrgbd", "cityscapes"):
        yield "data.kind", 'read with its labels only; with task = "segmentation"'


@rule("model.arch unet.levels data.crop data.resize eval.size data.kind data.rooms.size")
def _sizes_fit_the_unet(
    arch: str, levels: int, crop: list[int], resize: list[int] | None, size: list[int] | None, kind: str, rooms: int
) -> Complaints:
    if arch != "unet":
        return
    whole = ("eval.size", size) if size else ("data.resize", resize)
    if kind == "rooms" and not whole[1]:
        whole = ("data.rooms.size", [rooms])
    for key, sides in (("data.crop", crop), whole):
        if sides and any(side % 2**levels for side in sides):
            yield key, f"multiples of {2**levels}, since unet.levels = {levels} halve the image {levels} times"


@rule("task gan.adversarial_weight gan.layers data.crop")
def _crop_fits_the_discriminator(task: str, weight: float, layers: int, crop: list[int]) -> Complaints:
    least = 3 * 2**layers
    if task == "translation" and weight > 0 and min(crop) < least:
        needed = f"a discriminator of so many layers needs crops of {least} pixels or more"
        yield "gan.layers", f"{needed}, and data.crop = {show_value(crop)}"


@rule("task eval.protocol")
def _paper_protocol(task: str, protocol: str) -> Complaints:
    if task == "segmentation" and protocol == "paper":
        yield "eval.protocol", 'with task = "translation"; here "strict"'


@rule("eval.window eval.stride")
def _windows_overlap(window: list[int] | None, stride: list[int] | None) -> Complaints:
    if stride is not None and window is None:
        yield "eval.stride", "steps of eval.window, which is absent"
    elif stride and window and any(step > side for step, side in zip(stride, window, strict=True)):
        yield "eval.stride", f"at most eval.window = {show_value(window)}, or pixels would be left out"


@rule("data.inputs data.normalize")
def _normalized_inputs(inputs: list[str], normalize: Mapping[str, Any]) -> Complaints:
    for name in normalize:
        if name not in inputs:
            yield ("data", "normalize", name), f"one of data.inputs = {show_value(inputs)}{perhaps(name, inputs)}"
