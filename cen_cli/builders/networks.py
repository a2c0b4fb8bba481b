"""A recipe's `[model]`, `[unet]`, `[gan]`, `[sharing]` and `[exchange]` tables -> networks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from cen_cli.builders.fine_tuning import (
    given_back,
    keep_choices,
    normalized_before,
    origin_rows,
    own_checkpoint,
    replaced_before,
    start_from,
)
from cen_cli.data.modality import ModalitySpec
from cen_cli.data.sampler import mixed_seed
from cen_cli.errors import CheckpointError, UsageError
from cen_cli.models.backbones.pretrained import photograph_statistics
from cen_cli.models.backbones.staged import PREFIX
from cen_cli.models.choices import (
    Choice,
    LargestGains,
    RandomShare,
    SmallestGammas,
    SoftGates,
    check_share,
    choose_channels,
)
from cen_cli.models.device import train_large_depthwise_in_fp32
from cen_cli.models.downloads import fetch, is_address
from cen_cli.models.exchange import allot_donors, exchange_layers
from cen_cli.models.fusion.align import AlignFusion
from cen_cli.models.fusion.blocks import AverageFusion, ConcatFusion, SelfAttentionFusion
from cen_cli.models.fusion.placement import Fusion, MakeBlock
from cen_cli.models.heads.patch_discriminator import PatchDiscriminator
from cen_cli.models.segmenter import Segmenter, pspnet_segmenter, refinenet_segmenter
from cen_cli.models.settings import StreamSettings
from cen_cli.models.sparsity import scale_by_gradients
from cen_cli.models.stages import exchange_only_in, freeze_first_stages, make_first_stages_private
from cen_cli.models.translator import Translator, unet_translator
from cen_cli.recipe.load import parse_recipe
from cen_cli.recipe.schema import Exchange, Recipe
from cen_cli.recipe.wording import show_value
from cen_cli.runs.checkpoint import COMPACT, read_tensors

Network = Segmenter | Translator

DONORS = 1
"""Sets what allots donors apart from what draws the channels."""


def network(recipe: Recipe, classes: int, *, weights: str | None = None) -> Network:
    """The recipe's network; `classes` is read by segmentation, and `weights` goes before the recipe's own.

    An address is downloaded. Raises what `fetch` raises, and CheckpointError where weights do not fit.
    """
    weights = weights or recipe.model.weights
    if is_address(weights):
        weights = str(fetch(weights).file)
    trained = own_checkpoint(weights)
    if recipe.model.arch == "unet":
        built: Network = _unet(recipe)
    else:
        built = _segmenter(recipe, classes, weights if trained is None else "none")
    make_first_stages_private(built.encoder, len(recipe.data.inputs), recipe.sharing.private_stages or 0)
    if trained is not None:
        tensors, labels = read_tensors(trained)
        if COMPACT in labels:
            hint = "give the run, or the checkpoint, that it was made of"
            raise CheckpointError(f"{trained}: a compact network, made for inference, is no start", hint=hint)
        names, run = json.loads(labels["modalities"]), parse_recipe(labels["recipe"], str(trained))
        built.start = start_from(built, built.modalities, tensors, names, trained)
        before = replaced_before(built, tensors, run, origin_rows(built.modalities, names))
    freeze_first_stages(built.encoder, recipe.model.frozen_stages)
    if recipe.model.fusion == "exchange":
        _set_exchange(built, recipe)
    if trained is not None:
        if _chooses(recipe) == _chooses(run):
            keep_choices(built, tensors)
        built.start += given_back(built, before)
    return built


def _chooses(recipe: Recipe) -> dict[str, Any]:
    """Who chooses the channels, how many of which, and who gives."""
    return recipe.exchange.model_dump(include={"choose", "budget", "share", "region", "replace", "donors"})


def normalized_otherwise(recipe: Recipe, specs: Sequence[ModalitySpec]) -> str:
    """What to say where inputs are not normalised as for the weights, of a run or of timm's, that are taken; or ""."""
    backbone = recipe.model.backbone or ""
    if recipe.model.weights not in ("none", "imagenet"):
        weights = recipe.model.weights
        return normalized_before(str(fetch(weights).file) if is_address(weights) else weights, specs)
    if recipe.model.weights != "imagenet" or not backbone.startswith(PREFIX):
        return ""
    meant = photograph_statistics(backbone.removeprefix(PREFIX))
    if meant is None:
        return ""
    odd = [spec.name for spec in specs if spec.jitter and not np.allclose((spec.mean, spec.std), meant)]
    if not odd:
        return ""
    mean, std = (show_value(values[0] if len(set(values)) == 1 else list(values)) for values in meant)
    return f"the weights were trained with other photographs: [data.normalize.{odd[0]}] mean = {mean}, std = {std}"


