"""Where networks differ: pixel by pixel, and the region that is framed."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from cen_cli.analysis.comparison import Shown, compared_views, image_range, label_disagreement, most_different_region
from cen_cli.results import PictureRow


def test_labels_disagree_by_pairs() -> None:
    maps = [np.array([[0, 1, 2]]), np.array([[0, 1, 3]]), np.array([[0, 2, 4]])]
    np.testing.assert_allclose(label_disagreement(maps), [[0, 2 / 3, 1]])
    assert label_disagreement(maps[:1]).tolist() == [[0, 0, 0]]


def test_images_differ_by_their_range() -> None:
    images = [np.zeros((1, 2, 3), np.uint8), np.full((1, 2, 3), 250, np.uint8)]
    images[1][0, 1] = (0, 30, 60)
    np.testing.assert_allclose(image_range(images), [[250, 30]])
    np.testing.assert_allclose(image_range([np.array([[1.0, 2.0]]), np.array([[4.0, 2.5]])]), [[3, 0.5]])


@pytest.mark.parametrize("differing", [False, True])
def test_a_region_is_framed_only_where_outputs_differ(differing: bool) -> None:
    photo, labels = np.zeros((6, 6, 3), np.uint8), np.zeros((6, 6), np.uint8)
    other = labels.copy()
    other[-1, -1] = differing
    view = SimpleNamespace(size=(6, 6), target=None)
    data = SimpleNamespace(names=["a"], target=None, view=lambda index: view)
    networks = {
        "rgb": lambda view: PictureRow("a", {"rgb": photo}, labels, {"rgb": labels}),
        "both": lambda view: PictureRow("a", {"rgb": photo}, labels, {"rgb": labels, "ensemble": other}),
    }
    (row,) = compared_views(networks, dict.fromkeys(networks, data), Shown(names=["a"]), {})
    assert row.frame == ((4 / 6, 4 / 6, 1, 1) if differing else None)
    assert list(row.outputs) == ["rgb (network)", "both"], "no branch of the first network's name"


@pytest.mark.parametrize("size", [(9, 12), (10, 7), (3, 3), (2, 5)])
def test_the_framed_region_has_the_largest_sum(size: tuple[int, int]) -> None:
    difference = np.random.default_rng(0).random(size)
    top, left, bottom, right = most_different_region(difference)
    tall, wide = max(round(size[0] / 3), 1), max(round(size[1] / 3), 1)
    assert (round((bottom - top) * size[0]), round((right - left) * size[1])) == (tall, wide)
    framed = difference[round(top * size[0]) : round(bottom * size[0]), round(left * size[1]) : round(right * size[1])]
    assert framed.sum() == pytest.approx(sliding_window_view(difference, (tall, wide)).sum(axis=(2, 3)).max())
