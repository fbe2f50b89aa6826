from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image

from kalamos.errors import CorruptImageError
from kalamos.images import decode_grey
from kalamos.images.webp import read_webp


def read_header(data):
    return read_webp(data, "a.webp")


@pytest.mark.parametrize("name", ["webp lossy", "webp lossless", "webp exif", "webp animated"])
def test_header(samples, name):
    header = read_header(samples[name])
    assert (header.format, header.width, header.height) == ("WEBP", 20, 12)
    assert header.orientation == (6 if name == "webp exif" else 1)


def test_a_first_frame_smaller_than_the_canvas(encode):
    """The writer crops the first frame to what is visible; it must come back to its place."""
    first = Image.new("RGBA", (20, 12))
    first.paste((0, 0, 0, 255), (4, 2, 10, 6))
    second = first.transpose(Image.Transpose.ROTATE_180)
    data = encode(first, "WEBP", save_all=True, append_images=[second], lossless=True)
    assert read_header(data).animated
    expected = np.full((12, 20), 255)
    expected[2:6, 4:10] = 0
    assert np.array_equal(decode_grey(data), expected)


def test_lossy_animation_with_alpha(picture, encode):
    clear = Image.fromarray(np.dstack([picture * 0] * 3 + [np.where(picture < 200, 255, 0).astype(np.uint8)]))
    second = clear.transpose(Image.Transpose.ROTATE_180)
    data = encode(clear, "WEBP", save_all=True, append_images=[second], quality=90)
    assert np.abs(decode_grey(data).astype(int) - np.where(picture < 200, 0, 255)).max() <= 12


def test_announced_size(samples):
    with pytest.raises(CorruptImageError, match="are announced"):
        read_header(samples["webp lossy"][:-1])


def test_an_animation_without_frames():
    chunk = b"VP8X" + struct.pack("<IIHBHB", 10, 2, 19, 0, 11, 0)
    data = b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk
    with pytest.raises(CorruptImageError, match="no frame"):
        read_header(data)
    with pytest.raises(CorruptImageError, match="no picture"):
        read_header(data[:20] + b"\0" + data[21:])


def test_no_chunks():
    with pytest.raises(CorruptImageError, match="no picture"):
        read_header(b"RIFF\4\0\0\0WEBP")
