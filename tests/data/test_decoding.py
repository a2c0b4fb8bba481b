"""What image files store is decoded in full and upright, and nothing but documented raster formats is opened."""

from __future__ import annotations

import ast
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

import cen_cli
from cen_cli.data.decoding import decode, describe_mode, take_bands
from cen_cli.errors import DataError


def values_of(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    low, high = (-500, 500) if dtype == "int16" else (0, 250) if dtype == "uint8" else (0, 4000)
    return np.random.default_rng(0).integers(low, high, shape).astype(dtype)


def write_png_of_16_bits(path: Path, values: np.ndarray, colour_type: int) -> None:
    """A PNG of 16 bits and several bands, which Pillow cannot write."""
    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
            for name, data in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
        )
    )


@pytest.mark.parametrize(
    ("bands", "colour_type", "kind"),
    [(3, 2, "16-bit RGB colours"), (4, 6, "16-bit of 4 bands"), (2, 4, "16-bit of 2 bands")],
)
def test_png_of_16_bits_and_several_bands_keeps_its_low_bits(
    tmp_path: Path, bands: int, colour_type: int, kind: str
) -> None:
    values = values_of((6, 7, bands), "uint16")
    write_png_of_16_bits(tmp_path / "a.png", values, colour_type)
    decoded = decode(tmp_path / "a.png")
    np.testing.assert_array_equal(decoded.values, values)
    assert (decoded.values.dtype, describe_mode(decoded.mode)) == (np.uint16, kind)


@pytest.mark.parametrize(
    ("shape", "dtype", "kind"),
    [
        ((6, 7, 3), "uint16", "16-bit RGB colours"),
        ((6, 7, 3), "float32", "32-bit float RGB colours"),
        ((6, 7, 5), "uint8", "8-bit of 5 bands"),
        ((6, 7, 5), "uint16", "16-bit of 5 bands"),
        ((6, 7, 3), "uint8", "8-bit RGB colours"),
        ((6, 7), "uint16", "16-bit grey"),
        ((6, 7), "int16", "16-bit grey with a sign"),
        ((6, 7), "float32", "32-bit float"),
    ],
)
@pytest.mark.parametrize("compression", [None, "lzw"])
def test_tiff_is_decoded_as_it_is_stored(
    tmp_path: Path, shape: tuple[int, ...], dtype: str, kind: str, compression: str | None
) -> None:
    values = values_of(shape, dtype)
    photometric = "rgb" if shape[2:] == (3,) else "minisblack"
    planes = "contig" if len(shape) == 3 else None
    tifffile.imwrite(tmp_path / "a.tif", values, photometric=photometric, planarconfig=planes, compression=compression)
    decoded = decode(tmp_path / "a.tif")
    np.testing.assert_array_equal(decoded.values, values)
    assert (decoded.values.dtype, describe_mode(decoded.mode)) == (dtype, kind)


def test_bands_in_planes_of_their_own_come_last(tmp_path: Path) -> None:
    values = values_of((5, 6, 7), "uint16")
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack", planarconfig="separate")
    np.testing.assert_array_equal(decode(tmp_path / "a.tif").values, values.transpose(1, 2, 0))


@pytest.mark.parametrize(
    ("shape", "photometric", "kind"),
    [
        ((6, 7, 4), "rgb", "8-bit of 4 bands"),
        ((6, 7, 5), "rgb", "8-bit of 5 bands"),
        ((6, 7, 2), "minisblack", "2 bands"),
    ],
)
def test_bands_that_no_header_calls_transparency_are_kept(
    tmp_path: Path, shape: tuple[int, ...], photometric: str, kind: str
) -> None:
    values = values_of(shape, "uint8")
    extra = ["unspecified"] * (shape[-1] - (3 if photometric == "rgb" else 1))
    tifffile.imwrite(tmp_path / "a.tif", values, photometric=photometric, planarconfig="contig", extrasamples=extra)
    decoded = decode(tmp_path / "a.tif")
    np.testing.assert_array_equal(decoded.values, values)
    assert describe_mode(decoded.mode).endswith(kind)


def test_transparency_is_none_of_the_colours(tmp_path: Path) -> None:
    values = values_of((6, 7, 4), "uint8")
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", extrasamples=["unassalpha"])
    np.testing.assert_array_equal(decode(tmp_path / "a.tif", convert="RGB").values, values[..., :3])


