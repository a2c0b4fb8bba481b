from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PIL import Image, ImageDraw

from cen_cli.reporting import panels
from cen_cli.reporting.sheets import GAP, TEXT_HEIGHT, sheet, text
from cen_cli.results import VOID, PictureRow

PALETTE = ((200, 0, 0), (0, 200, 0), (0, 0, 200))


def labels(value: int) -> np.ndarray:
    return np.full((40, 60), value, dtype=np.uint8)


@pytest.fixture
def row() -> PictureRow:
    image = np.full((40, 60, 3), 90, dtype=np.uint8)
    depth = np.linspace(1, 4, 2400, dtype=np.float32).reshape(40, 60)
    predictions = {"rgb": labels(1), "depth": labels(255), "ensemble": labels(0)}
    return PictureRow("room 7", {"rgb": image, "depth": depth}, labels(0), predictions)


def test_labels_take_their_classes_colours_and_void_is_black() -> None:
    picture = panels.colour_labels(np.array([[0, 2, 255]], dtype=np.uint8), PALETTE)
    assert picture.tolist() == [[[200, 0, 0], [0, 0, 200], [0, 0, 0]]]


def test_a_label_without_a_colour_is_refused() -> None:
    with pytest.raises(ValueError, match="label 3 has no colour: the palette has 3"):
        panels.colour_labels(np.array([[0, 3]]), PALETTE)


def test_depth_grows_brighter_and_holes_are_black() -> None:
    depth = np.array([[0.0, 1.0, 2.0, 3.0, np.nan]])
    picture = panels.colour_depth(depth)[0]
    assert picture[0].tolist() == picture[4].tolist() == [0, 0, 0]
    brightness = picture[1:4].astype(int).sum(axis=1)
    assert (np.diff(brightness) > 0).all()


def test_depth_without_any_measurement_is_black() -> None:
    assert not panels.colour_depth(np.zeros((2, 3))).any()


def test_depth_of_one_distance_is_not_black() -> None:
    assert panels.colour_depth(np.full((2, 3), 1.5)).any()


def test_depth_maps_of_one_span_share_their_colours() -> None:
    near, far = np.array([[1.0, 2.0]]), np.array([[2.0, 3.0]])
    span = panels.depth_range(near, far)
    assert span == pytest.approx((1.06, 2.94))
    assert panels.colour_depth(near, span)[0, 1].tolist() == panels.colour_depth(far, span)[0, 0].tolist()
    assert panels.colour_depth(near)[0, 1].tolist() != panels.colour_depth(far)[0, 0].tolist()


def test_overlay_mixes_colours_and_leaves_void_alone() -> None:
    image = np.full((1, 2, 3), 100, dtype=np.uint8)
    mixed = panels.overlay(image, np.array([[0, 255]]), PALETTE, opacity=0.25)
    assert mixed.tolist() == [[[125, 75, 75], [100, 100, 100]]]


@pytest.mark.parametrize("classes", [1, 14, 40, 255])
def test_default_palette_is_distinct_and_leaves_black_to_void(classes: int) -> None:
    palette = panels.default_palette(classes)
    assert len({(0, 0, 0), *palette}) == classes + 1
    assert palette == panels.default_palette(255)[:classes]


def test_panel_shows_every_picture_under_its_caption(row: PictureRow) -> None:
    image = np.asarray(panels.segmentation_panel([row, row], ("wall", "floor", "door"), PALETTE))
    step, top = 2 * 60 + GAP, GAP + 2 * TEXT_HEIGHT  # small pictures are drawn twice as large
    middles = [image[top + 40, GAP + index * step + 60].tolist() for index in range(6)]
    depth = panels.colour_depth(row.inputs["depth"])[20, 30].tolist()
    assert middles == [[90, 90, 90], depth, [200, 0, 0], [0, 200, 0], [0, 0, 0], [200, 0, 0]]
    assert image.shape[1] == GAP + 6 * step


def test_long_names_of_networks_are_folded_at_hyphens() -> None:
    pictures = {name: np.zeros((40, 90, 3), np.uint8) for name in ("rgb", "rgb-normal-shade-self-attention-all")}
    folded = sheet([pictures], ["view"])
    assert folded.width == GAP + 2 * (90 + GAP)
    lines = folded.height - (GAP + TEXT_HEIGHT + 40 + GAP)
    assert lines % TEXT_HEIGHT == 0
    assert 3 <= lines // TEXT_HEIGHT <= 5
    ink = np.asarray(folded).min(axis=2) < 128
    assert ink[GAP : GAP + lines, 2 * GAP + 90 :].any(axis=1).reshape(-1, TEXT_HEIGHT).any(axis=1).all()


def test_letters_of_many_languages_are_written() -> None:
    drawn = set()
    for letter in "äßçøœłšžğ²µαЖ?":
        canvas = Image.new("RGB", (20, 20), (255, 255, 255))
        text(ImageDraw.Draw(canvas), (2, 2), letter)
        drawn.add(canvas.tobytes())
    assert len(drawn) == 14


def test_legend_names_only_classes_that_occur(row: PictureRow) -> None:
    image = np.asarray(panels.segmentation_panel([row], ("wall", "floor", "door"), PALETTE))
    legend = image[-(TEXT_HEIGHT + GAP) :]

    def shown(colour: tuple[int, int, int]) -> bool:
        return bool((legend == colour).all(axis=-1).sum() > 50)

    assert [shown(colour) for colour in PALETTE] == [True, True, False]
    assert shown((0, 0, 0))


def test_a_long_legend_wraps_inside_the_panel(row: PictureRow) -> None:
    many = dataclasses.replace(row, truth=(np.arange(2400) % 40).reshape(40, 60).astype(np.uint8))
    few, wrapped = (panels.segmentation_panel([item], [f"class {i}" for i in range(40)]) for item in (row, many))
    assert wrapped.width == few.width
    assert wrapped.height > few.height + 3 * TEXT_HEIGHT


def test_rows_without_truth_have_no_such_column(row: PictureRow) -> None:
    without = dataclasses.replace(row, truth=None)
    names = ("wall", "floor", "door")
    assert panels.segmentation_panel([without], names).width < panels.segmentation_panel([row], names).width


def test_rows_of_different_columns_are_refused(row: PictureRow) -> None:
    other = dataclasses.replace(row, truth=None)
    with pytest.raises(ValueError, match="the same inputs and predictions"):
        panels.segmentation_panel([row, other], ("wall", "floor", "door"))
    with pytest.raises(ValueError, match="at least one row"):
        panels.segmentation_panel([], ("wall",))


def test_rows_may_come_one_by_one(row: PictureRow) -> None:
    names = ("wall", "floor", "door")
    assert panels.segmentation_panel(iter([row]), names).size == panels.segmentation_panel([row], names).size


def test_void_is_told_from_a_black_class() -> None:
    labels = np.array([[0, 1, VOID]], dtype=np.uint8)
    black = panels.colour_labels(labels, [(0, 0, 0), (255, 0, 0)])
    assert black.tolist() == [[[0, 0, 0], [255, 0, 0], [255, 255, 255]]]
    assert panels.colour_labels(labels, [(0, 9, 0), (255, 0, 0)])[0, 2].tolist() == [0, 0, 0]
    greys = [(value, value, value) for value in range(255)]
    assert panels.void_colour(greys) == (255, 255, 255)
    assert panels.void_colour([*greys[:-1], (255, 255, 255)]) == (254, 254, 254)
