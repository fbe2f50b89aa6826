from __future__ import annotations

import struct

import numpy as np
import pytest

from kalamos.errors import CorruptImageError
from kalamos.images import decode_grey

PALETTE = bytes([255, 255, 255, 0, 0, 0, 128, 128, 128, 200, 0, 0])


def gif(screen, frame, indices, *, background=0, clear=None):
    """A GIF of four colours whose LZW codes are never compressed: a clear code before every second pixel."""
    codes = [code for n, index in enumerate(indices) for code in (([4] if n % 2 == 0 else []) + [index])] + [
        5
    ]
    bits = "".join(format(code, "03b")[::-1] for code in codes)
    body = bytes(int(bits[i : i + 8][::-1], 2) for i in range(0, len(bits), 8))
    blocks = b"".join(
        bytes([len(part)]) + part for part in (body[i : i + 255] for i in range(0, len(body), 255))
    )
    control = b"" if clear is None else b"\x21\xf9\x04" + struct.pack("<BHBB", 1, 0, clear, 0)
    return (
        b"GIF89a"
        + struct.pack("<HHBBB", *screen, 0xF1, background, 0)
        + PALETTE
        + control
        + b","
        + struct.pack("<HHHHB", *frame, 0)
        + b"\x02"
        + blocks
        + b"\0;"
    )


@pytest.mark.parametrize("background", [0, 1])
def test_a_small_frame_keeps_its_ink_whatever_the_background_colour(background):
    data = gif((8, 6), (2, 1, 4, 3), [1] * 4 + [2] * 8, background=background)
    expected = np.full((6, 8), 128)
    expected[1, 2:6] = 0
    result = decode_grey(data)
    assert np.array_equal(result[1:4, 2:6], expected[1:4, 2:6])
    assert len(np.unique(result)) >= 2


def test_a_small_frame_of_ink_lies_on_white():
    data = gif((8, 6), (2, 1, 4, 3), [1] * 12, background=1)
    expected = np.full((6, 8), 255)
    expected[1:4, 2:6] = 0
    assert np.array_equal(decode_grey(data), expected)


def test_transparent_ink():
    expected = np.full((6, 8), 255)
    expected[0] = 0
    assert np.array_equal(decode_grey(gif((8, 6), (0, 0, 8, 6), [1] * 8 + [3] * 40, clear=3)), expected)


@pytest.mark.parametrize(
    ("screen", "frame"), [((8, 6), (5, 1, 4, 3)), ((8, 6), (0, 0, 0, 3)), ((0, 6), (0, 0, 4, 3))]
)
def test_impossible_sizes(screen, frame):
    with pytest.raises(CorruptImageError):
        decode_grey(gif(screen, frame, [1] * 12))


def test_too_few_pixels():
    with pytest.raises(CorruptImageError):
        decode_grey(gif((8, 6), (0, 0, 8, 6), [1] * 18))


def test_without_a_frame():
    with pytest.raises(CorruptImageError, match="no more images"):
        decode_grey(b"GIF89a" + struct.pack("<HHBBB", 8, 6, 0, 0, 0) + b";")
