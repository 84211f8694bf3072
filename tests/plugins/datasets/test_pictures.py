"""One picture: colour modes, depths, orientation, and what is refused."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kdharness_plugins.datasets._pictures import Remark, decode
from PIL import Image, PngImagePlugin

GREY16 = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1040  # 0..65520
GREY16_AS_8 = np.rint(GREY16 / 257).astype(np.uint8)
COLOURS = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)


def written(image: Image.Image, file_format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def grey_tiff(values: np.ndarray, bits: int, photometric: int = 1, sample_format: int = 1) -> bytes:
    """A little-endian TIFF of grey values, by hand: Pillow writes none of 12 bits."""
    packed = values.astype("u1" if bits == 8 else "<u2").tobytes()
    if bits == 12:  # two values in three bytes, the upper bits first
        packed = np.packbits(np.unpackbits(values.astype(">u2").view(np.uint8).reshape(-1, 2), axis=1)[:, 4:]).tobytes()
    tags = {256: 8, 257: 8, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 278: 8, 279: len(packed)}
    tags[339] = sample_format
    directory = struct.pack("<H", len(tags))
    for tag, value in tags.items():
        directory += struct.pack("<HHII", tag, 4, 1, value)
    return b"II*\0" + struct.pack("<I", 8 + len(packed)) + packed + directory + bytes(4)


def test_shorter_side_is_resized_and_the_centre_cut() -> None:
    pixels = np.zeros((8, 16, 3), dtype=np.uint8)
    pixels[:, 4:12] = 200  # the centre, which a square crop keeps
    content = written(Image.fromarray(pixels), "PNG")
    found = decode(content, 8).pixels
    assert found.shape == (3, 8, 8)
    assert (found == 200).all()
    assert decode(content, 4).pixels.shape == (3, 4, 4)
    assert decode(content, 5).pixels.shape == (3, 5, 5)


# -- depth ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "PPM"])
def test_16_bits_are_scaled_and_not_cut_off(file_format: str) -> None:
    picture = decode(written(Image.fromarray(GREY16), file_format), 8)
    assert picture.remarks == (Remark.DEEP,)
    assert all(np.array_equal(channel, GREY16_AS_8) for channel in picture.pixels)
    assert (picture.pixels.min(), picture.pixels.max()) == (0, 255)


@pytest.mark.parametrize("bits", [12, 16])
def test_a_tiff_is_scaled_by_the_bits_that_it_uses(bits: int) -> None:
    values = np.linspace(0, 2**bits - 1, 64).round().astype(np.uint16).reshape(8, 8)
    picture = decode(grey_tiff(values, bits), 8)
    assert np.array_equal(picture.pixels[0], np.rint(values * (255 / (2**bits - 1))).astype(np.uint8))


def test_a_tiff_may_say_that_0_is_white() -> None:
    assert np.array_equal(decode(grey_tiff(GREY16, 16, photometric=0), 8).pixels[0], 255 - GREY16_AS_8)


def colour_png(kind: int, values: np.ndarray) -> bytes:
    """A PNG of 16 bits to a colour, by hand: Pillow writes none. kind: 2 of RGB, 4 of grey and alpha, 6 of RGBA."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def colour_tiff(values: np.ndarray) -> bytes:
    """A little-endian TIFF of RGB with 16 bits to a colour, by hand."""
    packed = values.astype("<u2").tobytes()
    tags = {256: 8, 257: 8, 258: 8 + len(packed), 259: 1, 262: 2, 273: 8, 277: 3, 278: 8, 279: len(packed)}
    directory = struct.pack("<H", len(tags))
    for tag, value in tags.items():
        directory += struct.pack("<HHII", tag, 3 if tag == 258 else 4, 3 if tag == 258 else 1, value)
    bits = struct.pack("<HHH", 16, 16, 16)
    return b"II*\0" + struct.pack("<I", 8 + len(packed) + len(bits)) + packed + bits + directory + bytes(4)


DEEP_COLOURS = COLOURS.astype(np.uint16) * 257
OPAQUE = np.full((8, 8, 1), 65535, dtype=np.uint16)


