from __future__ import annotations

from cen_cli.data.modality import SHORT_NAMES, full_name
from cen_cli.data.sets.taskonomy import SPECS


def test_short_and_full_names_are_one_domain():
    assert full_name("shade") == full_name("reshading") == "reshading"
    assert full_name("texture") == full_name("edge_texture") == "edge_texture"
    assert full_name("edge") == "edge_occlusion"
    assert full_name("depth") == "depth_euclidean"
    assert [full_name(name) for name in ("normal", "rgb", "hha")] == ["normal", "rgb", "hha"]


def test_short_names_mean_domains_that_there_are():
    assert set(SHORT_NAMES.values()) <= set(SPECS)
