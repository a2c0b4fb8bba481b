from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from cen_cli.data.modality import Encoding, LabelEncoding
from cen_cli.data.reading import (
    coded_labels,
    label_table,
    read_class_map,
    read_coded_labels,
    read_depth,
    read_encoded,
    read_image,
    read_labels,
    read_units,
)
from cen_cli.data.tensors import DepthMap
from cen_cli.errors import DataError


def test_rgb_is_uint8_in_channel_order(tmp_path, write):
    values = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    write(tmp_path / "a.png", values)
    image = read_image(tmp_path / "a.png")
    assert image.dtype == torch.uint8
    assert image.shape == (3, 4, 5)
    assert torch.equal(torch.as_tensor(image), torch.from_numpy(values).permute(2, 0, 1))


def test_grey_image_has_one_channel(tmp_path, write):
    write(tmp_path / "a.png", np.full((4, 5), 7, np.uint8))
    assert read_image(tmp_path / "a.png").shape == (1, 4, 5)


def test_16_bit_image_is_divided_by_its_scale(tmp_path, write):
    write(tmp_path / "a.png", np.array([[0, 5792, 11584, 65535]], np.uint16))
    image = read_image(tmp_path / "a.png", scale=11584)
    assert image.tolist() == [[[0.0, 0.5, 1.0, 1.0]]]


def test_16_bit_depth_does_not_wrap(tmp_path, write):
    write(tmp_path / "d.png", np.array([[0, 1, 5000, 32768, 65534, 65535]], np.uint16))
    depth = read_depth(tmp_path / "d.png", scale=5000)
    assert isinstance(depth, DepthMap)
    assert depth.dtype == torch.float32
    expected = np.array([0, 1, 5000, 32768, 65534, 65535], np.float32) / np.float32(5000)
    np.testing.assert_array_equal(depth[0, 0].numpy(), expected)


def test_invalid_depth_value_becomes_zero_metres(tmp_path, write):
    write(tmp_path / "d.png", np.array([[0, 512, 65534, 65535]], np.uint16))
    assert read_depth(tmp_path / "d.png", scale=512, invalid=65535).tolist() == [[[0.0, 1.0, 65534 / 512, 0.0]]]


@pytest.mark.parametrize("palette", [False, True])
def test_labels_are_indices_not_colours(tmp_path, write, palette):
    values = np.array([[0, 39, 255, 7]], np.uint8)
    write(tmp_path / "m.png", values, palette=palette)
    assert read_labels(tmp_path / "m.png", classes=40).tolist() == [values.tolist()]


