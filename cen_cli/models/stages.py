"""What is done to some stages of an encoder alone: they are not trained, not shared, or exchange nothing."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from cen_cli.errors import UsageError
from cen_cli.models.backbones.encoder import Encoder
from cen_cli.models.conversion import is_convolution, replace_layers
from cen_cli.models.exchange import exchange_layers, exchanging_layers
from cen_cli.models.norms import ModalNorm, set_frozen_statistics
from cen_cli.models.streams import PrivateCopies

SHARED_AT_MOST = 0.01
"""Share of the parameters that streams which are to be private may have in common."""


def freeze_first_stages(encoder: Encoder, count: int) -> None:
    """Freeze weights and statistics of the first `count` stages, in place: they stay as loaded, and cost no backward.

    They exchange nothing, for no gamma moves. Call it again after `set_frozen_statistics`. Raises UsageError where the
    encoder has fewer.
    """
    _check_stages(encoder, count, f"model.frozen_stages = {count}")
    for stage in encoder.stages()[:count]:
        for module in stage:
            module.requires_grad_(False)
            set_frozen_statistics(module, True)
        _leave_out_exchange(encoder, stage)


def stages_without_exchange(encoder: Encoder) -> list[int]:
    """Stages, counted from 1, in which no channel can be replaced."""
    layers = exchanging_layers(encoder).values()
    exchanging = {id(layer) for layer in layers if layer.replaceable.any()}
    return [
        number
        for number, stage in enumerate(encoder.stages(), start=1)
        if not any(id(layer) in exchanging for module in stage for layer in module.modules())
    ]


def exchange_only_in(encoder: Encoder, stages: Sequence[int]) -> None:
    """Leave exchange and penalty to these stages, counted from 1, in place; the norms of the others stay.

    Raises UsageError where the encoder has fewer, and where one of them exchanges nothing.
    """
    shown = f"exchange.stages = {list(stages)}"
    _check_stages(encoder, max(stages, default=0), shown)
    for number, stage in enumerate(encoder.stages(), start=1):
        if number not in stages:
            _leave_out_exchange(encoder, stage)
        elif not any(exchange_layers(module) for module in stage):
            raise UsageError(
                f"{shown}: nothing exchanges in stage {number}",
                hint="stages with exchanging norms that are not frozen, see model.frozen_stages",
            )


def make_first_stages_private(encoder: Encoder, modalities: int, count: int) -> None:
    """Give each modality its own copy of every convolution in the first `count` stages, in place.

    Raises UsageError where the encoder has fewer, and where kernels would stay shared.
    """
    shown = f"sharing.private_stages = {count}"
    _check_stages(encoder, count, shown)
    try:
        check_private(nn.ModuleList(module for stage in encoder.stages()[:count] for module in stage))
    except ValueError as error:
        raise UsageError(f"{shown}: {error}") from error
    for module in (module for stage in encoder.stages()[:count] for module in stage):
        convolutions = [layer for layer in module.modules() if is_convolution(layer, linear=True)]
        replace_layers(encoder, {layer: PrivateCopies(layer, modalities) for layer in convolutions})


def check_private(module: nn.Module) -> None:
    """ValueError where kernels that are no convolution's and no linear layer's would stay shared by the streams."""
    kernels: dict[str, int] = {}
    for layer in module.modules():
        if not (is_convolution(layer, linear=True) or isinstance(layer, ModalNorm)):  # which has a row a stream
            own = sum(each.numel() for each in layer.parameters(recurse=False) if each.dim() > 1)
            kernels[type(layer).__name__] = kernels.get(type(layer).__name__, 0) + own
    total = sum(each.numel() for each in module.parameters())
    shared = [name for name, own in kernels.items() if own > SHARED_AT_MOST * total]
    if shared:
        raise ValueError(f"its {', '.join(shared)} layers, of kernels that are mixed anew for each image, stay shared")


def _check_stages(encoder: Encoder, last: int, shown: str) -> None:
    if (existing := len(encoder.stages())) < last:
        raise UsageError(f"{shown}: the encoder has {existing}")


def _leave_out_exchange(encoder: Encoder, stage: Sequence[nn.Module]) -> None:
    """Put the norms of a stage in the place of its exchanges."""
    for module in stage:
        exchanges = {layer: layer.norm for layer in exchange_layers(module).values()}
        replace_layers(encoder, exchanges)  # type: ignore[arg-type]  # modules for modules