@pytest.mark.parametrize(
    ("content", "colours"),
    [
        (b"P6 8 8 65535\n" + DEEP_COLOURS.astype(">u2").tobytes(), COLOURS),
        (colour_png(2, DEEP_COLOURS), COLOURS),
        (colour_png(6, np.concatenate([DEEP_COLOURS, OPAQUE], 2)), COLOURS),
        (colour_png(4, np.concatenate([DEEP_COLOURS[..., :1], OPAQUE], 2)), np.repeat(COLOURS[..., :1], 3, 2)),
        (colour_tiff(DEEP_COLOURS), COLOURS),
    ],
    ids=["ppm", "png-rgb", "png-rgba", "png-la", "tiff-rgb"],
)
def test_16_bit_colours_keep_their_upper_half_and_that_is_said(content: bytes, colours: np.ndarray) -> None:
    picture = decode(content, 8)
    assert np.array_equal(picture.pixels, colours.transpose(2, 0, 1))
    assert picture.remarks == (Remark.DEEP_COLOURS,)


@pytest.mark.parametrize("file_format", ["BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"])
def test_of_8_bit_colours_nothing_is_said(file_format: str) -> None:
    wide = Image.fromarray(np.repeat(COLOURS, 50, axis=1))
    assert decode(written(wide, file_format), 8).remarks == ()


def test_a_pgm_is_scaled_by_its_own_largest_value() -> None:
    values = np.linspace(0, 1023, 64).round().astype(">u2")
    picture = decode(b"P5 8 8 1023\n" + values.tobytes(), 8)
    assert np.abs(picture.pixels[0].ravel() - values * (255 / 1023)).max() < 0.51


@pytest.mark.parametrize(("kind", "named"), [(np.int32, "signed integers"), (np.float32, "32-bit floats")])
def test_numbers_without_a_range_are_refused(kind: type, named: str) -> None:
    content = written(Image.fromarray(GREY16.astype(kind)), "TIFF")
    with pytest.raises(ValueError, match=named):
        decode(content, 8)


@pytest.mark.parametrize("bits", [8, 16])
def test_signed_numbers_are_refused_and_not_read_as_unsigned(bits: int) -> None:
    values = np.arange(-32, 32).reshape(8, 8)
    with pytest.raises(ValueError, match="it holds signed integers"):
        decode(grey_tiff(values, bits, sample_format=2), 8)
    picture = decode(grey_tiff(values + 32, bits, sample_format=1), 8)
    assert picture.pixels[0, 0, 0] == 0


# -- colour -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "LA", "CMYK", "YCbCr"])
def test_white_stays_white_in_every_mode(mode: str) -> None:
    image = Image.new("RGB", (8, 8), (255, 255, 255)).convert("L" if mode == "LA" else "RGB").convert(mode)
    picture = decode(written(image, "TIFF"), 8)
    assert (picture.pixels == 255).all()
    assert picture.remarks == ()


def test_colours_of_cmyk_and_of_palettes_are_kept() -> None:
    image = Image.fromarray(COLOURS)
    for mode in ("CMYK", "P"):
        converted = image.convert("P", palette=Image.Palette.ADAPTIVE) if mode == "P" else image.convert(mode)
        assert np.array_equal(decode(written(converted, "TIFF"), 8).pixels, COLOURS.transpose(2, 0, 1))


def transparent(mode: str) -> bytes:
    """A picture with one pixel that is not opaque, as a PNG."""
    if mode == "P":
        image = Image.fromarray(COLOURS).convert("P", palette=Image.Palette.ADAPTIVE)
        return written(image, "PNG", transparency=bytes([255, 100]))
    if mode in ("L", "RGB"):
        image = Image.fromarray(COLOURS).convert(mode)
        return written(image, "PNG", transparency=image.getpixel((0, 0)))
    image = Image.fromarray(COLOURS).convert("L" if mode == "LA" else "RGB").convert(mode)
    alpha = Image.new("L", (8, 8), 255)
    alpha.putpixel((3, 3), 0)
    image.putalpha(alpha)
    return written(image, "PNG")


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "RGB"])
def test_transparency_is_told_and_the_colours_below_are_read(mode: str) -> None:
    picture = decode(transparent(mode), 8)
    assert picture.remarks == (Remark.TRANSPARENT,)
    grey = np.asarray(Image.fromarray(COLOURS).convert("L"))
    expected = np.stack([grey] * 3) if mode in ("LA", "L") else COLOURS.transpose(2, 0, 1)
    assert np.array_equal(picture.pixels, expected)


