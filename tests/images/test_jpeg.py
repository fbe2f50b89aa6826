from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from kalamos.errors import CorruptImageError, UnsupportedImageError
from kalamos.images import decode_grey, read_header


def frame_at(data):
    return next(data.index(bytes((0xFF, code))) for code in (0xC0, 0xC2) if bytes((0xFF, code)) in data)


def patched(data, offset, value):
    mutant = bytearray(data)
    mutant[frame_at(data) + offset] = value
    return bytes(mutant)


@pytest.mark.parametrize("name", ["jpeg grey", "jpeg progressive", "jpeg cmyk"])
def test_header(samples, name):
    header = read_header(samples[name])
    assert (header.format, header.width, header.height, header.orientation) == ("JPEG", 20, 12, 1)


def test_ycck(encode, picture):
    """Nothing here writes YCCK, but only the Adobe transform byte says so; Pillow is the judge."""
    data = encode(Image.fromarray(picture).convert("RGB").convert("CMYK"), "JPEG", quality=95)
    marker = data.index(b"Adobe")
    ycck = data[: marker + 11] + b"\2" + data[marker + 12 :]
    expected = np.asarray(Image.open(io.BytesIO(ycck)).convert("L")).astype(int)
    assert np.abs(decode_grey(ycck) - expected).max() <= 3


@pytest.mark.parametrize(
    ("offset", "value", "words"),
    [(1, 0xC3, "lossless"), (1, 0xC5, "lossless"), (4, 12, "12-bit"), (9, 2, "2 components")],
)
def test_unusual_kinds_are_refused(samples, offset, value, words):
    with pytest.raises(UnsupportedImageError, match=words):
        decode_grey(patched(samples["jpeg grey"], offset, value))


def test_no_size(samples):
    with pytest.raises(CorruptImageError, match="20 x 0"):
        decode_grey(patched(samples["jpeg grey"], 6, 0))


def test_without_end_marker(samples):
    data = samples["jpeg grey"]
    with pytest.raises(CorruptImageError, match="end marker"):
        read_header(data[: data.rindex(b"\xff\xd9")])


def test_the_end_marker_of_a_thumbnail_does_not_count(samples):
    thumbnail = b"\xff\xe1" + struct.pack(">H", 2 + len(samples["jpeg grey"])) + samples["jpeg grey"]
    data = samples["jpeg grey"][:2] + thumbnail + samples["jpeg grey"][2:]
    assert np.array_equal(decode_grey(data), decode_grey(samples["jpeg grey"]))
    with pytest.raises(CorruptImageError):
        read_header(data[:-30])


def test_without_a_picture():
    with pytest.raises(CorruptImageError, match="no picture"):
        read_header(b"\xff\xd8\xff\xd9")


def test_restart_markers_and_fill_bytes(picture, encode):
    data = encode(Image.fromarray(picture), "JPEG", quality=95, restart_marker_blocks=1)
    assert b"\xff\xd0" in data
    filled = data.replace(b"\xff\xdb", b"\xff\xff\xff\xdb", 1)
    assert np.abs(decode_grey(filled).astype(int) - picture).max() <= 12