READERS = {
    "image": read_image,
    "depth": lambda path: read_depth(path, scale=1000),
    "labels": lambda path: read_labels(path, classes=40),
}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
class TestUnreadableFiles:
    def test_missing(self, tmp_path, reader):
        with pytest.raises(DataError, match=r"gone\.png: no such file"):
            reader(tmp_path / "gone.png")

    def test_empty(self, tmp_path, reader):
        (tmp_path / "a.png").touch()
        with pytest.raises(DataError, match=r"a\.png: the file is empty \(0 bytes\)"):
            reader(tmp_path / "a.png")

    def test_not_an_image(self, tmp_path, reader):
        (tmp_path / "a.png").write_text("<html>404</html>")
        with pytest.raises(DataError, match=r"a\.png: not an image file that can be read \(16 bytes\)") as caught:
            reader(tmp_path / "a.png")
        assert caught.value.hint == "copy or download the file again"

    def test_directory(self, tmp_path, reader):
        (tmp_path / "a.png").mkdir()
        with pytest.raises(DataError, match=r"a\.png: cannot be read \(Is a directory\)"):
            reader(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_truncated_image(tmp_path, write, suffix, kept):
    path = tmp_path / f"a.{suffix}"
    write(path, np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(DataError, match=rf"a\.{suffix}: truncated or damaged"):
        read_image(path)


def test_damaged_png_data(tmp_path, write):
    path = tmp_path / "a.png"
    write(path, np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    whole = bytearray(path.read_bytes())
    middle = len(whole) // 2
    whole[middle : middle + 50] = bytes(50)
    path.write_bytes(whole)
    with pytest.raises(DataError, match=r"a\.png: truncated or damaged"):
        read_image(path)


def test_8_bit_depth_is_refused(tmp_path, write):
    write(tmp_path / "d.png", np.zeros((4, 4), np.uint8))
    with pytest.raises(DataError, match=r"d\.png: the depth image is 8-bit grey, expected 16-bit grey") as caught:
        read_depth(tmp_path / "d.png", scale=1000)
    assert "lost the metric depth" in str(caught.value.hint)


def test_colour_depth_is_refused(tmp_path, write):
    write(tmp_path / "d.png", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(DataError, match="the depth image is 8-bit RGB colours"):
        read_depth(tmp_path / "d.png", scale=1000)


def test_colour_masks_are_refused(tmp_path, write):
    write(tmp_path / "m.png", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(DataError, match=r"m\.png: the label map is 8-bit RGB colours") as caught:
        read_labels(tmp_path / "m.png", classes=40)
    assert "class indices, not colours" in str(caught.value.hint)


def test_16_bit_masks_are_refused(tmp_path, write):
    write(tmp_path / "m.png", np.zeros((4, 4), np.uint16))
    with pytest.raises(DataError, match="the label map is 16-bit grey"):
        read_labels(tmp_path / "m.png", classes=40)


def test_lossy_masks_are_refused(tmp_path, write):
    write(tmp_path / "m.jpg", np.zeros((8, 8), np.uint8))
    with pytest.raises(DataError, match=r"m\.jpg: the label map is a JPEG file, which changes labels"):
        read_labels(tmp_path / "m.jpg", classes=40)


def test_16_bit_rgb_input_is_refused(tmp_path, write):
    write(tmp_path / "a.png", np.zeros((4, 4), np.uint16))
    with pytest.raises(DataError, match=r"a\.png: the image is 16-bit grey, expected 8-bit RGB or grey"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 3)])
def test_8_bit_image_is_refused_where_16_bits_are_stored(tmp_path, write, shape):
    write(tmp_path / "a.png", np.zeros(shape, np.uint8))
    with pytest.raises(DataError, match=r"a\.png: the image is 8-bit .*, expected 16-bit grey \(full scale 11584\)"):
        read_image(tmp_path / "a.png", scale=11584)


def test_grey_image_is_refused_where_colours_are_stored(tmp_path, write):
    write(tmp_path / "a.png", np.zeros((4, 4), np.uint8))
    with pytest.raises(DataError, match=r"a\.png: the image is 8-bit grey, expected 8-bit RGB$"):
        read_image(tmp_path / "a.png", colour=True)


def test_palette_image_as_rgb_is_refused(tmp_path, write):
    write(tmp_path / "a.png", np.zeros((4, 4), np.uint8), palette=True)
    with pytest.raises(DataError, match="the image is 8-bit palette") as caught:
        read_image(tmp_path / "a.png")
    assert "label map" in str(caught.value.hint)


def test_transparent_image_is_refused(tmp_path):
    Image.new("RGBA", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="8-bit RGB colours with transparency"):
        read_image(tmp_path / "a.png")


def test_label_outside_the_classes(tmp_path: Path, write):
    write(tmp_path / "m.png", np.array([[3, 200, 41, 255]], np.uint8))
    with pytest.raises(DataError, match=r"m\.png: label 41, 200 is none of the 40 classes 0 \.\. 39 or 255") as caught:
        read_labels(tmp_path / "m.png", classes=40)
    assert caught.value.hint is None


def test_labels_that_start_at_one(tmp_path, write):
    write(tmp_path / "m.png", np.array([[0, 1, 40]], np.uint8))
    with pytest.raises(DataError, match=r"m\.png: label 40 is none of") as caught:
        read_labels(tmp_path / "m.png", classes=40)
    assert "start at 1" in str(caught.value.hint)


class TestCodedLabels:
    TABLE = label_table({0: 255, 1: 0, 2: 1, 7: 39})

    def test_stored_values_are_looked_up(self, tmp_path, write):
        write(tmp_path / "m.png", np.array([[0, 1], [2, 7]], np.uint8), palette=True)
        assert read_coded_labels(tmp_path / "m.png", table=self.TABLE).tolist() == [[[255, 0], [1, 39]]]

    @pytest.mark.parametrize(("value", "listed"), [(3, "3"), (8, "8"), (255, "255")])
    def test_values_without_a_label_are_named(self, tmp_path, write, value, listed):
        write(tmp_path / "m.png", np.array([[0, value]], np.uint8))
        with pytest.raises(DataError, match=rf"m\.png: the label map holds {listed}, expected values from 0 to 7"):
            read_coded_labels(tmp_path / "m.png", table=self.TABLE)

    def test_wide_values_do_not_wrap(self):
        with pytest.raises(DataError, match="a: the label map holds 256, expected"):
            coded_labels("a", np.array([[0, 256]], np.uint16), self.TABLE)


class TestRotatedDepth:
    def test_the_three_low_bits_come_from_the_top(self, tmp_path, write):
        stored = np.array([[0, 8, 24000, 1, 65535]], np.uint16)
        write(tmp_path / "d.png", stored)
        depth = read_depth(tmp_path / "d.png", scale=1000, rotated=True)
        expected = [(value >> 3 | (value & 7) << 13) / 1000 for value in stored[0].tolist()]
        np.testing.assert_allclose(depth[0, 0].numpy(), expected, rtol=1e-6)
        clipped = read_depth(tmp_path / "d.png", scale=1000, rotated=True, clip=8.0)
        np.testing.assert_allclose(clipped[0, 0].numpy(), np.minimum(expected, 8), rtol=1e-6)


# --- label maps and modalities of one's own ---------------------------------------------------------------------------


def test_labels_as_floats_and_with_a_constant_alpha(tmp_path, write):
    labels = np.array([[0, 1], [2, 255]], np.uint8)
    write(tmp_path / "a.tif", labels.astype(np.float32))
    assert read_class_map(tmp_path / "a.tif", LabelEncoding((0, 1, 2), (255,))).tolist() == [labels.tolist()]
    write(tmp_path / "b.tif", labels + np.float32(0.5))
    with pytest.raises(DataError, match="floats that are no whole numbers"):
        read_class_map(tmp_path / "b.tif", LabelEncoding((0, 1, 2), (255,)))
    write(tmp_path / "c.png", np.stack([labels, labels, labels, np.full_like(labels, 9)], -1))
    coded = LabelEncoding(tuple(value * 0x010101 for value in (0, 1, 2, 255)), color=True)
    assert read_class_map(tmp_path / "c.png", coded).tolist() == [[[0, 1], [2, 3]]]
    write(tmp_path / "d.png", np.stack([labels, labels, labels, labels], -1))
    with pytest.raises(DataError, match="with transparency, expected 8-bit RGB"):
        read_class_map(tmp_path / "d.png", coded)


def test_jpeg_masks_of_two_values_need_a_tolerance(tmp_path):
    mask = np.zeros((32, 32), bool)
    mask[3:20, 5:29] = True
    Image.fromarray((mask * 255).astype(np.uint8)).save(tmp_path / "a.jpg", quality=60)
    assert len(np.unique(np.array(Image.open(tmp_path / "a.jpg")))) > 2
    encoding = LabelEncoding((0, 255), tolerance=127)
    np.testing.assert_array_equal(read_class_map(tmp_path / "a.jpg", encoding)[0].numpy(), mask)
    with pytest.raises(DataError, match="a JPEG file, which changes labels") as caught:
        read_class_map(tmp_path / "a.jpg", LabelEncoding((0, 255)))
    assert "data.folders.labels.tolerance" in (caught.value.hint or "")
    with pytest.raises(DataError, match="is none of the 2 classes"):
        read_class_map(tmp_path / "a.jpg", LabelEncoding((0, 255), tolerance=1))


def test_a_stored_value_belongs_to_the_nearest_of_all_values(tmp_path):
    stored = np.array([[0, 60, 70, 128, 150, 200, 240, 255]], np.uint8)
    Image.fromarray(stored).save(tmp_path / "a.png")
    found = read_class_map(tmp_path / "a.png", LabelEncoding((0, 255), void=(128,), tolerance=127))
    assert found[0].tolist() == [[0, 0, 255, 255, 255, 1, 1, 1]]


def test_whole_numbers_with_a_sign_are_read_where_no_value_is_negative(tmp_path):
    encoding = Encoding("int16", 1, -100, 400, invalid=(-9999.0,), unit="m")
    for name, values in {"a": [[-9999, 300]], "b": [[0, 300]]}.items():
        np.save(tmp_path / f"{name}.npy", np.array(values, np.int16))
    assert read_encoded(tmp_path / "a.npy", encoding, measured=True).tolist() == [[[0, 400]]]
    assert read_encoded(tmp_path / "b.npy", encoding, measured=True).tolist() == [[[100, 400]]]
    np.save(tmp_path / "c.npy", np.array([[0, 40000]], np.uint16))
    with pytest.raises(DataError, match="expected 16-bit grey with a sign"):
        read_encoded(tmp_path / "c.npy", encoding, measured=True)


@pytest.mark.parametrize("values", [[[-9999, 7]], [[0, 100_000]]])
def test_whole_numbers_beyond_16_bits_are_refused(tmp_path, values):
    tifffile.imwrite(tmp_path / "a.tif", np.array(values, np.int32))
    with pytest.raises(DataError, match="expected 16-bit grey"):
        read_encoded(tmp_path / "a.tif", Encoding("uint16", 1, 0, 60000), measured=True)
    with pytest.raises(DataError, match="expected 16-bit grey"):
        read_units(tmp_path / "a.tif")


def test_whole_numbers_of_32_bits_within_16_are_read(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, 60000]], np.int32))
    assert read_units(tmp_path / "a.tif").tolist() == [[0, 60000]]


