"""Activation checkpointing (Chen et al. 2016): an encoder's blocks are computed again in the backward pass.

What a block computes is thrown away, but for its input. Nothing else changes: random draws are those of the first time,
and running statistics stand, while a block is computed again, where they stood before it, and do not move.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cen_cli.models.backbones.encoder import Encoder
from cen_cli.models.conversion import Convolution
from cen_cli.models.streams import PrivateCopies

Layer = Convolution | PrivateCopies
Buffers = dict[str, Tensor | None]


def checkpoint_activations(encoder: Encoder) -> None:
    """Let every block of the encoder's stages keep its input alone for the backward pass, in place.

    A block is what a stage, or a sequence in it, is made of; a layer alone, as in the stem of a ResNet, is none.
    """
    for block in _blocks(module for stage in encoder.stages() for module in stage):
        again: Any = partial(checkpoint, block.forward, use_reentrant=False, context_fn=partial(_contexts, block))
        block.forward = again


def _blocks(modules: Iterable[nn.Module]) -> Iterator[nn.Module]:
    for module in modules:
        if isinstance(module, nn.Sequential):
            yield from _blocks(module)
        elif not isinstance(module, Layer) and any(isinstance(each, Convolution) for each in module.modules()):
            yield module


def _contexts(block: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """What a block is computed in, the first time and again."""
    tables = [module._buffers for module in block.modules()]
    values = [{name: each.clone() for name, each in table.items() if each is not None} for table in tables]
    return nullcontext(), _standing(tables, values)


@contextmanager
def _standing(tables: Sequence[Buffers], values: Sequence[Mapping[str, Tensor]]) -> Iterator[None]:
    """Inside, the buffers in these tables are other tensors of these values."""
    now = [dict(table) for table in tables]
    for table, standing in zip(tables, values, strict=True):
        table.update(standing)
    try:
        yield
    finally:
        for table, moved in zip(tables, now, strict=True):
            table.update(moved)
