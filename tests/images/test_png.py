from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from kalamos.errors import CorruptImageError
from kalamos.images import decode_grey
from kalamos.images.png import SIGNATURE, inspect_png


def read_header(data):
    return inspect_png(data, "a.png").header


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(rows, depth, colour, *extra, size=(20, 12)):
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + bytes(row) for row in rows))
    return (
        SIGNATURE
        + chunk(b"IHDR", header)
        + b"".join(chunk(*item) for item in extra)
        + chunk(b"IDAT", pixels)
        + chunk(b"IEND", b"")
    )


def test_header(samples):
    header = read_header(samples["png exif"])
    assert (header.format, header.width, header.height, header.orientation) == ("PNG", 20, 12, 6)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_low_depths_and_their_transparency(picture, depth):
    levels = picture >> (8 - depth)
    step = 255 // ((1 << depth) - 1)
    bits = np.unpackbits(levels[..., None], axis=2)[..., 8 - depth :].reshape(12, -1)
    rows = np.packbits(bits, axis=1)
    assert np.array_equal(decode_grey(png(rows, depth, 0)), levels * step)
    # With the paper's value see-through, the ink is on nothing: white again.
    paper = int(levels[6, 10])
    clear = decode_grey(png(rows, depth, 0, (b"tRNS", struct.pack(">H", paper))))
    assert np.array_equal(clear, np.where(levels == paper, 255, levels * step))


def test_transparent_grey_that_equals_the_ink_on_opaque_paper(encode):
    """Grey 255 is nothing and grey 250 is the ink: on black it stays, on white it would vanish."""
    picture = np.full((6, 6), 255, np.uint8)
    picture[2:4, 1:5] = 250
    data = encode(Image.fromarray(picture), "PNG", transparency=255)
    assert np.array_equal(decode_grey(data), np.where(picture == 255, 0, 250))


def test_sixteen_bit_transparency(picture):
    deep = picture.astype(">u2") * np.array(257, ">u2")
    key = struct.pack(">H", 230 * 257)
    rows = [row.astype(">u2").tobytes() for row in deep]
    data = png(rows, 16, 0, (b"tRNS", key))
    result = decode_grey(data)
    assert result[1, 1] == pytest.approx(20, abs=1)
    assert result[6, 10] == 255
    assert read_header(data).transparent == 230 * 257


def test_transparent_colour(picture, encode):
    colour = Image.fromarray(picture).convert("RGB")
    result = decode_grey(encode(colour, "PNG", transparency=(230, 230, 230)))
    assert result[6, 10] == 255
    assert result[1, 1] == 20
    assert result[9, 10] == 90


@pytest.mark.parametrize(("depth", "colour"), [(3, 0), (16, 3), (4, 2), (8, 5), (1, 6)])
def test_impossible_depths(depth, colour):
    with pytest.raises(CorruptImageError, match="does not exist"):
        read_header(png([b"\0" * 20] * 12, depth, colour))


@pytest.mark.parametrize("size", [(0, 12), (20, 0), (1 << 31, 1)])
def test_impossible_sizes(size):
    with pytest.raises(CorruptImageError, match="its size is"):
        read_header(png([], 8, 0, size=size))


def test_a_palette_is_needed():
    with pytest.raises(CorruptImageError, match="no palette"):
        read_header(png([b"\0" * 20] * 12, 8, 3))


def test_every_flipped_byte_is_seen_without_a_word_from_libpng(samples, capfd):
    data = samples["png grey"]
    for position in range(len(data)):
        mutant = bytearray(data)
        mutant[position] ^= 0x10
        try:
            decode_grey(bytes(mutant))
        except Exception as error:  # noqa: BLE001 - the kind is checked
            assert type(error).__name__ in ("CorruptImageError", "UnsupportedImageError")  # noqa: PT017
        else:
            pytest.fail(f"byte {position}")
    assert capfd.readouterr().err == ""


def test_chunks_before_the_header():
    with pytest.raises(CorruptImageError, match="IHDR"):
        read_header(SIGNATURE + chunk(b"CgBI", b"1234") + chunk(b"IEND", b""))


def test_bad_zlib_data_behind_a_good_crc(picture):
    rows = [row.tobytes() for row in picture[:5]]
    with pytest.raises(CorruptImageError, match="cannot be decoded"):
        decode_grey(png(rows, 8, 0))