def test_an_image_has_no_pixel_that_is_no_number(tmp_path):
    encoding = Encoding("float32", 1, 280, 310)
    np.save(tmp_path / "a.npy", np.array([[280, np.nan, 310, 295]], np.float32))
    with pytest.raises(DataError, match=r"25\.00% of the values are NaN or infinite") as caught:
        read_encoded(tmp_path / "a.npy", encoding)
    assert 'kind = "measurement"' in (caught.value.hint or "")
    assert read_encoded(tmp_path / "a.npy", encoding, measured=True)[0, 0, 1] == 0


def test_a_modality_reads_its_own_bands(tmp_path, write):
    values = np.random.default_rng(0).integers(0, 256, (5, 6, 4), dtype=np.uint8)
    write(tmp_path / "a.png", values)
    rgb = read_encoded(tmp_path / "a.png", Encoding("uint8", 3, 0, 255, bands=(3, 2, 1)))
    thermal = read_encoded(tmp_path / "a.png", Encoding("uint8", 1, 0, 255, bands=(4,)))
    np.testing.assert_array_equal(rgb.permute(1, 2, 0).numpy(), values[..., 2::-1])
    np.testing.assert_array_equal(thermal[0].numpy(), values[..., 3])
    with pytest.raises(DataError, match="has no band 5"):
        read_encoded(tmp_path / "a.png", Encoding("uint8", 1, 0, 255, bands=(5,)))