def test_colours_are_not_divided_by_a_band_that_multiplied_them(tmp_path: Path) -> None:
    values = values_of((6, 7, 4), "uint8")
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", extrasamples=["assocalpha"])
    np.testing.assert_array_equal(decode(tmp_path / "a.tif").values, values)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_numbers_are_kept_where_0_is_white(tmp_path: Path, dtype: str) -> None:
    values = values_of((6, 7), dtype)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="miniswhite")
    np.testing.assert_array_equal(decode(tmp_path / "a.tif").values, values)


@pytest.mark.parametrize(("mode", "suffix"), [("P", "png"), ("CMYK", "tif")])
def test_palettes_and_inks_have_no_bands(tmp_path: Path, mode: str, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(values_of((6, 7, 3), "uint8")).convert(mode).save(path)
    with pytest.raises(DataError, match="whose bands are no measured values"):
        take_bands(path, decode(path), (1,))


def test_bytes_with_a_sign_keep_it(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.array([[-5, 7]], np.int8))
    decoded = decode(tmp_path / "a.tif")
    assert (decoded.values.tolist(), decoded.mode) == ([[-5, 7]], "I;16S")
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, 7]], np.int8))
    assert (decode(tmp_path / "a.tif").values.dtype, decode(tmp_path / "a.tif").mode) == (np.uint8, "L")


def test_pages_of_one_size_are_bands(tmp_path: Path) -> None:
    values = values_of((5, 6, 7), "uint16")
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack")
    decoded = decode(tmp_path / "a.tif")
    np.testing.assert_array_equal(decoded.values, values.transpose(1, 2, 0))
    assert describe_mode(decoded.mode) == "16-bit of 5 bands"


def test_more_bands_than_rows_are_read(tmp_path: Path) -> None:
    values = values_of((9, 4, 5), "uint8")
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack")
    np.testing.assert_array_equal(decode(tmp_path / "a.tif").values, values.transpose(1, 2, 0))


@pytest.mark.parametrize(("shape", "photometric"), [((2, 6, 7, 3), "rgb"), ((2, 16, 16), "palette")])
def test_of_pages_of_colours_the_first_counts(tmp_path: Path, shape: tuple[int, ...], photometric: str) -> None:
    values = values_of(shape, "uint8")
    colours = np.arange(3 * 256, dtype=np.uint16).reshape(3, 256) if photometric == "palette" else None
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for page in values:
            writer.write(page, photometric=photometric, colormap=colours, metadata=None)
    np.testing.assert_array_equal(decode(tmp_path / "a.tif").values, values[0])


def test_pages_in_a_circle_end(tmp_path: Path) -> None:
    values, path = values_of((2, 6, 7), "uint8"), tmp_path / "a.tif"
    tifffile.imwrite(path, values, photometric="minisblack", metadata=None)
    with tifffile.TiffFile(path) as file:
        first, second = (page.offset for page in file.pages)
    data = bytearray(path.read_bytes())
    after = second + 2 + 12 * struct.unpack_from("<H", data, second)[0]
    struct.pack_into("<I", data, after, first)
    path.write_bytes(data)
    np.testing.assert_array_equal(decode(path).values, values.transpose(1, 2, 0))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # Pillow's own words
def test_a_damaged_later_page_is_named(tmp_path: Path) -> None:
    values, path = values_of((2, 6, 7), "uint8"), tmp_path / "a.tif"
    tifffile.imwrite(path, values, photometric="minisblack", metadata=None)
    with tifffile.TiffFile(path) as file:
        second = file.pages[1].offset
    for length in (second - 10, second + 20):
        path.write_bytes(path.read_bytes()[:length])
        with pytest.raises(DataError, match=r"a\.tif: "):
            decode(path)


