"""The public names are there, those of version 0.1.0 among them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import cen_cli

NAMES_OF_0_1 = (
    *("ChannelExchange", "ModalBatchNorm2d", "ModalInstanceNorm2d", "ModalOutput", "PrivateConv2d"),
    *("PrivateConvTranspose2d", "__version__", "active_dropout", "exchange_channels", "exchange_layers", "load"),
    *("metrics", "set_frozen_statistics", "set_norm_statistics", "sparsity_penalty", "to_cen"),
)


@pytest.mark.parametrize("name", sorted({*NAMES_OF_0_1, *cen_cli.__all__}))
def test_name_is_public(name: str) -> None:
    assert name in cen_cli.__all__
    assert name in dir(cen_cli)
    assert getattr(cen_cli, name) is not None


def test_a_loaded_network_is_called_and_asked_as_before(tiny_run: Path) -> None:
    loaded = cen_cli.load(tiny_run)
    images = {name: torch.zeros(1, 3, 32, 32) for name in loaded.modalities}
    with torch.inference_mode():
        assert torch.equal(loaded(images).branches, loaded.network(images).branches)
    assert (loaded.task, loaded.modalities, loaded.compact) == ("segmentation", ("rgb", "depth"), False)
    assert loaded.target is loaded.target_spec is None
    assert [spec.name for spec in loaded.specs] == ["rgb", "depth"]
    assert not loaded.training
    assert len(list(loaded.parameters())) == len(list(loaded.network.parameters()))
    assert len(cen_cli.exchange_layers(loaded)) == len(cen_cli.exchange_layers(loaded.network))