def test_the_first_of_several_pictures_is_read_and_told() -> None:
    first, second = Image.fromarray(COLOURS), Image.fromarray(255 - COLOURS)
    for file_format in ("TIFF", "PNG", "GIF", "WEBP"):
        options = {"lossless": True} if file_format == "WEBP" else {}
        picture = decode(written(first, file_format, save_all=True, append_images=[second], **options), 8)
        assert picture.remarks == (Remark.SEVERAL,), file_format
        assert np.array_equal(picture.pixels, COLOURS.transpose(2, 0, 1)), file_format


def test_a_photograph_with_its_preview_is_one_picture() -> None:
    content = written(Image.fromarray(COLOURS), "MPO", save_all=True, append_images=[Image.new("RGB", (4, 4))])
    assert decode(content, 8).remarks == ()


# -- orientation ------------------------------------------------------------------------------------------------------

# Where the upper left, upper right, lower left and lower right quarters of the stored picture are to be seen.
TURNED = {
    1: [0, 1, 2, 3],
    2: [1, 0, 3, 2],
    3: [3, 2, 1, 0],
    4: [2, 3, 0, 1],
    5: [0, 2, 1, 3],
    6: [2, 0, 3, 1],
    7: [3, 1, 2, 0],
    8: [1, 3, 0, 2],
}


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", TURNED)
def test_pictures_stand_upright(file_format: str, orientation: int) -> None:
    levels = [250, 170, 90, 10]
    stored = np.array(levels, dtype=np.uint8).reshape(2, 2).repeat(8, 0).repeat(8, 1)
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = written(Image.fromarray(stored).convert("RGB"), file_format, exif=exif)
    seen = decode(content, 16).pixels[0, [4, 4, 12, 12], [4, 12, 4, 12]]
    assert np.abs(seen - np.array([levels[k] for k in TURNED[orientation]], dtype=np.float64)).max() < 3


def test_an_oblong_picture_is_turned_before_it_is_cut() -> None:
    stored = np.zeros((8, 16), dtype=np.uint8)
    stored[:, 8:] = 200
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: the right half becomes the lower one
    found = decode(written(Image.fromarray(stored), "PNG", exif=exif), 8).pixels[0]
    assert found[:4].max() == 0
    assert found[4:].min() == 200


def test_a_palette_and_16_bits_are_turned_too() -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    for image in (Image.fromarray(GREY16), Image.fromarray(GREY16_AS_8).convert("P")):
        assert np.array_equal(decode(written(image, "PNG", exif=exif), 8).pixels[0], GREY16_AS_8[::-1, ::-1])


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0nonsense"])
def test_a_damaged_tag_says_nothing(exif: bytes) -> None:
    image = Image.fromarray(COLOURS).convert("L")
    assert np.array_equal(decode(written(image, "JPEG", exif=exif), 8).pixels, decode(written(image, "JPEG"), 8).pixels)


# -- too much ---------------------------------------------------------------------------------------------------------


def test_a_thread_of_a_picture_is_refused_before_it_fills_the_memory() -> None:
    content = written(Image.new("1", (60_000, 1)), "PNG")
    with pytest.raises(ValueError, match="too long for its width: 60000x1 would become 13440000x224"):
        decode(content, 224)


def test_text_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    information = PngImagePlugin.PngInfo()
    information.add_text("comment", "a" * 70_000_000, zip=True)
    content = written(Image.fromarray(COLOURS), "PNG", pnginfo=information)
    assert len(content) < 200_000
    with pytest.raises(ValueError, match="too large"):
        decode(content, 8)
