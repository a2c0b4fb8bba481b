"""Labels from logits, against torch's bicubic resizing of the whole map and its argmax."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from cen_cli.scoring import labels
from cen_cli.scoring.labels import labels_at


@pytest.mark.parametrize(
    ("small", "size"),
    [((7, 9), (33, 150)), ((12, 16), (48, 64)), ((40, 140), (13, 131)), ((1, 3), (17, 5)), ((20, 20), (20, 40))],
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_labels_are_those_of_resized_logits_but_for_ties(small, size, layout):
    logits = torch.randn(2, 5, *small, generator=torch.Generator().manual_seed(0)).contiguous(memory_format=layout)
    whole = F.interpolate(logits, size=size, mode="bicubic", align_corners=False)
    found = labels_at(logits.requires_grad_(), size)
    assert found.dtype == torch.int64
    assert found.shape == (2, *size)
    lost = whole.amax(dim=1) - whole.gather(1, found[:, None])[:, 0]
    assert float(lost.max()) < 1e-5, "another class than the largest"


def test_labels_are_those_of_float32_inside_an_autocast_too():
    logits = torch.randn(1, 40, 27, 36, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = labels_at(logits, (106, 140))
    assert torch.equal(inside, labels_at(logits, (106, 140)))


def test_of_equal_logits_the_first_class_is_taken_and_no_resizing_is_none():
    assert not labels_at(torch.ones(1, 6, 4, 4), (9, 9)).any()
    logits = torch.randn(2, 6, 5, 7)
    assert torch.equal(labels_at(logits.bfloat16(), (5, 7)), logits.bfloat16().argmax(dim=1))


def test_logits_of_the_whole_map_are_never_made(monkeypatch):
    def forbidden(*_arguments):
        raise AssertionError("the whole map was made")

    monkeypatch.setattr(labels, "resized_logits", forbidden)
    assert labels_at(torch.randn(1, 3, 4, 4), (16, 16)).shape == (1, 16, 16)
