"""The images that networks are compared on, and what counts as equal."""

from __future__ import annotations

import pytest
import torch

from cen_cli.analysis.equality import ComparedBatch, check_equal, random_batches, real_batches
from cen_cli.errors import MismatchError

BATCH = ComparedBatch("random, 2 of 8 x 8", {})


def test_random_images_have_two_sizes_and_two_batch_sizes():
    batches = random_batches(("a", "b"), (32, 64), multiple=32)
    assert [batch.name for batch in batches] == ["random, 2 of 32 x 64", "random, 1 of 64 x 128"]
    assert [tuple(batch.inputs["b"].shape) for batch in batches] == [(2, 3, 32, 64), (1, 3, 64, 128)]
    assert not torch.equal(batches[0].inputs["a"], batches[0].inputs["b"])


class Views:
    """A data set of views of given sizes."""

    def __init__(self, *sizes: tuple[int, int]) -> None:
        self.sizes = sizes

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: int):
        image = torch.full((3, *self.sizes[index]), float(index))
        return type("Sample", (), {"inputs": {"a": image, "b": image + 10}})


def test_real_images_come_as_a_batch_and_side_by_side():
    batch, wide = real_batches(Views((8, 6), (8, 6), (4, 4)), "val", multiple=2)
    assert (batch.name, wide.name) == ("val views, 2 of 8 x 6", "val views, 1 of 8 x 12")
    assert batch.inputs["b"][:, 0, 0, 0].tolist() == [10, 11]
    assert wide.inputs["a"][0, 0, 0].tolist() == [0] * 6 + [1] * 6


@pytest.mark.parametrize("sizes", [((8, 6), (8, 4)), ((8, 6),)])
def test_a_single_view_stands_for_views_of_several_sizes(sizes):
    batch, wide = real_batches(Views(*sizes), "val", multiple=2)
    assert tuple(batch.inputs["a"].shape) == (1, 3, 8, 6)
    assert tuple(wide.inputs["a"].shape) == (1, 3, 8, 12)


@pytest.mark.parametrize("sizes", [((8, 6), (8, 5)), ()])
def test_views_that_a_network_does_not_take_are_left_out(sizes):
    assert real_batches(Views(*sizes), "val", multiple=2) == []


@pytest.mark.parametrize(("size", "added", "difference"), [(0.1, 5e-5, 5e-5), (200.0, 5e-3, 2.5e-5)])
def test_differences_count_as_a_share_of_large_outputs(size, added, difference):
    expected = {"rgb": torch.tensor([size, 0.0], dtype=torch.float64)}
    obtained = {"rgb": expected["rgb"] + added}
    assert check_equal(expected, obtained, BATCH, "it") == pytest.approx(difference)


@pytest.mark.parametrize(
    ("obtained", "shown"),
    [(torch.tensor([0.5, 1.0002]), "2.0e-04"), (torch.tensor([0.5, torch.nan]), "nan"), (torch.ones(3), "nan")],
)
def test_what_is_too_far_apart_is_named(obtained, shown):
    expected = {"rgb": torch.ones(2), "depth": torch.tensor([0.5, 1.0])}
    message = rf"^the graph: its output depth differs by {shown} on random, 2 of 8 x 8 \(1e-04 is allowed\)$"
    with pytest.raises(MismatchError, match=message) as caught:
        check_equal(expected, {"rgb": torch.ones(2), "depth": obtained}, BATCH, "the graph")
    assert caught.value.hint == "nothing was written"
