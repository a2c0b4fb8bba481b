"""Small layers with gammas written by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import nn

from cen_cli.models.exchange import ChannelExchange
from cen_cli.models.norms import ModalBatchNorm2d

MakeLayer = Callable[..., ChannelExchange]


@pytest.fixture
def make_layer() -> MakeLayer:
    """A function from gammas, one row per modality, to an exchanging layer with threshold 0.1."""

    def make(gammas: Sequence[Sequence[float]], **settings: object) -> ChannelExchange:
        rows = torch.tensor(gammas)
        norm = ModalBatchNorm2d(rows.shape[1], rows.shape[0])
        with torch.no_grad():
            norm.weight.copy_(rows)
        return ChannelExchange(norm, **{"threshold": 0.1, **settings})

    return make


@pytest.fixture
def network(make_layer: MakeLayer) -> nn.Module:
    """Two stages: a layer of 4 channels in `layer1`, one of 2 channels in `layer2`; two modalities."""
    block = nn.Module()
    block.layer1 = nn.Sequential(make_layer([[0.05, -0.5, 0.01, 2.0], [0.3, 0.02, -0.09, 0.2]]))
    block.layer2 = nn.Sequential(make_layer([[-0.01, 1.0], [0.5, 0.6]]))
    return block