def test_copies_of_a_page_are_no_bands(tmp_path: Path) -> None:
    values = values_of((6, 7), "uint8")
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for page, kind in ((values, 0), (values[::2, ::2], 1), (255 - values, 1)):
            writer.write(page, photometric="minisblack", subfiletype=kind, metadata=None)
    np.testing.assert_array_equal(decode(tmp_path / "a.tif").values, values)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_grey_tiffs_are_turned_as_they_say(tmp_path: Path, orientation: int, dtype: str) -> None:
    stored, path = values_of((48, 64), dtype), tmp_path / "a.tif"
    tifffile.imwrite(path, stored, photometric="minisblack", extratags=[(0x0112, "H", 1, orientation, True)])
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(decode(path).values, decode(tmp_path / "a.png").values)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("suffix", "dtype"), [("jpg", "uint8"), ("png", "uint8"), ("tif", "uint8"), ("tif", "uint16")])
def test_images_are_turned_as_they_say(tmp_path: Path, orientation: int, suffix: str, dtype: str) -> None:
    path, stored = tmp_path / f"a.{suffix}", np.zeros((16, 24, 3), np.uint8)
    stored[:8, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(path, exif=exif)
    expected = np.array(ImageOps.exif_transpose(Image.open(path)))
    if dtype == "uint16":
        tags = [(0x0112, "H", 1, orientation, True)]
        tifffile.imwrite(path, stored.astype(dtype) * 16, photometric="rgb", extratags=tags)
    decoded = decode(path)
    np.testing.assert_array_equal(decoded.values > 127, expected > 127)
    assert decoded.turned == (orientation != 1)


def test_one_band_of_an_array_may_come_first_or_last(tmp_path: Path) -> None:
    values = values_of((6, 7), "float32")
    for number, array in enumerate((values[None], values[..., None])):
        np.save(tmp_path / f"{number}.npy", array)
        np.testing.assert_array_equal(decode(tmp_path / f"{number}.npy").values, values)


@pytest.mark.parametrize(
    ("shape", "read"),
    [((8, 8, 12), True), ((9, 8, 6), True), ((12, 8, 8), False), ((6, 8, 9), False), ((8, 9, 8), False)],
)
def test_many_bands_of_an_array_come_last_or_are_refused(tmp_path: Path, shape: tuple[int, ...], read: bool) -> None:
    values = values_of(shape, "float32")
    np.save(tmp_path / "a.npy", values)
    if read:
        np.testing.assert_array_equal(decode(tmp_path / "a.npy").values, values)
    else:
        with pytest.raises(DataError, match="expected") as caught:
            decode(tmp_path / "a.npy")
        assert "a TIFF tells them" in str(caught.value.hint)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack", planarconfig="contig")
    np.testing.assert_array_equal(decode(tmp_path / "a.tif").values, values)


def test_arrays_are_converted_as_pictures_are(tmp_path: Path) -> None:
    colours = values_of((6, 7, 4), "uint8")
    np.save(tmp_path / "rgba.npy", colours)
    np.testing.assert_array_equal(decode(tmp_path / "rgba.npy", convert="RGB").values, colours[..., :3])
    np.save(tmp_path / "mask.npy", np.eye(4, dtype=bool))
    np.testing.assert_array_equal(decode(tmp_path / "mask.npy", convert="L").values, 255 * np.eye(4, dtype=np.uint8))


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "npy"])
def test_a_pipe_in_the_place_of_an_image_is_not_waited_for(tmp_path: Path, suffix: str) -> None:
    os.mkfifo(tmp_path / f"a.{suffix}")
    with pytest.raises(DataError, match="no regular file"):
        decode(tmp_path / f"a.{suffix}")


def test_a_format_that_starts_a_program_is_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []
    monkeypatch.setattr("subprocess.Popen", lambda *args, **_: started.append(args))
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg", format="EPS")
    with pytest.raises(DataError, match="not an image file that can be read"):
        decode(tmp_path / "a.jpg")
    assert not started


def test_every_image_is_opened_with_its_formats_named() -> None:
    for path in Path(cen_cli.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Image.open":
                assert "formats" in [keyword.arg for keyword in node.keywords], path


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_an_image_beyond_the_limit_is_to_be_cut_into_tiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", values_of((2000, 1000, 3), "uint16"), photometric="rgb")
    Image.new("L", (1000, 2000)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500_000)
    with pytest.raises(DataError, match="2 megapixels; at most 1 are read") as caught:
        decode(tmp_path / f"a.{suffix}")
    assert "tiles" in (caught.value.hint or "")


def test_a_damaged_tiff_is_named(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", values_of((60, 70, 3), "uint16"), photometric="rgb", compression="deflate")
    whole = (tmp_path / "a.tif").read_bytes()
    for kept in range(4, len(whole), 997):
        (tmp_path / "a.tif").write_bytes(whole[:kept])
        with pytest.raises(DataError, match=r"a\.tif"):
            decode(tmp_path / "a.tif")


def test_a_tiff_without_rows_is_damaged(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.ones((20, 24), np.uint16))
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[11] = 0
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.tif"):
        decode(tmp_path / "a.tif")


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '|u1', 'shape': (2, 2",
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (9999999, 9999999, 9999), }",
    ],
)
def test_a_damaged_header_of_an_array_is_named(tmp_path: Path, header: bytes) -> None:
    length = struct.pack("<H", len(header) + 1)
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + length + header + b"\n")
    with pytest.raises(DataError, match=r"a\.npy: not a NumPy array that can be read"):
        decode(tmp_path / "a.npy")
