"""Translated images as files, and the contact sheet."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cen_cli.data.decoding import decode
from cen_cli.reporting import translation
from cen_cli.reporting.panels import colour_depth, depth_range
from cen_cli.reporting.sheets import GAP, TEXT_HEIGHT, text_width
from cen_cli.results import PictureRow


def grey(value: int, side: int = 128) -> np.ndarray:
    return np.full((side, side, 3), value, dtype=np.uint8)


def metres(near: float, far: float) -> np.ndarray:
    return np.linspace(near, far, 128 * 128, dtype=np.float32).reshape(128, 128)


@pytest.fixture
def row() -> PictureRow:
    images = {"shade": grey(30), "texture": grey(40), "ensemble": grey(50)}
    return PictureRow("0401_0", {"shade": grey(10), "texture": grey(20)}, grey(60), images)


def middles(image: Image.Image, columns: int, side: int = 128) -> list[list[int]]:
    """The middle of every picture in the first row."""
    pixels = np.asarray(image)
    step = max(side, text_width("texture branch")) + GAP
    return [
        pixels[GAP + 2 * TEXT_HEIGHT + side // 2, GAP + index * step + side // 2].tolist() for index in range(columns)
    ]


def test_a_row_shows_inputs_branches_ensemble_and_truth(row: PictureRow) -> None:
    sheet = translation.contact_sheet([row, row])
    assert middles(sheet, 6) == [[value] * 3 for value in (10, 20, 30, 40, 50, 60)]
    assert sheet.height == GAP + TEXT_HEIGHT + 2 * (TEXT_HEIGHT + 128 + GAP)


def test_without_truth_there_is_no_such_column(row: PictureRow) -> None:
    assert translation.contact_sheet([dataclasses.replace(row, truth=None)]).width == GAP + 5 * (128 + GAP)


def test_small_pictures_are_enlarged_by_a_whole_factor(row: PictureRow) -> None:
    small = PictureRow("a", {"rgb": grey(10, side=50)}, None, {"rgb": grey(20, side=50)})
    sheet = translation.contact_sheet([small])
    assert sheet.size == (GAP + 2 * (150 + GAP), GAP + TEXT_HEIGHT + TEXT_HEIGHT + 150 + GAP)


def test_depth_maps_of_a_row_share_the_colours_of_the_truth() -> None:
    row = PictureRow("a", {"rgb": grey(10)}, metres(2.0, 4.0), {"rgb": metres(1.0, 9.0)})
    sheet = translation.contact_sheet([row])
    step = max(128, text_width("rgb branch")) + GAP
    top, left = GAP + 2 * TEXT_HEIGHT, GAP + step
    shown = np.asarray(sheet)[top : top + 128, left : left + 128]
    assert np.array_equal(shown, colour_depth(row.outputs["rgb"], depth_range(row.truth)))
    assert not np.array_equal(shown, colour_depth(row.outputs["rgb"]))


def test_sheets_need_rows_of_the_same_columns(row: PictureRow) -> None:
    with pytest.raises(ValueError, match="at least one row"):
        translation.contact_sheet([])
    with pytest.raises(ValueError, match="the same inputs"):
        translation.contact_sheet([row, dataclasses.replace(row, truth=None)])


def test_depth_is_stored_in_its_own_encoding() -> None:
    depth = np.array([[0.0, 1.0, 127.9985, 500.0, 1e-6]], dtype=np.float32)
    stored = translation.stored_depth(depth, 512.0, 65535)
    assert stored.dtype == np.uint16
    assert stored.tolist() == [[1, 512, 65534, 65534, 1]]


def test_made_depth_is_valid_everywhere_where_zero_is_invalid() -> None:
    assert translation.stored_depth(np.array([0.0, 1e-6, 2.0]), 5000.0, 0).tolist() == [1, 1, 10000]


def test_measurements_are_written_as_their_files_store_them(tmp_path: Path) -> None:
    values = np.array([[0.0, 0.5, 2.0, 99.0]], dtype=np.float32)  # counted from -2
    path = translation.write_measurement(
        tmp_path / "a", values, units=1.0, floor=-2.0, stored="float32", invalid=(-9999.0,)
    )
    assert path == tmp_path / "a.tif"
    with Image.open(path) as image:
        assert image.mode == "F"
        assert np.asarray(image).tolist() == [[-2.0, -1.5, 0.0, 97.0]]
    for stored, expected in (("uint16", [1, 500, 2001, 65534]), ("uint8", [1, 254, 254, 254])):
        path = translation.write_measurement(
            tmp_path / stored, values, units=1000.0, floor=0.0, stored=stored, invalid=(0, 2000, 255, 65535)
        )
        assert path == tmp_path / f"{stored}.png"
        with Image.open(path) as image:
            assert np.asarray(image).dtype == stored
            assert np.asarray(image).tolist() == [expected]


def test_whole_numbers_with_a_sign_can_be_read_again(tmp_path: Path) -> None:
    values = np.array([[0.0, 3.0, 2.0]], dtype=np.float32)
    path = translation.write_measurement(tmp_path / "a", values, units=10.0, floor=-2.0, stored="int16", invalid=())
    read = decode(path)
    assert (read.mode, read.values.tolist()) == ("I;16S", [[-20, 10, 0]])


@pytest.mark.parametrize(
    ("stored", "invalid", "written"),
    [
        ("uint8", (254, 255), [253, 253, 0]),
        ("uint8", (1, 0), [254, 255, 2]),
        ("int16", (0, -1), [254, 255, 1]),
        ("float32", (254.0, 0.0), [np.nextafter(np.float32(254), np.float32(255)), 255, 1e-45]),
    ],
)
def test_no_measured_value_is_written_as_an_invalid_one(stored, invalid, written, tmp_path: Path) -> None:
    values = np.array([[254.0, 255.0, 0.0]], dtype=np.float32)
    path = translation.write_measurement(tmp_path / "a", values, units=1.0, floor=0.0, stored=stored, invalid=invalid)
    with Image.open(path) as image:
        np.testing.assert_array_equal(np.asarray(image), np.array([written], np.asarray(image).dtype))


def test_every_input_has_a_range_of_its_own_and_the_quantity_is_named() -> None:
    row = PictureRow(
        "a", {"warm": metres(30.0, 40.0)}, metres(2.0, 4.0), {"warm": metres(1.0, 9.0)}, quantity=("height", "ft", -3.0)
    )
    sheet = np.asarray(translation.contact_sheet([row]))
    top = GAP + 2 * TEXT_HEIGHT
    assert np.array_equal(sheet[top : top + 128, GAP : GAP + 128], colour_depth(row.inputs["warm"]))
    name, _ = translation._pictures(row)
    assert name == "a    height -0.96 .. 0.96 ft"
    assert translation._pictures(dataclasses.replace(row, quantity=("", "", 0.0)))[0] == "a"
