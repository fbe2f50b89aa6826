from __future__ import annotations

import struct

import numpy as np
import pytest

from kalamos.errors import CorruptImageError, UnsupportedImageError
from kalamos.images import decode_grey

BGR = (0xFF0000, 0xFF00, 0xFF)
GREYS = b"".join(bytes([i, i, i, 0]) for i in range(256))


def bmp(pixels, *, bits, size=(20, 12), compression=0, palette=b"", header=40, masks=()):
    if header == 12:
        dib = struct.pack("<IHHHH", 12, *size, 1, bits)
    else:
        dib = struct.pack(
            "<IiiHHIIiiII", header, *size, 1, bits, compression, len(pixels), 0, 0, len(palette) // 4, 0
        )
        dib = (dib + struct.pack(f"<{len(masks)}I", *masks)).ljust(header, b"\0")
    start = 14 + len(dib) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + dib + palette + pixels


def bgra(picture, alpha):
    return np.dstack([picture, picture, picture, alpha])


@pytest.mark.parametrize("fourth", [0, 77, 255])
def test_the_fourth_byte_is_padding_without_an_alpha_mask(picture, fourth):
    pixels = bgra(picture, np.full_like(picture, fourth))[::-1].tobytes()
    for options in ({}, {"compression": 3, "masks": BGR}):
        assert np.array_equal(decode_grey(bmp(pixels, bits=32, **options)), picture)


@pytest.mark.parametrize("header", [56, 108, 124])
def test_alpha_mask(picture, header):
    ink = picture < 200
    pixels = bgra(np.zeros_like(picture), np.where(ink, 255, 0).astype(np.uint8))[::-1].tobytes()
    data = bmp(pixels, bits=32, compression=3, header=header, masks=(*BGR, 0xFF000000))
    assert np.array_equal(decode_grey(data), np.where(ink, 0, 255))


@pytest.mark.parametrize("header", [56, 108, 124])
def test_masks_that_leave_no_alpha(picture, header):
    pixels = bgra(picture, np.zeros_like(picture))[::-1].tobytes()
    data = bmp(pixels, bits=32, compression=3, header=header, masks=(*BGR, 0))
    assert np.array_equal(decode_grey(data), picture)


def test_masks_in_another_order():
    red_first = np.zeros((12, 20, 4), np.uint8)
    red_first[..., 0] = 255
    masks = (0xFF, 0xFF00, 0xFF0000)
    data = bmp(red_first.tobytes(), bits=32, compression=3, header=108, masks=(*masks, 0))
    assert set(np.unique(decode_grey(data))) == {76}
    for header in (40, 52):
        with pytest.raises(UnsupportedImageError, match="masks"):
            decode_grey(bmp(red_first.tobytes(), bits=32, compression=3, header=header, masks=masks))


def test_rows_from_the_top(picture):
    assert np.array_equal(decode_grey(bmp(picture.tobytes(), bits=8, size=(20, -12), palette=GREYS)), picture)


@pytest.mark.parametrize("header", [40, 108])
@pytest.mark.parametrize(
    ("compression", "masks", "shift"),
    [(0, (), 5), (3, (0x7C00, 0x3E0, 0x1F), 5), (3, (0xF800, 0x7E0, 0x1F), 6)],
)
def test_sixteen_bits(picture, header, compression, masks, shift):
    level = (picture >> 3).astype("<u2")
    green = (picture >> (8 - shift)).astype("<u2")
    pixels = (level | green << 5 | level << (5 + shift)).astype("<u2")[::-1].tobytes()
    data = bmp(pixels, bits=16, compression=compression, header=header, masks=masks)
    assert np.abs(decode_grey(data).astype(int) - picture).max() <= 8


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("header", [12, 40])
def test_palettes_are_followed(picture, header, inverted):
    entries = [bytes([255 - i if inverted else i] * 3) for i in range(256)]
    palette = b"".join(entries) if header == 12 else b"\0".join(entries) + b"\0"
    stored = 255 - picture if inverted else picture
    data = bmp(stored[::-1].tobytes(), bits=8, header=header, palette=palette)
    assert np.array_equal(decode_grey(data), picture)


def test_four_bits(picture):
    levels = picture[::-1] >> 4
    rows = np.pad(levels[:, ::2] << 4 | levels[:, 1::2], ((0, 0), (0, 2)))
    palette = b"".join(bytes([i * 17] * 3 + [0]) for i in range(16))
    assert np.array_equal(decode_grey(bmp(rows.tobytes(), bits=4, palette=palette)), (picture >> 4) * 17)


def test_run_lengths(picture):
    rows = (b"\x06" + bytes([row[0]]) + b"\x0e" + bytes([row[10]]) + b"\0\0" for row in picture[::-1])
    data = bmp(b"".join(rows) + b"\0\1", bits=8, compression=1, palette=GREYS)
    expected = picture.copy()
    expected[9] = 230
    expected[9, 6:] = 90
    assert np.array_equal(decode_grey(data), expected)
    for cut in range(len(data)):
        try:
            partial = decode_grey(data[:cut])
        except CorruptImageError:
            continue
        assert np.array_equal(partial, expected), cut


@pytest.mark.parametrize("size", [(0, 12), (20, 0), (-20, 12)])
def test_impossible_sizes(size):
    with pytest.raises(CorruptImageError, match="BMP is damaged: its"):
        decode_grey(bmp(bytes(720), bits=24, size=size))


@pytest.mark.parametrize("compression", [4, 5, 6, 11])
def test_unusual_compressions(compression):
    with pytest.raises(UnsupportedImageError, match="compression"):
        decode_grey(bmp(bytes(960), bits=24, compression=compression))