def test_odd_pictures_are_converted_where_that_is_asked_for(tmp_path, write):
    colours = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    alpha = np.full((5, 6, 1), 77, np.uint8)
    write(tmp_path / "rgba.png", np.concatenate([colours, alpha], -1))
    write(tmp_path / "grey.png", colours[..., 0])
    asked = Encoding("uint8", 3, 0, 255, convert=True)
    np.testing.assert_array_equal(read_encoded(tmp_path / "rgba.png", asked).permute(1, 2, 0).numpy(), colours)
    grey = read_encoded(tmp_path / "grey.png", asked).numpy()
    np.testing.assert_array_equal(grey, np.broadcast_to(colours[..., 0], (3, 5, 6)))
    for name in ("rgba", "grey"):
        with pytest.raises(DataError, match="expected 8-bit RGB") as caught:
            read_encoded(tmp_path / f"{name}.png", Encoding("uint8", 3, 0, 255))
        assert "`convert = true`" in (caught.value.hint or "")


def test_heights_below_zero_are_read_from_whole_numbers(tmp_path):
    values = np.array([[-32768, -20], [0, 300]], np.int16)
    tifffile.imwrite(tmp_path / "a.tif", values)
    encoding = Encoding("int16", 1, -100, 400, invalid=(-32768.0,), unit="m")
    heights = read_encoded(tmp_path / "a.tif", encoding, measured=True)
    assert heights.tolist() == [[[0, 80], [100, 400]]]