def _set_exchange(built: Network, recipe: Recipe) -> None:
    """Where it exchanges, who chooses, who gives, what presses."""
    exchange, seed = recipe.exchange, recipe.train.seed
    if exchange.choose != "none" and not exchange_layers(built):
        frozen = f"model.frozen_stages = {recipe.model.frozen_stages}"
        raise UsageError(f"{frozen}: nothing is left that exchanges", hint='fewer, or model.fusion = "none"')
    if exchange.stages is not None:
        exchange_only_in(built.encoder, exchange.stages)
    choice = _choice(exchange)
    if choice is not None:
        _check_share(built, exchange)
        choose_channels(built, choice, seed)
    if exchange.donors == "groups":
        allot_donors(built, mixed_seed(seed, DONORS))
    if exchange.sparsity_scale == "layer" and recipe.penalty > 0:
        scale_by_gradients(built)


def _check_share(built: Network, exchange: Exchange) -> None:
    """Raises UsageError where the share to replace is no channel in any layer."""
    key, share = ("share", exchange.share) if exchange.budget is None else ("budget", exchange.budget)
    try:
        check_share(built, 1.0 if exchange.choose == "all" else share)
    except ValueError as error:
        raise UsageError(f"exchange.{key}: {error}", hint="a larger share, or a wider network") from error


def _choice(exchange: Exchange) -> Choice | None:
    """Who chooses the channels; None where the threshold does, or nobody."""
    budget = exchange.budget
    if exchange.choose == "gain":
        assert budget is not None, "a checked recipe has one"
        return LargestGains(budget, exchange.steps_between_choices)
    if exchange.choose == "gate":
        return SoftGates(budget)
    if exchange.choose == "gamma":
        return None if budget is None else SmallestGammas(budget, exchange.steps_between_choices)
    share = {"random": budget or exchange.share, "all": 1.0}.get(exchange.choose)
    return None if share is None else RandomShare(share)


def _segmenter(recipe: Recipe, classes: int, weights: str) -> Segmenter:
    model = recipe.model
    assert model.backbone is not None, "a checked recipe names one"
    common: dict[str, Any] = {
        "backbone": model.backbone,
        "width": model.width,
        "encoder_width": model.encoder_width,
        "dropout": model.dropout,
        "weights": None if weights == "none" else weights,
        "streams": _streams(recipe),
        "fusion": _baseline(recipe),
    }
    if model.arch == "pspnet":
        auxiliary = model.auxiliary_weight > 0
        return pspnet_segmenter(recipe.data.inputs, classes, auxiliary=auxiliary, **common)
    norm, joint = model.decoder_norm == "batch", model.classifier == "concat"
    return refinenet_segmenter(recipe.data.inputs, classes, light=model.light, norm=norm, joint=joint, **common)


def _unet(recipe: Recipe) -> Translator:
    return unet_translator(
        recipe.data.inputs, streams=_streams(recipe), fusion=_baseline(recipe), **recipe.unet.model_dump()
    )


BASELINES: dict[str, MakeBlock] = {
    "average": lambda _, modalities, __: AverageFusion(modalities),
    "concat": lambda channels, modalities, _: ConcatFusion(channels, modalities),
    "align": lambda channels, modalities, _: AlignFusion(channels, modalities),
    "self-attention": lambda channels, modalities, norm: SelfAttentionFusion(channels, modalities, norm(channels)),
}


def _baseline(recipe: Recipe) -> Fusion | None:
    """The fusion baseline that the recipe asks for; None for exchange and for no fusion."""
    make_block = BASELINES.get(recipe.model.fusion)
    return None if make_block is None else Fusion(make_block, recipe.model.fusion_stage)


def _streams(recipe: Recipe) -> StreamSettings:
    """What the streams share and how they exchange, whatever the network."""
    exchange = recipe.exchange
    fused = recipe.model.fusion == "exchange"
    return StreamSettings(
        conv=recipe.sharing.conv,
        norm=recipe.sharing.norm,
        threshold=exchange.threshold,
        region=exchange.region,
        replace=exchange.replace,
        exchange=fused and exchange.choose != "none",
        gamma_init=exchange.gamma_init if fused else None,
        decoder_conv=recipe.sharing.decoder,
    )


def discriminator(recipe: Recipe) -> PatchDiscriminator | None:
    """The discriminator of a translation; None where the adversarial loss has no weight."""
    gan = recipe.gan
    if gan.adversarial_weight == 0:
        return None
    seen = len(recipe.data.inputs) if recipe.model.fusion in BASELINES else 1
    return PatchDiscriminator(gan.filters, layers=gan.layers, condition_channels=3 * seen)


def placed(module: Any, device: torch.device, recipe: Recipe) -> Any:
    """A network on its device, its kernels with channels innermost where the recipe or, by "auto", their speed asks so.

    A U-Net's maps come down to a few pixels, and instance norms take them plane by plane. In bf16 on a CPU, what would
    be slower in it trains in fp32.
    """
    if device.type == "cpu" and recipe.train.precision != "fp32":
        train_large_depthwise_in_fp32(module)
    wish = recipe.train.channels_last
    innermost = recipe.model.arch != "unet" if wish == "auto" else wish
    memory_format = torch.channels_last if innermost else torch.preserve_format
    return module.to(device, memory_format=memory_format)
