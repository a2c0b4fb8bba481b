"""What compacting is said to have changed."""

from __future__ import annotations

import pytest
import torch

from cen_cli.analysis import compaction
from cen_cli.analysis.compaction import compaction_report
from cen_cli.models.compact import CompactConvolution, compact_sites, compact_tensors, compacted
from tests.models.test_compact import segmenter, with_allotted_donors


def test_removed_channels_are_those_that_no_convolution_computes() -> None:
    """With donors in groups fewer are read than with the mean of all others."""
    net = with_allotted_donors(segmenter(3, replace="anywhere", region="all"))
    compact = compacted(net)
    report = compaction_report(
        net, compact, (net.state_dict(), compact_tensors(net)), (), size=(32, 32), device=torch.device("cpu"), rounds=0
    )
    layers = [layer for layer in compact.modules() if isinstance(layer, CompactConvolution)]
    exchanging = [layer for layer in layers if layer.sources is not None]
    computed = sum(conv.out_channels for layer in exchanging for conv in layer.convs)
    assert sum(report.removed.values()) == 3 * report.channels - computed
    assert 0 < sum(report.removed.values()) < sum(report.replaced.values())
    assert report.folded == 20


@pytest.mark.parametrize("left", [0, 2])
def test_exchanges_that_stay_are_told_of(left: int, monkeypatch: pytest.MonkeyPatch) -> None:
    net = segmenter()
    sites = [site for site in compact_sites(net) if site.replaced.any()][left:]
    monkeypatch.setattr(compaction, "compact_sites", lambda model, like: sites)
    report = compaction_report(net, net, ({}, {}), (), size=(32, 32), device=torch.device("cpu"), rounds=0)
    assert [note.partition(" stay")[0] for note in report.notes] == ["2 of 16 exchanging layers"] * bool(left)
