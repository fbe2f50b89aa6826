from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from kalamos.errors import CorruptImageError, ImageTooLargeError, InvalidArrayError
from kalamos.images import load_grey


def check(image, expected, tolerance=0):
    result = load_grey(image)
    assert result.dtype == np.uint8
    assert result.flags.c_contiguous
    assert result.shape == expected.shape
    assert np.abs(result.astype(int) - expected.astype(int)).max() <= tolerance


@pytest.mark.parametrize(
    ("mode", "tolerance"),
    [("L", 0), ("LA", 0), ("RGB", 0), ("RGBA", 0), ("RGBX", 0), ("CMYK", 0), ("YCbCr", 2), ("HSV", 2)],
)
def test_eight_bit_modes(picture, mode, tolerance):
    image = Image.fromarray(picture)
    check(image.convert(mode) if mode == "LA" else image.convert("RGB").convert(mode), picture, tolerance)


def test_one_bit(picture):
    expected = np.where(picture > 128, 255, 0)
    check(Image.fromarray(picture > 128), expected)


@pytest.mark.parametrize("mode", ["P", "PA"])
def test_palettes(picture, mode):
    image = Image.fromarray(picture).convert("RGB").quantize(16)
    check(image if mode == "P" else image.convert("PA"), picture)


def test_lab_gives_its_lightness(picture):
    check(Image.merge("LAB", [Image.fromarray(plane) for plane in (picture, picture // 2, picture)]), picture)


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L"])
def test_sixteen_bits(picture, mode):
    deep = picture.astype(np.uint16) * 257
    raw = deep.astype(">u2" if mode == "I;16B" else "<u2").tobytes()
    check(Image.frombytes(mode, (20, 12), raw), picture)


def test_wide_modes(picture):
    check(Image.fromarray(picture.astype(np.int32)), picture)
    check(Image.fromarray(picture.astype(np.int32) * 257), picture)
    check(Image.fromarray(picture.astype(np.float32)), picture)
    check(Image.fromarray(picture.astype(np.float32) / 255), picture)
    for values in (np.full((2, 2), -1, np.int32), np.full((2, 2), 70000, np.int32)):
        with pytest.raises(InvalidArrayError):
            load_grey(Image.fromarray(values))
    with pytest.raises(InvalidArrayError, match="NaN"):
        load_grey(Image.fromarray(np.full((2, 2), np.nan, np.float32)))


@pytest.mark.parametrize("mode", ["LA", "RGBA", "La", "RGBa"])
def test_alpha(picture, mode):
    ink = picture < 200
    straight = Image.fromarray(np.dstack([picture * 0] * 3 + [np.where(ink, 255, 0).astype(np.uint8)]))
    image = straight if mode in ("RGBA", "RGBa") else straight.convert("LA")
    check(image if mode in ("RGBA", "LA") else image.convert(mode), np.where(ink, 0, 255))


def transparent_palette():
    """Ink is index 1, black; index 0, black too, is nothing."""
    image = Image.new("P", (4, 4))
    image.putpalette([0, 0, 0] * 256)
    image.putpixel((1, 1), 1)
    expected = np.full((4, 4), 255)
    expected[1, 1] = 0
    return image, expected


@pytest.mark.parametrize("transparency", [0, b"\0"])
def test_transparent_palette_entries(transparency):
    image, expected = transparent_palette()
    image.info["transparency"] = transparency
    check(image, expected)


def test_transparent_colours():
    image = Image.new("L", (4, 4), 1)
    image.putpixel((1, 1), 0)
    expected = np.full((4, 4), 255)
    expected[1, 1] = 0
    image.info["transparency"] = 1
    check(image, expected)
    colour = Image.new("RGB", (4, 4), (1, 1, 1))
    colour.putpixel((1, 1), (0, 0, 0))
    colour.info["transparency"] = (1, 1, 1)
    check(colour, expected)
    deep = Image.fromarray(np.where(expected == 0, 0, 777).astype(np.uint16))
    deep.info["transparency"] = 777
    check(deep, expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_orientation_equals_that_of_the_file(picture, encode, exif, kind, orientation):
    image = Image.fromarray(picture)
    tag = {"tiffinfo": {274: orientation}} if kind == "TIFF" else {"exif": exif(orientation)}
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95}}.get(kind, {})
    data = encode(image, kind, **tag, **options)
    check(Image.open(io.BytesIO(data)), load_grey(data), 2)


def test_orientation_of_compressed_tiff(picture, encode):
    data = encode(Image.fromarray(picture), "TIFF", compression="tiff_lzw", tiffinfo={274: 6})
    check(Image.open(io.BytesIO(data)), load_grey(data))


def test_damaged_exif_means_upright(picture, encode):
    data = encode(Image.fromarray(picture), "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    check(Image.open(io.BytesIO(data)), picture)


@pytest.mark.parametrize("name", ["png grey", "jpeg grey", "tiff grey"])
def test_a_truncated_file_opened_lazily(samples, name):
    data = samples[name]
    # Pillow writes a TIFF's directory before its pixels, as the others do their headers.
    image = Image.open(io.BytesIO(data[:-40]))
    with pytest.raises(CorruptImageError, match="cannot be loaded"):
        load_grey(image)


def test_the_pixel_limit_is_checked_before_loading(samples):
    image = Image.open(io.BytesIO(samples["png grey"][:60]))
    with pytest.raises(ImageTooLargeError):
        load_grey(image, max_pixels=239)


def test_no_pixels():
    with pytest.raises(InvalidArrayError):
        load_grey(Image.new("L", (0, 5)))


def test_the_source_is_neither_changed_nor_shared(picture):
    image = Image.fromarray(picture)
    result = load_grey(image)
    result[:] = 0
    assert np.array_equal(np.asarray(image), picture)
    assert load_grey(image).flags.writeable
